"""States between the ends of a step, and zeros of recorded functions there, in machine code.

Zeros are searched between two places of different signs, by the method of Chandrupatla, "A new hybrid
quadratic/bisection algorithm for finding the zero of a nonlinear function without using derivatives", Advances in
Engineering Software 28 (1997).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..graph import INPUT
from ..program import Program
from .driver import Fields, Module
from .expressions import Array, Code, Value
from .text import Register

FEW = 8
"""Components that functions read which are evaluated one by one."""

CLOSE, FINE = 2.0**-54, 2.0**-55
"""Half the width of a bracket that is known well enough: as a share of the place in the step, plus that of the time; or
there is no number within it."""

PASSAGES = 100
"""Largest number of values in a bracket."""


class Frame(Protocol):
    """The solver that is written into; its attributes are those of `Members`."""

    lanes: int
    n: int
    dtype: np.dtype[Any]
    chunks: int
    width: int
    degree: int
    code: Code
    fields: Fields
    module: Module
    switching: Any

    def lane(self, name: str) -> Array: ...

    def row(self, name: str) -> Any: ...

    def rows(self, name: str) -> Array: ...

    def number(self, name: str) -> Array: ...

    def pointer(self, name: str, member: Value, size: int = 0) -> Register: ...

    def chunkwise(self, write: Any) -> None: ...

    def evaluate(self, t: Value, state: Any, *results: Any) -> None: ...

    def value_at(self, theta: Value, place: Value) -> Value: ...

    def time(self, t: Value) -> Value: ...


class Between:
    """
    Writes what is known between the ends of a step into a solver of one lane.

    Parameters
    ----------
    members : Frame
        The solver, in which the state before a step, and the coefficients of its polynomial, are known.
    prefix : str
        Of the names of fields.
    programs : sequence of Program
        Functions of the arguments of the right-hand side, which may read fewer components than all.
    is_dense : bool
        Whether coefficients are slopes at Gauss's nodes.
    """

    def __init__(self, members: Frame, prefix: str, programs: Sequence[Program], *, is_dense: bool) -> None:
        self._members, self._prefix, self._is_dense = members, prefix, is_dense
        self._places = sorted(set().union(*map(_read, programs)))
        """Components that the functions read."""

    def extend(self, fields: Fields) -> None:
        """Add memory."""
        members = self._members
        fields.add(f"{self._prefix} state", members.dtype, members.chunks, members.width)
        for what in ("time", "begin", "length", "end", "whole"):
            fields.add(f"{self._prefix} {what}", np.float64, 1)
        fields.add(f"{self._prefix} weights", np.float64, members.degree)

    def number(self, what: str) -> Array:
        """An array of numbers, of the solver's or of one's own."""
        return self._members.fields.array(self._members.code, what)

    def own(self, what: str) -> Array:
        """An array of numbers of one's own."""
        return self.number(f"{self._prefix} {what}")

    def begin_step(self, begin: Value, end: Value, h: Value) -> None:
        """Note a step that was accepted, whose coefficients are known."""
        for what, given in (("begin", begin), ("length", h), ("end", end), ("whole", end)):
            self.own(what)[0] = given

    # States between

    def copy_state(self, row: str) -> None:
        """Copy a state of the solver."""
        members, target, source = self._members, self.state(self._members.width), self._members.row(row)
        members.chunkwise(lambda k: target.__setitem__(k, source[k]))

    def state(self, width: int = 1) -> Array:
        """The state that functions read."""
        return self._members.fields.array(self._members.code, f"{self._prefix} state", width)

    def go_to(self, theta: Value, *, all_of_it: bool = False) -> None:
        """Write the state at a share of the step, or the components of it that functions read."""
        members, code, target = self._members, self._members.code, self.state()
        if self._is_dense:
            self._weigh(theta)
        if not all_of_it and len(self._places) <= FEW:
            for place in self._places:
                target[place] = self._between(theta, code.number(place, np.int64))
            return
        with code.for_(members.n) as k:
            target[k] = self._between(theta, k)

    def _weigh(self, theta: Value) -> None:
        """Write the weights of slopes in the state at a share of the step."""
        members, code = self._members, self._members.code
        powers, share = of_nodes(members.degree), theta.wide(members.degree)
        total = code.vector(powers[:, -1].tolist())
        for k in reversed(range(members.degree - 1)):
            total = code.fma(total, share, code.vector(powers[:, k].tolist()))
        length = (theta * self.own("length")[0]).wide(members.degree)
        members.fields.array(code, f"{self._prefix} weights", members.degree)[0] = total * length

    def _between(self, theta: Value, place: Value) -> Value:
        """A component at a share of the step."""
        members, code = self._members, self._members.code
        if not self._is_dense:
            return members.value_at(theta, place)
        weights, size = self.own("weights"), members.chunks * members.width
        slopes, total = members.rows("coefficients").of(1), members.rows("state").of(1)[place]
        for k in range(members.degree):
            total = code.fma(weights[k], slopes[place + k * size], total)
        return total

    def time_at(self, theta: Value) -> Value:
        """Time at a share of the step."""
        code, begin, end = self._members.code, self.own("begin")[0], self.own("whole")[0]
        t = code.fma(theta, self.own("length")[0], begin)
        low, high = code.minimum(begin, end), code.maximum(begin, end)
        return code.minimum(code.maximum(t, low), high)

    # Zeros

    def zero(
        self, at: Callable[[Value], Value], begin: Value, end: Value, first: Value, last: Value, *, passes: bool = False
    ) -> tuple[Value, Value]:
        """
        The share of the step, between two others with different signs, at which a function is zero; and a value there.

        If it `passes`, the share is one at which the function has the sign that it has at the end.
        """
        code = self._members.code
        a, b, at_a, at_b = (code.variable(one) for one in (end, begin, last, first))
        share, left, best = code.variable(0.5), code.variable(PASSAGES, np.int64), code.variable(end)
        is_above = code.variable((last > 0).to(np.float64))
        # Where a step ends, its state counts, which is known at shares of the step, not the time, which may have few
        # digits for that: ends that are late by the spacing of times, again and again, would add up.
        size = code.maximum(code.abs(self.own("begin")[0]), code.abs(self.own("whole")[0]))
        width: Any = FINE if passes else FINE * size / code.abs(self.own("length")[0])
        with code.while_(lambda: left.get() > 0):
            left.set(left.get() - 1)
            x = code.fma(share.get(), b.get() - a.get(), a.get())
            is_last = code.variable(x.equals(a.get()) | x.equals(b.get()))
            kept = code.variable(x)
            at_x = at(kept.get())
            x = kept.get()
            same = ~((at_x > 0) ^ (at_a.get() > 0))
            c, at_c = code.where(same, a.get(), b.get()), code.where(same, at_a.get(), at_b.get())
            b.set(code.where(same, b.get(), a.get()))
            at_b.set(code.where(same, at_b.get(), at_a.get()))
            a.set(x)
            at_a.set(at_x)
            fa, fb, xa, xb = at_a.get(), at_b.get(), a.get(), b.get()
            if passes:
                best.set(code.where((fa > 0).to(np.float64).equals(is_above.get()), xa, xb))
            else:
                best.set(code.where(code.abs(fa) < code.abs(fb), xa, xb))
            least = code.fma(code.abs(best.get()), CLOSE, width) / code.abs(xb - xa)
            part, level = (xa - xb) / (c - xb), (fa - fb) / (at_c - fb)
            inverse = fa / (fb - fa) * at_c / (fb - at_c)
            inverse = inverse + (c - xa) / (xb - xa) * fa / (at_c - fa) * fb / (at_c - fb)
            is_straight = (level * level < part) & ((1.0 - level) * (1.0 - level) < 1.0 - part)
            limited = code.minimum(code.maximum(inverse, least), 1.0 - least)
            share.set(code.where(is_straight, limited, 0.5))
            done = (least > 0.5) | is_last.get() | fa.differs(fa)
            if not passes:
                done = done | fa.equals(0.0)
            left.set(code.where(done, 0, left.get()))
        return best.get(), at_a.get()


def _read(program: Program) -> set[int]:
    """Components of the state that a function reads."""
    return {
        int(place)
        for block in program.blocks
        if block.operation == INPUT and block.data[0] == 1
        for place in np.ravel(block.data[1])
    }


def of_nodes(degree: int) -> Any:
    """Coefficients `(degree, degree)` of the powers θ to θ^degree in the weights of slopes at Gauss's nodes."""
    nodes = (np.polynomial.legendre.leggauss(degree)[0] + 1) / 2
    found = np.empty((degree, degree))
    for k in range(degree):
        others = np.polynomial.Polynomial.fromroots(np.delete(nodes, k))
        found[k] = (others / others(nodes[k])).integ().coef[1:]
    return found
