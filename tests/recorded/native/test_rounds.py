"""Decisions about all members between marches, against the same for one member after the other."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parscan._recorded.native.members import COUNTS
from parscan._recorded.native.rounds import LARGEST, Limits, Rounds
from parscan._recorded.native.status import Status

LIMITS = Limits(
    linear=30.0, proportional=4.5, rest=0.5, wanted=1.0, aim=0.35, fastest=0.1, least=1e-4, hopeless=0.3, enough=2.0,
    brief=1000.0, looser=10.0, between=3.0, doubt=0.1, unlike=0.3, sure=0.05,
)  # fmt: skip
RTOL, ATOL = 1e-3, 1e-4


def distance(one, other, *, may_be_exact):
    with np.errstate(all="ignore"):
        apart = np.abs(one - other)
        found = apart / (ATOL * (not may_be_exact) + RTOL * np.abs(one))
    if may_be_exact:
        found[apart == 0] = 0.0
    found[~(found < LARGEST)] = LARGEST
    return found.max()


def error(apart, ratio):
    is_small = apart < LIMITS.linear
    share = max(min(LIMITS.proportional / (ratio - 1), 1.0), LIMITS.sure)
    return apart * (share if is_small else LIMITS.rest), is_small


class Member:
    """
    One of them.

    The arguments are its states after the first marches, which of these came to their ends, the share of the tolerances
    of the first one, and the error that is expected of a share of 1.
    """

    def __init__(self, apart, first, ended, share, expected):
        self.apart, self.first, self.y, self.share, self.tells = apart, first, first[0], share, True
        self.first_share, wanted = share, expected * share
        shares = (LIMITS.looser, LIMITS.between)[: len(first) - 1]
        found = [
            error(apart(first[0], one), share)[0] if is_ended else np.inf
            for one, share, is_ended in zip(first[1:], shares, ended[1:], strict=True)
        ]
        self.error = found[0] if found[0] > LIMITS.wanted else max(found)
        self.hopeful = self.error > LIMITS.wanted
        self.is_small = self.error < LIMITS.doubt * expected * share
        self.is_alike = self.error >= LIMITS.doubt * wanted and wanted >= LIMITS.doubt * self.error
        self.may_confirm, self.confirms = len(first) == 2 and not self.hopeful, False

    def wish(self):
        """The share of the next march, or None."""
        if self.confirms:
            return LIMITS.between * self.first_share
        if not self.hopeful:
            return None
        factor = min(LIMITS.aim / self.error, LIMITS.fastest) if self.tells else LIMITS.fastest
        wanted = max(self.share * (factor if self.error < np.inf else LIMITS.fastest), LIMITS.least)
        self.hopeful = wanted < self.share / 2
        return wanted if self.hopeful else None

    def again(self, now, share, evaluations, *, ended, is_first):
        if self.confirms:
            self.confirms = False
            found = error(self.apart(self.first[0], now), LIMITS.between)[0] if ended else np.inf
            self.error, self.hopeful = max(self.error, found), found > LIMITS.wanted
            return False
        total, self.tells = error(self.apart(now, self.y), self.share / share)
        last = total
        for other, of_other in list(
            zip(self.first, (self.first_share, LIMITS.looser * self.first_share), strict=False)
        )[is_first:]:
            found, is_small = error(self.apart(now, other), of_other / share)
            total = max(total, found if is_small else last)
        is_hopeless = total > LIMITS.hopeless * self.error and (total <= LIMITS.enough or evaluations > LIMITS.brief)
        self.hopeful, self.share = ended and total > LIMITS.wanted and not is_hopeless, share
        if ended:
            self.y, self.error = now, total
        return ended


def made(given):
    """Members; if the errors of many are not as expected, all small ones are confirmed, otherwise those that differ."""
    members = [Member(*one) for one in given]
    are_others = sum(not one.is_alike for one in members) > LIMITS.unlike * len(members)
    for one in members:
        one.confirms = one.may_confirm and (are_others or one.is_small)
    return members


def marched(random, y, values=None):
    count = len(y)
    counts = random.integers(1, 2000, (count, len(COUNTS)))
    counts[:, 0] = np.where(random.uniform(size=count) < 0.9, Status.FINISHED, Status.NOT_FINITE)
    return SimpleNamespace(y=y, counts=counts, methods=random.integers(0, 2, count), values=values)


@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize("knows", [False, True])
@given(
    st.integers(0, 1 << 30), st.integers(1, 9), st.integers(1, 3), st.sampled_from([2, 3]), st.booleans(),
    st.sampled_from([1e-3, 1e-1, 10.0]),
)  # fmt: skip
def test_decisions(knows, is_given, seed, count, n, marches, may_be_exact, spread):
    random = np.random.default_rng(seed)

    def apart(one, other):
        return distance(one, other, may_be_exact=may_be_exact)

    exact = random.normal(size=(count, n))

    def near(some, size):
        found = exact[some] * (1 + spread * size * random.normal(size=(len(some), n)) * (random.uniform() < 0.9))
        found[random.uniform(size=found.shape) < 0.05] = random.choice([np.nan, np.inf, 0.0])
        return found

    every = np.tile(np.arange(count), marches)
    first = marched(random, near(every, 1.0), random.normal(size=(count, 2, n)))
    first.counts[:count, 0] = Status.FINISHED
    states, ended = first.y.reshape(marches, count, n), first.counts[:, 0].reshape(marches, count) == Status.FINISHED
    known = {"shares": 10.0 ** random.uniform(-2, 0, count), "expected": 10.0 ** random.uniform(-1, 2, count)}
    before = known.values() if knows else (np.ones(count), np.full(count, np.inf))
    members = made([(apart, states[:, k], ended[:, k], *(one[k] for one in before)) for k in range(count)])
    values, steps, methods = first.values.copy(), first.counts[:count, 1].copy(), first.methods[:count].copy()
    rounds = Rounds(
        LIMITS, exact, RTOL, ATOL * (not may_be_exact), may_be_exact=may_be_exact, marches=marches,
        **(known if knows else {}),
    )  # fmt: skip
    rounds.first(first, [[apart(a, b) for a, b in zip(states[0], one, strict=True)] for one in states[1:]]
                 if is_given else None)  # fmt: skip
    assert rounds.unfinished == 0
    evaluations, others_wanted = first.counts[:, 3].sum(), 1
    for _ in range(4):
        confirms = [one.confirms for one in members]
        wishes = [one.wish() for one in members]
        jobs = [(k, wish) for k, wish in enumerate(wishes) if wish is not None]
        jobs.sort(key=lambda job: confirms[job[0]])
        left = sum(not confirms[k] for k, _ in jobs)
        assert rounds.left == left
        assert list(zip(rounds.every.tolist(), rounds.given.tolist(), strict=True)) == jobs
        np.testing.assert_array_equal(rounds.begin, exact[[k for k, _ in jobs]])
        np.testing.assert_array_equal(rounds.errors, [one.error for one in members])
        np.testing.assert_array_equal(rounds.y, [one.y for one in members])
        np.testing.assert_array_equal(rounds.shares, [one.share for one in members])
        np.testing.assert_array_equal(rounds.steps, steps)
        np.testing.assert_array_equal(rounds.methods, methods)
        np.testing.assert_array_equal(rounds.values, values)
        assert rounds.evaluations == evaluations
        assert rounds.others == others_wanted
        if not jobs:
            break
        ends = marched(random, near([k for k, _ in jobs], 0.1), random.normal(size=(left, 2, n)))
        given_apart = np.zeros((1 + others_wanted, len(jobs)))
        for j, (k, share) in enumerate(jobs):
            own, now = members[k], ends.y[j]
            if own.confirms:
                given_apart[0, j] = apart(own.first[0], now)
            else:
                given_apart[:, j] = [apart(now, one) for one in (own.y, *own.first[2 - others_wanted : 2])]
            is_ended = ends.counts[j, 0] == Status.FINISHED
            if own.again(now, share, ends.counts[j, 3], ended=is_ended, is_first=others_wanted == 1):
                values[k], steps[k], methods[k] = ends.values[j], ends.counts[j, 1], ends.methods[j]
        evaluations += ends.counts[:, 3].sum()
        rounds.again(ends, given_apart if is_given else None)
        others_wanted = 2
    assert rounds.is_methods_seen or not rounds.methods.any()


def test_first_marches_that_did_not_come_to_their_ends():
    ends = marched(np.random.default_rng(0), np.ones((6, 1)))
    ends.counts[:, 0] = [Status.FINISHED, Status.NOT_FINITE, Status.STEP_TOO_SMALL, *[Status.NOT_FINITE] * 3]
    rounds = Rounds(LIMITS, np.ones((3, 1)), RTOL, ATOL, may_be_exact=False, marches=2)
    rounds.first(ends)
    assert rounds.unfinished == 2
    assert rounds.values is None
    assert np.isinf(rounds.errors).all()


def test_members_that_are_left_do_not_march_again():
    ends = marched(np.random.default_rng(0), np.ones((12, 2)))
    ends.counts[:, 0] = Status.FINISHED
    ends.y[:6], ends.y[6:] = 1.0, 2.0  # far apart
    rounds = Rounds(LIMITS, np.arange(12.0).reshape(6, 2), RTOL, ATOL, may_be_exact=False, marches=2)
    rounds.first(ends)
    assert rounds.every.tolist() == [0, 1, 2, 3, 4, 5]
    rounds.leave(np.array([1, 4]))
    assert rounds.every.tolist() == [0, 2, 3, 5]
    assert (rounds.left, rounds.jobs) == (4, 4)
    np.testing.assert_array_equal(rounds.begin, np.arange(12.0).reshape(6, 2)[[0, 2, 3, 5]])
    again = marched(np.random.default_rng(0), np.ones((4, 2)))
    again.counts[:, 0] = Status.FINISHED
    again.y[...] = 5.0
    rounds.again(again)
    assert 1 not in rounds.every
    assert 4 not in rounds.every


def test_errors_that_are_not_proportional_for_some_members():
    """Those members are judged as if errors were proportional for none, and nothing was expected of theirs."""
    random, count, bent = np.random.default_rng(1), 8, np.array([1, 2, 6])
    apart = np.array([0.1, 0.1, 5.0, 5.0, 20.0, 0.15, 20.0, 0.12])
    first = marched(random, np.ones((2 * count, 1)))
    first.counts[:, 0] = Status.FINISHED
    first.y[count:, 0] += apart * (ATOL + RTOL)
    curved = LIMITS._replace(linear=0.0, rest=1.0)
    known = {"expected": np.full(count, 0.1)}
    plain, others, mixed = (
        Rounds(limits, np.ones((count, 1)), RTOL, ATOL, may_be_exact=False, marches=2, **given)
        for limits, given in ((LIMITS, known), (curved, {}), (LIMITS, known))
    )
    mixed.bend(bent)
    for turn in range(2):
        for rounds in (plain, others, mixed):
            ends = first
            if turn:
                ends = marched(np.random.default_rng(2), np.ones((rounds.jobs, 1)))
                ends.counts[:, 0] = Status.FINISHED
                ends.y[:, 0] += 0.1 * apart[rounds.every] * (ATOL + RTOL)
            (rounds.again if turn else rounds.first)(ends)
        expected = plain.errors.copy()
        expected[bent] = others.errors[bent]
        np.testing.assert_array_equal(mixed.errors, expected)
        assert (plain.errors[bent] < others.errors[bent]).any()
    assert not (plain.errors == others.errors).all()
