"""Batches of functions with guards of the state, as `np.maximum(y, 0)`, which few members come to, if any."""

from collections import OrderedDict

import numpy as np
import pytest
from scipy.integrate import solve_ivp as scipys

from parscan import solve_ivp
from parscan._ivp.compiled import all_members, members

SPEEDS = np.random.default_rng(0).uniform(0.5, 2.0, 60)


def guarded(t, y, speed, floor):
    """An uptake from a pool that is filled again, and a guard of the pool."""
    pool = np.maximum(y[0], floor)
    uptake = speed * pool / (0.3 + pool)
    return [0.4 + 0.2 * np.sin(t) - uptake, uptake - y[1]]


def plain(t, y, speed, floor):
    uptake = speed * y[0] / (0.3 + y[0])
    return [0.4 + 0.2 * np.sin(t) - uptake, uptake - y[1]]


@pytest.fixture
def watched(monkeypatch):
    """Of each call for marches, whether these watch modes. What earlier tests met is not known of the recordings."""
    monkeypatch.setattr("parscan._recorded.memo._kept", OrderedDict())
    found, native = [], all_members._native()
    original = native.integrate_members

    def noted(*arguments, **options):
        found.append(options["watches"])
        return original(*arguments, **options)

    monkeypatch.setattr(native, "integrate_members", noted)
    return found


def solved(fun, floor, rtol=1e-6, speeds=SPEEDS, **options):
    y0 = np.array([2.0, 0.0])[:, None] * np.ones(len(speeds))
    floor = floor * np.ones(len(speeds))
    return solve_ivp(fun, (0.0, 10.0), y0, args=(speeds, floor), rtol=rtol, atol=rtol, compile=True, **options)


@pytest.mark.parametrize("times", [[10.0], np.linspace(0, 10, 7)])
def test_guards_that_are_not_reached_cost_no_marches(watched, times):
    for _ in range(8):
        sol, usual = (solved(fun, -1.0, t_eval=times) for fun in (guarded, plain))
    assert sol.success
    assert sol.nfev == usual.nfev
    np.testing.assert_allclose(sol.y, usual.y, rtol=1e-9)
    assert set(watched) == {True, False}


@pytest.mark.parametrize("together", [60, 32])
@pytest.mark.parametrize("rtol", [1e-4, 1e-7])
def test_guards_that_few_members_reach(watched, rtol, together, monkeypatch):
    """Errors of these are not judged as if they followed from tolerances."""
    bent, bend = set(), all_members._native().Rounds.bend

    def noted(self, members):
        bent.update((len(self.errors), int(member)) for member in members)
        bend(self, members)

    monkeypatch.setattr(all_members._native().Rounds, "bend", noted)
    monkeypatch.setattr(members.Members, "together", (together, 1 << 20))
    floor = np.where(np.arange(60) % 30 == 7, 0.25, -1.0)
    for _ in range(4):
        sol = solved(guarded, floor, rtol, t_eval=[10.0])
        assert sol.success
    assert all(watched)
    assert bent == ({(60, 7), (60, 37)} if together == 60 else {(32, 7), (28, 5)})
    for k in (7, 37, 20):
        one = scipys(
            guarded, (0, 10), [2.0, 0.0], "DOP853", rtol=1e-12, atol=1e-12, max_step=0.01, args=(SPEEDS[k], floor[k])
        )
        np.testing.assert_allclose(sol.y[:, 0, k], one.y[:, -1], rtol=10 * rtol, atol=10 * rtol)


def test_guards_that_many_members_reach_are_not_watched(watched):
    sol = solved(guarded, 0.25, t_eval=[10.0])
    assert sol.success
    assert watched[0]
    assert not any(watched[1:])
    assert watched[1:]  # all small errors are confirmed
    count = len(watched)
    solved(guarded, 0.25, t_eval=[10.0])
    assert not any(watched[count:])


def test_members_that_are_few_are_not_watched(watched, monkeypatch):
    """One lane takes them."""
    monkeypatch.setattr(all_members._native(), "widest", lambda _: 8)
    sol = solved(guarded, -1.0, t_eval=[10.0], speeds=SPEEDS[:2])
    assert sol.success
    assert not any(watched)
