"""Recurrences with several lags against the sequential loop, and their derivatives against differences."""

import pickle
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parscan
from parscan._recurrence import lagged, lagged_march
from parscan._recurrence import lags as lags_module
from parscan.warnings import NondeterministicStepWarning, SlowConvergenceWarning

METHODS = "auto", "sequential", "newton", "quasi-newton", "jacobi", "elk"


def looped(step, y0, x, lags, args=(), steps=None):
    """The definition."""
    first, count = max(lags), steps if x is None else len(x)
    every = np.concatenate([y0, np.empty((count, *y0.shape[1:]), y0.dtype)])
    for t in range(count):
        states = tuple(every[first + t - lag : first + t - lag + 1] for lag in lags)
        inputs = () if x is None else (x[t : t + 1],)
        every[first + t] = step(states, *inputs, *args)[0]
    return every[first:]


def coupled(states, x, a):
    u, v = states
    first = a * 0.5 * v[..., 0] + 0.2 * u[..., 1] ** 2
    return np.stack([first, 0.3 * np.sin(u[..., 0]) + 0.1 * v[..., 1]], -1) + x


def data(steps, shape, rows, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    x, y0 = (0.3 * rng.standard_normal((count, *shape)) for count in (steps, rows))
    if dtype.startswith("complex"):
        x, y0 = x + 0.3j * rng.standard_normal(x.shape), y0 - 0.2j
    return x.astype(dtype), y0.astype(dtype)


def close(found, expected, dtype="float64"):
    share = 1e-4 if dtype in ("float32", "complex64") else 1e-9
    np.testing.assert_allclose(found, expected, rtol=share, atol=share)
    assert found.dtype == expected.dtype


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize(("method", "compiles"), list(product(METHODS, [None, False])))
def test_states_are_those_of_the_loop(method, compiles, dtype):
    for batch in ((), (2, 3)):
        x, y0 = data(300, (*batch, 2), 5, dtype)
        found = parscan.solve_recurrence(coupled, y0, x, lags=(5, 2), args=(0.7,), method=method, compile=compiles)
        assert found.success
        close(found.y, looped(coupled, y0, x, (5, 2), (0.7,)), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_machine_code_reads_earlier_states_where_they_are(batch, dtype):
    x, y0 = data(500, (*batch, 2), 5, dtype)
    for lags in ((5, 2), (1, 5), (5, 1)):
        found = parscan.solve_recurrence(coupled, y0, x, lags=lags, args=(0.7,), compile=True)
        assert found.compiled
        assert found.method == "sequential"
        assert "machine code" in found.decisions[0]
        close(found.y, looped(coupled, y0, x, lags, (0.7,)), dtype)


@pytest.mark.parametrize("compiles", [None, True, False])
@pytest.mark.parametrize("steps", [0, 1, 3, 7, 8, 40])
def test_few_steps(steps, compiles):
    x, y0 = data(steps, (1,), 7)

    def step(states, x):
        return 0.5 * states[0] - 0.3 * states[1] + x

    found = parscan.solve_recurrence(step, y0, x, lags=(1, 7), compile=compiles)
    assert found.success
    assert found.y.shape == (steps, 1)
    close(found.y, looped(step, y0, x, (1, 7)))


@settings(max_examples=60, deadline=None)
@given(
    lags=st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True),
    steps=st.integers(0, 60),
    n=st.integers(1, 3),
    batch=st.sampled_from([(), (2,), (1, 3)]),
    compiles=st.sampled_from([None, True, False]),
    method=st.sampled_from(["auto", "sequential", "newton", "jacobi"]),
)
def test_any_lags(lags, steps, n, batch, compiles, method):
    x, y0 = data(steps, (*batch, n), max(lags))
    lags = tuple(lags)

    def step(states, x):
        return sum(np.tanh(one) * 0.9 / (k + 2) for k, one in enumerate(states)) + x

    found = parscan.solve_recurrence(step, y0, x, lags=lags, compile=compiles, method=method)
    assert found.success
    assert found.lags == lags
    close(found.y, looped(step, y0, x, lags))


@pytest.mark.parametrize("method", METHODS)
def test_one_lag_is_no_lags(method):
    x, y0 = data(2000, (3,), 1)
    alone = parscan.solve_recurrence(lambda y, x: np.tanh(0.9 * y + x), y0[0], x, method=method, segment_length=50)
    found = parscan.solve_recurrence(
        lambda y, x: np.tanh(0.9 * y[0] + x), y0, x, lags=(1,), method=method, segment_length=50
    )
    assert np.array_equal(found.y, alone.y)
    assert found.adjoint(np.ones_like(found.y)).y0.shape == (1, 3)


@settings(max_examples=25, deadline=None)
@given(
    first=st.integers(1, 40),
    lags=st.permutations([1, 3, 8]),
    compiles=st.sampled_from([True, False]),
    seed=st.integers(0, 9),
)
def test_a_solve_goes_on_from_the_last_states(first, lags, compiles, seed):
    x, y0 = data(60, (2, 1), 8, seed=seed)

    def step(states, x, order):
        one, three, eight = (states[k] for k in order)
        return 0.5 * np.tanh(one) - 0.3 * three * eight + x

    def solve(y0, x):
        order = [lags.index(lag) for lag in (1, 3, 8)]
        return parscan.solve_recurrence(step, y0, x, lags=tuple(lags), args=(order,), compile=compiles).y

    whole = solve(y0, x)
    before = solve(y0, x[:first])
    after = solve(np.concatenate([y0, before])[-8:], x[first:])
    close(np.concatenate([before, after]), whole)  # the first steps are calls, with another rounding


def test_what_does_not_fit_into_memory_is_told(limit_memory):
    x, y0 = data(1000, (1,), 400)

    def solve():
        return parscan.solve_recurrence(lambda s, x: 0.5 * s[1] + x, y0, x, lags=(1, 400))

    sol = solve()
    limit_memory(free=1e5, unasked=0)  # less than companion states, or all derivatives, take
    assert solve().success
    limit_memory(free=1e3, unasked=0)
    with pytest.raises(MemoryError):
        solve()
    with pytest.raises(MemoryError):
        sol.adjoint(np.ones_like(sol.y))


def test_inputs_of_several_arrays_and_none():
    x, y0 = data(200, (2,), 3)

    def step(states, x):
        return 0.3 * states[0] + x[0] - 0.2 * states[1] * x[1]

    for compiles in (True, False):
        found = parscan.solve_recurrence(step, y0, (x, x[:, :1]), lags=(3, 1), compile=compiles)
        close(found.y, looped(lambda s, x: step(s, (x, x[:, :1])), y0, x, (3, 1)))

        def logistic(states):
            return 1.3 * states[0] * (1 - states[1])

        start = np.array([[0.1], [0.2], [0.3]])
        found = parscan.solve_recurrence(logistic, start, length=50, lags=(1, 3), compile=compiles)
        close(found.y, looped(logistic, start, None, (1, 3), steps=50))


def test_guess_windows_and_tolerances():
    x, y0 = data(400, (2,), 5)
    options = {"lags": (5, 2), "args": (0.7,), "method": "newton"}
    expected = looped(coupled, y0, x, (5, 2), (0.7,))
    found = parscan.solve_recurrence(coupled, y0, x, window=100, segment_length=10, rtol=1e-8, **options)
    close(found.y, expected)
    again = parscan.solve_recurrence(coupled, y0, x, guess=found, **options)
    assert again.iterations < found.iterations
    close(again.y, expected)


def test_integers_stay_exact():
    found = parscan.solve_recurrence(lambda s: s[0] + s[1], np.array([[0], [1]]), length=60, lags=(1, 2))
    assert found.success
    assert found.y[-1, 0] == 2504730781961  # Fibonacci's number 61
    found = parscan.solve_recurrence(lambda s: s[0] + s[1], np.array([[0], [1]]), length=100, lags=(1, 2))
    assert not found.success


@pytest.mark.parametrize("compiles", [True, False])
def test_states_that_are_not_finite_end_the_trajectory(compiles):
    with np.errstate(all="ignore"):
        found = parscan.solve_recurrence(
            lambda s: s[0] ** 2 + s[1] ** 2, np.full((3, 1), 2.0), length=400, lags=(1, 3), compile=compiles
        )
        expected = looped(lambda s: s[0] ** 2 + s[1] ** 2, np.full((3, 1), 2.0), None, (1, 3), steps=400)
    first = int(np.argmin(np.isfinite(expected[:, 0])))
    assert not found.success
    assert f"step {first} of 400" in found.message
    np.testing.assert_array_equal(found.y[: first + 1], expected[: first + 1])
    assert np.isnan(found.y[first + 1 :]).all()
    with pytest.raises(RuntimeError, match="did not succeed"):
        found.adjoint(np.ones_like(found.y))


def test_wrong_machine_code_is_withdrawn(monkeypatch):
    x, y0 = data(500, (2,), 5)
    monkeypatch.setattr(lagged_march, "unlike_function", lambda *_: True)
    found = parscan.solve_recurrence(coupled, y0, x, lags=(5, 2), args=(0.7,), compile=True)
    assert not found.compiled
    assert "computed again" in found.decisions[0]
    close(found.y, looped(coupled, y0, x, (5, 2), (0.7,)))


def test_steps_that_contradict_themselves_are_told():
    draw = np.random.default_rng(1)
    with pytest.raises(ValueError, match="does not broadcast"):
        parscan.solve_recurrence(
            lambda s: 0.5 * s[1] + draw.standard_normal(s[0].shape), np.zeros((2, 1)), length=90, lags=(1, 2)
        )


def test_steps_that_depend_on_the_number_of_states_are_told(monkeypatch):
    monkeypatch.setattr(lagged, "FEW", 0)
    with pytest.warns(NondeterministicStepWarning, match="step contradicts itself"):
        found = parscan.solve_recurrence(
            lambda s: 0.5 * s[1] + (len(s[0]) > 20) + 1, np.zeros((2, 1)), length=120, lags=(1, 2), compile=False
        )
    assert not found.success


@pytest.mark.parametrize("few", [0, 10])
def test_steps_without_machine_code_are_left_to_parallel_methods_if_states_are_few(monkeypatch, few):
    monkeypatch.setattr(lagged, "WORTH_RECORDING", 0)
    monkeypatch.setattr(lagged, "FEW", few)
    x, y0 = data(5000, (2,), 5)
    found = parscan.solve_recurrence(coupled, y0, x, lags=(5, 2), args=(0.7,), compile=False)
    assert (found.method == "sequential") == (few == 0)
    assert ("copy many numbers" in found.decisions[0]) == (few == 0)
    close(found.y, looped(coupled, y0, x, (5, 2), (0.7,)))


def test_warnings_point_to_the_line_of_the_user(monkeypatch):
    monkeypatch.setattr(lagged, "FEW", 0)
    with pytest.warns(SlowConvergenceWarning) as slow:
        parscan.solve_recurrence(
            lambda s: 0.999 * s[0] + 0.0005 * s[1], np.ones((3, 1)), length=900, lags=(1, 3), method="jacobi"
        )
    with pytest.warns(NondeterministicStepWarning) as wrong:
        parscan.solve_recurrence(lambda s: 0.5 * s[1] + (len(s[0]) > 20), np.ones((2, 1)), length=120, lags=(1, 2))
    assert {one.filename for one in (*slow, *wrong)} == {__file__}


# Derivatives


def changed(function, at, change, size=1e-6):
    """A central difference."""
    return (function(at + size * change) - function(at - size * change)) / (2 * size)


def p_step(states, x, p):
    u, v = states
    return np.tanh(p["a"] * u + p["b"][0] * v[..., ::-1] * u + p["b"][1]) + x


P = {"a": 0.6, "b": np.array([0.3, 0.1])}


@pytest.fixture(params=[(method, compiles, batch, lags) for method in ("auto", "newton")
                        for compiles in (None, True, False) for batch in ((), (3,)) for lags in ((1, 4), (20, 1))
                        if method == "auto" or lags == (1, 4)])  # fmt: skip
def solved(request):
    method, compiles, batch, lags = request.param
    x, y0 = data(60, (*batch, 2), max(lags))

    def solve(y0=y0, x=x, p=P):
        return parscan.solve_recurrence(p_step, y0, x, lags=lags, args=(p,), method=method, compile=compiles)

    return solve, y0, x


def test_gradients(solved):
    solve, y0, x = solved
    sol, rng = solve(), np.random.default_rng(5)
    weights = rng.standard_normal(sol.y.shape)

    def loss(**changed):
        return np.sum(weights * solve(**changed).y)

    by_p, by_y0, by_x = sol.gradient(weights, (0, "y0", "x"))
    by_a = changed(lambda a: loss(p={**P, "a": a}), P["a"], 1.0)
    np.testing.assert_allclose(by_p["a"], by_a, rtol=1e-6)
    for k, unit in enumerate(np.eye(2)):
        np.testing.assert_allclose(by_p["b"][k], changed(lambda b: loss(p={**P, "b": b}), P["b"], unit), rtol=1e-6)
    direction = rng.standard_normal(y0.shape)
    assert by_y0.shape == y0.shape
    np.testing.assert_allclose(np.sum(by_y0 * direction), changed(lambda v: loss(y0=v), y0, direction), rtol=1e-6)
    direction = rng.standard_normal(x.shape)
    np.testing.assert_allclose(np.sum(by_x * direction), changed(lambda v: loss(x=v), x, direction), rtol=1e-6)
    whole = sol.adjoint(weights)
    assert whole.states.shape == sol.y.shape
    np.testing.assert_allclose(whole.y0, by_y0, rtol=1e-6)
    np.testing.assert_allclose(whole.states, by_x, rtol=1e-6)  # inputs are added
    np.testing.assert_allclose(sol.gradient(whole, "p")["b"], by_p["b"], rtol=1e-6)
    np.testing.assert_allclose(sol.gradient(whole, "y0"), by_y0, rtol=1e-6)


def test_vjp_takes_the_tuple_of_states(solved):
    solve, *_ = solved
    sol = solve()

    def vjp(adjoint, states, x, p):
        u, v = states
        assert u.shape == v.shape == adjoint.shape
        slope = 1 - np.tanh(p["a"] * u + p["b"][0] * v[..., ::-1] * u + p["b"][1]) ** 2
        return {"a": np.sum(adjoint * slope * u), "b": np.array([np.sum(adjoint * slope * v[..., ::-1] * u),
                                                                np.sum(adjoint * slope)])}  # fmt: skip

    found, expected = (sol.gradient(2 * sol.y, "p", vjp=one) for one in (vjp, None))
    np.testing.assert_allclose(found["a"], expected["a"], rtol=1e-6)
    np.testing.assert_allclose(found["b"], expected["b"], rtol=1e-6)


def test_tangents_and_jacobians(solved):
    solve, y0, x = solved
    sol, rng = solve(), np.random.default_rng(6)
    by_x = rng.standard_normal(x.shape)
    by_y0 = rng.standard_normal(y0.shape)
    expected = changed(lambda v: solve(x=v).y, x, by_x), changed(lambda v: solve(y0=v).y, y0, by_y0)
    np.testing.assert_allclose(sol.tangent(by_x), expected[0], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(sol.tangent(None, by_y0), expected[1], rtol=1e-5, atol=1e-8)
    both = sol.tangent(np.stack([by_x, 0 * by_x], -1), np.stack([0 * by_y0, by_y0], -1))
    np.testing.assert_allclose(both, np.stack(expected, -1), rtol=1e-5, atol=1e-8)
    by_p, by_start = sol.jacobian(("p", "y0"))
    slopes = [changed(lambda b: solve(p={**P, "b": b}).y, P["b"], unit) for unit in np.eye(2)]
    np.testing.assert_allclose(by_p["b"], np.stack(slopes, -1), rtol=1e-5, atol=1e-8)
    assert by_p["a"].shape == sol.y.shape
    assert by_start.shape == (*sol.y.shape, *y0.shape[:: len(y0.shape) - 1])
    moved = np.einsum("t...ijk,j...k->t...i", by_start, by_y0)
    np.testing.assert_allclose(moved, expected[1], rtol=1e-5, atol=1e-8)


def test_growth_and_residual():
    """A linear recurrence grows like the largest root of its characteristic polynomial."""
    found = parscan.solve_recurrence(lambda s: 0.5 * s[0] + 0.3 * s[1], np.ones((3, 1)), length=3000, lags=(1, 3))
    root = max(abs(np.roots([1, -0.5, 0, -0.3])))
    assert found.lyapunov == pytest.approx(np.log(root), abs=2e-3)
    assert found.residual == 0
    assert "exact" in found.derivatives


@pytest.mark.parametrize(("scale", "steps"), [(1.0, 30_000), (0.2, 3000), (2.0, 3000), (0.0, 100)])
def test_growth_of_long_lags(scale, steps):
    """Without products of large matrices, also where changes grow or decay fast."""
    found = parscan.solve_recurrence(
        lambda s: scale * (0.5 * np.sin(s[1]) + 0.6 * np.sin(s[0])), np.zeros((25, 3, 1)), length=steps, lags=(1, 25)
    )
    root = max(abs(np.roots([1, -0.6 * scale, *[0] * 23, -0.5 * scale])))
    with np.errstate(divide="ignore"):
        assert found.lyapunov == pytest.approx(np.log(root), abs=20 / steps)


@pytest.mark.parametrize("lags", [(1, 3), (1, 25)])
def test_complex_adjoint(lags):
    x, y0 = data(50, (2,), max(lags), "complex128")

    def solve(y0):
        return parscan.solve_recurrence(lambda s, x: 0.4j * s[0] * s[1] + x, y0, x, lags=lags)

    sol = solve(y0)
    weights, direction = x * (1 - 2j), y0[::-1] * 1j
    by_difference = changed(lambda v: np.sum(np.conj(weights) * solve(v).y).real, y0, direction)
    found = np.sum(np.conj(sol.adjoint(weights).y0) * direction).real
    np.testing.assert_allclose(found, by_difference, rtol=1e-6)


@pytest.mark.parametrize("lags", [(5, 2), (30, 2)])
def test_derivatives_of_members_that_depend_on_each_other(lags):
    x, y0 = data(50, (3, 1), max(lags))

    def solve(y0):
        return parscan.solve_recurrence(
            lambda s, x: 0.5 * np.tanh(s[0]) + 0.2 * np.mean(s[1], axis=-2, keepdims=True) + x, y0, x, lags=lags
        )

    sol, weights = solve(y0), np.cos(x)
    by_difference = changed(lambda v: np.sum(weights * solve(v).y), y0, y0[::-1])
    np.testing.assert_allclose(np.sum(sol.gradient(weights, "y0") * y0[::-1]), by_difference, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_derivatives_of_long_lags_are_those_of_companion_states(dtype, monkeypatch):
    x, y0 = data(90, (3, 2), 20, dtype)

    def found():
        sol = parscan.solve_recurrence(coupled, y0, x, lags=(20, 3), args=(0.7,))
        forcing = np.stack([x, x[::-1]], -1)
        whole = sol.adjoint(x)
        return whole.states, whole.y0, sol.tangent(forcing, y0), sol.jacobian(("y0", 0))[0], sol.gradient(x, "x")

    narrow = found()
    monkeypatch.setattr(lags_module, "MOST", 10**6)
    for one, other in zip(narrow, found(), strict=True):
        close(one, other, dtype)


def on_other_arrays(xp, to_numpy, lags, method):
    x, y0 = data(60, (2, 2), max(lags))

    def step(states, x, a):
        return a * 0.5 * states[0] * states[1] + x

    sol = parscan.solve_recurrence(step, xp.asarray(y0), xp.asarray(x), lags=lags, args=(0.7,), method=method)
    expected = parscan.solve_recurrence(step, y0, x, lags=lags, args=(0.7,), method="sequential")
    assert type(sol.y) is type(xp.asarray(y0))
    close(to_numpy(sol.y), expected.y)
    params = 0, "y0", "x"
    for one, other in zip(sol.gradient(xp.asarray(x), params), expected.gradient(x, params), strict=True):
        np.testing.assert_allclose(to_numpy(one), other, rtol=1e-7, atol=1e-9)
    found = sol.tangent(xp.asarray(x), xp.asarray(y0)), *sol.jacobian((0, "y0"))
    for one, other in zip(found, (expected.tangent(x, y0), *expected.jacobian((0, "y0"))), strict=True):
        np.testing.assert_allclose(to_numpy(one), other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("lags", "method"), [((1, 3), "auto"), ((1, 3), "newton"), ((40, 2), "auto")])
def test_any_array_library(lags, method):
    xp = pytest.importorskip("array_api_strict")
    on_other_arrays(xp, np.asarray, lags, method)


@pytest.mark.parametrize(("lags", "method"), [((1, 3), "newton"), ((1, 3), "sequential"), ((40, 2), "auto")])
def test_arrays_of_a_device(cp, lags, method):
    on_other_arrays(cp, lambda one: cp.asnumpy(one) if isinstance(one, cp.ndarray) else one, lags, method)


@pytest.mark.parametrize("lags", [(5, 2), (30, 2)])
def test_changed_trajectories_are_told(lags):
    x, y0 = data(60, (2,), max(lags))
    found = parscan.solve_recurrence(coupled, y0, x, lags=lags, args=(0.7,))
    found.y[10] += 1
    with pytest.raises(RuntimeError, match="no longer gives"):
        found.adjoint(np.ones_like(found.y))


def test_copies_have_no_functions():
    x, y0 = data(60, (2,), 5)
    found = parscan.solve_recurrence(coupled, y0, x, lags=(5, 2), args=(0.7,))
    copied = pickle.loads(pickle.dumps(found))
    assert np.array_equal(copied.y, found.y)
    assert copied.lags == (5, 2)
    with pytest.raises(RuntimeError, match="copied or pickled"):
        copied.adjoint(np.ones_like(found.y))


def test_progress_is_reported():
    seen = []
    x, y0 = data(600, (2,), 5)
    for compiles in (True, False):
        parscan.solve_recurrence(
            coupled, y0, x, lags=(5, 2), args=(0.7,), method="sequential", compile=compiles, progress=seen.append
        )
        assert seen.pop().done == 600


# Bad input


@pytest.mark.parametrize(
    ("lags", "error", "match"),
    [
        (7, TypeError, r"tuple of integers, as \(1, 7\), got 7"),
        ((), ValueError, "empty"),
        ((1, 0), ValueError, r"`lags\[1\]` must be at least 1, got 0"),
        ((-2,), ValueError, r"`lags\[0\]` must be at least 1, got -2"),
        ((1, 2.0), TypeError, r"`lags\[1\]` must be an integer, got 2.0"),
        ((True,), TypeError, r"`lags\[0\]` must be an integer"),
        ((2, 1, 2), ValueError, "repeated"),
        ("17", TypeError, "tuple of integers"),
    ],
)
def test_bad_lags(lags, error, match):
    with pytest.raises(error, match=match):
        parscan.solve_recurrence(lambda s: s[0], np.zeros((7, 1)), length=5, lags=lags)


@pytest.mark.parametrize(
    ("y0", "match"),
    [
        (np.zeros((6, 1)), r"6 rows; with lags=\(1, 7\) it needs the last 7 states"),
        (np.zeros((8, 1)), "8 rows"),
        (np.zeros(7), r"`y0` has shape \(7,\).*\(7, \*batch, n\)"),
        (np.zeros((7, 0)), "at least one component"),
    ],
)
def test_bad_starts(y0, match):
    with pytest.raises(ValueError, match=match):
        parscan.solve_recurrence(lambda s: s[0], y0, length=5, lags=(1, 7))


def test_jacobians_are_refused():
    for options in ({"jac": lambda s: np.ones(1)}, {"jac": True}, {"structure": parscan.Diagonal}):
        with pytest.raises(TypeError, match="with `lags`"):
            parscan.solve_recurrence(lambda s: s[0], np.zeros((2, 1)), length=5, lags=(1, 2), **options)


@pytest.mark.parametrize(
    ("step", "error", "match"),
    [
        (lambda s: s[0][..., :1], ValueError, "returned shape"),
        (lambda s: 1.0, TypeError, "must return an array"),
        (lambda s: s[0].astype("float32"), TypeError, "float32"),
        (lambda s: s[0] + s[2], IndexError, "tuple index"),
        (lambda s: s[0].__iadd__(1), ValueError, "read-only"),
    ],
)
@pytest.mark.parametrize("method", ["auto", "newton"])
def test_wrong_steps(step, error, match, method):
    if match == "read-only" and method == "newton":
        return
    with pytest.raises(error, match=match):
        parscan.solve_recurrence(step, np.zeros((2, 3)), length=50, lags=(1, 2), method=method)


def test_bad_derivative_arguments():
    found = parscan.solve_recurrence(lambda s: 0.5 * s[1], np.ones((2, 1)), length=5, lags=(1, 2))
    with pytest.raises(ValueError, match=r"`y0` has shape \(1,\); it needs that of the first states, \(2, 1\)"):
        found.tangent(None, np.ones(1))
    with pytest.raises(ValueError, match=r"`grad_y` has shape \(4, 1\)"):
        found.adjoint(np.ones((4, 1)))
    with pytest.raises(ValueError, match="neither `forcing` nor `y0`"):
        found.tangent(None)


def test_guess_of_a_wrong_shape():
    with pytest.raises(ValueError, match=r"`guess` has shape \(4, 1\); the trajectory has \(5, 1\)"):
        parscan.solve_recurrence(lambda s: s[0], np.ones((2, 1)), length=5, lags=(1, 2), guess=np.ones((4, 1)))
