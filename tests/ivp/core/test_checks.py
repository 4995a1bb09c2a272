"""Functions that do not take many times at once are found out, however small what they spoil; others are not."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ode_problems import ODES
from scipy import integrate

from parscan import solve_ivp
from parscan._ivp.arguments import as_problem
from parscan._ivp.core.evaluation import Evaluation
from parscan.warnings import PointByPointWarning


def evaluation(fun, span, y0, *, jac=None, args=None, rtol=1e-8, atol=1e-10):
    return Evaluation(as_problem(fun, span, np.asarray(y0), args, jac, rtol, atol, np.inf), None)


REDUCED = {
    "sum": lambda y: y.sum(),
    "norm": np.linalg.norm,
    "largest": lambda y: np.max(np.abs(y)),
    "mean": lambda y: np.mean(y) * y.shape[0],
    "scalar product": lambda y: np.sqrt(np.vdot(y, y).real),
    "median": lambda y: np.median(np.abs(y)),
}
"""What a function may make of some components of one state, and what becomes another number for many states."""


def beside(reduce, position, size, others):
    """Three components of that size that exchange what is in them, relative to all of it, beside others."""

    def fun(t, y):
        own = y[position : position + 3]
        rest = np.concatenate([y[:position], y[position + 3 :]])
        a, b, c = own
        total = reduce(own)
        small = np.array([-0.5 * a * b / total, 0.5 * a * b / total - 0.1 * b, 0.1 * b + 0 * c])
        large = others * np.cos(t) * np.ones_like(rest) - 0.1 * rest
        return np.concatenate([large[:position], small, large[position:]])

    y0 = np.full(6, others)
    y0[position : position + 3] = size * np.array([0.7, 0.2, 0.1])
    return fun, y0


@settings(max_examples=60)
@given(
    reduce=st.sampled_from(sorted(REDUCED)),
    position=st.integers(0, 3),
    size=st.floats(-14, 14),
    others=st.floats(-14, 14),
    rtol=st.sampled_from([1e-4, 1e-6, 1e-10]),
)
def test_what_reduces_its_first_axis_is_called_one_by_one(reduce, position, size, others, rtol):
    fun, y0 = beside(REDUCED[reduce], position, 10**size, 10**others)
    assert not evaluation(fun, (0, 3), y0, rtol=rtol).stacks


HOMOGENEOUS = {
    "shares": lambda t, y: -y / y.sum(),
    "softmax": lambda t, y: np.exp(y / y[0] - (y / y[0]).max()) * y,
    "direction": lambda t, y: y / np.linalg.norm(y) - 0.1 * y,
    "neighbours": lambda t, y: np.roll(y, 1) - y,
    "sorted": lambda t, y: np.sort(y) - y,
    "from the mean": lambda t, y: y.mean() - y,
    "differences": lambda t, y: np.concatenate([np.diff(y), y[:1] - y[-1:]]),
    "largest share": lambda t, y: -y * y.max() / y.min(),
    "gradient": lambda t, y: np.gradient(y) - y,
    "with the time": lambda t, y: -y * (1 + 0.1 * np.max(t)),
    "cumulated": lambda t, y: np.cumsum(y) - y,
}


@pytest.mark.parametrize("fun", HOMOGENEOUS.values(), ids=HOMOGENEOUS.keys())
@pytest.mark.parametrize("start", [[1.0, 1, 1, 1], [1.0, 2, 3, 4], [1e-14, 1, 1e7, 3], [5e-13] * 4], ids=str)
def test_functions_of_ratios_and_differences(fun, start):
    """A common factor, or equal components, would hide what they do to many states."""
    assert not evaluation(fun, (0, 2), start).stacks


def through_sum(t, y):
    return [1 + 0 * y[0], -y[1] + y[2:].sum(), 0.1 * y[0], -y[3] + 0.1 * y[0]]


def through_norm(t, y):
    speed = np.sqrt(np.sum(y[2:] ** 2))
    return np.array([y[2], y[3], -0.1 * speed * y[2], -9.81 - 0.1 * speed * y[3]])


@pytest.mark.parametrize("fun", [through_sum, through_norm])
def test_components_that_are_zero_at_the_start(fun):
    for y0 in ([0.0, 0.0, 0.0, 0.0], [1e6, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1e-12]):
        assert not evaluation(fun, (0, 5), y0).stacks


def late(begin):
    """Takes the largest component of all that is there, only from some time on."""
    return lambda t, y: [-y[0], -1e-12 * np.where(t > begin, np.max(y), y[0])]


@pytest.mark.parametrize("method", ["auto", "Radau"])
def test_small_components_of_the_finished_trajectory(method):
    """The second component is 1e-12 of the first; what spoils it begins in the middle."""
    y0, options = [1.0, 1e-12], {"rtol": 1e-7, "atol": 1e-20}
    truth = integrate.solve_ivp(late(2.0), (0, 4), y0, "DOP853", rtol=1e-12, atol=1e-24, max_step=0.1).y[:, -1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PointByPointWarning)
        sol = solve_ivp(late(2.0), (0, 4), y0, method, **options)
    assert sol.success
    assert np.allclose(sol.y[:, -1], truth, rtol=1e-5, atol=0)


def epidemic(t, y):
    s, i, _, shed = y
    total = y[:3].sum()
    return [-0.5 * s * i / total, 0.5 * s * i / total - 0.1 * i, 0.1 * i, 1e10 * i - 2.0 * shed]


@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853", "Gauss", "RK4"])
def test_a_population_beside_something_much_larger(method):
    y0, options = [0.99, 0.01, 0.0, 1e6], {"rtol": 1e-6, "atol": 1e-8}
    truth = integrate.solve_ivp(epidemic, (0, 20), y0, "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        sol = solve_ivp(epidemic, (0, 20), y0, method, **options)
    assert sol.success
    assert np.allclose(sol.y[:, -1], truth, rtol=1e-4)
    assert method == "auto" or any(word.category is PointByPointWarning for word in said)


RNG = np.random.default_rng(5)
DENSE = RNG.standard_normal((40, 40)) / 40 - np.eye(40)


def by_matrix(t, y):
    return DENSE @ y


def by_lines(t, y):
    """Second differences on a fine grid: the differences cancel."""
    return 1e6 * (np.roll(np.eye(20), 1, 0) + np.roll(np.eye(20), -1, 0) - 2 * np.eye(20)) @ y


def traces(t, y):
    a, b, c = y
    k = 1e9 * np.exp(-2000 / 300.0)
    return [-k * a * b, -k * a * b + 1e-3 * c, k * a * b - 1e-3 * c]


def near_equilibrium(t, y):
    a, b, c = y
    forth, back = 1e8 * a, 1e8 * b
    return [back - forth, forth - back - a * b, a * b - c**1.5]


def arrhenius(t, y):
    a, temperature = y
    rate = 1e12 * np.exp(-9000 / temperature) * a
    return [-rate, 200 * rate - 0.1 * (temperature - 300.0)]


KEPT = {
    "a matrix": (by_matrix, (0, 5), np.ones(40)),
    "second differences": (by_lines, (0, 1e-3), np.sin(np.arange(20.0))),
    "second differences of nearly equal numbers": (by_lines, (0, 1e-3), 1 + 1e-9 * np.sin(np.arange(20.0))),
    "traces": (traces, (0, 100), [1e-14, 2e-14, 0.0]),
    "near equilibrium": (near_equilibrium, (0, 1), [1.0, 1.0, 1.0]),
    "Arrhenius": (arrhenius, (0, 1), [1.0, 300.0]),
    "at rest": (lambda t, y: [y[1], -np.sin(y[0])], (0, 1), [0.0, 0.0]),
    "a constant": (lambda t, y: [0.0, 1.0], (0, 1), [0.0, 0.0]),
    "a square root": (lambda t, y: [-np.sqrt(y[0]), np.sqrt(y[1])], (0, 1), [0.0, 1.0]),
    "a power": (lambda t, y: [1 - y[0] ** 1.5, y[0] ** 1.5 - y[1] ** 0.3], (0, 1), [1.0, 1.0]),
    "epoch seconds": (lambda t, y: [np.cos(t) - y[0]], (1.7e9, 1.7e9 + 10), [0.0]),
}


@pytest.mark.parametrize(("fun", "span", "y0"), KEPT.values(), ids=KEPT.keys())
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("rtol", [1e-4, 1e-8, 1e-12])
def test_what_differs_by_rounding_only_is_called_at_once(fun, span, y0, dtype, rtol):
    y0 = np.asarray(y0, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rtol below the spacing of float32
        found = evaluation(fun, span, y0, rtol=rtol, atol=1e-3 * rtol)
    assert found.stacks, found.obstacle


@pytest.mark.parametrize("problem", ODES, ids=lambda problem: problem.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_problems_of_the_literature_are_called_at_once(problem, dtype):
    for rtol in (1e-4, 1e-7, 1e-12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found = evaluation(problem.fun, (0, problem.end), np.asarray(problem.y0, dtype), rtol=rtol, atol=rtol)
        assert found.stacks, found.obstacle


@pytest.mark.parametrize("problem", ODES, ids=lambda problem: problem.name)
@pytest.mark.parametrize("rtol", [1e-5, 1e-9])
def test_and_to_their_end(problem, rtol):
    """No second solution, one by one, because of what is rounding on the finished trajectory."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", PointByPointWarning)
        sol = solve_ivp(problem.fun, (0, problem.end), problem.y0, "Radau", rtol=rtol, atol=problem.scale * rtol)
    assert sol.success


