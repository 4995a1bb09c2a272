"""Marches along segments: they compute the states, and with them the propagators."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..._arrays.namespace import Array, array_namespace, copy
from ..._engine.linearisation import Propagator
from ..._functions.differences import perturbed, quotients
from ..._functions.step import Step
from ..._linalg.structure import Structure
from .coalescence import Coalescence

Carry = TypeVar("Carry")


@dataclass(frozen=True)
class Span:
    """Segments of `length` steps, from step `begin` up to `end`; the last one may be shorter."""

    begin: int
    end: int
    length: int

    @property
    def rounds(self) -> int:
        """Steps of the longest segment."""
        return min(self.length, self.end - self.begin)

    def times(self, j: int) -> slice:
        """The local step `j` of all segments that have one."""
        return slice(self.begin + j, self.end, self.length)

    def segments(self, j: int) -> int:
        """Number of segments that have a local step `j`."""
        return len(range(self.begin + j, self.end, self.length))


class SegmentMarch(ABC):
    """A way to evaluate all segments, and the derivatives of their ends by their starts."""

    settles = False
    """Whether a sweep may stop where the new states meet those of the previous sweep."""

    are_finite = False
    """Whether all states of all sweeps so far are known to be finite."""

    is_on_device = False
    """Whether sweeps are launches on a device, beside which operations on small arrays take long."""

    must_gain = False
    """Whether a sweep ends as stalled if its states do not approach those of the previous sweep."""

    def finishing(self, step: Step) -> SegmentMarch:
        """A way to evaluate the states alone."""
        return States(step)

    def met(self, starts: Array, span: Span, trajectory: Array, coalescence: Coalescence) -> Array | None:
        """
        Evaluate the segments, and again from the ends of those before them, until the states meet those of before.

        Returned are the right start states; None if the states do not meet, or this is not tried.
        """
        return None

    @abstractmethod
    def width(self, n: int) -> int:
        """Numbers kept per segment and batch element, as a multiple of the `n` of a state."""

    @abstractmethod
    def march(
        self, starts: Array, span: Span, trajectory: Array, coalescence: Coalescence | None = None
    ) -> Propagator | None:
        """Evaluate the segments of a span from their start states `(k, *batch, n)`, writing all states.

        `coalescence` decides where the rest of the trajectory may stay as it was after the previous sweep. Returns the
        derivatives of the ends by the starts; None stands for zero.
        """


class Propagation(SegmentMarch, Generic[Carry]):
    """Carries states, and the arrays for their derivatives, along all segments: one call of the step per local step.

    The segments are the first axis of every array in the carry.
    """

    def march(
        self, starts: Array, span: Span, trajectory: Array, coalescence: Coalescence | None = None
    ) -> Propagator | None:
        """Evaluate the local steps one after the other, each for all segments together."""
        carry, live = self.start(starts), starts.shape[0]
        for j in range(span.rounds):
            times = span.times(j)
            if (segments := span.segments(j)) < live:
                carry, live = self.shorten(carry, segments), segments
            carry = self.advance(carry, times)
            states = self.states(carry)
            met = coalescence is not None and coalescence.look(j, states, trajectory[times, ...])
            trajectory[times, ...] = states
            if met:
                break
        return self.propagator(carry)

    @abstractmethod
    def start(self, states: Array) -> Carry:
        """The carry at the start states `(k, *batch, n)`."""

    @abstractmethod
    def advance(self, carry: Carry, times: slice) -> Carry:
        """One step of all segments."""

    @abstractmethod
    def states(self, carry: Carry) -> Array:
        """States within the carry, `(k, *batch, n)`."""

    @abstractmethod
    def shorten(self, carry: Carry, k: int) -> Carry:
        """The first `k` segments: the last one may end early."""

    @abstractmethod
    def propagator(self, carry: Carry) -> Propagator | None:
        """Derivative of the end states by the start states."""


class States(Propagation[Array]):
    """States alone: no propagator (Jacobi)."""

    settles = True

    def __init__(self, step: Step, *, must_gain: bool = False) -> None:
        self._step = step
        self.must_gain = must_gain

    def width(self, n: int) -> int:
        """One state."""
        return 1

    def start(self, states: Array) -> Array:
        """A copy of the states: a step may write to its argument."""
        return copy(states)

    def advance(self, carry: Array, times: slice) -> Array:
        """One step."""
        return self._step(carry, times)

    def states(self, carry: Array) -> Array:
        """The states."""
        return carry

    def shorten(self, carry: Array, k: int) -> Array:
        """Leading segments."""
        return carry[:k, ...]

    def propagator(self, carry: Array) -> Propagator | None:
        """None: zero."""
        return None


class Tangents(Propagation[tuple[Array, Array | None]]):
    """States and the product of the step Jacobians along the segment.

    `reduce` maps each step Jacobian to the family that is multiplied: the identity for Newton, the diagonal for
    quasi-Newton.
    """

    def __init__(self, step: Step, structure: Structure, reduce: Callable[[Array], Array]) -> None:
        self._step = step
        self._structure = structure
        self._reduce = reduce

    def width(self, n: int) -> int:
        """A state, a Jacobian and a product."""
        numbers = math.prod(self._step.structure.shape(n)) + math.prod(self._structure.shape(n))
        return 1 + -(-numbers // n)

    def start(self, states: Array) -> tuple[Array, Array | None]:
        """The product starts empty: the first Jacobian is the first product."""
        return copy(states), None

    def advance(self, carry: tuple[Array, Array | None], times: slice) -> tuple[Array, Array | None]:
        """One step, and one factor."""
        states, product = carry
        states, jacobian = self._step.with_jacobian(states, times)
        jacobian = self._reduce(jacobian)
        # The first Jacobian is copied: a function may overwrite an array that it returned before.
        return states, copy(jacobian) if product is None else self._structure.product(jacobian, product)

    def states(self, carry: tuple[Array, Array | None]) -> Array:
        """The states."""
        return carry[0]

    def shorten(self, carry: tuple[Array, Array | None], k: int) -> tuple[Array, Array | None]:
        """Leading segments."""
        states, product = carry
        return states[:k, ...], None if product is None else product[:k, ...]

    def propagator(self, carry: tuple[Array, Array | None]) -> Propagator | None:
        """The product."""
        return Propagator(self._structure, carry[1])


class Shooting(Propagation[tuple[Array, Array]]):
    """States beside copies of them that start perturbed; the differences at the end are the propagator.

    The copies, `(1 + colours, k, *batch, n)`, are stacked along the first axis and marched in one call.
    `reduce` as for `Tangents`, applied to the propagator.
    """

    def __init__(
        self, step: Step, structure: Structure, reduced: Structure, reduce: Callable[[Array], Array], n: int
    ) -> None:
        self._step = step
        self._structure = structure
        self._reduced = reduced
        self._reduce = reduce
        self._copies = 1 + structure.colours(n)

    def width(self, n: int) -> int:
        """A state and its perturbed copies, before and after a step."""
        return 2 * self._copies

    def start(self, states: Array) -> tuple[Array, Array]:
        """Stacked copies, and the perturbations."""
        xp = array_namespace(states)
        shifted, added = perturbed(states, self._structure)
        return self._flat(xp.concat([states[None, ...], shifted])), added

    def advance(self, carry: tuple[Array, Array], times: slice) -> tuple[Array, Array]:
        """One step of all copies."""
        stack, added = carry
        return self._step(stack, times, self._copies), added

    def states(self, carry: tuple[Array, Array]) -> Array:
        """The unperturbed copy."""
        stack, added = carry
        return stack[: added.shape[0], ...]

    def shorten(self, carry: tuple[Array, Array], k: int) -> tuple[Array, Array]:
        """Leading segments of every copy."""
        stack, added = carry
        return self._flat(self._unflat(stack, added.shape[0])[:, :k, ...]), added[:k, ...]

    def propagator(self, carry: tuple[Array, Array]) -> Propagator | None:
        """Difference quotients."""
        stack, added = carry
        copies = self._unflat(stack, added.shape[0])
        matrices = quotients(copies[1:, ...], copies[0, ...], added, self._structure)
        return Propagator(self._reduced, self._reduce(matrices))

    def _flat(self, copies: Array) -> Array:
        """(copies, k, ...) as (copies·k, ...)."""
        xp = array_namespace(copies)
        return xp.reshape(copies, (-1, *copies.shape[2:]))

    def _unflat(self, stack: Array, k: int) -> Array:
        """(copies·k, ...) as (copies, k, ...)."""
        xp = array_namespace(stack)
        return xp.reshape(stack, (self._copies, k, *stack.shape[1:]))
