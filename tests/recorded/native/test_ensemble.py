"""Ensembles by compiled solvers: every member as alone, whichever methods, lanes and threads it needs."""

import threading
from functools import cache, partial

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from parscan._recorded.linearised import linearised
from parscan._recorded.modes import with_modes
from parscan._recorded.native import integrate
from parscan._recorded.native.ensemble import integrate_members
from parscan._recorded.native.explicit import explicit
from parscan._recorded.native.integrate import AHEAD, ENSEMBLES, Worker
from parscan._recorded.native.members import Form
from parscan._recorded.native.rosenbrock import rosenbrock
from parscan._recorded.native.status import Status
from parscan._recorded.record import record


def van_der_pol(t, y, mu, push):
    return np.array([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0] + push[0] * np.sin(push[1] * t)])


PUSH = np.array([0.3, 2.0])
RECORDING = record(van_der_pol, [np.zeros(()), np.zeros(2), np.zeros(()), np.zeros(2)])
EXPLICIT = partial(explicit, RECORDING.program)
MAKERS = [EXPLICIT, partial(rosenbrock, RECORDING.program, linearised(RECORDING))]


def problem(count):
    """Members from slow to stiff, in a mixed order, with begins and ends of their own."""
    rng = np.random.default_rng(0)
    mu = rng.permutation(np.geomspace(0.1, 300, count))
    y0 = np.array([2.0, 0.0]) + rng.uniform(-0.2, 0.2, (count, 2))
    return mu, y0, rng.uniform(0, 1, count), rng.uniform(8, 12, count)


