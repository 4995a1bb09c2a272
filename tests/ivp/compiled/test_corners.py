"""Times at which a recorded function has a kink or a jump: steps of compiled solves end there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parscan import solve_ivp
from parscan._ivp.compiled.corners import LEFT_OUT


def solve(*args, rtol=1e-6, atol=1e-6, **options):
    return solve_ivp(*args, rtol=rtol, atol=atol, compile=True, **options)


def window(rng, end):
    start, width, height = rng.uniform(1, end - 3), rng.uniform(0.003, 1.5), rng.uniform(1, 50)
    return lambda t, y: [np.where((t >= start) & (t < start + width), height, 0.0) + 0 * y[0]], height * width


def triangle(rng, end):
    start, width, height = rng.uniform(1, end - 3), rng.uniform(0.003, 1.5), rng.uniform(1, 50)
    times, values = [0.0, start, start + width / 2, start + width, end], [0.0, 0.0, height, 0.0, 0.0]
    return lambda t, y: [np.interp(t, times, values) + 0 * y[0]], height * width / 2


def doses(rng, end):
    count = rng.integers(1, 12)
    starts, widths, heights = rng.uniform(0, end - 2, count), rng.uniform(0.003, 0.6, count), rng.uniform(1, 20, count)

    def fun(t, y):
        rate = 0 * y[0]
        for start, width, height in zip(starts, widths, heights, strict=True):
            rate = rate + height * np.where(t < start, 0.0, np.where(t <= start + width, 1.0, 0.0))
        return [rate]

    return fun, heights @ widths


def pieces(rng, end):
    start, width, height = rng.uniform(1, end - 3), rng.uniform(0.003, 1.5), rng.uniform(1, 50)

    def fun(t, y):
        conditions = [t < start, (t >= start) & (t < start + width)]
        return [np.piecewise(t, conditions, [0.0, lambda s: height * (s - start), 0.0]) + 0 * y[0]]

    return fun, height * width**2 / 2


def repeated(rng, end):
    period, width, shift, height = rng.uniform(3, 30), rng.uniform(0.003, 0.4), rng.uniform(0, 3), rng.uniform(1, 50)
    starts = np.arange(200) * period - shift
    on = np.clip(np.minimum(starts + width, end) - np.maximum(starts, 0.0), 0.0, None).sum()
    return lambda t, y: [height * np.where(np.mod(t + shift, period) < width, 1.0, 0.0) + 0 * y[0]], height * on


def waves(rng, end):
    """The sine is above a level for a short time in each period."""
    period, share = rng.uniform(3, 30), rng.uniform(0.001, 0.1)
    level = np.cos(np.pi * share)
    places = (np.arange(200) + 0.25) * period
    on = np.clip(np.minimum(places + share * period / 2, end) - (places - share * period / 2), 0.0, None).sum()
    return lambda t, y: [np.where(np.sin(2 * np.pi * t / period) > level, 7.0, 0.0) + 0 * y[0]], 7 * on


def tables(rng, end):
    values = rng.uniform(-3, 3, 211) * (rng.uniform(size=211) < 0.05)
    step = end / 211
    return lambda t, y: [
        values[np.minimum(np.floor(np.asarray(t) / step).astype(int), 210)] + 0 * y[0]
    ], values.sum() * step


KINDS = window, triangle, doses, pieces, repeated, waves, tables


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_pulse_is_missed(kind, seed):
    """Pulses are much shorter than steps, and nothing else tells of them."""
    end = 100.0
    fun, integral = kind(np.random.default_rng(seed), end)
    sol = solve(fun, (0.0, end), [1.0])
    assert sol.compiled
    np.testing.assert_allclose(sol.y[0, -1], 1 + integral, rtol=1e-9)


@st.composite
def piecewise(draw):
    """Breakpoints, whether each belongs to the right, and slopes and values of a function that is linear between."""
    count = draw(st.integers(1, 8))
    places = draw(st.lists(st.floats(-4, 4, width=32), min_size=count, max_size=count, unique=True))
    closed = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    lines = draw(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=count + 1, max_size=count + 1))
    return np.sort(np.array(places)), closed, lines


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(piecewise(), st.booleans(), st.sampled_from(["nodes", "times", "dense"]))
def test_random_functions(drawn, backwards, output):
    """The integral is exact at every time, whatever is asked for."""
    places, closed, lines = drawn

    def fun(t, y):
        found = lines[-1][0] * t + lines[-1][1] + 0 * y[0]
        for place, right, (slope, value) in zip(places[::-1], closed[::-1], lines[-2::-1], strict=True):
            found = np.where(t < place if right else t <= place, slope * t + value, found)
        return [found]

    def integral(t):
        """From 0 to each time."""
        ends = np.concatenate([[-np.inf], places, [np.inf]])
        total = np.zeros_like(t)
        for low, high, (slope, value) in zip(ends[:-1], ends[1:], lines, strict=True):
            at, start = np.clip(t, low, high), np.clip(0.0, low, high)
            total += slope * (at**2 - start**2) / 2 + value * (at - start)
        return total

    span = (5.0, -5.0) if backwards else (-5.0, 5.0)
    times = np.linspace(*span, 37) if output == "times" else None
    sol = solve(fun, span, integral(np.array(span[:1])), t_eval=times, dense_output=output == "dense")
    assert sol.compiled
    np.testing.assert_allclose(sol.y[0], integral(sol.t), atol=1e-9)
    if output == "dense":
        between = np.linspace(*span, 101)
        np.testing.assert_allclose(sol.sol(between)[0], integral(between), atol=1e-9)


@pytest.mark.parametrize("method", ["explicit", "stiff"])
def test_each_side_of_a_jump_has_its_own_values(method):
    """The slope at the begin of the steps behind a jump is that of its side, also for the stiff method."""
    rate = 1.0 if method == "explicit" else 1e5

    def fun(t, y):
        return [rate * (np.where(t < 1.0, 1.0, 3.0) - y[0])]

    sol = solve(fun, (0.0, 2.0), [1.0], rtol=1e-9, atol=1e-9)
    assert sol.compiled
    assert 1.0 in sol.t
    exact = np.where(sol.t <= 1, 1.0, 3 - 2 * np.exp(-rate * np.maximum(sol.t - 1, 0)))
    np.testing.assert_allclose(sol.y[0], exact, rtol=1e-7)


def test_parameters_move_corners():
    def fun(t, y, start, height):
        return [np.where((t > start) & (t < start + 1e-3), height, 0.0) + 0 * y[0]]

    for start, height in ((2.0, 5.0), (7.3, 2.0), (7.3, 3.0), (40.0, 1.0)):
        sol = solve(fun, (0.0, 20.0), [0.0], args=(start, height))
        np.testing.assert_allclose(sol.y[0, -1], height * 1e-3 if start < 20 else 0.0, rtol=1e-9, atol=1e-12)


def test_corners_beside_jumps_of_the_user():
    """A corner is no second node where rounding alone keeps it from a jump."""

    def fun(t, y):
        return [np.where(3 * t < 0.9, 1.0, 5.0) + np.where(t < 2, 0.0, 1.0) + 0 * y[0]]

    sol = solve(fun, (0.0, 3.0), [0.0], jumps=[0.3, 1.0])
    assert {0.3, 1.0, 2.0} <= set(sol.t.tolist())
    assert np.diff(sol.t).min() > 1e-6
    np.testing.assert_allclose(sol.y[0, -1], 0.3 + 5 * 2.7 + 1, rtol=1e-12)


def test_more_corners_than_can_be_dealt_with():
    sol = solve(lambda t, y: [np.floor(1e6 * t) / 1e6 - y[0]], (0.0, 1.0), [0.0])
    assert sol.compiled
    assert LEFT_OUT in sol.message
    np.testing.assert_allclose(sol.y[0, -1], np.exp(-1.0), rtol=1e-3)


def test_an_endless_span():
    def left(t, y):
        return y[0] - 1.0

    left.terminal = True
    sol = solve(lambda t, y: [np.where((t > 3.0) & (t < 3.001), 1500.0, 0.0) + 0 * y[0]], (0.0, np.inf), [0.0],
                events=left)  # fmt: skip
    np.testing.assert_allclose(sol.t[-1], 3 + 1 / 1500, rtol=1e-9)
    assert LEFT_OUT not in sol.message


def test_what_is_left_out_is_told():
    def left(t, y):
        return y[0] - 1.0

    left.terminal = True
    sol = solve(lambda t, y: [np.where(np.mod(t, 3.0) < 1.0, 1.0, 0.5) + 0 * y[0]], (0.0, np.inf), [0.0], events=left)
    assert LEFT_OUT in sol.message

    def fun(t, y, period):
        return np.where(np.mod(t, period) < 1, 1.0, 0.5) + 0 * y

    for count in (5, 200):
        many = solve(fun, (0.0, 10.0), np.zeros((1, count)), args=(np.linspace(3.0, 4.0, count),))
        assert (LEFT_OUT in many.message) == (count == 200)


def test_many_members():
    """Corners of members where affine functions of time are zero need no search."""
    rng = np.random.default_rng(2)
    starts, widths, speeds = rng.uniform(0.5, 9.0, 300), 10.0 ** rng.uniform(-6, -1, 300), rng.uniform(0.5, 2.0, 300)

    def fun(t, y, starts, widths, speeds):
        x = speeds * (t - starts) / widths
        return np.where((x > 0) & (x < 1), 1 / widths, 0.0) + 0 * y

    for span in ((0.0, 10.0), (10.0, 0.0)):
        sol = solve(fun, span, np.zeros((1, 300)), args=(starts, widths, speeds))
        assert sol.compiled
        assert LEFT_OUT not in sol.message
        np.testing.assert_allclose(sol.y[0, -1], (1 if span[1] else -1) / speeds, rtol=1e-8)


def test_weak_kinks():
    """The kinks of a fine table end steps only where the tolerance is tight."""
    times = np.linspace(0.0, 10.0, 1000)
    values = np.sin(times)
    steps = [
        len(solve(lambda t, y: [np.interp(t, times, values) - y[0]], (0.0, 10.0), [0.0], rtol=rtol, atol=rtol).t)
        for rtol in (1e-3, 1e-9)
    ]
    assert steps[0] < 100
    assert steps[1] >= 1000


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("method", ["explicit", "stiff"])
def test_members_with_corners_of_their_own(method, backwards):
    """Doses at times of their own, of different numbers within the span, some of them at the same time or outside."""
    rng = np.random.default_rng(5)
    starts, widths = rng.uniform(-5.0, 25.0, (3, 40)), rng.uniform(0.001, 0.1, 40)
    starts[1, :5] = starts[0, :5]
    rate = 0.1 if method == "explicit" else 2e3

    def fun(t, y, starts, widths):
        dose = sum(np.where((t >= start) & (t < start + widths), 5.0, 0.0) for start in starts)
        return np.stack([dose + 0 * y[0], rate * (np.cos(t) - y[1])])

    span = (20.0, 0.0) if backwards else (0.0, 20.0)
    if backwards and method == "stiff":
        return
    sol = solve(fun, span, np.stack([np.zeros(40), np.ones(40)]), args=(starts, widths))
    assert sol.compiled
    inside = np.clip(starts + widths, 0, 20) - np.clip(starts, 0, 20)
    np.testing.assert_allclose(sol.y[0, -1], (-5 if backwards else 5) * inside.sum(axis=0), atol=1e-9)


def test_members_with_periods_of_their_own():
    periods = np.linspace(3.0, 7.0, 20)

    def fun(t, y, periods):
        return np.where(np.mod(t, periods) < 0.01, 5.0, 0.0) + 0 * y

    sol = solve(fun, (0.0, 20.0), np.zeros((1, 20)), args=(periods,))
    np.testing.assert_allclose(sol.y[0, -1], 0.05 * np.ceil(20 / periods), rtol=1e-9)


def test_long_spans():
    """Rounding of the time of a corner is that of this time, not that of the span."""
    sol = solve(lambda t, y: [np.where(np.mod(t - 1e-3, 24.0) < 0.5, 1.0, 0.0) + 0 * y[0]], (0.0, 2.4e4), [0.0])
    np.testing.assert_allclose(sol.y[0, -1], 500.0, rtol=1e-10)
    few = solve(lambda t, y: [np.where(3.0 * t < 1e-3, 1e3, 0.0) + 0 * y[0]], (0.0, 1e6), [0.0])
    np.testing.assert_allclose(few.y[0, -1], 1 / 3, rtol=1e-9)


POLES = {
    "after": lambda t, y: [1 / (t - 2) if t > 2 else 0.0],
    "before": lambda t, y: [1 / (2 - t) if t < 2 else 0.0],
    "linear": lambda t, y: [0.3 * y[0] / (2 - t) if t < 2 else 0.0],
    "both": lambda t, y: [-1 / (float(t) - 2)],
}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", POLES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_solution_passes_a_pole_at_a_corner(name, backwards):
    """Principal values are no solutions, nor are those of a function that is cut off beside the pole."""
    found = solve(POLES[name], (5, 1.5) if backwards else (0, 5), [1.0])
    assert not found.compiled
    assert not found.success
    assert "left the solution" in " ".join(found.decisions)
    assert abs(found.t[-1] - 2) < 1e-6


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_solutions_pass_singularities_that_have_an_integral():
    found = solve(lambda t, y: [1 / np.sqrt(abs(t - 2))], (0, 5), [1.0], rtol=1e-5)
    assert found.compiled
    assert found.success
    assert found.y[0, -1] == pytest.approx(1 + 2 * np.sqrt(2) + 2 * np.sqrt(3), rel=1e-5)
