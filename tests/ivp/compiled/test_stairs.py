"""Compiled solves of functions with stairs of the state: steps end at their edges, and solutions may stay there."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp as scipy_ivp

from parscan import solve_ivp

MOST = 20_000
"""Evaluations of a solve that does not jump to and fro."""


def controlled(t, y):
    return [y[1], -np.round(4 * y[0]) / 4 - 0.1 * y[1]]


def phase(t, y):
    return [1.3, np.where(y[0] % 1.0 < 0.3, 1.0, -0.2) - y[1]]


def stepped(t, y):
    return [1 + 0.1 * np.floor(y[0])]


def controlled_exactly(end):
    """By SciPy: from one edge to the next one, in steps so short that none is passed over."""
    t, y = 0.0, np.array([3.3, 0.0])
    while t < end:
        step = np.floor(4 * y[0] + 0.5 + 1e-9 * (y[1] or -1.0))

        def lower(t, y, step=step):
            return 4 * y[0] + 0.5 - step + 1e-12

        def upper(t, y, step=step):
            return step + 1 - (4 * y[0] + 0.5) + 1e-12

        lower.terminal = upper.terminal = True
        lower.direction = upper.direction = -1.0
        smooth = lambda t, y, step=step: [y[1], -step / 4 - 0.1 * y[1]]  # noqa: E731
        found = scipy_ivp(
            smooth, (t, end), y, "DOP853", rtol=1e-12, atol=1e-12, events=[lower, upper], max_step=0.01
        )  # fmt: skip
        t, y = found.t[-1], found.y[:, -1]
    return y


@pytest.mark.parametrize("rtol", [1e-4, 1e-7, 1e-10])
def test_a_quantised_force(rtol):
    exact = controlled_exactly(20)
    sol = solve_ivp(controlled, (0, 20), [3.3, 0.0], rtol=rtol, atol=rtol, compile=True)
    assert sol.success
    assert sol.nfev < MOST
    assert np.abs(sol.y[:, -1] - exact).max() <= 10 * rtol


@pytest.mark.parametrize("way", [1.0, -1.0])
@pytest.mark.parametrize("rtol", [1e-4, 1e-8])
def test_stairs_are_climbed_both_ways(rtol, way):
    """The time from one level to the next one is known."""
    begin, end = (0.25, 6.5) if way > 0 else (6.5, 0.25)
    levels = np.array([0.25, 1, 2, 3, 4, 5, 6, 6.5])
    time = np.sum(np.diff(levels) / (1 + 0.1 * np.floor(levels[:-1])))
    sol = solve_ivp(stepped, (0, way * time), [begin], rtol=rtol, atol=rtol, compile=True)
    assert sol.success
    assert abs(sol.y[0, -1] - end) <= 10 * rtol * (1 + end)


def test_a_phase():
    sol = solve_ivp(phase, (0, 50), [0.0, 0.0], rtol=1e-8, atol=1e-8, compile=True)
    high = 0.3 / 1.3
    low, y, share = 1 / 1.3 - high, 0.0, np.exp
    for _ in range(65):
        y = 1.0 + (y - 1.0) * share(-high)
        y = -0.2 + (y + 0.2) * share(-low)
    assert sol.success
    assert sol.nfev < 10 * MOST
    assert abs(sol.y[1, -1] - y) <= 1e-6


STAYS = {
    "floor": (lambda t, y: 0.5 - np.floor(y), 0.2, 1.0),
    "floor from above": (lambda t, y: 0.5 - np.floor(y), 3.7, 1.0),
    "ceil": (lambda t, y: 2.5 - np.ceil(y), 0.3, 2.0),
    "trunc": (lambda t, y: 1.5 - np.trunc(y), 0.3, 2.0),
    "trunc below zero": (lambda t, y: -1.5 - np.trunc(y), -0.3, -2.0),
    "round": (lambda t, y: 0.3 - np.round(y), 2.0, 0.5),
    "floor_divide": (lambda t, y: 1.5 - y // 0.5, 0.1, 1.0),
    "remainder": (lambda t, y: (y % 1.0) - 0.5, 0.7, 1.0),
}


@pytest.mark.parametrize("name", STAYS)
def test_solutions_stay_at_edges(name):
    fun, start, end = STAYS[name]
    sol = solve_ivp(fun, (0, 20), [start], rtol=1e-6, atol=1e-9, compile=True)
    assert sol.success
    assert sol.nfev < MOST
    assert abs(sol.y[0, -1] - end) <= 1e-12
    assert "Filippov" in sol.message


def test_an_edge_is_left_again():
    """It stays at one while the force is between those on both sides: until the sine is 0.5."""
    fun = lambda t, y: 1.0 - np.floor(y) - 0.5 + np.sin(t)  # noqa: E731
    sol = solve_ivp(fun, (0, 2.0), [0.9], rtol=1e-8, atol=1e-10, compile=True)
    left = np.pi / 6
    exact = 1.0 - 0.5 * (2.0 - left) + np.cos(left) - np.cos(2.0)
    assert sol.success
    assert abs(sol.y[0, -1] - exact) <= 1e-6


def test_ever_more_stairs_are_not_climbed_one_by_one():
    """A solution that grows passes 900 million of them."""
    sol = solve_ivp(lambda t, y: np.round(y), (0, 20), [1.7], rtol=1e-4, atol=1e-4, compile=True)
    exact = 2.0
    time = 0.8 / 2  # to 2.5, where it becomes 3
    for level in range(3, 100_000):
        time += 1 / level
    exact = 100_000 - 0.5
    grown = exact * np.exp(20 - time)  # stairs of one hundred-thousandth
    assert sol.success
    assert abs(sol.y[0, -1] - grown) <= 10 * 1e-4 * grown
