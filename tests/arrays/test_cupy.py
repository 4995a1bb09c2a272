"""What is said when CuPy's arrays cannot be worked on; a few names stand in for CuPy."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import parscan
from parscan._arrays import cupy as _cupy
from parscan._arrays import memory as _memory
from parscan._arrays.namespace import as_array


class Standin(ModuleType):
    """As much of CuPy as is asked for."""

    class ndarray:  # noqa: N801
        __module__ = "cupy"
        dtype, ndim, shape = np.dtype("float64"), 1, (3,)

        def __init__(self, device=0):
            self.device = SimpleNamespace(id=device)

        def __array_namespace__(self, api_version=None):
            raise AssertionError("no further than this")

    generic = type("generic", (), {})

    def __init__(self, left=2**20, held=2**10, limit=0):
        super().__init__("cupy")
        pool = SimpleNamespace(free_bytes=lambda: held, used_bytes=lambda: 0, get_limit=lambda: limit)
        self.get_default_memory_pool = lambda: pool
        runtime = SimpleNamespace(
            getDevice=lambda: 0,
            memGetInfo=lambda: (left, 2**30),
            runtimeGetVersion=lambda: 12090,
            driverGetVersion=lambda: 12040,
        )
        self.cuda = SimpleNamespace(runtime=runtime)


@pytest.fixture
def cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", Standin())
    monkeypatch.setattr(_cupy, "_has_numba_cuda", lambda: True)
    return sys.modules["cupy"]


def test_an_array_on_the_current_device_is_taken(cupy):
    x = cupy.ndarray()
    assert as_array("x", x) is x


def test_missing_numba_cuda_is_named_with_what_installs_it(cupy, monkeypatch):
    monkeypatch.setattr(_cupy, "_has_numba_cuda", lambda: False)
    with pytest.raises(ImportError, match=r"`y0` is a CuPy array.*numba-cuda.*pip install 'parscan\[cuda12\]'"):
        parscan.solve_ivp(lambda t, y: -y, (0, 1), cupy.ndarray())


def test_an_array_on_another_device_is_named(cupy):
    with pytest.raises(ValueError, match=r"`b` is on device 1, but the current one is 0; .*cupy.cuda.Device\(1\)"):
        parscan.linear_recurrence(0.5, cupy.ndarray(device=1))


def test_free_memory_is_that_of_the_device(cupy, monkeypatch):
    assert _memory.available(cupy.ndarray()) == 2**20 + 2**10
    assert _memory.available(np.zeros(1)) != 2**20 + 2**10
    monkeypatch.setitem(sys.modules, "cupy", Standin(limit=2**9))
    assert _memory.available(cupy.ndarray()) == 2**9


def test_too_large_for_the_device_is_told_in_bytes(cupy):
    with pytest.raises(MemoryError, match=r"24000000000 bytes .* 1049600 bytes"):
        _memory.check_fits(10**9, (3,), cupy.ndarray())


def test_versions_that_do_not_match_are_told(cupy):
    assert _cupy.versions() == "the driver knows CUDA up to 12.4, and CuPy was built for 12.9"


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", ["import parscan", "import parscan, parscan._kernels.dispatch; parscan.linear_recurrence(0.5, [1])"]
)
def test_nothing_of_cuda_is_imported_unasked(code):
    import subprocess

    told = "import sys; print([m for m in sys.modules if m.split('.')[0] in ('cupy', 'cuda') or m == 'numba.cuda'])"
    run = subprocess.run([sys.executable, "-c", f"{code}\n{told}"], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
