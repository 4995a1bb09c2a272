"""Kinks and jumps of tabulated data and of states: found, made nodes, and solved with few meshes.

The right values are those of DOP853 at rounding's tolerance, started anew at every kink, or of closed forms.
"""

from dataclasses import replace
from itertools import pairwise

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ode_problems import ODES
from scipy.integrate import solve_ivp as scipy_solve_ivp
from scipy.interpolate import CubicSpline, PchipInterpolator, interp1d
from scipy.linalg import expm

from parscan import solve_ivp
from parscan._ivp.arguments import as_problem
from parscan._ivp.core.evaluation import Evaluation
from parscan._ivp.core.mesh import Mesh
from parscan._ivp.core.polynomial import PiecewisePolynomial
from parscan._ivp.core.scale import Scale
from parscan._ivp.core.tableaux import radau
from parscan._ivp.mesh import window as _window
from parscan._ivp.mesh.discontinuities import find
from parscan._ivp.mesh.refine import TARGET, Assessed

pytestmark = pytest.mark.roads

RNG = np.random.default_rng(5)
HOURS = np.arange(0.0, 121)
OUTSIDE = 10 + 8 * np.sin(2 * np.pi * HOURS / 24) + RNG.standard_normal(121)
OTHER = np.arange(0.0, 121, 0.7)
FACTORS = 1 + 0.3 * RNG.standard_normal(len(OTHER))
UNEVEN = np.unique(np.concatenate([[0.0, 60.0], RNG.uniform(0, 60, 70)]))
LEVELS = RNG.standard_normal(len(UNEVEN))
SPLINE, PCHIP = CubicSpline(HOURS, OUTSIDE), PchipInterpolator(HOURS, OUTSIDE)
LINEAR, PREVIOUS = interp1d(HOURS, OUTSIDE), interp1d(HOURS, OUTSIDE, kind="previous")


def room(outside):
    return lambda t, y: [(outside(t) - y[0]) / 20 + (y[1] - y[0]) / 5, (y[0] - y[1]) / 50]


def driven(force):
    return lambda t, y: [y[1], force(t) - y[0] - 0.2 * y[1]]


IN_TIME = {
    "interp": (room(lambda t: np.interp(t, HOURS, OUTSIDE)), 120.0, [15.0, 15.0], HOURS),
    "interp1d": (room(LINEAR), 48.0, [15.0, 15.0], HOURS),
    "two tables": (
        lambda t, y: [np.interp(t, HOURS, OUTSIDE) - np.interp(t, OTHER, FACTORS) * y[0], y[0] - y[1]],
        40.0,
        [0.0, 0.0],
        np.sort(np.concatenate([HOURS, OTHER])),
    ),
    "uneven times": (driven(lambda t: np.interp(t, UNEVEN, LEVELS)), 60.0, [1.0, 0.0], UNEVEN),
    "held, by index": (lambda t, y: [OUTSIDE[np.asarray(t).astype(int)] - 0.3 * y[0]], 100.0, [5.0], HOURS),
    "held, by search": (
        driven(lambda t: LEVELS[np.searchsorted(UNEVEN, t, side="right") - 1]),
        59.0,
        [0.0, 0.0],
        UNEVEN,
    ),
    "held, by interp1d": (room(PREVIOUS), 90.0, [15.0, 15.0], HOURS),
    "stairs": (lambda t, y: [np.floor(t) % 3 - 0.5 * y[0]], 40.0, [1.0], HOURS),
    "pchip": (room(PCHIP), 100.0, [15.0, 15.0], HOURS),
    "spline": (room(SPLINE), 100.0, [15.0, 15.0], HOURS),
    "switch": (lambda t, y: [np.where(t < 5.3, 1.0, -1.0) - 0.5 * y[0]], 10.0, [0.0], [5.3]),
    "dose": (lambda t, y: [np.where((t > 3.3) & (t < 3.7), 2.0, 0.0) - 0.2 * y[0]], 10.0, [1.0], [3.3, 3.7]),
    "ramp": (lambda t, y: [y[1], np.clip(t - 3, 0, 1) - np.sin(y[0])], 20.0, [0.0, 0.5], [3.0, 4.0]),
    "clipped": (
        lambda t, y: [np.clip(np.sin(t), -0.5, 0.5) - 0.2 * y[0]],
        30.0,
        [0.0],
        np.sort(np.concatenate([np.arange(10) + 1 / 6, np.arange(10) + 5 / 6])) * np.pi,
    ),
    "rectified": (lambda t, y: [np.maximum(np.sin(t), 0) - 0.2 * y[0]], 60.0, [0.0], np.arange(1, 20) * np.pi),
    "absolute": (driven(lambda t: np.abs(np.sin(3 * t))), 30.0, [0.0, 0.0], np.arange(1, 29) * np.pi / 3),
    "sawtooth": (lambda t, y: [np.mod(t, 2.0) - 0.3 * y[0]], 50.0, [0.0], np.arange(2.0, 51.0, 2.0)),
    "infections": (
        lambda t, y: [-np.interp(t, UNEVEN, 0.3 + 0.1 * np.sin(UNEVEN)) * y[0] * y[1], 0.3 * y[0] * y[1] - 0.15 * y[1]],
        60.0,
        [0.99, 0.01],
        UNEVEN,
    ),
}
"""Right-hand sides, ends of the span, states at its begin, and the times at which they are not smooth."""


