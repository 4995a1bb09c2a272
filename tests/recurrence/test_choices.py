"""What auto measures and chooses, and that it says so."""

import numpy as np
import pytest
from problems import PROBLEMS, assert_like_loop, loop, lorenz

from parscan import Status, solve_recurrence
from parscan._recurrence.cost import LENGTHS, Cost, best_length, sweeps


def test_lengths_grow_with_the_work_per_state():
    chosen = [best_length(Cost(1e-5, 1e-5, state), 100_000) for state in (1e-9, 1e-8, 1e-7, 1e-6)]
    assert chosen == sorted(chosen)
    assert set(chosen) <= set(LENGTHS)
    assert len(set(chosen)) > 2


@pytest.mark.parametrize("steps", [1, 8, 20, 10**3, 10**6])
def test_the_best_length_is_the_best(steps):
    cost = Cost(1e-5, 1e-5, 3e-8)
    best = best_length(cost, steps)
    assert all(sweeps(cost, steps, best) <= sweeps(cost, steps, length) for length in LENGTHS if length <= steps)


def leapfrog(y):
    q, p = y[..., 0], y[..., 1] - 0.05 * np.sin(y[..., 0])
    q = q + 0.1 * p
    return np.stack([q, p - 0.05 * np.sin(q)], -1)


HOSTILE = {
    "Lorenz-63": (lorenz, np.ones(3), 2000),
    "logistic map, r=3.9": (lambda y: 3.9 * y * (1 - y), np.array([0.3]), 4000),
    "pendulum": (leapfrog, np.array([1.0, 0.0]), 4000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_little_is_lost_on_hostile_recurrences(name, clock):
    """A pilot shows that Newton does not pay; the loop takes the rest."""
    step, y0, steps = HOSTILE[name]
    sol = solve_recurrence(clock.timed(step), y0, length=steps)
    assert sol.success
    assert sol.npoints <= 12 * steps  # whole trajectories took up to 60 states per step
    assert clock.now <= 2 * steps * (clock.call + clock.state)  # as long as the loop, and again
    ahead = np.concatenate([y0[None], sol.y[:-1]])
    assert np.abs(step(ahead) - sol.y).max() <= 1e-9


def test_newton_goes_on_where_the_pilot_converges(rng, clock):
    step, jac = PROBLEMS["rotation"].make(rng, np.float64)
    y0, x = PROBLEMS["rotation"].inputs(rng, 30_000)
    sol = solve_recurrence(clock.timed(step), y0, x, jac=jac, segment_length=50)
    assert sol.status is Status.CONVERGED
    assert sol.method == "jacobi, newton"
    assert sol.message.count("newton:") == 2  # the pilot, and all the rest
    assert_like_loop(sol, loop(step, y0, x))


def test_the_message_tells_the_story(clock):
    step, y0, steps = HOSTILE["Lorenz-63"]
    sol = solve_recurrence(clock.timed(step), y0, length=steps, compile=False)
    assert sol.status is Status.FINISHED_SEQUENTIALLY
    assert sol.message.startswith(Status.FINISHED_SEQUENTIALLY.value)
    assert "auto: jacobi, then newton, then the loop, for calls on stacked states save time;" in sol.decisions[0]
    assert "jacobi: the corrections did not shrink fast enough after 1 iteration on the steps 8 to 2000." in sol.message
    assert "The loop evaluated" in sol.message