@pytest.mark.parametrize("threads", [1, 2, None])
@pytest.mark.parametrize("count", [1, 2, pytest.param(37, marks=pytest.mark.slow)])
def test_members_go_on_with_another_method(count, threads):
    mu, y0, begin, end = problem(count)
    times = begin[:, None] + np.linspace(0, 1, 9) * (end - begin)[:, None]
    reports = []
    found = integrate_members(
        MAKERS, begin, end, y0, rtol=1e-7, atol=1e-8, parameters=(mu, PUSH), shared=(False, True), times=times,
        threads=threads, report=reports.append,
    )  # fmt: skip
    assert (found.counts[:, 0] == Status.FINISHED).all()
    np.testing.assert_array_equal(found.t, end)
    if count > 2:
        assert set(found.methods.tolist()) == {0, 1}
        assert found.methods[np.argmax(mu)] == 1
    assert reports[-1] == count
    for k in range(0, count, 6):
        reference = solve_ivp(van_der_pol, (begin[k], end[k]), y0[k], "Radau", t_eval=times[k], args=(mu[k], PUSH),
                              rtol=1e-10, atol=1e-10)  # fmt: skip
        np.testing.assert_allclose(found.values[k], reference.y.T, rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(found.y[k], found.values[k, -1], rtol=1e-6, atol=1e-7)


def test_common_times_backwards():
    """Times that all members share, none of which they pass twice."""
    y0 = np.tile([1.0, 0.5], (11, 1))
    times = np.array([2.0, 1.5, 1.5, 0.25, 0.0])
    mu = np.linspace(0, 0.5, 11)
    found = integrate_members([EXPLICIT], 2.0, 0.0, y0, rtol=1e-9, atol=1e-9, parameters=(mu, PUSH),
                              shared=(False, True), times=times)  # fmt: skip
    for k in (0, 10):
        reference = solve_ivp(van_der_pol, (2.0, 0.0), y0[k], "DOP853", t_eval=[2.0, 1.5, 0.25, 0.0], rtol=1e-11,
                              atol=1e-11, args=(mu[k], PUSH))  # fmt: skip
        np.testing.assert_allclose(found.values[k], reference.y.T[[0, 1, 1, 2, 3]], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("has_times", [False, True])
def test_rates_at_the_ends(has_times):
    mu, y0, begin, end = np.linspace(0, 0.5, 11), np.tile([1.0, 0.5], (11, 1)), np.zeros(11), np.linspace(0.5, 3, 11)
    times = np.linspace(0, 1, 4) * end[:, None] if has_times else None
    given = {"parameters": (mu, PUSH), "shared": (False, True), "times": times}
    found = integrate_members([EXPLICIT], begin, end, y0, rtol=1e-6, atol=1e-6, **given)
    expected = [van_der_pol(*one, PUSH) for one in zip(end, found.y, mu, strict=True)]
    np.testing.assert_allclose(found.rates, expected, rtol=1e-13)
    one = {"parameters": (mu[:1], PUSH), "shared": (False, True)}
    assert integrate_members([EXPLICIT], 0.0, 1.0, y0[:1], rtol=1e-6, atol=1e-6, **one).rates is None


def test_members_that_fail():
    """Values up to the failure, and NaN after it; other members are as they would be."""

    def fun(t, y, rate):
        return rate * y * y

    program = record(fun, [np.zeros(()), np.zeros(1), np.zeros(())]).program
    rate = np.array([0.1, 2.0, -1.0, 0.2, 1.25])
    times = np.linspace(0, 1, 11)
    found = integrate_members([partial(explicit, program)], 0.0, 1.0, np.ones((5, 1)), rtol=1e-8, atol=1e-8,
                              parameters=(rate,), shared=(False,), times=times)  # fmt: skip
    exact = 1 / (1 + 1e-12 - rate[:, None] * times)
    fails = rate >= 1
    assert (found.counts[:, 0] == np.where(fails, Status.STEP_TOO_SMALL, Status.FINISHED)).all()
    np.testing.assert_allclose(found.t[fails], 1 / rate[fails], atol=1e-6)
    known = times < np.where(fails, 1 / rate - 0.05, 2.0)[:, None]
    np.testing.assert_allclose(found.values[..., 0][known], exact[known], rtol=1e-6)
    assert np.isnan(found.values[1, -1])
    assert np.isnan(found.values[4, -1])
    assert np.isfinite(found.values[[0, 2, 3]]).all()


def test_limits_of_members():
    """Longest and first steps of their own."""
    y0, longest = np.tile([1.0, 0.0], (9, 1)), np.geomspace(0.01, 1, 9)
    found = integrate_members([EXPLICIT], 0.0, 2.0, y0, rtol=1e-4, atol=1e-4, max_step=longest, first_step=longest / 2,
                              parameters=(0.5, PUSH), shared=(True, True))  # fmt: skip
    assert (found.counts[:, 1] >= 2 / longest).all()
    assert (np.diff(found.counts[:, 1]) <= 0).all()
    assert found.values is None


def test_nothing_to_do():
    found = integrate_members([EXPLICIT], 1.0, 1.0, np.ones((3, 2)), rtol=1e-6, atol=1e-6, parameters=(1.0, PUSH),
                              shared=(True, True), times=np.array([1.0]))  # fmt: skip
    assert (found.counts[:, 0] == Status.FINISHED).all()
    np.testing.assert_array_equal(found.y, np.ones((3, 2)))
    np.testing.assert_array_equal(found.values, np.ones((3, 1, 2)))


def test_shares_of_the_tolerances_and_values_of_some():
    """Every member has a factor on the tolerances: it is as if it were alone with tolerances that are by it larger."""
    mu, y0, _, _ = problem(11)
    share, times = np.geomspace(2e-3, 10, 11), np.linspace(0, 3, 7)
    found = integrate_members(MAKERS, 0.0, 3.0, y0, rtol=1e-6, atol=1e-7, share=share, parameters=(mu, PUSH), valued=5,
                              shared=(False, True), times=times)  # fmt: skip
    assert found.values.shape[0] == 5
    for k in range(11):
        alone = integrate_members(MAKERS, 0.0, 3.0, y0[k : k + 1], rtol=1e-6 * share[k], atol=1e-7 * share[k],
                                  parameters=(mu[k : k + 1], PUSH), lanes=8, shared=(False, True),
                                  times=times, valued=int(k < 5))  # fmt: skip
        np.testing.assert_allclose(found.y[k], alone.y[0], rtol=1e-9)
        np.testing.assert_array_equal(found.counts[k, :3], alone.counts[0, :3])
        if k < 5:
            np.testing.assert_allclose(found.values[k], alone.values[0], rtol=1e-8, atol=1e-10)


def test_methods_to_begin_with():
    y0 = problem(9)[1]
    first = np.arange(9) % 2
    found = integrate_members(MAKERS, 0.0, 2.0, y0, rtol=1e-6, atol=1e-7, parameters=(np.zeros(9), PUSH),
                              shared=(False, True), first_methods=first)  # fmt: skip
    np.testing.assert_array_equal(found.methods, first)
    np.testing.assert_array_equal(found.since, 0.0)
    assert (found.counts[:, 0] == Status.FINISHED).all()


@pytest.mark.parametrize("begin", [None, [1] * 20])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_done_meanwhile(monkeypatch, threads, begin):
    """Once, after a few steps of the calling thread, and what becomes of members is the same to the last bit."""
    own, done, advance = threading.get_ident(), [], Worker.run

    def noted(worker, most):
        if threading.get_ident() == own:
            done.append(most)
        advance(worker, most)

    monkeypatch.setattr(Worker, "run", noted)
    monkeypatch.setattr(integrate, "FIRST", 1000)
    mu, y0, *_ = problem(20)
    one, other = (
        integrate_members(MAKERS, 0.0, 9.0, y0, rtol=1e-7, atol=1e-8, parameters=(mu, PUSH), shared=(False, True),
                          threads=threads, first_methods=begin, **options)
        for options in ({}, {"meanwhile": lambda: done.append("meanwhile")})
    )  # fmt: skip
    for name in ("y", "t", "counts", "methods"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert done.count("meanwhile") == 1
    if begin is None:
        place = done.index("meanwhile")
        assert done[place - 1 : place + 2] == [AHEAD, "meanwhile", 1000]


def test_memory_of_threads_is_used_again():
    """By solves of other members, with and without values, which are as those with memory of their own."""
    solvers, found = {}, []

    def make(form):
        return solvers.setdefault(form, EXPLICIT(form))

    for count in (40, 3, 70, 40):
        y0 = np.tile([1.0, 0.5], (count, 1)) * np.linspace(1, 2, count)[:, None]
        for times in (None, np.array([0.5, 1.0])):
            one, other = (
                integrate_members([maker], 0.0, 2.0, y0, rtol=1e-7, atol=1e-8, parameters=(0.5, PUSH),
                                  shared=(True, True), times=times, threads=2)
                for maker in (make, EXPLICIT)
            )  # fmt: skip
            for name in ("y", "t", "counts", "values"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            found.append(one.y.copy())
    np.testing.assert_array_equal(found[0], found[-2])
    assert all(1 <= len(solver._workers) <= 2 for solver in solvers.values())


def test_memory_of_ensembles_is_used_again():
    """Of those that were given back, a few; what others found is not written over."""
    y0, make = np.tile([1.0, 0.5], (11, 1)), cache(EXPLICIT)

    def found(end, count=11):
        mu = np.linspace(0, 0.5, count)
        return integrate_members([make], 0.0, end, y0[:count], rtol=1e-7, atol=1e-7, parameters=(mu, PUSH),
                                 shared=(False, True))  # fmt: skip

    one, other = found(1.0), found(2.0)
    ends = one.y.copy(), other.y.copy()
    assert not np.shares_memory(one.y, other.y)
    one.give_back()
    again = found(2.0)
    assert np.shares_memory(again.y, one.y)
    np.testing.assert_array_equal(again.y, ends[1])
    np.testing.assert_array_equal(other.y, ends[1])
    again.give_back()
    np.testing.assert_array_equal(found(1.0).y, ends[0])
    several = [found(1.0, count) for count in range(3, 11)]
    for each in several:
        each.give_back()
    assert sum(np.shares_memory(found(1.0, count).y, several[count - 3].y) for count in range(3, 11)) == ENSEMBLES


@pytest.mark.parametrize("size", [1, 6])
@pytest.mark.parametrize("times", [None, np.array([1.0, 7.5])])
def test_changes_of_modes_are_told(size, times):
    """Of those members alone that come to them, also where lanes go on with others; and nothing else is changed."""

    def pushed(t, y, level):
        return np.concatenate([y[size:], -y[:size] - np.maximum(y[:size] - level, 0.0) - (y[:size] < -level)])

    recording = record(pushed, [np.zeros(()), np.zeros(2 * size), np.zeros(())])
    watched = with_modes(recording)
    assert [ids.size for ids in watched.results] == [2 * size, 2 * size]
    y0 = np.concatenate([np.zeros(size), np.linspace(0.5, 1.0, size) if size > 1 else np.ones(1)])
    level, given = np.tile([0.5, 1.5, 3.0, 0.9, 1.2], 9), {"rtol": 1e-8, "atol": 1e-8, "shared": (False,)}
    starts = np.tile(y0, (45, 1)) * np.where(np.arange(45) % 2, 1.0, -1.0)[:, None]
    found, plain = (
        integrate_members(
            [lambda form: explicit(watched if form.watches else recording.program, form)], 0.0, 8.0, starts,
            parameters=(level,), times=times, watches=watches, **given,
        )
        for watches in (True, False)
    )  # fmt: skip
    np.testing.assert_array_equal(found.changes != 0, level < 1)
    assert plain.changes is None
    for name in ("y", "counts", "rates", *(() if times is None else ("values",))):
        np.testing.assert_allclose(getattr(found, name), getattr(plain, name), rtol=1e-9, atol=1e-9)
    found.give_back()


def test_changes_of_modes_need_lanes():
    with pytest.raises(ValueError, match="in lanes"):
        Form(watches=True)
    assert with_modes(RECORDING) is None
