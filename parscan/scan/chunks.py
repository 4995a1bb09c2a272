"""One recurrence on several threads: cut the time axis into chunks and carry the state across them.

The state at the end of a chunk is affine in the state before it, `h_end = P h + q`. All chunks but the first
and the last are summarised so at once; then the state is carried from chunk to chunk, and the chunks are
evaluated at once, each from its own start. With `m` threads there are `m + 1` chunks, for the first needs no
summary, and so can be evaluated meanwhile, and the last needs none either.

A summary is used only where it is as good as the loop. Where `P` grows, rounding errors in `P` and `q` that
cancel in the loop do not cancel here (A = 1.5, b = -0.5, h = 1 stays 1), and where it overflows, the answer
need not. Such chunks are evaluated one after the other from the carried state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from .._arrays import Array, quiet
from .threads import run_all

LARGEST_GROWTH = 2.0


@dataclass(frozen=True)
class Summary:
    """What a chunk does to a state, `h -> P (factor h) + q`; `growth` bounds the size of `factor P`."""

    P: Array
    q: Array
    factor: float
    growth: float

    def end(self, h: Array) -> Array | None:
        """State after the chunk from the state `h` before it; None where only the loop can tell."""
        with quiet():
            state = self.P @ (h * self.factor) + self.q
        trusted = self.growth <= LARGEST_GROWTH and np.isfinite(state).all()
        return state if trusted else None


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
    chunks = list(pairwise(cuts))
    first, *inner, last = chunks
    summaries: dict[tuple[int, int], Summary] = {}

    def keep_summary(chunk: tuple[int, int]) -> None:
        summaries[chunk] = summarise(*chunk)

    run_all([partial(march, *first), *(partial(keep_summary, chunk) for chunk in inner)])
    remaining = []
    for start, stop in inner:
        end = summaries[start, stop].end(states[start - 1])
        if end is None:
            march(start, stop)
        else:
            # The last step of the chunk is now known, and the next chunk reads it while this one is evaluated.
            states[stop - 1] = end
            remaining.append(partial(march, start, stop - 1))
    run_all([*remaining, partial(march, *last)])