@pytest.mark.parametrize("name", ["largest", "norm"])
def test_events_of_one_state_that_reduce_it(name):
    """The height is 1e-9 of another component; the event compares it with components of its own size."""
    reduce = {"largest": lambda y: y.max(), "norm": np.linalg.norm}[name]

    def event(t, y):
        return y[0] - 0.5 * reduce(y[:2])

    sol = solve_ivp(
        lambda t, y: [-y[0], 0 * y[1], y[2]], (0, 3), [1e-9, 1e-9, 1.0], rtol=1e-8, atol=1e-18, events=event
    )
    expected = np.log(2.0) if name == "largest" else np.log(3.0) / 2
    assert sol.t_events[0] == pytest.approx([expected], abs=1e-6)


def test_states_that_the_function_rejects_are_replaced():
    """A table that ends at the initial state, and a domain: only the initial state itself has to be accepted."""

    def table(t, y):
        if np.any(y > 1.0):
            raise ValueError("beyond the table")
        return -y

    def corner(t, y):
        if np.any(y != 1.0):
            raise ValueError("only here")
        return -y

    assert evaluation(table, (0, 1), [1.0, 0.5]).stacks
    found = evaluation(corner, (0, 1), [1.0, 1.0])
    assert not found.stacks
    assert "only here" in found.obstacle


