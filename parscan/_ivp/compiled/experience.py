"""What a solve of a batch tells the next one: the tolerances that were enough for each member, and their errors."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from ..._arrays.namespace import Array, array_namespace, quiet

LOOSEN_BELOW, GOAL, MOST = 0.1, 0.35, 10.0
"""If an error is less than the first number, tolerances are larger the next time: by a factor that should lead to an
error of the second number, but at most by the third one."""

APART, FORGETS = 3.0, 1.05
"""Tolerances stay below those that were too large, divided by the first number; these grow by the second one from
solve to solve, as members may be others."""

MOST_KEPT = 1 << 18
"""Largest number of members of a batch of which anything is noted."""


@dataclass(frozen=True)
class Experience:
    """
    What is known of the members of a batch.

    Parameters
    ----------
    shares : array, shape (members,)
        Of the tolerances: to begin with.
    errors : array, shape (members,)
        That a share of 1 would have, if errors were proportional to tolerances.
    too_large : array, shape (members,)
        The smallest shares that were not enough.
    """

    shares: Array
    errors: Array
    too_large: Array

    @property
    def count(self) -> int:
        """Number of members."""
        return int(self.shares.shape[0])

    def next(self, shares: Array, errors: Array) -> Experience:
        """What is known after a solve that ended with these shares of the tolerances, and errors."""
        xp = array_namespace(shares)
        with quiet():
            is_mended = shares < self.shares
            too_large = xp.where(is_mended, self.shares, FORGETS * self.too_large)
            larger = xp.where(errors < LOOSEN_BELOW, xp.minimum(GOAL / errors, xp.full_like(errors, MOST)), 1.0)
            wanted = xp.minimum(xp.minimum(shares * larger, xp.ones_like(shares)), too_large / APART)
            known = errors / shares
        return Experience(xp.maximum(wanted, shares), known, too_large)


def nothing_known(like: Array) -> Experience:
    """Of as many members as there are numbers in an array: they begin with the tolerances as they are."""
    xp = array_namespace(like)
    return Experience(xp.ones_like(like), xp.full_like(like, inf), xp.full_like(like, inf))


def known_of(notes: dict[Any, Any], key: Any, like: Array) -> Experience | None:
    """What is noted of as many members; None if nothing is."""
    found: Experience | None = notes.get(key)
    return None if found is None or found.count != like.shape[0] else found
