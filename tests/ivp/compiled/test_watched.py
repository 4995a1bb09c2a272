"""Events that machine code looks for: beside zeros of exact solutions, by every method, and beside those of Python."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from parscan import solve_ivp
from parscan._ivp.compiled import march as _march
from parscan._ivp.compiled import solve as _solve
from parscan._ivp.compiled import solvers as _solvers
from parscan._ivp.compiled import watched as _watched
from parscan._ivp.compiled.repeat import forget_repeats
from parscan._ivp.compiled.solvers import METHODS
from parscan._ivp.output import events as _events
from parscan._recorded.budget import NoCodeError

TOLERANCES = {"rtol": 1e-9, "atol": 1e-11}


def event(function, **attributes):
    def watched(t, y, *args):
        return function(t, y, *args)

    for name, value in attributes.items():
        setattr(watched, name, value)
    return watched


def oscillator(t, y):
    return [y[1], -y[0]]


def falling(t, y):
    return [y[1], -9.81 + 0.0 * y[1]]


@pytest.fixture(params=range(len(METHODS)), ids=METHODS)
def method(request, monkeypatch):
    """Marches begin with each of the methods."""
    begin = _march.March.__init__

    def made(self, *given, **options):
        begin(self, *given, **options)
        self.method = self.stiff = request.param if request.param else self.method
        self.choose_stiff = lambda *_: None

    if request.param:
        monkeypatch.setattr(_march.March, "__init__", made)
        monkeypatch.setattr("parscan._ivp.compiled.accuracy.known_of", lambda *_, **__: Fixed(request.param))
    forget_repeats()
    yield METHODS[request.param]
    forget_repeats()


class Fixed(SimpleNamespace):
    """What is known where a method is given."""

    def __init__(self, method):
        super().__init__(
            share=1.0, method=method, stiff=method, is_asked=False, enter=lambda *_: None,
            vain=None, is_vain=lambda *_: False,
        )  # fmt: skip


@pytest.fixture
def by_code(monkeypatch):
    """Python must look for no events."""

    def fails(*_, **__):
        raise AssertionError

    monkeypatch.setattr(_events.Watch, "see", fails)


def solved(events, span=(0.0, 20.0), y0=(1.0, 0.0), fun=oscillator, **options):
    sol = solve_ivp(fun, span, y0, compile=True, events=events, **(TOLERANCES | options))
    assert sol.success
    assert sol.compiled
    return sol


@pytest.mark.parametrize("dense_output", [False, True])
@pytest.mark.parametrize("direction", [-1, 0, 1])
@pytest.mark.parametrize("way", [1.0, -1.0])
def test_all_zeros_of_an_oscillation(way, direction, dense_output, method, by_code):
    """cos(t - φ) = 0.3, forwards and backwards; states are those of the polynomial to the last bits."""
    level, shift = event(lambda t, y: y[0] - 0.3, direction=direction), 0.4
    sol = solved(level, (0.0, way * 20.0), (np.cos(shift), np.sin(shift)), dense_output=dense_output)
    assert sol.method == method
    grid = np.arccos(0.3) * np.array([1.0, -1.0]) + 2 * np.pi * np.arange(-6, 7)[:, None] + shift
    t = np.sort(way * grid.ravel())
    t = way * t[(t > 0) & (t < 20)]
    slopes = -way * np.sin(t - shift)  # along the way
    np.testing.assert_allclose(sol.t_events[0], t[slopes * direction >= 0], rtol=0, atol=3e-8)
    np.testing.assert_allclose(sol.y_events[0][:, 0], 0.3, rtol=0, atol=3e-14 if dense_output else 1e-15)
    if dense_output:
        np.testing.assert_allclose(sol.sol(sol.t_events[0]).T, sol.y_events[0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("dense_output", [False, True])
def test_the_end_at_a_counted_event(most, dense_output, method, by_code):
    """Other events are kept up to it; output and errors end there."""
    crossing, peak = event(lambda t, y: y[0], terminal=most), event(lambda t, y: y[1])
    times = np.linspace(0, 20, 101)
    for t_eval in (None, times):
        sol = solved([crossing, peak], t_eval=t_eval, dense_output=dense_output)
        assert sol.status == 1
        end = (most - 0.5) * np.pi
        np.testing.assert_allclose(sol.t_events[0], np.pi * (np.arange(most) + 0.5), rtol=0, atol=3e-8)
        np.testing.assert_allclose(sol.t_events[1], np.pi * np.arange(most), rtol=0, atol=3e-8)
        assert sol.mesh[-1] == sol.t_events[0][-1]
        np.testing.assert_allclose(sol.y_events[0][-1], [0, np.cos(np.pi * most + np.pi / 2 - np.pi / 2)], atol=1e-7)
        if t_eval is None:
            np.testing.assert_array_equal(sol.y[:, -1], sol.y_events[0][-1])
            assert sol.t[-1] == sol.t_events[0][-1]
        else:
            np.testing.assert_array_equal(sol.t, times[times <= end])
        np.testing.assert_allclose(sol.y, [np.cos(sol.t), -np.sin(sol.t)], rtol=0, atol=1e-7)
        assert sol.errors.shape == sol.t.shape
        assert (sol.errors < 100).all()
        if dense_output:
            inside = np.linspace(0, sol.t_events[0][-1], 333)
            np.testing.assert_allclose(sol.sol(inside), [np.cos(inside), -np.sin(inside)], rtol=0, atol=1e-7)
            assert sol.sol.t_max == sol.t_events[0][-1]


@settings(max_examples=60, deadline=None)
@given(height=st.floats(1e-3, 1e3), speed=st.floats(-50, 50), digits=st.integers(3, 12), start=st.floats(-10, 10))
def test_a_fall(height, speed, digits, start):
    """The end is the root of a parabola, which the polynomials are."""
    ground = event(lambda t, y: y[0], terminal=True, direction=-1)
    root = np.sqrt(speed**2 + 2 * 9.81 * height)
    passed = (speed + root) / 9.81 if speed > 0 else 2 * height / (root - speed)
    assume(passed < 90)
    sol = solved(ground, (start, start + 100.0), (height, speed), falling, rtol=10.0**-digits, atol=10.0**-digits)
    assert sol.status == 1
    scale = abs(start) + passed
    lost = 1e-13 * (height + abs(speed) * passed + 9.81 * passed**2) / root
    assert abs(sol.t[-1] - start - passed) <= 1e-14 * scale + lost
    np.testing.assert_allclose(sol.y[1, -1], speed - 9.81 * passed, rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    level=st.floats(-0.9, 0.9), direction=st.sampled_from([-1, 0, 1]), most=st.integers(0, 6),
    phase=st.floats(0, 6), span=st.floats(5, 40), way=st.sampled_from([1, -1]),
)  # fmt: skip
def test_python_finds_the_same(level, direction, most, phase, span, way):
    one = event(lambda t, y: y[0] - level, direction=direction, terminal=most)
    two = event(lambda t, y: y[0] * y[1] - 0.1 * np.sin(t))
    y0 = np.cos(phase), np.sin(phase)
    assume(abs(y0[0] - level) > 1e-3)
    found = solved([one, two], (0.0, way * span), y0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_watched, "recording_of", lambda *_: None)
        forget_repeats()
        expected = solved([one, two], (0.0, way * span), y0)
        forget_repeats()
    assert found.status == expected.status
    for k in range(2):
        np.testing.assert_allclose(found.t_events[k], expected.t_events[k], rtol=0, atol=1e-7)
        np.testing.assert_allclose(found.y_events[k], expected.y_events[k], rtol=0, atol=1e-7)


def test_thrown_from_the_ground(method, by_code):
    """The event is zero at the begin: it counts there where the sign after it fits the direction."""
    for direction, number in ((-1, 1), (0, 2), (1, 1)):
        ground = event(lambda t, y: y[0], direction=direction)
        sol = solved(ground, (0.0, 3.0), (0.0, 9.81), falling)
        expected = {-1: [2.0], 0: [0.0, 2.0], 1: [0.0]}[direction]
        np.testing.assert_allclose(sol.t_events[0], expected, atol=1e-12)
        assert len(sol.y_events[0]) == number
    short = solved(event(lambda t, y: y[0], direction=-1, terminal=True), (0.0, 100.0), (0.0, 9.81e-5), falling)
    np.testing.assert_allclose(short.t_events[0], [2e-5], rtol=1e-9)


def test_two_zeros_within_a_step(method, by_code):
    """A step may be long, as the solution is a parabola: it touches a level from above for a short time."""
    level = event(lambda t, y: y[0] - 0.5)
    sol = solved(level, (0.0, 16.0), (64.0, -16.0), lambda t, y: [y[1], 2.0 + 0 * y[1]])  # (t - 8)²
    np.testing.assert_allclose(sol.t_events[0], [8 - np.sqrt(0.5), 8 + np.sqrt(0.5)], atol=1e-8)


def test_parameters_and_repeats(by_code):
    """Events take the same arguments; other values need no other code, and what they read may change."""
    at = {"level": 0.5}
    watched = event(lambda t, y, rate, scale: scale * y[0] - at["level"], terminal=True)
    fun = lambda t, y, rate, scale: [-rate * y[0]]  # noqa: E731
    for rate, scale, level in ((1.0, 1.0, 0.5), (1.0, 1.0, 0.5), (2.0, 1.0, 0.5), (2.0, 0.8, 0.5), (2.0, 0.8, 0.3)):
        at["level"] = level
        sol = solve_ivp(
            fun, (0.0, 50.0), [1.0], compile=True, events=watched, args=(rate, scale), **TOLERANCES
        )  # fmt: skip
        np.testing.assert_allclose(sol.t_events[0], [np.log(scale / level) / rate], atol=1e-8)


def test_what_comes_after_the_end_in_the_same_step(by_code):
    """It is not seen, neither by the first solve nor by later ones."""
    ground, cellar = event(lambda t, y: y[0], terminal=True), event(lambda t, y: y[0] + 0.01)
    for both in ([ground, cellar], [cellar, ground]):
        for _ in range(4):
            sol = solved(both, (0.0, 100.0), (5.0, 0.0), falling)
            assert sorted(map(len, sol.t_events)) == [0, 1]
            np.testing.assert_allclose(sol.t[-1], np.sqrt(10 / 9.81), rtol=1e-13)


def test_nothing_behind_an_event_is_needed(method, by_code):
    """The solution ends soon after the event."""
    sol = solved(event(lambda t, y: y[0] - 5.0, terminal=True), (0.0, 3.0), (1.0,), lambda t, y: [y[0] ** 2])
    np.testing.assert_allclose(sol.t[-1], 0.8, atol=1e-8)
    endless = solved(event(lambda t, y: y[0] - 5.0, terminal=True), (0.0, np.inf), (1.0,), lambda t, y: [y[0] ** 2])
    np.testing.assert_allclose(endless.t[-1], 0.8, atol=1e-8)


def test_events_of_a_problem_that_becomes_stiff(by_code):
    """Those behind the place to which the stiff method returns are its own, and they are counted once."""

    def van_der_pol(t, y):
        return [y[1], 300 * (1 - y[0] ** 2) * y[1] - y[0]]

    crossing = event(lambda t, y: y[0])
    sol = solved(crossing, (0.0, 1000.0), (2.0, 0.0), van_der_pol, rtol=1e-8, atol=1e-8)
    assert sol.method != "DOP853"
    exact = solved(crossing, (0.0, 1000.0), (2.0, 0.0), van_der_pol, rtol=1e-11, atol=1e-12)
    assert len(exact.t_events[0]) == 4
    np.testing.assert_allclose(sol.t_events[0], exact.t_events[0], rtol=1e-6)
    third = solved(event(lambda t, y: y[0], terminal=3), (0.0, 1000.0), (2.0, 0.0), van_der_pol, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(third.t_events[0], exact.t_events[0][:3], rtol=1e-6)


def test_explicit_steps_that_are_left_out(by_code):
    """What they found is left out with them, as the stiff method finds it again."""
    often = event(lambda t, y: np.sin(60.0 * t), terminal=55)
    fun = lambda t, y: [-(1 + 50 * t**4) * (y[0] - np.cos(t))]  # noqa: E731
    sol = solved(often, (0.0, 3.0), (1.0,), fun, rtol=1e-6, atol=1e-8)
    assert "DOP853, from t = " in sol.message
    np.testing.assert_allclose(sol.t_events[0], np.pi / 60 * np.arange(55), atol=1e-12)


def test_corners_and_events(method, by_code):
    """A comparison with an event ends where that does, in whatever stretch it is."""
    fun = lambda t, y: [np.where(t < 1.0, 1.0, np.where(t < 2.0, -2.0, 3.0)) + 0 * y[0]]  # noqa: E731
    for level, expected, direction in (
        (0.47, [0.47, 1.265, 2.49], 0),
        (0.47, [0.47, 2.49], 1),
        (-0.47, [1.735, 2.0 + 0.53 / 3], 0),
    ):
        sol = solved(event(lambda t, y, level=level: y[0] - level, direction=direction), (0.0, 3.0), (0.0,), fun)
        np.testing.assert_allclose(sol.t_events[0], expected, atol=1e-12)
        last = event(lambda t, y, level=level: y[0] - level, direction=direction, terminal=len(expected))
        sol = solved(last, (0.0, 3.0), (0.0,), fun)
        np.testing.assert_allclose(sol.t[-1], expected[-1], atol=1e-12)


@pytest.mark.parametrize("function", [lambda t, y: np.maximum(y[0], 0.0), lambda t, y: np.where(t < 5, 1.0, 0.0)])
def test_events_without_a_sign_are_left_to_python(function, monkeypatch):
    seen = []
    see = _events.Watch.see
    monkeypatch.setattr(_events.Watch, "see", lambda *given, **options: seen.append(given) or see(*given, **options))
    sol = solved(event(function))
    assert seen
    assert len(sol.t_events[0]) >= 1


def test_an_event_that_is_nan():
    with pytest.raises(ValueError, match=r"`events\[0\]` is NaN"):
        solved(event(lambda t, y: np.where(t > 5.0, np.nan, 1.0)))


def test_what_contradicts_the_record_is_left_to_python(monkeypatch):
    """Values of the user's function count."""
    real = _watched.Watched.agrees
    answers = []
    monkeypatch.setattr(_watched.Watched, "agrees", lambda *given: answers.append(real(*given)) or False)
    sol = solved(event(lambda t, y: y[0]))
    assert answers == [True]
    np.testing.assert_allclose(sol.t_events[0], np.pi * (np.arange(6) + 0.5), atol=1e-7)


