"""A recurrence divided into segments that march together: multiple shooting.

The nodes are the start states of the segments. Segments of one step make every state a node: DEER (Lim et al., ICLR
2024). Local step j of all segments together reads every `segment_length`-th input from j on and writes the same rows
of the trajectory, so nothing is copied or padded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..._arrays.namespace import Array, array_namespace, itemsize, quiet
from ..._engine.linearisation import Linearisation, Propagator
from ..._engine.newton import Ended
from ..._engine.system import System
from ..._engine.termination import Termination
from ..._engine.tolerance import Tolerance
from ..._functions.response import response
from ..._functions.step import Step
from .coalescence import MANY, Coalescence
from .damping import Damping
from .propagation import SegmentMarch, Span

SLAB_BYTES = 2**26
"""Segments march in slabs whose carried states and derivatives take about this much memory."""


class Segments(System):
    """Steps `start` to `stop` of a recurrence in segments of `length` steps, swept over a trajectory in place.

    Parameters
    ----------
    step : Step
        The recurrence.
    propagation : SegmentMarch
        Evaluates the segments and their propagators.
    trajectory : array
        `(T, *batch, n)`; rows `start` to `stop` are overwritten by every sweep.
    start, stop : int
        The stretch of steps.
    length : int
        Steps per segment; the last one may be shorter.
    tolerance : Tolerance
        Decides whether two sweeps have met.
    guess : array or None
        Trajectory of all `T` steps that gives the first start states.
    damping : Damping or None
        Keeps the corrections small.
    """

    def __init__(
        self,
        step: Step,
        propagation: SegmentMarch,
        trajectory: Array,
        start: int,
        stop: int,
        length: int,
        tolerance: Tolerance,
        guess: Array | None = None,
        damping: Damping | None = None,
    ) -> None:
        self._propagation = propagation
        self._step = step
        self._states = propagation.finishing(step)
        self._trajectory = trajectory
        self._start = start
        self._stop = stop
        self._length = length
        self._tolerance = tolerance
        self._guess = guess
        self._damping = damping
        self._swept = False
        self._apart = math.inf  # first distance of the last sweep's states from those of the sweep before
        size = max(1, math.prod(trajectory.shape[1:]) * itemsize(trajectory.dtype))
        self._slab = max(1, SLAB_BYTES // (size * propagation.width(trajectory.shape[-1])))

    @property
    def are_finite(self) -> bool:
        """Whether all states that the sweeps wrote are known to be finite."""
        return self._propagation.are_finite and self._states.are_finite

    @property
    def nodes(self) -> int:
        """Number of segments."""
        return -(-(self._stop - self._start) // self._length)

    def time_of(self, node: int) -> int:
        """First step of the segment of a node."""
        return min(self._start + node * self._length, self._stop)

    def guess(self, y0: Array) -> Array:
        """Start states `(nodes, *batch, n)`: `y0`, and after it the guessed trajectory, or `y0` again."""
        xp = array_namespace(y0)
        if self._guess is None:
            return xp.broadcast_to(y0[None, ...], (self.nodes, *y0.shape))
        inner = self._guess[self._start + self._length - 1 : self._stop - 1 : self._length, ...]
        return xp.concat([y0[None, ...], inner])

    def at_once(self, z: Array, tolerance: Tolerance) -> tuple[Array, tuple[float, ...]] | None:
        """A sweep from the guess, and one from the ends of its segments, which meets it."""
        if self._damping is not None or self._slab < self.nodes:
            return None
        with quiet():
            span = Span(self._start, self._stop, self._length)
            coalescence = Coalescence(self._tolerance, self._share, math.inf)
            nodes = self._propagation.met(z, span, self._trajectory, coalescence)
            if nodes is None:
                return None
            xp = array_namespace(z)
            size = float(xp.max(tolerance.relative(nodes - z, nodes)))
        return (nodes, (size, 0.0)) if math.isfinite(size) else None

    def linearise(self, z: Array, first: int) -> Linearisation:
        """One sweep of all segments from `first` on, damped; the targets are the ends of the segments."""
        line = self._sweep_all(z, first)
        return self._damping.damp(line, lambda nodes: self.finish(nodes, first)) if self._damping else line

    def _sweep_all(self, z: Array, first: int) -> Linearisation:
        """The propagators of the segments, and their ends."""
        xp = array_namespace(z)
        parts = [self._sweep_guesses(self._propagation, z, lo, hi) for lo, hi in self._slabs(first)]
        self._swept = True
        if parts[0] is None:
            return Linearisation(z, None, self._ends(first))
        matrices = parts[0].matrices if len(parts) == 1 else xp.concat([part.matrices for part in parts if part])
        propagator = Propagator(parts[0].structure, matrices[: self.nodes - 1 - first, ...])
        return Linearisation(z, propagator, self._ends(first))

    def finish(self, z: Array, first: int) -> Array:
        """One more sweep of the states alone, which stops where it changes nothing."""
        for lo, hi in self._slabs(first):
            self._sweep_guesses(self._states, z, lo, hi)
        return self._ends(first)

    def roundings(self, z: Array, first: int) -> Array:
        """A multiple of the response of the last step of each segment to rounding errors of its argument.

        It is a multiple because every step of a segment adds rounding errors.
        """
        end = self.time_of(first + 1) - 1  # the last step of the first segment; the last segment ends at no node
        inner = self._trajectory[max(end - 1, 0) : self._stop - 2 : self._length, ...]
        before = z[first:-1, ...] if self._length == 1 else inner
        return MANY * response(self._step, before, slice(end, self._stop - 1, self._length), signs=(1,))

    def _slabs(self, first: int) -> Iterator[tuple[int, int]]:
        """Ranges of segments that march at once."""
        for lo in range(first, self.nodes, self._slab):
            yield lo, min(lo + self._slab, self.nodes)

    def _sweep_guesses(self, propagation: SegmentMarch, z: Array, lo: int, hi: int) -> Propagator | None:
        """A sweep in which an exception of the user's functions may be due to the guess."""
        try:
            return self._sweep(propagation, z, lo, hi)
        except Exception as error:
            if error is self._step.error:
                cause = f"{type(error).__name__}: {error}"
                raise Ended(Termination.RAISED, cause) from error
            raise

    def _sweep(self, propagation: SegmentMarch, z: Array, lo: int, hi: int) -> Propagator | None:
        """March segments `lo` to `hi` from their start states, writing the trajectory."""
        coalescence = self._coalescence(propagation) if self._swept and propagation.settles else None
        span = Span(self.time_of(lo), self.time_of(hi), self._length)
        with quiet():
            propagator = propagation.march(z[lo:hi, ...], span, self._trajectory, coalescence)
        if coalescence is not None and coalescence.apart is not None:
            self._apart = coalescence.apart
        return propagator

    def _coalescence(self, propagation: SegmentMarch) -> Coalescence:
        """The comparison with the previous sweep; these steps may use their share of the tolerance."""
        patience = self._length // 4 if propagation.must_gain else math.inf
        return Coalescence(self._tolerance, self._share, patience, self._apart)

    @property
    def _share(self) -> float:
        """Share of the tolerance that differences of sweeps which meet may use."""
        return Coalescence.SHARE * (self._stop - self._start) / self._trajectory.shape[0]

    def _ends(self, first: int) -> Array:
        """End states of the segments from `first` to the last but one."""
        return self._trajectory[self.time_of(first) + self._length - 1 : self._stop - 1 : self._length, ...]
