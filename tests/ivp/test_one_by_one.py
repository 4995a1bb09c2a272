"""Batches with events: every member ends at its own."""

import numpy as np
import pytest

from parscan import solve_ivp

SPEEDS = np.array([3.0, 5.0, 8.0, 12.0])
GRAVITY = 10.0


def flight(t, y, drag):
    return [y[1], -GRAVITY - drag * y[1]]


def ground(t, y, drag):
    return y[0]


ground.terminal, ground.direction = True, -1


def top(t, y, drag):
    return y[1]


@pytest.fixture
def launched():
    return np.stack([np.zeros(4), SPEEDS])


@pytest.mark.parametrize("compiles", [True, False, None])
@pytest.mark.parametrize("method", ["auto", "Radau", "RK45"])
def test_members_end_at_their_own_events(launched, compiles, method):
    if compiles and method == "RK45":
        pytest.skip("machine code is for other methods")
    times = np.linspace(0, 3, 31)[1:] - 0.03
    options = {"events": [top, ground], "args": (np.zeros(4),), "t_eval": times, "rtol": 1e-8, "atol": 1e-10}
    sol = solve_ivp(flight, (0, 3), launched, method, compile=compiles, **options)
    assert sol.success
    assert sol.status == 1
    assert sol.y.shape == (2, 30, 4)
    for member, speed in enumerate(SPEEDS):
        end = 2 * speed / GRAVITY
        assert sol.t_events[0][member] == pytest.approx([end / 2], rel=1e-6)
        assert sol.t_events[1][member] == pytest.approx([end], rel=1e-6)
        assert sol.y_events[1][member] == pytest.approx(np.array([[0, -speed]]), abs=1e-6)
        exact = speed * times - GRAVITY * times**2 / 2
        assert np.array_equal(np.isnan(sol.y[0, :, member]), times > end + 1e-9)
        assert np.nanmax(np.abs(sol.y[0, :, member] - exact)) <= 1e-6


def test_members_are_as_alone(launched):
    drags = np.array([0.1, 0.2, 0.3, 0.4])
    sol = solve_ivp(flight, (0, 3), launched, events=[top, ground], args=(drags,), rtol=1e-6, t_eval=[0.1, 0.2])
    for member in range(4):
        alone = solve_ivp(
            flight, (0, 3), launched[:, member], events=[top, ground], args=(float(drags[member]),), rtol=1e-6
        )
        for event in range(2):
            assert sol.t_events[event][member] == pytest.approx(alone.t_events[event], rel=1e-5)
            assert sol.y_events[event][member] == pytest.approx(alone.y_events[event], rel=1e-4, abs=1e-5)


def test_batches_of_two_axes_have_lists_of_lists():
    """An array that has numbers along one of the axes, one that is the same for all, and a number."""
    rates = np.array([1.0, 2.0, 3.0])

    def fun(t, y, rate, pair, number):
        return [-rate * number * y[0] + 0 * pair[0]]

    def half(t, y, rate, pair, number):
        return y[0] - 0.5

    args = rates, np.array([1.0, 2.0, 4.0, 5.0]), 2.0
    sol = solve_ivp(fun, (0, 2), np.ones((1, 2, 3)), events=half, args=args, rtol=1e-8, atol=1e-10)
    assert len(sol.t_events) == 1
    for i in range(2):
        for j in range(3):
            assert sol.t_events[0][i][j] == pytest.approx([np.log(2) / (2 * rates[j])], rel=1e-6)
    assert sol.status == 0
    assert np.all(np.isfinite(sol.y))
    assert sol.y[0, -1] == pytest.approx(np.tile(np.exp(-4 * rates), (2, 1)), rel=1e-5)


def test_directions_and_numbers_of_occurrences():
    frequencies = np.array([1.0, 2.0, 3.0])

    def fun(t, y, w):
        return [w * y[1], -w * y[0]]

    def up(t, y, w):
        return y[0]

    up.direction, up.terminal = 1, 2
    sol = solve_ivp(fun, (0, 20), np.stack([np.full(3, 0.5), np.ones(3)]), events=up, args=(frequencies,), rtol=1e-8)
    first = (2 * np.pi - np.arctan(0.5)) / frequencies
    for member in range(3):
        expected = [first[member], first[member] + 2 * np.pi / frequencies[member]]
        assert sol.t_events[0][member] == pytest.approx(expected, rel=1e-6)