@pytest.mark.parametrize("off", ["occurrence", "end"])
def test_comparisons_see_other_values(off):
    """A value at an occurrence, or at an end of a step, that differs is noticed."""
    given = event(lambda t, y: y[0])
    sol = solved(given, dense_output=True)
    problem = SimpleNamespace(y0=np.array([1.0, 0.0]), args=())
    recordings = solve_recordings(given)
    watched = _watched.Watched((_events.prepare(given)), recordings, ())
    rows = np.array([[0, t, y[0], 1.0, *y] for t, y in zip(sol.t_events[0], sol.y_events[0], strict=True)])
    assert watched.agrees(problem, rows, sol.mesh, sol.sol(sol.mesh).T)
    assert watched.agrees_again(problem, rows, 0.0, np.array([1.0, 0.0]), [1.0])
    assert watched.agrees_again(problem, rows[:0], 0.0, np.array([1.0, 0.0]), [1.0])
    if off == "occurrence":
        rows[-1, 2] += 1e-10
        assert not watched.agrees_again(problem, rows, 0.0, np.array([1.0, 0.0]), [1.0])
    else:
        other = event(lambda t, y: y[0] + 1e-10 * (t > 1))
        watched = _watched.Watched((_events.prepare(other)), recordings, ())
        assert not watched.agrees_again(problem, rows[:0], 2.0, np.array([1.0, 0.0]), [1.0])
        rows = rows[:0]
    assert not watched.agrees(problem, rows, sol.mesh, sol.sol(sol.mesh).T)


