"""Windows: how they grow and shrink, and what the march makes of hostile stretches."""

import math

import numpy as np
import pytest
from problems import PROBLEMS, assert_like_loop, loop, lorenz

from parscan import Diagonal, Status, solve_recurrence
from parscan._arrays import memory as _memory
from parscan._engine.convergence import Outcome
from parscan._engine.termination import Termination
from parscan._engine.window import CAREFULLY, FASTER, GROWTH_LIMIT, SHORTER, Window


def outcome(ending, growth=-math.inf):
    return Outcome(ending, np.zeros((1, 1)), 0, (), growth)


WINDOW = Window(100, 8, 10_000)


@pytest.mark.parametrize("careful", [False, True])
def test_windows_grow_after_a_success(careful):
    assert WINDOW.after(100, outcome(Termination.CONVERGED), careful=careful) == 100 * (
        CAREFULLY if careful else FASTER
    )
    assert WINDOW.after(9000, outcome(Termination.CONVERGED), careful=careful) == 10_000


@pytest.mark.parametrize("ending", [e for e in Termination if e not in (Termination.CONVERGED, Termination.GREW)])
def test_windows_shrink_after_a_failure(ending):
    assert WINDOW.after(100, outcome(ending), careful=True) == 100 // SHORTER
    assert WINDOW.after(20, outcome(ending), careful=True) < WINDOW.smallest


def test_windows_are_as_long_as_the_propagators_allow():
    growth = 4 * GROWTH_LIMIT
    assert WINDOW.after(100, outcome(Termination.CONVERGED, growth), careful=False) == 25
    assert WINDOW.after(100, outcome(Termination.GREW, growth), careful=False) == 25
    assert WINDOW.after(100, outcome(Termination.GREW, 1.01 * GROWTH_LIMIT), careful=False) == 50
    assert WINDOW.after(100, outcome(Termination.CONVERGED, 1000 * GROWTH_LIMIT), careful=False) == WINDOW.smallest
    for unknown in (math.nan, math.inf, -1.0):
        assert WINDOW.after(100, outcome(Termination.CONVERGED, unknown), careful=False) == 800


def test_fixed_windows_stay():
    window = Window.fixed(70)
    assert window.after(70, outcome(Termination.CONVERGED), careful=False) == 70
    assert window.after(70, outcome(Termination.STALLED), careful=False) < window.smallest


def spans(sol, method="newton"):
    """Begin and end of the windows."""
    return [(attempt.begin, attempt.end) for attempt in sol.attempts if attempt.method == method]


def test_newton_follows_chaos_in_windows():
    """Over the whole trajectory it does not get on at all."""
    whole = solve_recurrence(lorenz, np.ones(3), length=1500, method="newton", segment_length=1, window=1500)
    windows = solve_recurrence(lorenz, np.ones(3), length=1500, method="newton", segment_length=1)
    assert whole.looped == 1498
    assert "The loop evaluated 1498 of 1500 steps." in whole.decisions
    assert windows.looped <= 750
    assert windows.residual <= 1e-10


def test_the_start_is_warm():
    """The constant first guess of the logistic map lies where it expands; later windows start near the fixed point."""
    sol = solve_recurrence(lambda y: 2.9 * y * (1 - y), np.array([0.3]), length=3000, method="newton", segment_length=1)
    assert_like_loop(sol, loop(lambda y: 2.9 * y * (1 - y), np.array([0.3]), 3000))
    ends = [end for _, end in spans(sol)]
    assert sol.attempts[0].termination is Termination.GREW
    assert "grow too much" in sol.decisions[0]
    assert ends[-1] == 3000
    assert sol.npoints <= 40 * 3000


def burst(steps, begin, end):
    """Contractive, but for chaos between two steps."""
    x = np.zeros((steps, 1))
    x[begin:end] = 1.0

    def step(y, x):
        return np.where(x > 0, 3.9 * y * (1 - y), 0.5 * y + 0.2)

    return step, np.array([0.3]), x


