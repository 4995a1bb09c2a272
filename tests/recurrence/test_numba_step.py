"""Steps compiled by Numba: recorded where they can be; where they branch on values, Numba compiles the loop."""

import signal

import numba
import numpy as np
import pytest
from problems import loop

from parscan import solve_recurrence
from parscan._recorded.budget import Ledger
from parscan._recurrence import code as _code
from parscan._recurrence.numba_step import NumbaLoop, is_compiled

pytestmark = pytest.mark.slow  # each step is compiled by Numba

T = 600


@numba.njit
def squashed(y):
    return np.tanh(y)


@numba.njit
def smooth(y, x, gain):
    return gain * squashed(y) + x


@numba.njit
def by_entries(y, x):
    out = np.empty_like(y)
    for k in range(y.shape[0]):
        out[k, 0] = 0.5 * y[k, 0] + x[k, 0]
        out[k, 1] = y[k, 0] - 0.25 * y[k, 1]
    return out


@numba.njit
def fires(v, threshold):
    return v > threshold


@numba.njit
def neuron(y, x, tau):
    """Integrate and fire, with a refractory counter."""
    out = np.empty_like(y)
    for k in range(y.shape[0]):
        if y[k, 1] > 0:
            out[k, 0], out[k, 1] = 0.0, y[k, 1] - 1
        else:
            v = y[k, 0] + (x[k, 0] - y[k, 0]) / tau
            out[k, 0], out[k, 1] = (0.0, 5.0) if fires(v, 1.0) else (v, 0.0)
    return out


@numba.njit
def stacked(y, x, gain):
    """It branches on values, and takes stacked states."""
    out = np.empty_like(y)
    for k in range(y.shape[0]):
        for j in range(y.shape[1]):
            out[k, j] = gain * np.tanh(y[k, j]) + x[k, j] if y[k, j] > 0 else 0.5 * y[k, j] + x[k, j]
    return out


@numba.njit
def jumps(y):
    return y - 0.4 if y[0, 0] > 0.5 else 1.1 * y


@numba.njit
def relay(y, x):
    level, slope = x
    if y[0, 0, 0] > level[0, 0, 0]:
        return y - slope
    return y + 0.1


@numba.njit
def transposed(y):
    """It returns arrays in another order of memory than it takes at first."""
    return y[:, ::-1] * 0.9 if y[0, 0] > 0.1 else y + 0.3


RNG = np.random.default_rng(0)
RECORDED = {
    "helpers": (smooth, np.zeros(2), RNG.standard_normal((T, 2)), (0.9,)),
    "entries": (by_entries, np.zeros(2), RNG.standard_normal((T, 1)), ()),
    "single precision": (by_entries, np.zeros(2, "f4"), RNG.standard_normal((T, 1)).astype("f4"), ()),
}
BRANCHING = {
    "inputs": (neuron, np.zeros(2), 1 + RNG.random((T, 1)), (20.0,)),
    "single precision": (neuron, np.zeros(2, "f4"), 1 + RNG.random((T, 1)).astype("f4"), (np.float32(20),)),
    "no inputs": (jumps, np.array([0.3]), None, ()),
    "complex": (numba.njit(lambda y: y * 1j if y[0, 0].real > 0.1 else 0.9 * y + 1), np.zeros(1, complex), None, ()),
    "tuple": (relay, np.zeros((3, 1)), (RNG.random((T, 1, 1)), RNG.random((T, 3, 1))), ()),
    "strided inputs": (neuron, np.zeros(2), 1 + RNG.random((2 * T, 3))[::2, 1:], (20.0,)),
    "read-only inputs": (neuron, np.zeros(2), np.broadcast_to(1.5, (T, 1)), (20.0,)),
    "inlined": (
        numba.njit(inline="always")(lambda y, x, gain: gain * y if y[0, 0] > 0.5 else y + x),
        np.array([0.3]),
        RNG.random((T, 1)),
        (-0.4,),
    ),
    "order of memory": (transposed, np.array([0.3, 0.4, 0.5]), None, ()),
}


