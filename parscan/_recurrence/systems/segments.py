"""A recurrence cut into segments that march together: multiple shooting.

The nodes are the start states of the segments. Segments of one step make every state a node: DEER (Lim et al., ICLR
2024). Local step j of all segments together reads every `segment_length`-th input from j on and writes the same rows
of the trajectory, so nothing is copied or padded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..._arrays.elementwise import component_sizes
from ..._arrays.namespace import Array, array_namespace, itemsize, quiet
from ..._engine.system import Linearisation, NoGain, Propagator, Rejected, System
from ..._engine.tolerance import Tolerance, is_noise
from ..._functions.response import response
from ..._functions.step import Step
from .propagation import Propagation, States

MANY = 2.0
"""Multiple of what a few roundings make of a step that a segment, with those of all its steps, may be off."""

SLAB_BYTES = 2**26
"""Segments march in slabs whose carried states and derivatives take about this much memory."""


class Segments(System):
    """Steps `start` to `stop` of a recurrence in segments of `length` steps, swept over a trajectory in place.

    Parameters
    ----------
    step : Step
        The recurrence.
    propagation : Propagation
        What is carried along the segments.
    trajectory : array
        `(T, *batch, n)`; rows `start` to `stop` are overwritten by every sweep.
    start, stop : int
        The stretch of steps.
    length : int
        Steps per segment; the last one may be shorter.
    tolerance : Tolerance
        What counts as met when sweeps settle.
    guess : array or None
        Trajectory of all `T` steps to take the first start states from.
    """

    def __init__(
        self,
        step: Step,
        propagation: Propagation[Any],
        trajectory: Array,
        start: int,
        stop: int,
        length: int,
        tolerance: Tolerance,
        guess: Array | None = None,
    ) -> None:
        self._propagation = propagation
        self._step = step
        self._states = States(step)
        self._trajectory = trajectory
        self._start = start
        self._stop = stop
        self._length = length
        self._tolerance = tolerance
        self._guess = guess
        self._swept = False
        self._apart = math.inf  # how far the states of the last sweep were from those before it, at first
        size = max(1, math.prod(trajectory.shape[1:]) * itemsize(trajectory.dtype))
        self._slab = max(1, SLAB_BYTES // (size * propagation.width(trajectory.shape[-1])))

    @property
    def nodes(self) -> int:
        """Number of segments."""
        return -(-(self._stop - self._start) // self._length)

    def time_of(self, node: int) -> int:
        """Step that the segment of a node begins with."""
        return min(self._start + node * self._length, self._stop)

    def guess(self, y0: Array) -> Array:
        """Start states `(nodes, *batch, n)`: `y0`, and after it the guessed trajectory, or `y0` again."""
        xp = array_namespace(y0)
        if self._guess is None:
            return xp.broadcast_to(y0[None, ...], (self.nodes, *y0.shape))
        inner = self._guess[self._start + self._length - 1 : self._stop - 1 : self._length, ...]
        return xp.concat([y0[None, ...], inner])

    def linearise(self, z: Array, first: int) -> Linearisation:
        """One sweep of all segments from `first` on; the targets are the ends of the segments."""
        xp = array_namespace(z)
        parts = [self._sweep_guesses(self._propagation, z, lo, hi) for lo, hi in self._slabs(first)]
        self._swept = True
        if parts[0] is None:
            return Linearisation(z, None, self._ends(first))
        matrices = parts[0].matrices if len(parts) == 1 else xp.concat([part.matrices for part in parts if part])
        propagator = Propagator(parts[0].structure, matrices[: self.nodes - 1 - first, ...])
        return Linearisation(z, propagator, self._ends(first))

    def finish(self, z: Array, first: int) -> Array:
        """One more sweep of the states alone, as far as it changes anything."""
        for lo, hi in self._slabs(first):
            self._sweep_guesses(self._states, z, lo, hi)
        return self._ends(first)

    def roundings(self, z: Array, first: int) -> Array:
        """What the last step of each segment makes of roundings of the state that it starts from.

        A few times that, since a segment has many steps, each with its own.
        """
        end = self.time_of(first + 1) - 1  # the last step of the first segment; the last segment ends at no node
        inner = self._trajectory[max(end - 1, 0) : self._stop - 2 : self._length, ...]
        before = z[first:-1, ...] if self._length == 1 else inner
        return MANY * response(self._step, before, slice(end, self._stop - 1, self._length), signs=(1,))

    def _slabs(self, first: int) -> Iterator[tuple[int, int]]:
        """Ranges of segments that march at once."""
        for lo in range(first, self.nodes, self._slab):
            yield lo, min(lo + self._slab, self.nodes)

    def _sweep_guesses(self, propagation: Propagation[Any], z: Array, lo: int, hi: int) -> Propagator | None:
        """The same, where an exception of the user's functions may be the fault of the guess."""
        try:
            return self._sweep(propagation, z, lo, hi)
        except Exception as error:
            if error is self._step.error:
                raise Rejected from error
            raise

    def _sweep(self, propagation: Propagation[Any], z: Array, lo: int, hi: int) -> Propagator | None:
        """March segments `lo` to `hi` from their start states, writing the trajectory."""
        begin, end = self.time_of(lo), self.time_of(hi)
        meeting = self._meeting(propagation) if self._swept and propagation.settles else None
        live = hi - lo
        with quiet():
            carry = propagation.start(z[lo:hi, ...])
            for j in range(min(self._length, end - begin)):
                times = slice(begin + j, end, self._length)
                if (steps := len(range(begin + j, end, self._length))) < live:
                    carry, live = propagation.shorten(carry, steps), steps
                carry = propagation.advance(carry, times)
                states = propagation.states(carry)
                met = meeting is not None and meeting.look(j, states, self._trajectory[times, ...])
                self._trajectory[times, ...] = states
                if met:
                    break
            if meeting is not None and meeting.apart is not None:
                self._apart = meeting.apart
            return propagation.propagator(carry)

    def _meeting(self, propagation: Propagation[Any]) -> Coalescence:
        """Comparison with the sweep before; these steps may lose their share of the tolerance."""
        share = Coalescence.SHARE * (self._stop - self._start) / self._trajectory.shape[0]
        patience = self._length // 4 if propagation.must_gain else math.inf
        return Coalescence(self._tolerance, share, patience, self._apart)

    def _ends(self, first: int) -> Array:
        """End states of the segments from `first` to the last but one."""
        return self._trajectory[self.time_of(first) + self._length - 1 : self._stop - 1 : self._length, ...]


