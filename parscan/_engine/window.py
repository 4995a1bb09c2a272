"""The number of steps solved at once: more after a success, fewer after a failure or where propagators grow."""

from __future__ import annotations

from dataclasses import dataclass

from .convergence import Outcome
from .termination import Termination

GROWTH_LIMIT = 5.0
"""Logarithm of the growth of a small change over a window: beyond it, Newton wanders for many iterations."""

FASTER = 8
"""How much longer the next window is after one that converged."""

CAREFULLY = 2
"""The same, once a window has failed."""

SHORTER = 4
"""How much shorter the next window is after one that did not converge."""


@dataclass(frozen=True)
class Window:
    """Steps solved at once: in the first window, and the fewest and the most ever."""

    first: int
    smallest: int
    largest: int

    @classmethod
    def fixed(cls, steps: int) -> Window:
        """The same number of steps in every window."""
        return cls(steps, steps, steps)

    def after(self, steps: int, outcome: Outcome, *, careful: bool) -> int:
        """Steps of the window after one of `steps`; fewer than the smallest where the method had better give way."""
        growing = 0 < outcome.growth < float("inf")
        allowed = steps * GROWTH_LIMIT / outcome.growth if growing else float("inf")
        wanted = {
            Termination.CONVERGED: steps * (CAREFULLY if careful else FASTER),
            Termination.GREW: steps / 2,
        }.get(outcome.ending, steps / SHORTER)
        size = int(min(wanted, allowed, self.largest))
        return max(size, self.smallest) if outcome.ending is Termination.CONVERGED else size
