"""The number of steps solved at once: more after a success, fewer after a failure or if propagators grow."""

from __future__ import annotations

from dataclasses import dataclass

from .convergence import Outcome
from .termination import Termination

GROWTH_LIMIT = 5.0
"""Largest logarithm of the growth of a small change over a window; beyond, Newton needs many iterations."""

FASTER = 8
"""Factor by which the window grows after it converged."""

CAREFULLY = 2
"""Factor by which the window grows once a window has failed."""

SHORTER = 4
"""Factor by which the window shrinks after it did not converge."""


@dataclass(frozen=True)
class Window:
    """Numbers of steps solved at once: in the first window, and in the smallest and largest ones."""

    first: int
    smallest: int
    largest: int

    @classmethod
    def fixed(cls, steps: int) -> Window:
        """The same number of steps in every window."""
        return cls(steps, steps, steps)

    def after(self, steps: int, outcome: Outcome, *, careful: bool) -> int:
        """Steps of the next window after one of `steps`; fewer than `smallest` if the next method should be tried."""
        growing = 0 < outcome.growth < float("inf")
        allowed = steps * GROWTH_LIMIT / outcome.growth if growing else float("inf")
        wanted = {
            Termination.CONVERGED: steps * (CAREFULLY if careful else FASTER),
            Termination.GREW: steps / 2,
        }.get(outcome.ending, steps / SHORTER)
        size = int(min(wanted, allowed, self.largest))
        return max(size, self.smallest) if outcome.ending is Termination.CONVERGED else size
