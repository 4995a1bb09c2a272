"""One recurrence on several threads: cut the time axis into chunks and carry the state across them.

The state at the end of a chunk is affine in the state before it, `h_end = P h + q`. All chunks but the first
and the last are summarised so at once; then the state is carried from chunk to chunk, and the chunks are
evaluated at once, each from its own start. With `m` threads there are `m + 1` chunks, for the first needs no
summary, and so can be evaluated meanwhile, and the last needs none either.

A summary is used only where it is about as good as the loop. Where `P` grows, rounding errors in `P` and `q` that
cancel in the loop do not cancel here (A = 1.5, b = -0.5, h = 1 stays 1). Where `P h` and `q` cancel, their errors are
large against the state that is left. And where the state leaves the finite numbers within the chunk, it never comes
back, though `P h + q` may be finite: that is seen once the chunk has been evaluated. In all these cases steps are
evaluated one after the other from the carried state.

What remains: the loop rounds each step relative to the state it has there, the summary relative to `P` and `q` up to
there. With |A| about 1, a large state that is cancelled at the start of a chunk thus costs an error at its end of up
to the steps in the chunk times a rounding error of the state at its *start*, where the loop pays for that state only
once. Since no more than a factor of `LARGEST_CANCELLATION` may cancel, the state at the end of the chunk is accurate
to that factor, times the steps in the chunk, times the unit roundoff.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ..._arrays.namespace import Array, quiet
from .threads import run_all

LARGEST_GROWTH = 2.0
LARGEST_CANCELLATION = 16.0


@dataclass(frozen=True)
class Summary:
    """What a chunk does to a state, `h -> P (factor h) + q`, in NumPy's numbers."""

    P: Any
    q: Any
    factor: float

    def end(self, h: Any) -> Any:
        """State after the chunk from the state `h` before it; None where the loop knows better."""
        with quiet():
            carried = self.P * (h * self.factor)
            state = carried + self.q
            grows = abs(self.P) * self.factor > LARGEST_GROWTH
            cancels = abs(carried) > LARGEST_CANCELLATION * abs(state)
            return None if grows or cancels or not np.isfinite(state) else state


def march_in_chunks(
    march: Callable[[int, int], object],
    summarise: Callable[[int, int], Summary],
    states: Array,
    cuts: Sequence[int],
) -> None:
    """
    Evaluate the steps from `cuts[0]` to `cuts[-1]`, cut in chunks.

    `march(start, stop)` evaluates these steps from the state before them, `summarise(start, stop)` summarises
    them, and `states[t]` is where the state of step `t` is kept.
    """
    first, *inner, last = pairwise(cuts)
    summaries: dict[tuple[int, int], Summary] = {}

    def keep_summary(chunk: tuple[int, int]) -> None:
        summaries[chunk] = summarise(*chunk)

    run_all([partial(march, *first), *(partial(keep_summary, chunk) for chunk in inner)])
    jumps = []
    for start, stop in inner:
        end = summaries[start, stop].end(states[start - 1])
        if end is None:
            march(start, stop)
        else:
            # The last step of the chunk is now known, and the next chunk reads it while this one is evaluated.
            states[stop - 1] = end
            jumps.append((start, stop - 1))
    run_all([*(partial(march, *jump) for jump in jumps), partial(march, *last)])
    for _, known in jumps:
        if not np.isfinite(states[known - 1]):
            march(known, cuts[-1])
            return
