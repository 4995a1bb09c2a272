"""Segments that machine code marches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Protocol

from ..._arrays.namespace import Array, array_namespace, copy
from ..._engine.linearisation import Propagator
from ..._functions.step import Step
from ..._linalg.structure import Structure
from .coalescence import Coalescence
from .propagation import SegmentMarch, Span

FIRST, SHARE = 4 * Coalescence.LOOK, 16
"""Steps before the first comparison, which takes longer than they do: at least so many, and this part of a segment."""

LONG = 8
"""Sweeps that meet to the last bit after more than one such part of a segment may meet up to rounding errors."""

March = Callable[[Array, Span], Callable[[Array, int, int], bool]]
"""`march(trajectory, span)` is a function of start states and of the first and last local steps of all segments."""

MarchProducts = Callable[[Array, Array, Array, Span], None]
"""`march(starts, products, trajectory, span)`: all local steps; `products`, the identity, becomes that of Jacobians."""


class Remembers(Protocol):
    """
    Something that lasts longer than a solve.

    `met` is the number of steps after which two sweeps had met: 0 if that is unknown, infinite if they did not meet.
    They had met to the last bit or, if that took too long, `rounded`: up to rounding errors.
    """

    met: float
    rounded: bool


class CompiledStates(SegmentMarch):
    """States alone, no propagator (Jacobi), by machine code.

    Parameters
    ----------
    march : callable
        Evaluates local steps of all segments.
    must_gain, settles : bool
        As in `SegmentMarch`.
    memory : Remembers, optional
        Of the same step; without it, sweeps are not expected to meet to the last bit.
    """

    def __init__(
        self, march: March, *, must_gain: bool = False, settles: bool = True, memory: Remembers | None = None
    ) -> None:
        self._march, self._memory = march, memory
        self.must_gain, self.settles, self.are_finite = must_gain, settles, True

    def finishing(self, step: Step) -> SegmentMarch:
        """The same, without demands."""
        return CompiledStates(self._march)

    def width(self, n: int) -> int:
        """One state."""
        return 1

    def met(self, starts: Array, span: Span, trajectory: Array, coalescence: Coalescence) -> Array | None:
        """All local steps, then some of them again: after equal states, the same code gives equal ones."""
        memory, rest = self._memory, (span.end - span.begin) % span.length
        if memory is None or memory.met == math.inf or rest or starts.shape[0] < 2:
            return None
        run = self._march(trajectory, span)
        are_finite = run(starts, 0, span.rounds)
        ends = trajectory[span.times(span.rounds - 1), ...]
        right = states = array_namespace(starts).concat([starts[:1, ...], ends[:-1, ...]])
        near: dict[int, bool] = {}
        for first, last in portions(span.rounds, int(memory.met)):
            is_expected = first == 0 and memory.met > 0
            # Otherwise, when they meet is found out more precisely, for later solves.
            looks = [*(range(first, last, Coalescence.LOOK)[1:] if not is_expected else ()), last]
            rows = [trajectory[span.times(j - 1), ...] for j in looks]
            before = [copy(row) for row in rows]
            are_finite &= run(states, first, last)
            met = {j: row.tobytes() == old.tobytes() for j, row, old in zip(looks, rows, before, strict=True)}
            if not met[last] and last < span.rounds and last % Coalescence.LOOK == 0:
                near |= {j: coalescence.compare(j - 1, row, old, _sizes(trajectory, span, j))
                         for j, row, old in zip(looks, rows, before, strict=True)}  # fmt: skip
                if memory.rounded or last > span.rounds // LONG:
                    met = near
            if met[last]:
                memory.met, memory.rounded = _last_beginning(met), memory.rounded or met is near
                self.are_finite &= are_finite
                return right
            states = rows[-1]
        memory.met = math.inf
        return None

    def march(
        self, starts: Array, span: Span, trajectory: Array, coalescence: Coalescence | None = None
    ) -> Propagator | None:
        """All local steps at once; after a previous sweep, some at a time until they meet its states."""
        run = self._march(trajectory, span)
        if coalescence is None:
            self.are_finite &= run(starts, 0, span.rounds)
            return None
        for first, last in portions(span.rounds):
            rows = trajectory[span.times(last - 1), ...]
            before = copy(rows)
            self.are_finite &= run(starts, first, last)
            if last % Coalescence.LOOK == 0 and coalescence.compare(
                last - 1, rows, before, _sizes(trajectory, span, last)
            ):
                break
            starts = rows
        return None


class CompiledTangents(SegmentMarch):
    """States and the products of the exact Jacobians along the segments, by machine code.

    Parameters
    ----------
    march : callable
        Evaluates all local steps.
    structure : Structure
        Family of the products; other entries of the Jacobians are left out.
    states : callable
        Evaluates local steps of the states alone.
    kept : Structure, optional
        Smaller family of the propagators, of which the products of dense matrices have entries.
    """

    def __init__(self, march: MarchProducts, structure: Structure, states: March, kept: Structure | None) -> None:
        self._march, self._structure, self._states, self._kept = march, structure, states, kept

    def finishing(self, step: Step) -> SegmentMarch:
        """All steps by machine code: that is faster than to find out when they meet those of the last sweep."""
        return CompiledStates(self._states, settles=False)

    def width(self, n: int) -> int:
        """A state, and a product before and after a portion of the steps."""
        return 1 + -(-2 * math.prod(self._structure.shape(n)) // n)

    def _room(self, starts: Array) -> Array:
        """Memory for products, one for each of the start states."""
        *lead, n = starts.shape
        return array_namespace(starts).empty((*lead, *self._structure.shape(n)), dtype=starts.dtype)

    def _first(self, starts: Array) -> Array:
        """Products before the first step."""
        return copy(self._structure.identity(self._room(starts)))

    def march(
        self, starts: Array, span: Span, trajectory: Array, coalescence: Coalescence | None = None
    ) -> Propagator | None:
        """All local steps at once."""
        products = self._first(starts)
        self._march(starts, products, trajectory, span)
        if self._kept is None:
            return Propagator(self._structure, products)
        return Propagator(self._kept, self._kept.from_dense(products))


def _last_beginning(flags: dict[int, bool]) -> int:
    """The step from which on all flags are set; that of the last step is."""
    unset = max((step for step, flag in flags.items() if not flag), default=0)
    return min(step for step in flags if step > unset)


def portions(steps: int, first: int = 0) -> Iterator[tuple[int, int]]:
    """Ranges of steps between two comparisons: `first` or some, then half as many as were done so far."""
    look, done = Coalescence.LOOK, 0
    first = first or max(FIRST, -(-steps // (SHARE * look)) * look)
    while done < steps:
        last = min(done + (done // 2 // look * look or first), steps)
        yield done, last
        done = last


def _sizes(trajectory: Array, span: Span, last: int) -> Array:
    """Largest sizes of the states in the few steps up to the local step `last`, of segments that have it."""
    return recent_sizes(trajectory, span.begin + last - 1, span.length, span.segments(last - 1))


def recent_sizes(trajectory: Array, last: int, apart: int, count: int) -> Array:
    """Largest sizes of the states in the few steps up to each of `count`: `last`, and those `apart` steps later."""
    xp = array_namespace(trajectory)
    firsts = range(last, last - Coalescence.LOOK, -Coalescence.SAMPLE)
    stop = (count - 1) * apart + 1
    return reduce(xp.maximum, (xp.abs(trajectory[first : first + stop : apart, ...]) for first in firsts))
