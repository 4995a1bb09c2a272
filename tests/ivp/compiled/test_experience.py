"""What a solve of a batch tells the next one."""

import numpy as np
import pytest

from parscan._ivp.compiled.experience import (
    APART,
    EVERY,
    FORGETS,
    GOAL,
    MOST_MISSES,
    OTHERWISE,
    PATIENCE,
    SOON,
    known_of,
    nothing_known,
)


def after(known, share, error, evaluations=50):
    """What is known of one member after a solve that ended so."""
    return known.next(np.array([share]), np.array([error]), evaluations, known.begin())


def test_shares_of_the_tolerances():
    before = nothing_known(np.ones(5))
    errors = np.array([1e-3, 0.5, 0.07, 0.0, np.inf])
    one = before.next(np.array([0.01, 0.02, 0.1, 0.1, 1.0]), errors, 100, before)
    np.testing.assert_allclose(one.shares, [0.1, 0.02, 0.5 / 1.5, 1 / APART, 1.0])
    np.testing.assert_allclose(one.errors, [0.1, 25.0, 0.7, 0.0, np.inf])
    np.testing.assert_array_equal(one.too_large, [1.0, 1.0, 1.0, 1.0, np.inf])
    assert 0.07 * one.shares[2] / 0.1 <= GOAL
    assert one.usual == 100


def test_shares_that_were_too_large():
    """Members that had to be mended are not tried with the same tolerances soon, and then with little larger ones."""
    known = after(nothing_known(np.ones(1)), 0.05, 0.01, 100)
    tried = [known.shares[0]]
    for _ in range(80):
        known = after(known, min(known.shares[0], 0.05), 0.05)
        tried.append(known.shares[0])
    assert tried[:3] == [1 / APART, 1 / APART**2, 0.05]
    again = [k + 1 for k, share in enumerate(tried) if k > 2 and share > 0.05]
    assert again
    assert all(solves > SOON and solves % EVERY == 0 for solves in again)
    assert tried[again[0] - 1] <= FORGETS * 0.05


@pytest.mark.parametrize("solves", [1, SOON + 1])
def test_members_that_were_doubted_have_other_tolerances(solves):
    known = nothing_known(np.ones(3))
    for _ in range(solves):
        shares = np.full(3, 0.1)
        known = known.next(shares, np.full(3, 0.3), 100, known, np.array([0, 2]))
    np.testing.assert_allclose(known.shares, [0.1 * OTHERWISE, 0.1, 0.1 * OTHERWISE])
    np.testing.assert_array_equal(shares, 0.1)


def test_shares_that_stay_are_the_same_array():
    """It is only read, also where members are doubted."""
    known = nothing_known(np.ones(3))
    for _ in range(SOON + 1):
        known = known.next(np.full(3, 0.1), np.full(3, 0.3), 100, known)
    again = known.next(known.shares.copy(), np.full(3, 0.3), 100, known)
    assert again.shares is known.shares
    other = again.next(np.full(3, 0.1), np.full(3, 0.3), 100, again, np.array([1]))
    np.testing.assert_array_equal(again.shares, 0.1)
    np.testing.assert_allclose(other.shares, [0.1, 0.1 * OTHERWISE, 0.1])
    mended = again.next(np.array([0.1, 0.05, 0.1]), np.full(3, 0.3), 100, again)
    np.testing.assert_array_equal(mended.too_large, [1.0, 0.1, 1.0])


def test_what_does_not_pay_is_tried_seldom():
    """If members are others at each solve, most solves begin as if nothing was known; until they are the same again."""
    known, uses = nothing_known(np.ones(1)), []
    for _ in range(400):
        uses.append(known.begin() is known)
        known = after(known, 0.1, 0.5, 110 if uses[-1] else 100)
    assert all(uses[: 1 + PATIENCE])
    assert sum(uses[200:]) <= 0.1 * 200
    assert uses[200:].count(True) > 0
    for _ in range(2 << MOST_MISSES):
        known = after(known, 0.1, 0.5, 60 if known.begin() is known else 100)
    assert not known.rest
    assert not known.misses
    losses = [known := after(known, 0.1, 0.5, 110) for _ in range(PATIENCE)]
    assert [one.rest > 0 for one in losses] == [False] * (PATIENCE - 1) + [True]


def test_what_is_kept_of_as_many_members():
    notes = {"key": nothing_known(np.ones(3))}
    assert known_of(notes, "key", np.ones(3)) is notes["key"]
    assert known_of(notes, "key", np.ones(4)) is None
    assert known_of(notes, "another", np.ones(3)) is None
