"""One recurrence on several threads: divide the time axis into chunks and carry the state across them.

The state at the end of a chunk is affine in the state before it, `h_end = P h + q`. These maps, the summaries of the
chunks, are computed in parallel for all chunks but the first and the last. Then the state is carried from chunk to
chunk, and the chunks are evaluated in parallel, each from its own start. With `m` threads there are `m + 1` chunks:
the first needs no summary and is evaluated meanwhile, and the last needs none either.

A summary is used only if it is about as accurate as the loop. If `P` grows, rounding errors in `P` and `q` that cancel
in the loop do not cancel here (A = 1.5, b = -0.5, h = 1 stays 1). If `P h` and `q` cancel, their errors are large
relative to the sum. If the state overflows within the chunk, it stays infinite or NaN although `P h + q` may be finite;
this is detected once the chunk has been evaluated. In all these cases steps are evaluated one after another from the
carried state.

One error remains. The loop rounds each step relative to the state at that step, the summary relative to the present `P`
and `q`. With |A| about 1, if a large state is cancelled at the start of a chunk, the error at the end of the chunk may
be the number of steps times a rounding error of the state at the *start*, while the loop makes one such error. Since no
more than a factor of `LARGEST_CANCELLATION` may cancel, the relative error of the state at the end of the chunk is at
most this factor, times the number of steps in the chunk, times the unit roundoff.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ..._arrays.namespace import Array, quiet
from ..._arrays.threads import run_all

LARGEST_GROWTH = 2.0
LARGEST_CANCELLATION = 16.0


@dataclass(frozen=True)
class Summary:
    """The affine map of a chunk, `h -> P (factor h) + q`, in NumPy scalars."""

    P: Any
    q: Any
    factor: float

    def end(self, h: Any) -> Any:
        """State after the chunk from the state `h` before it; None if the loop would be more accurate."""
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
    Evaluate the steps from `cuts[0]` to `cuts[-1]` in chunks.

    `march(start, stop)` evaluates steps from the state before them and writes them to `states`, and
    `summarise(start, stop)` computes their summary.
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
            # The state at the end of the chunk is known; the next chunk reads it while this one is evaluated.
            states[stop - 1] = end
            jumps.append((start, stop - 1))
    run_all([*(partial(march, *jump) for jump in jumps), partial(march, *last)])
    for _, known in jumps:
        if not np.isfinite(states[known - 1]):
            march(known, cuts[-1])
            return
