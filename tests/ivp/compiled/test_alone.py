"""Members of batches that are solved alone: those that others' way has lost, or that cross switches again and again."""

from dataclasses import replace

import numpy as np
import pytest

from parscan import solve_ivp
from parscan._ivp.compiled import all_members, alone
from parscan._ivp.compiled.accuracy import Solved

RATES = np.linspace(0.8, 1.2, 5)
RTOL, ATOL = 1e-6, 1e-9


def neuron(t, y, rate):
    v, w = y
    return np.stack([np.where(v < 1, 2 * rate - v, -5 * (v - 0.9)) - w, 0.2 * (v - w)])


def friction(t, y, rate):
    return np.stack([y[1], -y[0] - 0.3 * rate * np.sign(y[1])])


def tank(t, y, rate):
    out = rate * np.sqrt(abs(y[0]))
    return np.stack([np.where(y[1] > 1, 0.0, 1.5) - out, out - 0.8 * np.sqrt(abs(y[1]))])


PROBLEMS = {"stays": (neuron, [0.0, 0.0], 30.0), "comes to rest": (friction, [2.0, 0.0], 20.0),
            "crosses often": (tank, [2.0, 0.5], 20.0)}  # fmt: skip


def solve(name, rates=RATES, **options):
    fun, y0, end = PROBLEMS[name]
    y0 = np.multiply.outer(y0, np.ones(rates.shape))
    return solve_ivp(fun, (0.0, end), y0, args=(rates,), rtol=RTOL, atol=ATOL, compile=True, **options)


def single(name, rate, **options):
    fun, y0, end = PROBLEMS[name]
    return solve_ivp(fun, (0.0, end), y0, args=(float(rate),), compile=True, rtol=1e-8, atol=1e-11, **options)


@pytest.mark.parametrize("name", PROBLEMS)
def test_members_are_as_accurate_as_single_solves(name):
    times = np.linspace(0.0, PROBLEMS[name][2], 9)
    found = [solve(name), solve(name), solve(name, t_eval=times)]  # the second one begins with what the first one found
    for sol in found:
        assert sol.success
        assert sol.compiled
        assert "alone" in sol.message
        assert 0 < sol.error_estimate <= 10
    for k, rate in enumerate(RATES):
        expected = single(name, rate, t_eval=times).y
        for sol in found:
            missed = np.abs(sol.y[:, -1, k] - expected[:, -1]) / (ATOL + RTOL * np.abs(expected[:, -1]))
            assert (missed <= 10).all(), (rate, missed)
        np.testing.assert_allclose(found[-1].y[..., k], expected, rtol=1e-4, atol=1e-6)


def test_times_are_those_of_a_first_member_that_is_solved_alone():
    sol = solve("stays", RATES[:2])
    np.testing.assert_array_equal(sol.t[[0, -1]], [0.0, 30.0])
    assert 10 < len(sol.t) < 1000
    assert (np.diff(sol.t) > 0).all()


def test_only_some_members_are_solved_alone():
    """Those with other parameters never come to the switch."""
    rates = np.array([0.2, 1.0, 0.3])
    sol = solve("stays", rates)
    assert "1 member alone" in sol.message
    for k, rate in enumerate(rates):
        np.testing.assert_allclose(sol.y[:, -1, k], single("stays", rate).y[:, -1], rtol=1e-5)


def test_a_member_with_a_large_error_is_no_success(monkeypatch):
    monkeypatch.setattr(Solved, "is_bad", True)
    sol = solve("comes to rest", RATES[:2].reshape(1, 2))
    assert not sol.success
    assert "the estimated error of members (0, 0), (0, 1) of the batch is up to" in sol.message


def test_large_errors_are_left_if_the_first_members_do_not_get_better(monkeypatch):
    tried = []
    solved = alone.Singles._solved

    def no_better(self, member):
        tried.append(member)
        return replace(solved(self, member), end=1e9)

    monkeypatch.setattr(alone.Singles, "_solved", no_better)
    monkeypatch.setattr(all_members, "FAR", -1.0)  # as if all errors were too large
    sol = solve_ivp(lambda t, y: -np.maximum(y, 0.0), (0.0, 1.0), np.ones((1, 40)), compile=True)
    assert sol.success
    assert tried == list(range(alone.TRIED))


def test_places():
    assert alone.places([5], (7,)) == "member 5 of the batch"
    assert alone.places([5, 11], (3, 4)) == "members (1, 1), (2, 3) of the batch"
    assert alone.places(list(range(10)), (10,)) == "members 0, 1, 2, 3, 4, 5, 6, 7 and 2 more of the batch"


def test_members_that_fail_are_named():
    rate = np.array([0.1, 2.0, 0.2, 3.0])
    sol = solve_ivp(lambda t, y: rate * y * y, (0.0, 1.0), np.ones((1, 4)), rtol=RTOL, atol=ATOL, compile=True)
    assert not sol.success
    assert "left the solution of members 1, 3 of the batch at t = 0.333" in sol.message


def twisting(t, y, rate):
    """The third member starts on a switch of its second derivative, and turns around it ever faster."""
    return np.stack([y[1], np.where(y[0] > np.cos(rate * t), -2.0, 1.0) - 0.3 * y[1]])


@pytest.mark.parametrize("times", [None, [0.0, 1e-9, 15.0]])
def test_a_member_that_is_given_up_ends_the_batch(times):
    y0, rates = np.array([[3.0, -3.0, 1.0], [0.0, 0.0, 0.0]]), np.array([0.8, 1.0, 1.2])
    for _ in range(2):  # modes have led nowhere before the second one
        sol = solve_ivp(
            twisting, (0.0, 15.0), y0, args=(rates,), rtol=RTOL, atol=ATOL, compile=True, t_eval=times, max_step=15.0
        )
        assert not sol.success
        assert sol.compiled
        assert "member 2 of the batch: `fun` jumps to and fro" in sol.message
        assert sol.t[-1] < 1.0
        assert sol.y.shape == (2, len(sol.t), 3)
        np.testing.assert_allclose(sol.y[:, -1], y0 + sol.t[-1] * np.stack([y0[1], [-2.0, 1.0, 0.0]]), atol=1e-4)
