"""When a sweep meets the trajectory of the sweep before."""

from __future__ import annotations

import math

from ..._arrays.elementwise import component_sizes
from ..._arrays.namespace import Array, array_namespace
from ..._engine.newton import Ended
from ..._engine.termination import Termination
from ..._engine.tolerance import Tolerance, is_noise

MANY = 2.0
"""Multiple of the rounding errors of one step that a segment, with those of all its steps, may be off by."""


class Coalescence:
    """The test whether a sweep has met the trajectory of the sweep before, whose rest then stays.

    Two states have met when they differ by rounding only, measured by their size here and in the steps before (they
    may be passing through zero). And all segments together may lose no more than `share` of the tolerance: a slow
    drift is made of roundings, too. The sweep ends as stalled if the states are no nearer after `patience` steps than
    after the first few, unless they are much nearer than those of the sweep before were, `before`: then they grow apart
    for a while only, as in oscillations.
    """

    LOOK = 8
    """Steps between two comparisons."""

    SAMPLE = 2
    """Steps between two sizes."""

    GAIN = 0.1
    """Share of the distance in the sweep before that is a gain."""

    SHARE = 0.1
    """Part of the tolerance that may be lost over a whole trajectory."""

    def __init__(self, tolerance: Tolerance, share: float, patience: float, before: float = math.inf) -> None:
        self._tolerance = tolerance
        self._share = share
        self._judgement = max(2 * self.LOOK, patience)
        self._looked = 0
        self._recent: Array | None = None
        self._before = before
        self._first: Array | None = None
        self.apart: float | None = None
        """How far the states were apart at the first look."""

    def look(self, j: int, states: Array, before: Array) -> bool:
        """Compare the states after local step `j` with those of the sweep before, every few steps."""
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
        """The same for states whose sizes, in the steps before as well, are known: `recent`."""
        xp = array_namespace(states)
        last, self._looked = self._looked, j + 1
        difference = states - before
        if not bool(xp.all(is_noise(difference, recent))):
            # Components fed by larger ones keep apart by the roundings of those: that is no lack of gain.
            rough = is_noise(difference, MANY * xp.max(recent, axis=-1, keepdims=True))
            difference = xp.where(rough, xp.zeros_like(difference), difference)
            self._judge(self._tolerance.relative(difference, recent), difference, last=last < self._judgement <= j + 1)
            return False
        lost = xp.sum(self._tolerance.relative(difference, states), axis=0)
        return bool(xp.all(lost <= self._share))

    def _judge(self, apart: Array, difference: Array, *, last: bool) -> None:
        """Compare how far the states are apart after the first look, and once more (`last`) when patience ends.

        In tolerances, and in the units of the components as well: tolerances are small where a component is zero.
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
