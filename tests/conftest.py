"""Fixtures, marks and the hypothesis profiles of all tests."""

import os
from dataclasses import replace
from importlib import import_module
from tempfile import TemporaryDirectory

import hypothesis
import numpy as np
import pytest
from cuda_emulator import MISSING
from devices import DEVICES
from factors import parameters
from few import representatives
from ode_methods import ON_MESH

collect_ignore = ["support"]  # imported by tests, without tests of its own

hypothesis.settings.register_profile(
    "parscan",
    deadline=None,  # a first call compiles kernels
    max_examples=40,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=True,
)
hypothesis.settings.register_profile("brief", hypothesis.settings.get_profile("parscan"), max_examples=5)
hypothesis.settings.load_profile("parscan")


def pytest_addoption(parser):
    parser.addoption("--products", action="store_true", help="all combinations of the factors of tests marked `pairs`")


def pytest_configure(config):
    """
    Machine code of other runs is not used, and none is left behind, unless the environment names a folder for it. All
    processes of a run share theirs.
    """
    if "PARSCAN_CACHE_DIR" not in os.environ:
        folder = TemporaryDirectory(prefix="parscan-code-")
        config.add_cleanup(folder.cleanup)
        os.environ["PARSCAN_CACHE_DIR"] = folder.name


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc):
    for mark in list(metafunc.definition.iter_markers("pairs")):
        rows = parameters(mark.kwargs, whole=metafunc.config.getoption("products"))
        metafunc.definition.add_marker(pytest.mark.parametrize(*rows))
    if mark := metafunc.definition.get_closest_marker("roads"):
        metafunc.definition.add_marker(pytest.mark.parametrize("road", mark.args or ROADS, indirect=True))


def pytest_collection_modifyitems(items):
    """
    Leave out machine code for methods of SciPy's.

    Mark as slow: runs in the emulator; complex numbers of single precision, whose kernels take long to compile; and
    combinations of parameters all of whose values occur in other cases of a test (see `few.py`).

    Skip what needs a device or the emulator where there is none.
    """
    items[:] = [item for item in items if _has_road(item)]
    no_device = pytest.mark.skip(reason="needs a CUDA device and CuPy")
    no_emulator = pytest.mark.skip(reason=MISSING or "")
    for item in items:
        if "complex64" in item.name:  # float32 and complex128 are fast tests
            item.add_marker(pytest.mark.slow)
        fixtures = getattr(item, "fixturenames", ())
        is_of_device = item.get_closest_marker("gpu") and (
            "cp" not in fixtures or item.get_closest_marker("real_device")
        )
        if is_of_device and DEVICES == 0:
            item.add_marker(no_device)
        elif "emulator" in fixtures or ("cp" in fixtures and DEVICES == 0):
            item.add_marker(pytest.mark.emulator)
            item.add_marker(pytest.mark.slow)
            if MISSING:
                item.add_marker(no_emulator)
    _mark_many(items)


def _mark_many(items):
    """Mark all but a few cases of each parametrised test as slow."""
    tests = {}
    for item in items:
        if hasattr(item, "callspec") and not item.get_closest_marker("slow"):
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in tests.values():
        mark = cases[0].get_closest_marker("few")
        few = representatives([case.callspec.params for case in cases], *(mark.args if mark else ()))
        for k, case in enumerate(cases):
            if k not in few:
                case.add_marker(pytest.mark.slow)


def _has_road(item):
    """Whether machine code may solve the test's problem if it is to do so."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    return given.get("road") != "code" or given.get("method", "auto") in ("auto", *ON_MESH)


class Clock:
    """Time that passes only while a step is evaluated: what auto measures and chooses does not depend on the machine.

    `call` seconds per call and `state` seconds per stacked state.
    """

    def __init__(self, call=1e-5, state=2e-8):
        self.call, self.state = call, state
        self.now, self.states = 0.0, 0

    def timed(self, step):
        def timed_step(y, *arguments):
            self.now += self.call + self.state * y.shape[0]
            self.states += y.shape[0]
            return step(y, *arguments)

        return timed_step


@pytest.fixture(scope="session", autouse=True)
def kernels():
    """Use compiled kernels from the first call, whichever tests are selected."""
    import_module("parscan._kernels.dispatch").account.spent = float("inf")


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", lambda: clock.now)
    return clock


@pytest.fixture(scope="session", autouse=True)
def loaded_scans():
    """What auto chooses depends on whether the compiled scans are loaded: let every test find the same."""
    import_module("parscan._kernels.cpu.affine_scan")


ROADS = {"calls": float("inf"), "code": 0.0}
"""Roads of `auto` for ODEs, calls of the function or machine code of it, by the price of code."""


@pytest.fixture(autouse=True)
def road(request, monkeypatch):
    """
    The way in which `auto` solves ODEs: by calls, or for tests marked `roads` also by machine code wherever it can.

    Otherwise it would depend on the time that earlier solves took. `roads("calls")` is for tests of methods that call
    the function, in files that are marked.
    """
    road = getattr(request, "param", "calls")
    account = import_module("parscan._ivp.compiled.account")
    account.forget_accounts()
    import_module("parscan._ivp.compiled.repeat").forget_repeats()
    price = ROADS[road]
    monkeypatch.setattr(account, "PRICES", account.Prices(loading=price, share=price))
    return road


@pytest.fixture
def rng():
    return np.random.default_rng(20261120)


@pytest.fixture
def limit_memory(monkeypatch):
    """Function that changes how much memory solvers take."""
    memory = import_module("parscan._arrays.memory")

    def limit_memory(**changes):
        monkeypatch.setattr(memory, "LIMITS", replace(memory.LIMITS, **changes))

    return limit_memory


@pytest.fixture
def tune(monkeypatch):
    """Function that changes when which kernels for CUDA are used."""
    choice = import_module("parscan._kernels.cuda.choice")

    def tune(**changes):
        monkeypatch.setattr(choice, "TUNING", replace(choice.TUNING, **changes))

    return tune


@pytest.fixture
def cp():
    """CuPy; where there is no device, a stand-in for it, whose kernels the emulator runs."""
    if DEVICES:
        yield import_module("cupy")
        return
    from cuda_emulator import Emulator
    from cupy_stand_in import installed

    with installed(Emulator()) as stand_in:
        yield stand_in


@pytest.fixture
def emulator(monkeypatch):
    """Kernels on NumPy arrays, and on those of array-api-strict in the place of CuPy's, run on the CPU.

    New memory is not zero but holds what no kernel may use.
    """
    from cuda_emulator import Emulator, poisoned

    launcher = Emulator()
    monkeypatch.setattr("parscan._kernels.cuda.launch.LAUNCHER", launcher)
    monkeypatch.setattr(import_module("parscan._arrays.numpy").xp, "empty", poisoned)
    for row in import_module("parscan._kernels.dispatch").IMPLEMENTATIONS.values():
        monkeypatch.setitem(row, "array_api_strict", row["cupy"])
    return launcher