class Coalescence:
    """Tells when a sweep has met the trajectory of the sweep before, whose rest then stands.

    Two states have met when they differ by rounding only, measured by their size here and in the steps before (they
    may be passing through zero). And all segments together may lose no more than `share` of the tolerance: a slow
    drift is made of roundings, too. States that are no nearer after `patience` steps than after the first few never
    will be: `NoGain`. But if they are much nearer than those of the sweep before were, `before`, they grow apart for a
    while only, as in oscillations.
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
        difference = states - before
        if not bool(xp.all(is_noise(difference, recent))):
            # Components fed by larger ones keep apart by the roundings of those: that is no lack of gain.
            rough = is_noise(difference, MANY * xp.max(recent, axis=-1, keepdims=True))
            difference = xp.where(rough, xp.zeros_like(difference), difference)
            self._judge(j, self._tolerance.relative(difference, recent), difference)
            return False
        lost = xp.sum(self._tolerance.relative(difference, states), axis=0)
        return bool(xp.all(lost <= self._share))

    def _judge(self, j: int, apart: Array, difference: Array) -> None:
        """Compare how far the states are apart after the first look, and once more when patience ends.

        In tolerances, and in the units of the components as well: tolerances are small where a component is zero.
        """
        xp = array_namespace(apart)
        if self.apart is None:
            self.apart = float(xp.max(apart))
            self._first = component_sizes(xp.abs(difference))
        elif self._judgement <= j + 1 < self._judgement + self.LOOK:
            gained = self._before < math.inf and self.apart <= self.GAIN * self._before
            if not gained and bool(xp.any((apart >= self.apart) & (apart > 0))):
                last = component_sizes(xp.abs(difference))
                if self._first is None or bool(xp.any((last >= self._first) & (last > 0))):
                    raise NoGain
