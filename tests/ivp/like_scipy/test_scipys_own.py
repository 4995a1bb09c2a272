"""SciPy's own tests of `solve_ivp` on parscan's: by the methods that they name, and by `auto` with calls and with code.

What depends on the algorithm is left out: numbers of calls, Jacobians and factorisations, and the sentences of the
message that name the method.
"""

import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location

import pytest

import parscan

pytestmark = [pytest.mark.roads, pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]

FILE = pytest.importorskip("scipy.integrate._ivp.tests.test_ivp", reason="SciPy is installed without tests").__file__
SPEC = spec_from_file_location("scipys_tests", FILE)  # functions of SciPy's are not recorded; those of tests are users'
THEIRS = sys.modules[SPEC.name] = module_from_spec(SPEC)
SPEC.loader.exec_module(THEIRS)

globals().update({name: test for name, test in vars(THEIRS).items() if name.startswith("test_")})

DIFFERENT = {
    ("test_t_eval_early_event", ""): "no states are arrays without entries, where SciPy has empty lists",
    ("test_duplicate_timestamps", "auto-code"): "it goes 1600 steps beyond the end, by polynomials of degree 7",
    ("test_t_eval_dense_output", "auto-code"): "with dense output, states differ by rounding",
    ("test_array_rtol", "auto-code"): "there is no error that a smaller tolerance would reduce",
    ("test_integration_const_jac", "auto-calls"): "LSODA, also SciPy's, is off by 25 tolerances",
    ("test_args_single_value", "auto-calls"): "LSODA is within the tolerance, but not within 1e-7",
}
"""Tests, and parts of the names of their roads, in which parscan is not like SciPy, and why."""

NEVER_CODE = {
    *("test_classes", "test_inital_maxstep", "test_zero_interval", "test_no_integration", "test_no_integration_class"),
    *("test_empty", "test_OdeSolution", "test_num_jac", "test_num_jac_sparse", "test_ConstantDenseOutput"),
    *("test_initial_state_finiteness", "test_integration_sparse_difference", "test_integration_complex_sparse"),
}
"""Tests that solve nothing, or nothing that machine code could solve."""


class AnyNumber(int):
    """A number that passes every comparison."""

    def _passes(self, other):
        return True

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _passes
    __hash__ = int.__hash__


COUNTS = dict.fromkeys(("nfev", "njev", "nlu"), AnyNumber())


@pytest.fixture
def num_parallel_threads():
    return 1


@pytest.fixture(autouse=True, params=["named", "auto"])
def solve_ivp(request, road, monkeypatch):
    """Its name in SciPy's tests. `auto` with code takes code wherever there can be any."""
    coded = request.param == "auto" and road == "code"
    used = []

    def solve_ivp(fun, t_span, y0, method="RK45", *others, **options):
        method = "auto" if request.param == "auto" else method
        try:
            found = parscan.solve_ivp(fun, t_span, y0, method, *others, compile=True if coded else None, **options)
        except TypeError as error:
            if "`compile=True`" not in str(error):
                raise
            found = parscan.solve_ivp(fun, t_span, y0, method, *others, **options)
        used.append(found.compiled)
        return replace(found, **COUNTS, message=found.message.partition(".")[0] + ".")

    name = request.node.originalname
    for (test, roads), reason in DIFFERENT.items():
        if test == name and roads in request.node.name:
            request.applymarker(pytest.mark.xfail(reason=reason))
    monkeypatch.setattr(THEIRS, "solve_ivp", solve_ivp)
    yield
    if coded and name not in NEVER_CODE:
        assert any(used)