def right_value(fun, end, y0, places):
    """The last state, by steps that end at the places and see of each side what is between them."""
    y, nodes = np.asarray(y0), np.unique(np.concatenate([[0.0], [p for p in places if 0 < p < end], [end]]))
    for begin, stop in pairwise(nodes):
        low, high = begin + 1e-14 * stop, stop - 1e-14 * stop

        def inner(t, y, low=low, high=high):
            return np.asarray(fun(np.clip(t, low, high), y), dtype=float)

        y = scipy_solve_ivp(inner, (begin, stop), y, "DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    return y


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_TIME)
@pytest.mark.parametrize("rtol", [1e-6, 1e-8])
def test_what_is_not_smooth_in_time_becomes_nodes(name, rtol):
    """Errors fell so slowly with shorter intervals that ten meshes did not do and steps were followed one by one."""
    fun, end, y0, places = IN_TIME[name]
    sol = solve_ivp(fun, (0, end), y0, "Radau", rtol=rtol, atol=rtol / 100)
    assert sol.success
    assert len(sol.meshes) <= 5
    assert "sequential" not in sol.message
    expected = right_value(fun, end, y0, places)
    assert np.abs(sol.y[:, -1] - expected).max() <= 10 * rtol * (0.01 + np.abs(sol.y).max())


@pytest.mark.parametrize("name", ["interp", "held, by index", "switch", "clipped", "sawtooth"])
def test_nodes_are_the_places(name):
    fun, end, y0, places = IN_TIME[name]
    sol = solve_ivp(fun, (0, end), y0, "Radau", rtol=1e-8, atol=1e-10)
    inner = np.asarray([place for place in places if 0 < place < end])
    assert np.abs(sol.mesh[:, None] - inner).min(axis=0).max() <= 1e-8
    assert len(sol.mesh) <= 5 * len(inner) + 30


def test_hourly_data_of_a_linear_system():
    """Exponentials, hour by hour."""
    matrix = np.zeros((4, 4))
    matrix[:2, :2] = [[-0.25, 0.2], [0.02, -0.02]]
    matrix[0, 2], matrix[2, 3] = 1 / 20, 1.0
    step, expected = expm(matrix), np.asarray([15.0, 15.0])
    for hour in range(120):
        expected = (step @ [*expected, OUTSIDE[hour], OUTSIDE[hour + 1] - OUTSIDE[hour]])[:2]
    for rtol in (1e-6, 1e-8, 1e-10):
        sol = solve_ivp(*IN_TIME["interp"][:1], (0, 120), [15.0, 15.0], rtol=rtol, atol=rtol)
        assert np.abs(sol.y[:, -1] - expected).max() <= 10 * rtol


