"""What SciPy takes and few ask for: matrices of states, spans without an end, Jacobians of a single component."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp

pytestmark = pytest.mark.roads

ANY = pytest.mark.parametrize(("method", "rtol"), [("auto", 1e-3), ("auto", 1e-7), ("Radau", 1e-7), ("Gauss", 1e-7)])
ONE_BY_ONE_IS_AN_ERROR = pytest.mark.filterwarnings("error::parscan.warnings.PointByPointWarning")


def end_of(sol):
    return sol.y[:, -1]


def columns(t, y):
    """Of matrices `(n, k)` only, as SciPy's `vectorized=True` promises."""
    out = np.empty_like(y)
    out[0], out[1] = y[1], -np.sin(y[0]) + np.full(y.shape[1], 0.1 * np.cos(t))
    return out


@ANY
@pytest.mark.parametrize("returned", [np.asarray, list], ids=["array", "list"])
@ONE_BY_ONE_IS_AN_ERROR
def test_functions_that_take_matrices_only(method, rtol, returned):
    fun = lambda t, y: returned(columns(t, y))  # noqa: E731
    sol = solve_ivp(fun, (0, 2), [1.0, 0.0], method, vectorized=True, rtol=rtol)
    exact = scipy_solve_ivp(columns, (0, 2), [1.0, 0.0], "DOP853", vectorized=True, rtol=1e-11, atol=1e-12)
    assert np.allclose(end_of(sol), end_of(exact), atol=10 * (rtol + 1e-6))


RETURNED = {
    "matrix": lambda t, y: -y.reshape(1, y.shape[1]),
    "list": lambda t, y: [-y[0]],
    "list of a matrix": lambda t, y: [-y],
    "nested list": lambda t, y: (-y).tolist(),
    "row": lambda t, y: -y[0],
}


@pytest.mark.parametrize("fun", RETURNED.values(), ids=RETURNED.keys())
@ONE_BY_ONE_IS_AN_ERROR
def test_what_a_matrix_of_one_component_is_returned_as(fun):
    sol = solve_ivp(fun, (0, 1), [1.0], "Radau", vectorized=True, rtol=1e-7)
    assert np.allclose(end_of(sol), np.exp(-1), rtol=1e-6)


@pytest.mark.roads("calls")
def test_a_constant_component_beside_columns():
    sol = solve_ivp(lambda t, y: [y[1], -9.81], (0, 1), [1.0, 0.0], vectorized=True, rtol=1e-7)
    assert np.allclose(end_of(sol), [1 - 9.81 / 2, -9.81])
    assert sol.method == "Radau"


def test_gradients_of_functions_that_take_matrices_only():
    fun = lambda t, y, rate: -rate * y.reshape(1, y.shape[1])  # noqa: E731
    sol = solve_ivp(fun, (0, 1), [1.0], "Radau", args=(2.0,), vectorized=True, rtol=1e-8)
    loss = np.zeros_like(sol.y)
    loss[0, -1] = 1.0
    assert np.allclose(sol.gradient(loss, "rate"), -np.exp(-2), rtol=1e-5)


def test_batches_are_matrices_already():
    sol = solve_ivp(lambda t, y: -y, (0, 1), [[1.0, 2.0, 3.0]], "Radau", vectorized=True, rtol=1e-8)
    assert np.allclose(sol.y[0, -1], np.exp(-1) * np.array([1, 2, 3]), rtol=1e-7)


JACOBIANS_OF_ONE = {
    "number": lambda t, y: -2.0,
    "scalar of time": lambda t, y: t - 2 - t,
    "scalar of state": lambda t, y: -2 * np.exp(0 * y[0]),
    "component": lambda t, y: -2 + 0 * y,
    "list": lambda t, y: [-2 + 0 * y[0]],
    "matrix": lambda t, y: [[-2]],
}


@ANY
@pytest.mark.parametrize("jac", JACOBIANS_OF_ONE.values(), ids=JACOBIANS_OF_ONE.keys())
def test_what_a_jacobian_of_one_component_is_returned_as(method, rtol, jac):
    """SciPy's LSODA takes them all."""
    sol = solve_ivp(lambda t, y: -2 * y, (0, 1), [1.0], method, jac=jac, rtol=rtol)
    assert np.allclose(end_of(sol), np.exp(-2), rtol=10 * rtol)


@pytest.mark.parametrize("method", ["Gauss", "DOP853", "RK4"])
def test_zeros_of_the_jacobian_without_a_use_are_named(method):
    with pytest.warns(UserWarning, match="no effect for a chosen solver: `jac_sparsity`") as told:
        solve_ivp(lambda t, y: -y, (0, 1), [1.0, 1.0], method, jac_sparsity=np.eye(2), rtol=1e-6)
    assert told[0].filename == __file__


def fall(t, y):
    return [y[1], -9.81]


def ground(t, y):
    return y[0]


ground.terminal = True


