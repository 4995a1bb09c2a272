"""What a solve of a batch tells the next one: the tolerances that were enough for each member, and their errors."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from ..._arrays.namespace import Array, array_namespace, copy, quiet

LOOSEN_BELOW, GOAL, MOST = 0.1, 0.35, 10.0
"""If an error is less than the first number, tolerances may be larger the next time: by a factor that should lead to an
error of the second number, but at most by the third one."""

SOON, EVERY = 4, 16
"""Tolerances become larger after so many solves, the first ones, and after one of so many later ones: in between, most
solves are right at once."""

APART, FORGETS = 3.0, 2.0
"""They stay below those that were too large, divided by the first number; these grow by the second one each time, as
members may be others by then."""

PAYS, PATIENCE, MOST_MISSES = 0.95, 3, 5
"""
What is known pays if a solve takes at most this share of the evaluations that it takes as if nothing was known. If so
many solves in a row take more, their members are others each time, and twice as many as the last time begin as if
nothing was known, up to twice this power of two.
"""

OTHERWISE = 0.8
"""Members whose errors had to be confirmed have so many times the tolerances the next time: two marches that were alike
by chance are hardly so again."""

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
    solves : int
        After which this is known.
    usual : int
        Evaluations of a solve as if nothing was known; 0 if there was none.
    losses, misses : int
        Solves in a row that took more, and how often there were too many of these in a row.
    rest : int
        Solves to come that begin as if nothing was known.
    """

    shares: Array
    errors: Array
    too_large: Array
    solves: int = 0
    usual: int = 0
    losses: int = 0
    misses: int = 0
    rest: int = 0

    @property
    def count(self) -> int:
        """Number of members."""
        return int(self.shares.shape[0])

    def begin(self) -> Experience:
        """What a solve begins with."""
        return nothing_known(self.shares) if self.rest else self

    def next(
        self, shares: Array, errors: Array, evaluations: int, before: Experience, doubted: Array | None = None
    ) -> Experience:  # fmt: skip
        """
        What is known after a solve that ended with these shares of the tolerances, and errors.

        It began with what was known `before`: with this, or as if nothing was known. The errors of some members, whose
        numbers are given, were `doubted`.
        """
        if before is not self or not self.usual:
            account = {"usual": evaluations, "misses": self.misses, "rest": max(self.rest - 1, 0)}
        elif evaluations <= PAYS * self.usual:
            account = {"usual": self.usual}
        elif self.losses + 1 < PATIENCE:
            account = {"usual": self.usual, "losses": self.losses + 1, "misses": self.misses}
        else:
            misses = min(self.misses + 1, MOST_MISSES)
            account = {"usual": self.usual, "misses": misses, "rest": 2 << misses}
        found, *others = before._after(shares, errors)
        if doubted is not None:
            found = copy(found)
            found[doubted] *= OTHERWISE
        return Experience(found, *others, **account)

    def _after(self, shares: Array, errors: Array) -> tuple[Array, Array, Array, int]:
        """
        What is known of the members after a solve that began with this: the first attributes.

        Shares that are as before are the same array, which is only read: what follows from them is then known as well.
        """
        xp, solves, too_large = array_namespace(shares), self.solves + 1, self.too_large
        with quiet():
            are_same, known = shares is self.shares or bool(xp.all(shares == self.shares)), errors / shares
            if not are_same and bool(xp.any(is_mended := shares < self.shares)):
                too_large = xp.where(is_mended, self.shares, too_large)
            if solves > SOON and solves % EVERY:
                return self.shares if are_same else copy(shares), known, too_large, solves
            larger = xp.where(errors < LOOSEN_BELOW, xp.minimum(GOAL / errors, xp.full_like(errors, MOST)), 1.0)
            wanted = xp.minimum(xp.minimum(shares * larger, xp.ones_like(shares)), too_large / APART)
        too_large = too_large if solves <= SOON else FORGETS * too_large
        return xp.maximum(wanted, shares), known, too_large, solves


def nothing_known(like: Array) -> Experience:
    """Of as many members as there are numbers in an array: they begin with the tolerances as they are."""
    xp = array_namespace(like)
    return Experience(xp.ones_like(like), xp.full_like(like, inf), xp.full_like(like, inf))


def known_of(notes: dict[Any, Any], key: Any, like: Array) -> Experience | None:
    """What is noted of as many members; None if nothing is."""
    found: Experience | None = notes.get(key)
    return None if found is None or found.count != like.shape[0] else found