@pytest.mark.parametrize("method", ["newton", "auto"])
def test_a_hostile_stretch_is_left_to_the_loop_and_left_behind(method, clock):
    step, y0, x = burst(20_000, 9_000, 9_400)
    sol = solve_recurrence(clock.timed(step), y0, x, method=method, segment_length=20)
    assert sol.status is Status.FINISHED_SEQUENTIALLY
    assert_like_loop(sol, loop(step, y0, x), factor=1e3)
    assert 300 <= sol.looped <= 10_000
    assert spans(sol)[-1][1] == 20_000


def test_the_loop_goes_on_longer_each_time_that_nothing_else_does():
    y0 = np.array([0.3])
    sol = solve_recurrence(lambda y: 3.99 * y * (1 - y), y0, length=20_000, method="newton", segment_length=10)
    assert len(spans(sol)) <= 12
    assert np.array_equal(sol.y, loop(lambda y: 3.99 * y * (1 - y), y0, 20_000))


@pytest.mark.slow
@pytest.mark.parametrize("window", [1, 7, 50, 333, 1000, 5000])
@pytest.mark.parametrize("method", ["auto", "newton", "elk", "jacobi"])
def test_a_fixed_window_stays_fixed(window, method, rng):
    step, _ = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 1000)
    sol = solve_recurrence(step, y0, x, method=method, window=window, segment_length=5)
    assert_like_loop(sol, loop(step, y0, x))
    assert all(end - begin <= window for begin, end in spans(sol, "jacobi" if method == "auto" else method))


def test_windows_share_the_tolerance():
    """Each window may lose its part only: a hundred windows together lose no more than one."""
    drift = 5e-13
    sol = solve_recurrence(
        lambda y: y + drift, np.ones(1), length=10_000, method="jacobi", segment_length=10, window=100, max_iterations=2
    )
    assert abs(sol.y[-1, 0] - loop(lambda y: y + drift, np.ones(1), 10_000)[-1, 0]) <= 1e-10


def test_a_guess_is_tried_as_it_is_whatever_grows():
    """A nearby solution is worth more than a look at the propagators."""
    step, y0 = (lambda y: 3.9 * y * (1 - y)), np.array([0.3])
    expected = loop(step, y0, 60)
    for guess, growing in ((None, True), (expected, False)):
        sol = solve_recurrence(step, y0, length=60, method="newton", segment_length=1, guess=guess)
        assert ("grow too much" in sol.message) is growing
    assert sol.status is Status.CONVERGED


def test_memory_sets_the_window(limit_memory, rng):
    step, jac = PROBLEMS["leaky tanh"].make(rng, np.float64)
    y0, x = PROBLEMS["leaky tanh"].inputs(rng, 4000)
    limit_memory(unasked=0, free=2e6)
    sol = solve_recurrence(step, y0, x, jac=jac, structure=Diagonal, method="newton", segment_length=1)
    assert_like_loop(sol, loop(step, y0, x))
    bytes_per_node = 8 * (_memory.NODE_ARRAYS * 3 + _memory.MATRIX_ARRAYS * 3)
    longest = max(end - begin for begin, end in spans(sol))
    assert longest <= _memory.LIMITS.share * 2e6 / bytes_per_node
    assert longest >= 1000


def test_what_cannot_fit_says_so_before_anything_is_allocated(limit_memory):
    limit_memory(unasked=0, free=1e6)
    with pytest.raises(MemoryError, match=r"50000 steps of 4 numbers takes 1600000 bytes .* 1000000 bytes .* are free"):
        solve_recurrence(lambda y: y, np.ones(4), length=50_000)


def test_a_trajectory_larger_than_the_machine_is_refused():
    with pytest.raises(MemoryError, match="takes 32000000000000000 bytes"):
        solve_recurrence(lambda y: y, np.ones(4), length=10**15)


def test_free_memory_is_plausible():
    assert 2**20 < _memory.available(np.zeros(1)) < 2**50


@pytest.mark.parametrize("text", ["", "MemAvailable: much kB", "Other: 5 kB"])
def test_free_memory_without_its_usual_source(monkeypatch, text):
    """The file is missing or not as expected: the next best source tells, or nothing does."""
    monkeypatch.setattr("pathlib.Path.read_text", lambda self: text)
    assert _memory.available(np.zeros(1)) > 2**20
