"""Coalescence of sweeps: where a sweep meets the trajectory of the previous sweep."""

from __future__ import annotations

import math

from ..._arrays.elementwise import component_sizes
from ..._arrays.namespace import Array, array_namespace
from ..._engine.newton import Ended
from ..._engine.termination import Termination
from ..._engine.tolerance import Tolerance, is_noise

MANY = 2.0
"""Rounding error of a segment, with those of all its steps, in rounding errors of one step."""


class Coalescence:
    """Tests whether a sweep has met the trajectory of the previous sweep; the rest of that trajectory then stays.

    Two states have met if they differ by rounding only, relative to their sizes at this and a few earlier steps (they
    may be passing through zero). In addition, the differences summed over all segments may be at most `share` of the
    tolerance, as a slow drift consists of rounding errors, too.

    The sweep ends as stalled if the distance of the states has not decreased after `patience` steps, unless it is much
    smaller than the distance `before` in the previous sweep: then it grows only for a while, as in oscillations.
    """

    LOOK = 8
    """Number of steps between two comparisons."""

    SAMPLE = 2
    """Number of steps between two samples of the states' sizes."""

    GAIN = 0.1
    """The distance is much smaller if it is at most this share of the distance in the previous sweep."""

    SHARE = 0.1
    """Share of the tolerance that the differences on a whole trajectory may use."""

    def __init__(self, tolerance: Tolerance, share: float, patience: float, before: float = math.inf) -> None:
        self._tolerance = tolerance
        self._share = share
        self._judgement = max(2 * self.LOOK, patience)
        self._looked = 0
        self._recent: Array | None = None
        self._before = before
        self._first: Array | None = None
        self.apart: float | None = None
        """Distance of the states at the first comparison, in tolerances."""

    def look(self, j: int, states: Array, before: Array) -> bool:
        """Whether the states after local step `j` have met those of the previous sweep; compared every few steps."""
        if (j + 1) % self.SAMPLE:
            return False
        xp = array_namespace(states)
        size = xp.abs(states)
        recent = size if self._recent is None else xp.maximum(size, self._recent[: size.shape[0], ...])
        if (j + 1) % self.LOOK:
            self._recent = recent
            return False
        self._recent = size
        return self.compare(j, states, before, recent)

    def compare(self, j: int, states: Array, before: Array, recent: Array) -> bool:
        """Whether the states after local step `j` have met; `recent` are the sizes at this and earlier steps."""
        xp = array_namespace(states)
        last, self._looked = self._looked, j + 1
        difference = states - before
        if not bool(xp.all(is_noise(difference, recent))):
            # Components that depend on larger ones differ by the rounding of those, which does not mean a stall.
            rough = is_noise(difference, MANY * xp.max(recent, axis=-1, keepdims=True))
            difference = xp.where(rough, xp.zeros_like(difference), difference)
            self._judge(self._tolerance.relative(difference, recent), difference, last=last < self._judgement <= j + 1)
            return False
        lost = xp.sum(self._tolerance.relative(difference, states), axis=0)
        return bool(xp.all(lost <= self._share))

    def _judge(self, apart: Array, difference: Array, *, last: bool) -> None:
        """Keep the distance at the first comparison; at the `last` one, when patience ends, test for a stall.

        Distances must stall both in tolerances and in the units of the components: tolerances are small where a
        component is zero.
        """
        xp = array_namespace(apart)
        if self.apart is None:
            self.apart = float(xp.max(apart))
            self._first = component_sizes(xp, xp.abs(difference))
        elif last:
            gained = self._before < math.inf and self.apart <= self.GAIN * self._before
            if not gained and bool(xp.any((apart >= self.apart) & (apart > 0))):
                now = component_sizes(xp, xp.abs(difference))
                if self._first is None or bool(xp.any((now >= self._first) & (now > 0))):
                    raise Ended(Termination.STALLED)