@pytest.mark.parametrize("method", ["sequential", "auto"])
@pytest.mark.parametrize("name", RECORDED)
def test_the_python_original_is_recorded(name, method):
    step, y0, x, args = RECORDED[name]
    sol = solve_recurrence(step, y0, x, args=args, method=method, compile=True)
    expected = loop(step, y0, x, args)
    assert sol.y.dtype == expected.dtype
    precision = 100 * np.finfo(expected.dtype).eps
    np.testing.assert_allclose(sol.y, expected, rtol=precision, atol=precision)
    assert sol.nfev < T // 2
    if method == "sequential":
        assert sol.decisions[0] == "The recorded step runs as machine code."


@pytest.mark.parametrize("name", BRANCHING)
def test_the_loop_over_a_step_that_branches_is_compiled_by_numba(name):
    step, y0, x, args = BRANCHING[name]
    length = T if x is None else None
    sol = solve_recurrence(step, y0, x, length=length, args=args, method="sequential", compile=True)
    assert sol.decisions[0] == "Numba compiles the loop over the step."
    assert sol.compiled
    assert sol.nfev < T // 2
    np.testing.assert_array_equal(sol.y, loop(step, y0, x if length is None else length, args))


def test_auto_takes_it():
    step, y0, x, args = BRANCHING["inputs"]
    sol = solve_recurrence(step, y0, x, args=args, compile=True)
    assert "Numba compiles the loop" in sol.decisions[0]
    np.testing.assert_array_equal(sol.y, loop(step, y0, x, args))


@pytest.mark.parametrize("method", ["newton", "jacobi"])
def test_methods_by_name_call_it_and_leave_the_rest_to_the_loop(method):
    y0, x, args = np.zeros(2), RNG.standard_normal((T, 2)), (0.9,)
    sol = solve_recurrence(stacked, y0, x, args=args, method=method, compile=True)
    np.testing.assert_allclose(sol.y, loop(stacked, y0, x, args), rtol=1e-8, atol=1e-8)


@numba.njit
def raises(y, x):
    if x[0, 0] > 2:
        raise ValueError("too large")
    return 0.5 * y + 1 / x[0, 0]


@pytest.mark.parametrize(("bad", "kind"), [(3.0, ValueError), (0.0, ZeroDivisionError)])
def test_exceptions_are_those_of_the_function(bad, kind):
    x = RNG.uniform(0.5, 1.5, (T, 1))
    assert solve_recurrence(raises, np.zeros(1), x, method="sequential", compile=True).compiled
    x[317] = bad
    with pytest.raises(kind) as found:
        solve_recurrence(raises, np.zeros(1), x, method="sequential", compile=True)
    assert any("time steps 317:318" in note for note in found.value.__notes__)


def bounded(y, x):
    """Where it divides by zero, its value would be finite."""
    return 0.5 * y + np.tanh(1.0 / x[0, 0]) * y[0, 1] ** 2


@pytest.mark.parametrize("model", ["python", "numpy"])
def test_division_by_zero_is_that_of_numba(model):
    step, x = numba.njit(error_model=model)(bounded), RNG.uniform(0.5, 1.5, (T, 1))
    options = {"method": "sequential", "compile": True}
    sol = solve_recurrence(step, np.full(2, 0.1), x, **options)
    assert sol.decisions[0] == "The recorded step runs as machine code."
    np.testing.assert_allclose(sol.y, loop(step, np.full(2, 0.1), x), rtol=1e-13)
    x[317] = 0.0
    if model == "python":
        with pytest.raises(ZeroDivisionError):
            solve_recurrence(step, np.full(2, 0.1), x, **options)
    else:
        sol = solve_recurrence(step, np.full(2, 0.1), x, **options)
        np.testing.assert_allclose(sol.y, loop(step, np.full(2, 0.1), x), rtol=1e-13)


@numba.njit
def explodes(y):
    return y * y if y[0, 0] > 0 else y


def test_a_state_that_is_not_finite_ends_the_trajectory():
    options = {"length": T, "method": "sequential"}
    sol = solve_recurrence(explodes, np.array([1.01]), compile=True, **options)
    expected = solve_recurrence(explodes, np.array([1.01]), compile=False, **options)
    assert not sol.success
    assert sol.message.startswith(expected.message)
    np.testing.assert_array_equal(sol.y, expected.y)