def test_the_output_without_times_reaches_the_end_of_the_span(launched):
    sol = solve_ivp(flight, (0, 2), launched, events=ground, args=(np.zeros(4),))
    assert sol.t[-1] == 2
    assert np.array_equal(np.isnan(sol.y[0, -1]), 2 * SPEEDS / GRAVITY < 2)
    assert sol.status == 0
    assert "3 of which ended" in sol.message


def test_progress_is_told(launched):
    told = []
    solve_ivp(flight, (0, 2), launched, events=ground, args=(np.zeros(4),), progress=told.append)
    assert told[-1].done == pytest.approx(2)


def test_coupled_members_are_refused(launched):
    with pytest.raises(ValueError, match="members must not depend on each other"):
        solve_ivp(lambda t, y: [y[1] - y[1].mean(), -y[0]], (0, 2), launched, events=lambda t, y: y[0])


def test_numbers_of_members_that_are_not_in_args_are_refused(launched):
    rates = np.array([1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match="must be in `args`"):
        solve_ivp(lambda t, y: [-rates * y[0], -y[1]], (0, 2), launched, events=lambda t, y: y[0])


def test_options_of_whole_batches_are_refused(launched):
    with pytest.raises(ValueError, match="`dense_output` is not for batches with `events`"):
        solve_ivp(flight, (0, 2), launched, events=ground, args=(np.zeros(4),), dense_output=True)


def test_members_that_fail_are_named():
    """A pole at t = 1 of the last member."""
    y0 = np.array([[0.1, 0.2, 1.0]])
    sol = solve_ivp(lambda t, y: [y[0] ** 2], (0, 2), y0, events=lambda t, y: y[0] - 0.11, rtol=1e-6)
    assert not sol.success
    assert "member 2 of the batch" in sol.message
    assert np.isnan(sol.y[0, -1, 2])
    assert sol.t_events[0][0] == pytest.approx([10 - 1 / 0.11], rel=1e-3)


def test_a_batch_of_one_member_has_its_number_in_an_array():
    def fun(t, y, rate):
        return np.stack([-rate * y[0]])

    sol = solve_ivp(
        fun, (0, 2), np.ones((1, 1)), events=lambda t, y, rate: y[0] - 0.5, args=(np.array([2.0]),), rtol=1e-8
    )
    assert sol.t_events[0][0] == pytest.approx([np.log(2) / 2], rel=1e-6)


@pytest.mark.parametrize("members", [1, 2])
def test_parameters_of_all_members_may_be_as_many_as_these(members):
    def fun(t, y, rates):
        return [-rates[0] * rates[-1] * y[0]]

    rates, start = np.array([2.0, 3.0])[:members], np.arange(1.0, members + 1)
    sol = solve_ivp(fun, (0, 2), start[None, :], events=lambda t, y, rates: y[0] - 0.5, args=(rates,), rtol=1e-8)
    for member in range(members):
        expected = np.log(2 * start[member]) / (rates[0] * rates[-1])
        assert sol.t_events[0][member] == pytest.approx([expected], rel=1e-6)


def test_the_first_member_may_end_at_once():
    """Its steps, at which all members are given, are then none."""
    start = np.array([[0.0, 1.0], [-1.0, 1.0]])
    sol = solve_ivp(lambda t, y: [y[1], -1 + 0 * y[1]], (0, 10), start, events=_at_ground)
    assert sol.status == 1
    assert sol.t_events[0][0] == pytest.approx([0.0], abs=1e-9)
    assert sol.t_events[0][1] == pytest.approx([1 + np.sqrt(3)], rel=1e-3)
    assert list(sol.t) == [0.0, 10.0]


def _at_ground(t, y):
    return y[0]


_at_ground.terminal, _at_ground.direction = True, -1
