"""Where steps of solvers are to end since a recorded function has corners, or narrow pulses, in time alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from typing import Any, NamedTuple

import numpy as np

from .corners import TooManyError, places, strengths
from .pulses import stops
from .switches import Switches

FEW = 8
"""Corners that all count, however weak they are."""

WEAK = 0.1
"""Kinks that are weaker than this share of the relative tolerance do not count; see `strengths`."""


class EndsOfSteps(NamedTuple):
    """
    Times in a span, ascending.

    Attributes
    ----------
    corners, strengths : arrays, shape (k,)
        Times of corners, and how strong they are; all are infinitely strong if they are few.
    stops : array, shape (m,)
        At narrow pulses of a smooth function.
    are_all : bool
        Whether none are left out because there are more than can be dealt with.
    """

    corners: Any
    strengths: Any
    stops: Any
    are_all: bool

    def strong(self, rtol: float) -> Any:
        """The corners that count for a relative tolerance."""
        return self.corners[self.strengths > WEAK * rtol]


def ends_of_steps(switches: Switches, numbers: Sequence[Any], begin: float, end: float) -> EndsOfSteps:
    """The times in a span from its lower end to its higher one; arguments are those of `corners`."""
    is_endless, none = not isfinite(end - begin), np.zeros(0)
    try:
        cuts, counts = (none, none > 0) if switches.is_plain else places(switches, numbers, begin, end)
        soft = none if is_endless else stops(switches, numbers, begin, end, cuts)
    except TooManyError:
        return EndsOfSteps(none, none, none, False)
    found, are_all = cuts[counts], bool(switches.helps.all()) or not is_endless
    strong = np.full(found.shape, inf) if found.size <= FEW else strengths(switches, numbers, begin, end, found)
    return EndsOfSteps(found, strong, soft, are_all)
