"""Segments that machine code marches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce

from ..._arrays.namespace import Array, array_namespace, copy
from ..._engine.linearisation import Propagator
from .coalescence import Coalescence
from .propagation import SegmentMarch, Span

March = Callable[[Array, Array, Span, int, int], None]
"""`march(starts, trajectory, span, first, last)`: the local steps `first` to `last` of all segments of a span."""


class CompiledStates(SegmentMarch):
    """States alone, no propagator (Jacobi), by machine code.

    Parameters
    ----------
    march : callable
        Evaluates local steps of all segments.
    must_gain : bool
        Whether a sweep ends as stalled if its states do not approach those of the previous sweep.
    """

    settles = True

    def __init__(self, march: March, *, must_gain: bool = False) -> None:
        self._march = march
        self.must_gain = must_gain

    def width(self, n: int) -> int:
        """One state."""
        return 1

    def march(
        self, starts: Array, span: Span, trajectory: Array, coalescence: Coalescence | None = None
    ) -> Propagator | None:
        """All local steps at once; after a previous sweep, some at a time until they meet its states."""
        if coalescence is None:
            self._march(starts, trajectory, span, 0, span.rounds)
            return None
        for first, last in portions(span.rounds):
            rows = trajectory[span.times(last - 1), ...]
            before = copy(rows)
            self._march(starts, trajectory, span, first, last)
            if last % Coalescence.LOOK == 0 and coalescence.compare(
                last - 1, rows, before, _sizes(trajectory, span, last)
            ):
                break
            starts = rows
        return None


def portions(steps: int) -> Iterator[tuple[int, int]]:
    """Ranges of steps between two comparisons: few steps at first, then a third of the steps done so far."""
    look, done = Coalescence.LOOK, 0
    while done < steps:
        last = min(done + max(look, done // 3 // look * look), steps)
        yield done, last
        done = last


def _sizes(trajectory: Array, span: Span, last: int) -> Array:
    """Largest sizes of the states in the few steps up to the local step `last`, of segments that have it."""
    xp, count = array_namespace(trajectory), span.segments(last - 1)
    times = range(last - 1, last - 1 - Coalescence.LOOK, -Coalescence.SAMPLE)
    return reduce(xp.maximum, (xp.abs(trajectory[span.times(j), ...][:count, ...]) for j in times))
