"""What holds for initial value problems whatever the numbers: hypothesis looks for those for which it does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ode_methods import COLLOCATION, LIKE_SCIPYS, ON_ANY_MESH
from ode_problems import lotka_volterra
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp

pytestmark = pytest.mark.roads

RTOL, ATOL = 1e-9, 1e-11
CLOSE = 1e-6
"""Two solutions of the problems here deviate by less; the tolerances leave a few hundred times less."""

METHODS = st.sampled_from(LIKE_SCIPYS)
STATES = st.tuples(st.floats(0.5, 3), st.floats(0.5, 3))


def driven(t, y):
    return [y[1], np.cos(2 * t) - np.sin(y[0]) - 0.1 * y[1]]


def solve(fun, span, y0, method="auto", **options):
    sol = solve_ivp(fun, span, y0, method, **{"rtol": RTOL, "atol": ATOL, **options})
    assert sol.success, sol.message
    return sol


@pytest.mark.slow
@settings(max_examples=20)
@given(split=st.floats(0.05, 7.95), y0=STATES, fun=st.sampled_from([lotka_volterra, driven]), method=METHODS)
def test_two_parts_are_the_whole(split, y0, fun, method):
    whole = solve(fun, (0, 8), y0, method)
    first = solve(fun, (0, split), y0, method)
    second = solve(fun, (split, 8), first.y[:, -1], method)
    assert np.allclose(second.y[:, -1], whole.y[:, -1], rtol=0, atol=CLOSE)


@settings(max_examples=20)
@given(end=st.floats(-6, 6).filter(lambda end: abs(end) > 0.1), y0=STATES, method=METHODS)
def test_there_and_back(end, y0, method):
    there = solve(driven, (0, end), y0, method)
    back = solve(driven, (end, 0), there.y[:, -1], method)
    assert back.t[-1] == 0
    assert np.allclose(back.y[:, -1], y0, rtol=0, atol=CLOSE)


@ON_ANY_MESH
@settings(max_examples=20)
@given(
    entries=st.lists(st.floats(-3, 3), min_size=12, max_size=12),
    intervals=st.integers(5, 60),
    stages=st.integers(1, 7),
    method=st.sampled_from(COLLOCATION),
)
def test_linear_problems_need_one_correction(entries, intervals, stages, method):
    """What a second iteration corrects is rounding, whatever the start was."""
    A, b = np.reshape(entries[:9], (3, 3)), entries[9:]
    mesh = np.linspace(0, 2, intervals + 1)

    def fun(t, y):
        return [rate + forcing * np.cos(t) for rate, forcing in zip(A @ y, b, strict=True)]

    sol = solve(fun, (0, 2), np.ones(3), method, mesh=mesh, stages=stages, jac=A)
    assert sol.iterations <= 2
    assert sol.history[1:] == () or sol.history[1] <= 1e-2


@ON_ANY_MESH
@settings(max_examples=10)
@given(y0=STATES, rtol=st.sampled_from([1e-4, 1e-6, 1e-8]), backward=st.booleans())
def test_like_scipys_radau_on_its_mesh(y0, rtol, backward):
    """The same equations, solved all at once: only Newton's tolerance is between them."""
    span = (5.0, 0.0) if backward else (0.0, 5.0)
    theirs = scipy_solve_ivp(driven, span, y0, "Radau", rtol=rtol, atol=rtol)
    ours = solve(driven, span, y0, "Radau", mesh=theirs.t, stages=3)
    assert np.array_equal(ours.t, theirs.t)
    assert np.abs(ours.y - theirs.y).max() <= len(theirs.t) * rtol * (1 + np.abs(theirs.y).max())


@settings(max_examples=15)
@given(factor=st.floats(-2, 2).map(lambda exponent: 10**exponent), y0=STATES, method=METHODS)
def test_another_unit_of_time(factor, y0, method):
    plain = solve(driven, (0, 4), y0, method, t_eval=np.linspace(0, 4, 9))
    scaled = solve(
        lambda t, y: [rate / factor for rate in driven(t / factor, y)],
        (0, 4 * factor),
        y0,
        method,
        t_eval=np.minimum(factor * np.linspace(0, 4, 9), 4 * factor),
    )
    assert np.allclose(scaled.y, plain.y, rtol=0, atol=CLOSE)