@pytest.mark.parametrize("layout", ["A", "C"])
def test_signatures_say_that_inputs_are_read_only(layout):
    def bounces(y, x):
        return y - x if y[0, 0] > 0.5 else y + x

    y0, x = np.array([0.3]), RNG.random((T, 1))
    row = numba.types.Array(numba.float64, 2, layout, readonly=True)
    step = numba.njit([(numba.float64[:, ::1], row)])(bounces)
    sol = solve_recurrence(step, y0, x, method="sequential", compile=True)
    np.testing.assert_array_equal(sol.y, loop(step, y0, x))
    writes = numba.njit([(numba.float64[:, ::1], numba.float64[:, ::1])])(bounces)
    with pytest.raises(TypeError, match="No matching definition") as found:
        solve_recurrence(writes, y0, x, method="sequential")
    assert any("readonly=True" in note for note in found.value.__notes__)


LEAK = 0.5


@numba.njit
def leaks(y):
    """It branches on values, and reads a global: Numba takes its value when it compiles."""
    out = np.empty_like(y)
    for k in range(y.shape[0]):
        out[k, 0] = LEAK * y[k, 0] if y[k, 0] > 0.1 else y[k, 0] + 1.0
    return out


def test_globals_have_the_values_that_numba_took(monkeypatch):
    """They change when the function is compiled anew, and the loop over it with them."""
    options = {"length": T, "method": "sequential", "compile": True}
    before = solve_recurrence(leaks, np.array([0.3]), **options)
    monkeypatch.setitem(globals(), "LEAK", 0.7)
    np.testing.assert_array_equal(solve_recurrence(leaks, np.array([0.3]), **options).y, before.y)
    leaks.recompile()
    after = solve_recurrence(leaks, np.array([0.3]), **options)
    assert after.compiled
    np.testing.assert_array_equal(after.y, loop(leaks, np.array([0.3]), T))
    assert not np.array_equal(after.y, before.y)


def test_compiling_is_bought_like_skis(monkeypatch):
    monkeypatch.setattr(_code, "LEDGER", Ledger())
    monkeypatch.setattr(_code, "WORTH_RECORDING", 0.0)
    monkeypatch.setattr(_code, "COMPILING_BY_NUMBA", 0.05)
    step = numba.njit(lambda y: y - 0.4 if y[0, 0] > 0.5 else 1.1 * y)
    found = [solve_recurrence(step, np.array([0.3]), length=T, method="sequential", compile=None) for _ in range(99)]
    assert not found[0].compiled
    assert "branches on a value" in found[0].decisions[0]
    assert found[-1].compiled
    for sol in found:
        np.testing.assert_array_equal(sol.y, found[0].y)


def test_random_numbers_are_noticed():
    step = numba.njit(lambda y: 0.5 * y + np.random.random())  # noqa: NPY002 - Numba's own
    with pytest.raises(TypeError, match="draws random numbers"):
        solve_recurrence(step, np.zeros(1), length=T, method="sequential", compile=True)


def test_what_numba_cannot_loop_over_is_called():
    step, y0, x, _ = BRANCHING["inputs"]

    def fails(self, states, inputs):
        return "cannot be called"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NumbaLoop, "compile", fails)
        sol = solve_recurrence(step, y0, x, args=(20.0,), method="sequential", compile=None)
    assert not sol.compiled
    assert is_compiled(step)
    assert not is_compiled(np.sin)


def test_progress_is_reported():
    seen = []
    step, y0, _, args = BRANCHING["inputs"]
    x = 1 + RNG.random((100_000, 1))
    solve_recurrence(step, y0, x, args=args, method="sequential", compile=True, progress=lambda p: seen.append(p.done))
    assert seen == sorted(seen)
    assert seen[-1] == 100_000
    assert len(seen) > 2


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_exceptions_of_signal_handlers_end_the_solve():
    class TooLongError(Exception):
        pass

    def ring(*_):
        raise TooLongError

    @numba.njit
    def slow(y):
        out = np.empty_like(y)
        for k in range(y.shape[0]):
            out[k, 0] = 0.5 * y[k, 0] if y[k, 0] > 0.5 else y[k, 0] + 0.01
        return out

    sol = solve_recurrence(slow, np.zeros(1), length=200, method="sequential", compile=True)  # Numba compiles it
    assert sol.compiled
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TooLongError):
            solve_recurrence(slow, np.zeros(1), length=30_000_000, method="sequential", compile=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