@pytest.mark.parametrize("rtol", [1e-3, 1e-7])
@pytest.mark.parametrize(
    ("method", "used"), [("auto", "Radau"), ("Radau", "Radau"), ("DOP853", "DOP853"), ("RK45", "RK45"), ("BDF", "BDF")]
)
def test_an_event_ends_a_span_without_an_end(method, used, rtol, road):
    sol = solve_ivp(fall, (0, np.inf), [10.0, 0.0], method, None, True, ground, rtol=rtol)
    assert (sol.status, sol.method) == (1, "DOP853" if road == "code" and method == "auto" else used)
    assert np.isclose(sol.t[-1], np.sqrt(20 / 9.81), rtol=10 * rtol)
    assert np.isclose(sol.sol(1.0)[0], 10 - 9.81 / 2, rtol=10 * rtol)
    assert np.isfinite(sol.lyapunov)


def test_backward_from_rest_and_complex_without_an_end():
    late = lambda t, y: t + 30  # noqa: E731
    late.terminal = True
    rest = solve_ivp(lambda t, y: 0 * y, (0, -np.inf), [1.0, 2.0], events=late, rtol=1e-6)
    assert (rest.t[-1], rest.y[:, -1].tolist()) == (-30, [1.0, 2.0])
    turning = solve_ivp(lambda t, y: 0.1j * y, (0, -np.inf), [1 + 0j], events=late, rtol=1e-7, atol=1e-9)
    assert np.isclose(turning.y[0, -1], np.exp(-3j), rtol=1e-4)
    assert turning.method == "DOP853"


@pytest.mark.slow
def test_a_pole_before_the_event():
    sol = solve_ivp(lambda t, y: y * y, (0, np.inf), [1.0], events=ground, rtol=1e-6)
    assert (sol.status, sol.success) == (-1, False)
    assert np.isclose(sol.t[-1], 1, rtol=1e-3)


@pytest.mark.roads("calls")
def test_progress_without_an_end(capsys):
    told = []
    solve_ivp(fall, (0, np.inf), [10.0, 0.0], events=ground, progress=told.append)
    assert {(news.total, news.remaining) for news in told} == {(np.inf, None)}
    solve_ivp(fall, (0, np.inf), [10.0, 0.0], events=ground, progress=True)
    assert "Radau" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "`t_span` must be finite where none of `events` is terminal"),
        ({"events": lambda t, y: y[0]}, "none of `events` is terminal"),
        ({"t_span": (-np.inf, 0), "events": ground}, "`t_span` must be finite"),
        ({"t_span": (0, np.nan), "events": ground}, "`t_span` must be finite"),
        ({"method": "Gauss", "events": ground}, "`t_span` must be finite for meshes, and for `method` 'Gauss'"),
        ({"stages": 3, "events": ground}, "`t_span` must be finite for meshes"),
    ],
)
def test_spans_that_are_not_finite(options, text):
    with pytest.raises(ValueError, match=text):
        solve_ivp(**{"fun": fall, "t_span": (0, np.inf), "y0": [10.0, 0.0], **options})


EQUAL = {
    "rates": lambda t, y: -np.full(y.shape[0], 0.1) * y,
    "matrix from the right": lambda t, y: y @ (-0.1 * np.eye(y.shape[0])),
    "offset": lambda t, y: -0.1 * y + np.zeros(y.shape[0]),
}


@pytest.mark.slow
@ANY
@pytest.mark.parametrize("fun", EQUAL.values(), ids=EQUAL.keys())
@pytest.mark.parametrize("n", [1, 2, 4, 5, 6, 7])
@pytest.mark.filterwarnings("ignore::parscan.warnings.PointByPointWarning")
def test_as_many_components_as_states_in_a_sample(fun, method, rtol, n):
    """Equal numbers, one per component, fit the rows of a square of states as well as its columns."""
    sol = solve_ivp(fun, (0, 1), np.arange(1.0, n + 1), method, rtol=rtol)
    assert np.allclose(end_of(sol), np.exp(-0.1) * np.arange(1, n + 1), rtol=10 * rtol)


half = Fraction(1, 2)
OBJECTS = {
    "list": lambda t, y: [Fraction(3), half],
    "beside arrays": lambda t, y: [y[1] + 3 - y[1], half],
    "array": lambda t, y: np.array([y[0] - y[0] + 3, 0 * y[0] + 0.5], dtype=object),
}


@ANY
@pytest.mark.parametrize("fun", OBJECTS.values(), ids=OBJECTS.keys())
def test_numbers_that_are_objects(fun, method, rtol):
    """As those of SymPy are; SciPy makes floats of them."""
    sol = solve_ivp(fun, (0, 1), [0, 0], method, jac=lambda t, y: [[Fraction(0), 0], [0, Fraction(0)]], rtol=rtol)
    assert np.allclose(end_of(sol), [3, 0.5])


@pytest.mark.parametrize("value", [None, [1.0, None], [1.0, object()]])
def test_objects_that_are_no_numbers(value):
    with pytest.raises(TypeError, match="pass on an array, or a list of numbers"):
        solve_ivp(lambda t, y: value, (0, 1), [0, 0], "Radau", rtol=1e-6)


@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853", "RK45", "LSODA", "BDF"])
def test_a_component_that_stays_zero_without_absolute_tolerance(method):
    """SciPy's explicit methods never end there: the error is 0 and the tolerance is 0."""
    sol = solve_ivp(lambda t, y: [-y[0], 0 * y[1]], (0, 1), [1.0, 0.0], method, rtol=1e-6, atol=0.0)
    assert sol.success
    assert sol.y[1, -1] == 0
    assert abs(sol.y[0, -1] - np.exp(-1)) < 1e-4