def solve_recordings(given):
    """The recordings of an event with the oscillator."""
    from parscan._ivp.core.problem import Problem

    y0 = np.array([1.0, 0.0])
    problem = Problem(oscillator, None, (), (0.0, 20.0), y0, 1e-9, 1e-9, np.asarray(1e-11), np.inf)
    return (_watched.recording_of(given, problem, ()),)


def test_many_events_and_many_occurrences(by_code):
    """Rows for occurrences are filled more than once."""
    several = [event(lambda t, y, k=k: y[0] - 0.1 * k) for k in range(-4, 5)]
    for _ in range(3):
        sol = solved(several, (0.0, 400.0))
        for k, found in zip(range(-4, 5), sol.t_events, strict=True):
            expected = np.sort((np.arccos(0.1 * k) * np.array([1, -1]) + 2 * np.pi * np.arange(0, 66)[:, None]).ravel())
            expected = expected[(expected > 0) & (expected < 400)]
            np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sum(map(len, sol.t_events)) > 1000


def test_complex_states(method, by_code):
    real = event(lambda t, y: y[0].real, terminal=3)
    sol = solve_ivp(lambda t, y: [1j * y[0]], (0.0, 20.0), [1.0 + 0j], compile=True, events=real, **TOLERANCES)
    np.testing.assert_allclose(sol.t_events[0], np.pi * (np.arange(3) + 0.5), atol=1e-7)
    assert sol.y_events[0].dtype == complex
    np.testing.assert_allclose(sol.y[:, -1], sol.y_events[0][-1], atol=1e-15)


