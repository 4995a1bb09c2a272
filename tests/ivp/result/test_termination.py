"""Why an integration ended, as data."""

import numpy as np
import pytest

from parscan import IvpStatus, Termination, solve_ivp

pytestmark = pytest.mark.roads

METHODS = pytest.mark.parametrize("method", ["auto", "Radau", "DOP853", "LSODA"])


def crossing(t, y):
    return y[0] - 0.3


crossing.terminal = True


@METHODS
@pytest.mark.parametrize(("events", "ending"), [(None, "FINISHED"), (crossing, "EVENT")])
def test_ends_of_whole_solutions(method, events, ending):
    sol = solve_ivp(lambda t, y: -y, (0, 3), [1.0], method, rtol=1e-6, events=events)
    assert sol.termination is Termination[ending]
    assert sol["termination"] is sol.termination
    assert sol.status is IvpStatus[ending]


@METHODS
@pytest.mark.parametrize(
    ("fun", "ending", "status"),
    [
        (lambda t, y: y**2, "TOO_SMALL", "FAILED"),
        (lambda t, y: np.sqrt(1 - t) + 0 * y, "NOT_FINITE", "NOT_FINITE"),
    ],
    ids=["pole", "root"],
)
def test_early_ends(method, fun, ending, status):
    with np.errstate(invalid="ignore"):
        sol = solve_ivp(fun, (0, 3), [1.0], method, rtol=1e-6, atol=1e-8)
    assert not sol.success
    assert sol.termination is Termination[ending]
    assert sol.status is IvpStatus[status]


@pytest.mark.slow
def test_a_right_hand_side_that_jumps_to_and_fro():
    sol = solve_ivp(lambda t, y: [y[1], -y[0] - 0.5 * np.sign(y[1])], (0, 4), [1.2, 0.0], "Radau", rtol=1e-6)
    assert sol.termination is Termination.STUCK
    assert sol.status is IvpStatus.FAILED


def test_events_of_a_solution_that_fails_at_its_begin():
    sol = solve_ivp(lambda t, y: np.nan * y, (0, 1), [1.0], "Radau", rtol=1e-6, events=[crossing, lambda t, y: y[0]])
    assert sol.termination is Termination.NOT_FINITE
    assert [found.shape for found in sol.t_events + sol.y_events] == [(0,)] * 4
