"""What SciPy documents of `solve_ivp`: arguments, results, times. Scripts written for SciPy run as they are."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from ode_methods import ANY, LIKE_SCIPYS, METHODS
from ode_problems import pendulum
from scipy.integrate import BDF, DOP853, LSODA, RK23, RK45, Radau
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp

pytestmark = pytest.mark.roads


def decay(t, y, rate=1.0):
    return -rate * y


FIELDS = ["t", "y", "sol", "t_events", "y_events", "nfev", "njev", "nlu", "status", "message", "success"]


@ANY
def test_positional_arguments(method, rtol):
    """fun, t_span, y0, method, t_eval, dense_output, events, vectorized, args: in this order."""
    event = lambda t, y, rate: y[0] - 0.5  # noqa: E731
    sol = solve_ivp(decay, (0, 1), [1.0], method, [0.25, 0.5], True, event, None, (2.0,), rtol=rtol)
    assert sol.t.tolist() == [0.25, 0.5]
    assert np.allclose(sol.y[0], np.exp([-0.5, -1.0]), atol=10 * rtol)
    assert np.allclose(sol.sol(1.0), np.exp(-2), atol=10 * rtol)
    assert np.allclose(sol.t_events[0], np.log(2) / 2, atol=10 * rtol)


@ANY
def test_fields(method, rtol):
    sol = solve_ivp(pendulum, (0, 3), [1.0, 0.0], method, rtol=rtol)
    assert all(sol[name] is getattr(sol, name) for name in FIELDS)
    assert sol.t.ndim == 1
    assert sol.y.shape == (2, len(sol.t))
    assert (sol.t[0], sol.t[-1]) == (0, 3)
    assert sol.y[:, 0].tolist() == [1.0, 0.0]
    assert sol.sol is sol.t_events is sol.y_events is None
    assert all(isinstance(sol[name], int | np.integer) and sol[name] >= 0 for name in ("nfev", "njev", "nlu"))
    assert sol.nfev > 0
    assert (sol.status, sol.success) == (0, True)
    assert isinstance(sol.status, int)
    assert f"{sol.status}" == "0"
    assert isinstance(sol.success, bool)
    assert isinstance(sol.message, str)
    with pytest.raises(KeyError):
        sol["nothing"]
    with pytest.raises(AttributeError):
        _ = sol.nothing


def test_the_result_is_a_mapping_as_scipys():
    sol = solve_ivp(pendulum, (0, 3), [1.0, 0.0], rtol=1e-6)
    assert set(FIELDS) <= set(sol.keys())
    assert set(sol) == set(sol.keys()) == set(dict(sol.items())) == set(dict(**sol))
    assert "t" in sol
    assert "nothing" not in sol
    assert sol.get("status") == 0
    assert sol.get("nothing") is None
    assert len(sol) == len(sol.keys())


@METHODS
def test_results_are_copied_and_pickled(method):
    sol = solve_ivp(pendulum, (0, 3), [1.0, 0.0], method, dense_output=True, rtol=1e-6)
    for twin in (pickle.loads(pickle.dumps(sol)), copy.deepcopy(sol), copy.copy(sol)):
        assert np.array_equal(twin.y, sol.y)
        assert np.array_equal(twin.sol(1.3), sol.sol(1.3))
        assert twin.status == 0


def test_repr_is_short_and_tells_how_it_went():
    text = repr(solve_ivp(pendulum, (0, 3), [1.0, 0.0], rtol=1e-6))
    assert "successfully reached the end" in text
    assert "success: True" in text
    assert len(text) < 1500


@ANY
@pytest.mark.parametrize("times", [(0, 2), [0.7], [0.0], [2.0], np.linspace(0, 2, 50), np.array([0, 1, 2])])
def test_output_times(method, rtol, times):
    sol = solve_ivp(pendulum, (0, 2), [1.0, 0.0], method, times, rtol=rtol)
    assert np.array_equal(sol.t, times)
    exact = scipy_solve_ivp(pendulum, (0, 2), [1.0, 0.0], "DOP853", times, rtol=1e-11, atol=1e-12)
    assert sol.y.shape == (2, len(times))
    assert np.abs(sol.y - exact.y).max() <= 10 * (rtol + 1e-6)


@ANY
def test_no_output_times(method, rtol):
    sol = solve_ivp(pendulum, (0, 2), [1.0, 0.0], method, [], dense_output=True, rtol=rtol)
    assert sol.t.shape == (0,)
    assert sol.y.shape == (2, 0)
    assert sol.sol(1.0).shape == (2,)


@ANY
@pytest.mark.parametrize(
    ("span", "times", "text"),
    [
        ((0, 2), [0, 2.1], "not within `t_span`"),
        ((0, 2), [-0.1, 1], "not within `t_span`"),
        ((2, 0), [2, -0.1], "not within `t_span`"),
        ((0, 2), [1, 0.5], "not properly sorted"),
        ((0, 2), [1, 1], "not properly sorted"),
        ((2, 0), [0.5, 1], "not properly sorted"),
        ((0, 2), [[0.5, 1]], "must be 1-dimensional"),
        ((0, 2), 0.5, "must be 1-dimensional"),
    ],
)
def test_bad_output_times(method, rtol, span, times, text):
    with pytest.raises(ValueError, match=text):
        solve_ivp(pendulum, span, [1.0, 0.0], method, times, rtol=rtol)


@ANY
def test_backward(method, rtol):
    sol = solve_ivp(decay, (1, -1), [1.0], method, [1, 0, -1], True, rtol=rtol)
    assert sol.t.tolist() == [1, 0, -1]
    assert np.allclose(sol.y[0], np.exp([0.0, 1.0, 2.0]), rtol=10 * rtol)
    assert (sol.sol.t_min, sol.sol.t_max) == (-1, 1)
    assert np.all(np.diff(sol.sol.ts) < 0)
    assert np.all(np.diff(solve_ivp(decay, (1, -1), [1.0], method, rtol=rtol).t) < 0)


@ANY
def test_a_span_of_no_length(method, rtol):
    sol = solve_ivp(pendulum, (1, 1), [1.0, 0.5], method, None, True, lambda t, y: y[1] - 0.5, rtol=rtol)
    assert sol.success
    assert set(sol.t) == {1.0}
    assert all(state.tolist() == [1.0, 0.5] for state in sol.y.T)
    assert sol.sol(1.0).tolist() == [1.0, 0.5]
    assert sol.t_events[0].tolist() == [1.0]


@ANY
def test_output_times_in_a_span_of_no_length(method, rtol):
    """SciPy fails here, with an AttributeError."""
    sol = solve_ivp(pendulum, (1, 1), [1.0, 0.5], method, [1.0], rtol=rtol)
    assert sol.t.tolist() == [1.0]
    assert sol.y.tolist() == [[1.0], [0.5]]


@METHODS
@pytest.mark.parametrize(("span", "shape"), [((1, 1), (2, 3)), ((0, 1), (0, 3)), ((0, 1), (2, 0))])
def test_empty_batches(method, span, shape):
    sol = solve_ivp(decay, span, np.ones(shape), method, rtol=1e-6)
    assert sol.success
    assert (sol.y.shape[0], *sol.y.shape[2:]) == shape


@ANY
def test_no_components(method, rtol):
    sol = solve_ivp(lambda t, y: y, (0, 1), [], method, dense_output=True, rtol=rtol)
    assert sol.success
    assert sol.t[-1] == 1
    assert sol.y.shape == (0, len(sol.t))
    assert sol.sol([0.2, 0.4]).shape == (0, 2)


@pytest.mark.parametrize("span", [("0", "1"), np.array([0, 1]), [0, 1], (False, True), (np.float32(0), np.int8(1))])
def test_spans_are_whatever_float_takes(span):
    assert solve_ivp(decay, span, [1.0], rtol=1e-6).t[-1] == 1


@ANY
@pytest.mark.parametrize("y0", [(1, 2), [1, 2], np.array([1, 2]), np.array([1.0, 2.0]), np.array([1, 2], np.int8)])
def test_initial_states(method, rtol, y0):
    sol = solve_ivp(lambda t, y: [-y[0], -2 * y[1]], (0, 1), y0, method, rtol=rtol)
    assert sol.y.dtype == np.float64
    assert np.allclose(sol.y[:, -1], [np.exp(-1), 2 * np.exp(-2)], rtol=10 * rtol)


@ANY
@pytest.mark.parametrize(
    ("y0", "error", "text"),
    [
        (1.0, ValueError, "`y0`"),
        ([1.0, np.nan], ValueError, "All components of the initial state `y0` must be finite."),
        ([1.0, np.inf], ValueError, "All components of the initial state `y0` must be finite."),
        (["a", "b"], (TypeError, ValueError), "`y0`"),
    ],
)
def test_bad_initial_states(method, rtol, y0, error, text):
    with pytest.raises(error, match=text):
        solve_ivp(pendulum, (0, 1), y0, method, rtol=rtol)


@METHODS
def test_a_two_dimensional_state_is_a_batch(method):
    sol = solve_ivp(decay, (0, 1), [[1.0, 2.0, 3.0]], method, rtol=1e-8)
    assert sol.y.shape == (1, len(sol.t), 3)
    assert np.allclose(sol.y[0, -1], np.exp(-1) * np.array([1, 2, 3]), rtol=1e-7)


@ANY
def test_args(method, rtol):
    two = solve_ivp(lambda t, y, a, b: a * y + b, (0, 1), [1.0], method, args=(-1.0, 2.0), rtol=rtol)
    assert np.allclose(two.y[0, -1], 2 - np.exp(-1), rtol=10 * rtol)
    for args in ((2.0,), [2.0]):
        assert np.allclose(
            solve_ivp(decay, (0, 1), [1.0], method, args=args, rtol=rtol).y[0, -1], np.exp(-2), atol=1e-3
        )
    matrix = solve_ivp(lambda t, y, A: A @ y, (0, 1), [1.0, 1.0], method, args=(-np.eye(2),), rtol=rtol)
    assert np.allclose(matrix.y[:, -1], np.exp(-1), rtol=10 * rtol)
    assert solve_ivp(decay, (0, 1), [1.0], method, args=(), rtol=rtol).success
    with pytest.raises(TypeError, match=r"Supplied 'args' cannot be unpacked.*tuple"):
        solve_ivp(decay, (0, 1), [1.0], method, args=2.0, rtol=rtol)
    with pytest.raises(TypeError, match="positional argument"):
        solve_ivp(decay, (0, 1), [1.0], method, args=(1.0, 2.0), rtol=rtol)


@pytest.mark.parametrize(
    "method",
    [
        *(RK23, RK45, DOP853, Radau, BDF, LSODA, "RK23", "RK45", "BDF", "LSODA"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"t_eval": [0.5, 1.0]}, {"rtol": 1e-7, "atol": [1e-9, 1e-8]}], ids=str)
def test_scipys_solvers_give_scipys_numbers(method, options):
    options = {**options, "dense_output": True, "events": lambda t, y: y[0] - 0.5, "max_step": 0.3, "first_step": 0.01}
    ours = solve_ivp(pendulum, (0, 3), [1.0, 0.0], method, **options)
    theirs = scipy_solve_ivp(pendulum, (0, 3), [1.0, 0.0], method, **options)
    for name in ("t", "y", "t_events", "y_events", "nfev", "njev", "nlu", "status", "success"):
        assert np.array_equal(ours[name], theirs[name]), name
    assert ours.message.startswith(theirs.message)
    assert np.array_equal(ours.sol([0.1, 2.9]), theirs.sol([0.1, 2.9]))


def test_nothing_warns_in_an_ordinary_solve():
    """Without `assert`: a warning is an error, which fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in LIKE_SCIPYS:
            solve_ivp(pendulum, (0, 3), [1.0, 0.0], method, np.linspace(0, 3, 4), True, lambda t, y: y[0])