def test_the_module_of_solves_is_the_one_that_is_patched():
    assert _solve.watched is _watched.watched


def test_too_many_events_are_left_to_python():
    several = [event(lambda t, y, k=k: y[0] - 0.05 * k) for k in range(-8, 9)]
    for _ in range(3):
        sol = solved(several)
        assert [len(found) for found in sol.t_events] == [6] * 17


def test_events_without_code_are_left_to_python(monkeypatch):
    """If a solver with them cannot be made, one without them is."""
    made = _solvers._made

    def fails(*given):
        if given[-1] is not None and len(given) > 5:
            raise NoCodeError("is not to be")
        return made(*given)

    monkeypatch.setattr(_solvers, "_made", fails)
    for _ in range(3):
        sol = solved(event(lambda t, y: y[0] - 0.25))
        assert len(sol.t_events[0]) == 6


def test_threads_share_solvers():
    """What is read of a run is read before another thread may have it."""
    levels = [event(lambda t, y, k=k: y[0] - 0.1 * k, terminal=4) for k in range(1, 4)]
    expected = [solved(one).t_events[0] for one in levels]

    def some(number):
        for _ in range(30):
            np.testing.assert_allclose(solved(levels[number % 3]).t_events[0], expected[number % 3], atol=1e-8)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(some, range(8)))