@settings(max_examples=15)
@given(shift=st.floats(-100, 100), y0=STATES, method=METHODS)
def test_autonomous_problems_may_start_at_any_time(shift, y0, method):
    plain = solve(lotka_volterra, (0, 3), y0, method)
    shifted = solve(lotka_volterra, (shift, shift + 3), y0, method)
    assert np.allclose(shifted.y[:, -1], plain.y[:, -1], rtol=0, atol=CLOSE)


@pytest.mark.slow
@settings(max_examples=15)
@given(members=st.lists(STATES, min_size=1, max_size=5), method=METHODS)
def test_members_of_a_batch_are_single_problems(members, method):
    y0 = np.array(members).T
    batch = solve(lotka_volterra, (0, 4), y0, method)
    assert batch.y.shape == (2, len(batch.t), len(members))
    for index, member in enumerate(members):
        alone = solve(lotka_volterra, (0, 4), member, method)
        assert np.allclose(batch.y[:, -1, index], alone.y[:, -1], rtol=0, atol=CLOSE)


@settings(max_examples=15)
@given(order=st.permutations(range(4)), rate=st.floats(0.1, 5), method=METHODS)
def test_the_order_of_components_does_not_matter(order, rate, method):
    def chain(t, y):
        return [-rate * y[0], rate * y[0] - y[1] * y[2], y[0] - y[2], y[1] * y[2] - 0.3 * y[3]]

    def permuted(t, y):
        rates = chain(t, [y[order.index(i)] for i in range(4)])
        return [rates[i] for i in order]

    plain = solve(chain, (0, 3), [1.0, 0.5, 0.2, 0.1], method)
    other = solve(permuted, (0, 3), np.array([1.0, 0.5, 0.2, 0.1])[list(order)], method)
    assert np.allclose(other.y[:, -1], plain.y[list(order), -1], rtol=0, atol=CLOSE)


@pytest.mark.roads("calls")  # by machine code, steps are shorter if states between them are wanted
@settings(max_examples=15)
@given(times=st.lists(st.floats(0, 6), max_size=20, unique=True).map(sorted), method=METHODS, dense=st.booleans())
def test_output_times_never_change_the_mesh(times, method, dense):
    plain = solve(driven, (0, 6), [1.0, 0.0], method)
    sol = solve(driven, (0, 6), [1.0, 0.0], method, t_eval=times, dense_output=dense)
    assert np.array_equal(sol.mesh, plain.mesh)
    assert np.array_equal(sol.t, times)
    assert sol.y.shape == (2, len(times))
    assert sol.nfev == plain.nfev


@pytest.mark.pairs(
    method=LIKE_SCIPYS,
    dtype=[np.float32, np.float64, np.complex64, np.complex128],
    span={"forward": (0, 3), "backward": (3, 0)},
)
def test_the_dtype_of_the_state_is_kept(dtype, method, span):
    y0 = np.array([1.0, 0.5], dtype)
    sol = solve(lambda t, y: [y[1], -y[0]], span, y0, method, rtol=1e-4, atol=1e-5, dense_output=True)
    assert sol.y.dtype == sol.sol(1.0).dtype == dtype
    assert sol.t.dtype == np.float64
    h = span[1] - span[0]
    exact = [np.cos(h) + 0.5 * np.sin(h), 0.5 * np.cos(h) - np.sin(h)]
    assert np.abs(sol.y[:, -1] - exact).max() <= 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_the_dtype_of_the_state_is_kept_at_the_default_tolerance(dtype):
    y0 = np.array([1.0, 0.5], dtype)
    assert solve_ivp(lambda t, y: -y, (0, 1), y0).y.dtype == dtype