IN_STATE = {
    "spring on one side": (lambda t, y: [y[1], np.sin(t) - 4 * np.maximum(y[0], 0) - y[0]], 20.0, [0.0, 0.0]),
    "absolute value": (lambda t, y: [y[1], -y[0] - 0.3 * np.abs(y[0]) + np.cos(0.7 * t)], 20.0, [0.2, 0.0]),
    "saturation": (lambda t, y: [y[1], -np.clip(5 * y[0], -1, 1) + 0.5 * np.sin(t)], 20.0, [0.5, 0.0]),
    "overflow": (
        lambda t, y: [1 + np.sin(t) - np.sqrt(np.maximum(y[0], 0)) - 2 * np.maximum(y[0] - 1, 0)],
        20.0,
        [0.5],
    ),
    "valve": (lambda t, y: [np.minimum(y[0], 2.0) * np.sin(t), y[0] - y[1]], 20.0, [1.5, 0.0]),
    "diode": (lambda t, y: [np.where(y[0] > 0, -y[0], -0.1 * y[0]) + np.cos(t)], 20.0, [1.0]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_STATE)
@pytest.mark.parametrize("rtol", [1e-6, 1e-8])
def test_kinks_in_the_state(name, rtol):
    fun, end, y0 = IN_STATE[name]
    sol = solve_ivp(fun, (0, end), y0, "Radau", rtol=rtol, atol=rtol)
    expected = scipy_solve_ivp(fun, (0, end), y0, "DOP853", rtol=1e-12, atol=1e-13, max_step=0.01).y[:, -1]
    assert sol.success
    assert len(sol.meshes) <= 7
    assert np.abs(sol.y[:, -1] - expected).max() <= 100 * rtol


@pytest.mark.parametrize("method", ["Gauss", "RK4", "DOP853"])
def test_other_methods_find_them_too(method):
    fun, end, y0, places = IN_TIME["clipped"]
    sol = solve_ivp(fun, (0, end), y0, method, rtol=1e-7, atol=1e-9)
    assert sol.success
    assert np.abs(sol.y[:, -1] - right_value(fun, end, y0, places)).max() <= 1e-5


def test_backwards():
    fun, end, y0, places = IN_TIME["clipped"]
    sol = solve_ivp(lambda t, y: [-rate for rate in fun(-t, y)], (0, -end), y0, rtol=1e-8, atol=1e-10)
    assert len(sol.meshes) <= 5
    assert np.abs(sol.y[:, -1] - right_value(fun, end, y0, places)).max() <= 1e-8


@pytest.mark.parametrize("begin", [1.7e9, -3e5, 1e-3])
def test_at_any_time(begin):
    """To the digits that the times have."""
    fun, _, y0, places = IN_TIME["stairs"]
    sol = solve_ivp(lambda t, y: fun(t - begin, y), (begin, begin + 20.5), y0, rtol=1e-8, atol=1e-10)
    assert sol.success
    assert len(sol.meshes) <= 6
    assert np.abs(sol.y[:, -1] - right_value(fun, 20.5, y0, places)).max() <= 1e-8 + 100 * np.spacing(abs(begin))


def test_a_batch():
    rates = np.asarray([0.1, 0.2, 0.3])
    sol = solve_ivp(lambda t, y: [np.abs(np.sin(t)) - rates * y[0]], (0, 10), np.zeros((1, 3)), rtol=1e-8, atol=1e-8)
    places = np.arange(1, 4) * np.pi
    for rate, y in zip(rates, sol.y[0, -1], strict=True):
        expected = right_value(lambda t, y, rate=rate: [np.abs(np.sin(t)) - rate * y[0]], 10.0, [0.0], places)
        assert abs(y - expected[0]) <= 1e-7
    assert len(sol.meshes) <= 5


def test_complex_states():
    sol = solve_ivp(lambda t, y: [np.abs(np.sin(t)) - 1j * y[0]], (0, 10), [0j], "Radau", rtol=1e-8, atol=1e-8)
    fun = lambda t, y: [np.abs(np.sin(t)) + y[1], -y[0]]  # noqa: E731 - real and imaginary part
    expected = right_value(fun, 10.0, [0.0, 0.0], np.arange(1, 4) * np.pi)
    assert np.abs(sol.y[0, -1] - (expected[0] + 1j * expected[1])) <= 1e-7
    assert len(sol.meshes) <= 5


def test_single_precision():
    fun = lambda t, y: [np.where(np.asarray(t) < 2.3, 1.0, -1.0).astype(np.float32) - y[0]]  # noqa: E731
    sol = solve_ivp(fun, (0, 4), np.zeros(1, np.float32), "Radau", rtol=2e-5, atol=1e-6)
    assert sol.y.dtype == np.float32
    assert abs(sol.y[0, -1] - (-1 + (2 - np.exp(-2.3)) * np.exp(-1.7))) <= 1e-4


def test_arrays_of_the_standard():
    fun = lambda t, y: strict.abs(strict.sin(strict.asarray(t))) - y / 10  # noqa: E731
    sol = solve_ivp(fun, (0, 10), strict.asarray([0.0]), "Radau", rtol=1e-8, atol=1e-8)
    expected = right_value(lambda t, y: [np.abs(np.sin(t)) - y[0] / 10], 10.0, [0.0], np.arange(1, 4) * np.pi)
    assert abs(float(sol.y[0, -1]) - expected[0]) <= 1e-7
    assert len(sol.meshes) <= 5


def right_hand_side(fun, y0):
    return Evaluation(as_problem(fun, (0, 1), np.asarray(y0), None, None, 1e-8, 1e-8, np.inf), None).right_hand_side()


def found_in(fun, t, y=None, breaks=None):
    """Places in the intervals of a mesh, on which the solution is that of the states, or constant."""
    y = np.zeros((len(t), 1)) if y is None else y
    stages = np.broadcast_to((np.diff(y, axis=0) / np.diff(t)[:, None])[:, None, :], (len(t) - 1, 7, y.shape[1]))
    trial, every = PiecewisePolynomial(radau(7), t, y, np.array(stages), breaks), np.ones(len(t) - 1, dtype=bool)
    found = find(right_hand_side(fun, y[0]), trial, Scale(1e-8, np.asarray(1e-8)), every, every)
    return np.zeros(0) if found is None else found


@settings(max_examples=60, deadline=None)
@given(
    place=st.floats(0.1, 0.9),
    jump=st.sampled_from([0, 1, 2, 3]),
    size=st.floats(0.1, 100.0) | st.floats(-100.0, -0.1),
    frequency=st.floats(0.0, 2.0),
)
def test_one_place_in_an_interval_is_found(place, jump, size, frequency):
    """A jump exactly, a kink almost so, and a jump of a higher derivative to a share of the interval."""

    def fun(t, y):
        return np.cos(frequency * t) + size * np.where(t >= place, (t - place) ** jump, 0.0) + 0 * y

    found = found_in(fun, np.asarray([0.0, 1.0]))
    assert len(found) == 1
    assert abs(found[0] - place) <= {0: 1e-14, 1: 1e-7}.get(jump, 1e-2)


@settings(max_examples=60, deadline=None)
@given(
    place=st.floats(-0.9, 0.9),
    slope=st.floats(0.1, 10.0) | st.floats(-10.0, -0.1),
)
def test_a_kink_along_the_solution_is_found(place, slope):
    """The state is the time."""
    t = np.asarray([-1.0, 1.0])
    found = found_in(lambda t, y: slope * np.abs(y - place), t, t[:, None])
    assert len(found) == 1
    assert abs(found[0] - place) <= 1e-7


@pytest.mark.parametrize(
    "fun",
    [
        lambda t, y: np.exp(3 * t) + 0 * y,
        lambda t, y: np.sin(20 * t) + 0 * y,
        lambda t, y: 1e6 * np.cos(t) + 0 * y,
        lambda t, y: 1 / (1.1 - t) + 0 * y,
        lambda t, y: np.tanh(5 * (t - 0.4)) + 0 * y,
        lambda t, y: 1e5 * (1 + y),
        lambda t, y: np.where(y > 0.3, 1.0, -1.0),
        lambda t, y: np.where(t > 0.5, np.nan, 1.0) + 0 * y,
        lambda t, y: np.random.default_rng(0).standard_normal(np.shape(t)) + 0 * y,
    ],
)
def test_what_is_smooth_or_jumps_in_the_state_or_is_noise_is_not_found(fun):
    t = np.asarray([0.0, 1.0])
    assert found_in(fun, t, t[:, None]).size == 0


def test_nothing_is_found_on_arrays_of_the_standard():
    """Slices of such arrays end within them, those of empty ones at once."""
    t, every = strict.asarray([0.0, 1.0]), strict.asarray([True])
    problem = as_problem(
        lambda t, y: strict.exp(strict.asarray(t)) - y, (0, 1), strict.asarray([1.0]), None, None, 1e-8, 1e-8, np.inf
    )
    rhs = Evaluation(problem, None).right_hand_side()
    trial = PiecewisePolynomial(radau(7), t, strict.ones((2, 1)), strict.zeros((1, 7, 1)))
    assert find(rhs, trial, Scale(1e-8, strict.asarray(1e-8)), every, every) is None
    assert find(rhs, trial, Scale(1e-8, strict.asarray(1e-8)), ~every, every) is None


def test_known_breakpoints_are_not_found_again():
    t = np.asarray([0.0, 0.5, 1.0])
    fun = lambda t, y: np.where(t < 0.5, 1.0, 2.0) + np.abs(t - 0.8) + 0 * y  # noqa: E731
    assert np.abs(found_in(fun, t) - [0.5]).max() <= 1e-14
    assert np.abs(found_in(fun, t, breaks=np.asarray([0.5])) - [0.8]).max() <= 1e-9


def test_intervals_are_looked_at_in_parts(limit_memory):
    t = np.linspace(0, 1, 12)
    fun = lambda t, y: np.abs(np.sin(9 * t)) + np.floor(3 * t) + 0 * y  # noqa: E731
    whole = found_in(fun, t)
    limit_memory(intermediate=60)
    assert len(whole) >= 3
    assert np.abs(found_in(fun, t) - whole).max() <= 1e-9


def test_a_jump_at_the_end_of_the_span_is_seen_from_before():
    """The last stage of an interval is its end."""
    sol = solve_ivp(lambda t, y: [np.floor(t)], (0, 3), [0.0], "Radau", rtol=1e-8, atol=1e-8)
    assert abs(sol.y[0, -1] - 3) <= 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("ode", ODES, ids=lambda ode: ode.name)
def test_smooth_problems_are_solved_as_without(ode, monkeypatch):
    """Nothing is found in them where it is looked for, and hardly ever is it."""
    for rtol in (1e-6, 1e-8, 1e-10):
        sol = solve_ivp(ode.fun, (0, ode.end), ode.y0, "Radau", rtol=rtol, atol=rtol * ode.scale)
        with monkeypatch.context() as patched:
            patched.setattr(_window, "find", lambda *_: None)
            without = solve_ivp(ode.fun, (0, ode.end), ode.y0, "Radau", rtol=rtol, atol=rtol * ode.scale)
        assert sol.meshes == without.meshes
        assert np.array_equal(sol.y, without.y)


@pytest.mark.parametrize("backwards", [False, True])
def test_new_breakpoints_are_nodes_of_a_new_mesh(backwards):
    t, breaks = np.linspace(0, 1, 11), np.asarray([0.31, 0.32, 0.5, 0.77])
    t = t[::-1].copy() if backwards else t
    assessed = Assessed(Mesh(t), np.full(10, 1e4), 4)
    one_bad = replace(assessed, error=np.where(np.arange(10) == 3, 1e4, 0.1))
    for better in (
        assessed.broken_at(breaks).equidistributed(),
        assessed.broken_at(breaks).refined(2.0),
        one_bad.broken_at(breaks).refined(2.0),
    ):
        assert set(breaks) <= set(better.t)
        assert better.t[0] == t[0]
        assert better.t[-1] == t[-1]
        assert np.all(np.diff(better.t) * (-1 if backwards else 1) > 0)
        assert np.array_equal(better.breaks, breaks)


@pytest.mark.parametrize(("seen", "parts"), [(4.0, 4), (1.5, 20), (0.2, 20)])
def test_what_falls_slowly_is_cut_into_more_parts(seen, parts):
    """One interval of many is bad, and its error was that of twice the length before."""
    t = np.linspace(0, 1, 11)
    error = np.where(np.arange(10) == 4, 30.0, 0.1)
    before = Assessed(Mesh(np.linspace(0, 1, 6)), np.full(5, 30.0 * 2**seen), 4)
    better = Assessed(Mesh(t), error, 4).refined(2.0, before)
    assert better.intervals == 9 + parts
    assert TARGET == 0.3