def test_what_was_raised_is_said():
    def scalar(t, y):
        return [-float(y[0])]

    with pytest.warns(
        PointByPointWarning, match="`fun` raised TypeError: .* when it was called for many times at once"
    ):
        solve_ivp(scalar, (0, 1), [1.0], "Radau", rtol=1e-6)


def test_a_transposed_jacobian_of_small_components_is_named():
    """The part that shows it is 1e-10 of the rest."""
    matrix = np.array([[-1e10, 0.0, 0.0], [0.0, -1.0, 2.0], [0.0, 0.5, -1.0]])
    for turned in (matrix.T, lambda t, y: matrix.T):
        with pytest.raises(ValueError, match="`jac` is transposed"):
            solve_ivp(lambda t, y: matrix @ y, (0, 1), [1.0, 1.0, 1.0], "Radau", jac=turned, rtol=1e-6)
    solve_ivp(lambda t, y: matrix @ y, (0, 1), [1.0, 1.0, 1.0], "Radau", jac=matrix, rtol=1e-6)


def lorenz(t, y, rho=28.0):
    return [10 * (y[1] - y[0]), y[0] * (rho - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]


@pytest.mark.parametrize("options", [{"rtol": 1e-3}, {"rtol": 1e-7}, {"method": "Radau"}, {"method": "RK45"}], ids=str)
def test_a_batch_in_the_arguments_only_is_named(options):
    with pytest.raises(ValueError, match=r"pass `y0` of shape \(3, 100\)"):
        solve_ivp(lorenz, (0, 1), [1.0, 1.0, 1.0], args=(np.linspace(0, 1, 100),), **options)


def test_a_state_the_other_way_round_is_named():
    with pytest.raises(ValueError, match=r"pass its transpose, y0\.T"):
        solve_ivp(lorenz, (0, 1), np.ones((100, 3)), "Radau")
    with pytest.raises(ValueError, match="It is the transpose"):
        solve_ivp(lambda t, y: -y.T, (0, 1), np.ones((3, 7)), "Radau")


GATES = {
    "any below": lambda t, y: np.any(y[0] < 0.8),
    "any above": lambda t, y: np.any(y[:2] > 0.5),
    "count": lambda t, y: np.count_nonzero(y[:2] > 0.5) > 0,
    "all": lambda t, y: np.all(y[0] < 0.5),
    "late": lambda t, y: np.any(t > 3),
    "product": lambda t, y: np.any(y[0] * y[1] > 0.1),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::parscan.warnings.PointByPointWarning")
@pytest.mark.parametrize("size", [1.0, 1e-14])
@pytest.mark.parametrize("y0", [(0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (1.0, 0.0, 1.0)], ids=str)
@pytest.mark.parametrize("name", GATES)
def test_branches_on_all_states_that_hold_at_the_ends(name, y0, size):
    """Open at the first, the middle and the last time, say, and closed for some between."""

    def fun(t, y):
        return [y[1], -y[0], size * (1.0 * GATES[name](t, y)) - y[2]]

    start = [*y0[:2], size * y0[2]]
    sol = solve_ivp(fun, (0, 11), start, rtol=1e-8, atol=1e-10 * size)
    tight = {"rtol": 1e-10, "atol": 1e-12 * size, "max_step": 0.05}
    expected = integrate.solve_ivp(fun, (0, 11), start, "DOP853", **tight).y[2, -1]
    assert not sol.success or abs(sol.y[2, -1] - expected) < 1e-4 * size
