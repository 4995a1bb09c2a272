"""Events in machine code: the zeros of recorded functions on the polynomials of steps, one step after the other.

The values at the ends of a step and at times within it have one sign, or the signs change. Then, and only then, zeros
are searched between two times of different signs, by the method of Chandrupatla, "A new hybrid quadratic/bisection
algorithm for finding the zero of a nonlinear function without using derivatives", Advances in Engineering Software 28
(1997).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..graph import INPUT
from ..program import Program
from .driver import Fields, Module
from .expressions import Array, Code, Number, Value, Variable
from .routine import Routine, routine
from .status import Status
from .text import Register, UnsupportedError

EVENT, UNSEEN = int(Status.EVENT), int(Status.UNSEEN)
"""Why members end."""

PARTS = 13
"""Parts of a step at whose ends functions are evaluated."""

HALVINGS = 20
"""Halvings of the first part of all, if a function is zero at the begin: they show its sign afterwards."""

FEW = 8
"""Components that functions read which are evaluated one by one."""

CLOSE, FINE = 2.0**-54, 2.0**-55
"""Half the width of a bracket that is known well enough: as a share of the place in the step, plus that of the time; or
there is no number within it."""

PASSAGES = 100
"""Largest number of values in a bracket."""

NUMBERS = "number", "t", "value", "size"
"""What is written of an occurrence, before the state: which function, the time, its value there, and the largest one
between which the zero lies."""


def name(number: int) -> str:
    """Name of the routine of an event."""
    return f"event {number}".replace(" ", "_")


class Frame(Protocol):
    """The solver that events are written into; its attributes are those of `Members`."""

    lanes: int
    n: int
    dtype: np.dtype[Any]
    chunks: int
    width: int
    degree: int
    code: Code
    fields: Fields
    module: Module

    def lane(self, name: str) -> Array: ...

    def row(self, name: str) -> Any: ...

    def rows(self, name: str) -> Array: ...

    def number(self, name: str) -> Array: ...

    def pointer(self, name: str, member: Value, size: int = 0) -> Register: ...

    def chunkwise(self, write: Any) -> None: ...

    def evaluate(self, t: Value, state: Any, *results: Any) -> None: ...

    def value_at(self, theta: Value, place: Value) -> Value: ...


class Events:
    """
    Writes the search for events into a solver of one lane.

    A member ends with the first occurrence that is terminal. If a function is zero or NaN where its sign is needed, the
    member ends as well: it takes more than signs to tell what occurs there.

    Parameters
    ----------
    members : Frame
        The solver, in which the state before a step, and the coefficients of its polynomial, are known.
    programs : sequence of Program
        Functions of the arguments of the right-hand side, each with one real number as result.
    is_dense : bool
        Whether coefficients are slopes at Gauss's nodes.
    """

    def __init__(self, members: Frame, programs: Sequence[Program], *, is_dense: bool) -> None:
        if members.lanes > 1:
            raise UnsupportedError("has events, and members in lanes")
        self._members, self.programs, self._is_dense = members, programs, is_dense
        self._places = sorted(set().union(*map(_read, programs)))
        """Components that events read."""

    def routines(self) -> list[Routine]:
        """The functions."""
        return [routine(name(number), one) for number, one in enumerate(self.programs)]

    def extend(self, fields: Fields) -> None:
        """Add memory."""
        members, count = self._members, len(self.programs)
        fields.add("event values", np.float64, count, PARTS + 1)
        for what in ("event counts", "starts", "terminals"):
            fields.add(what, np.int64, count)
        fields.add("directions", np.float64, count)
        for what in ("event state", "event slope"):
            fields.add(what, members.dtype, members.chunks, members.width)
        for what in ("event time", "event value", "event begin", "event length", "event end", "event whole"):
            fields.add(what, np.float64, 1)
        fields.add("event weights", np.float64, members.degree)
        fields.add("stopped", np.int64, 1)

    # Memory

    def number(self, what: str) -> Array:
        """An array of numbers."""
        return self._members.fields.array(self._members.code, what)

    def _values(self, event: int) -> Array:
        """Values of an event at the ends of the parts of a step."""
        return self.number("event values").after(event * (PARTS + 1))

    # What the solver asks

    @property
    def goes_on(self) -> Value:
        """Whether no event has ended the member."""
        return self.number("stopped")[0].equals(0)

    @property
    def reason(self) -> Value:
        """Status of a member that an event has ended."""
        return self.number("stopped")[0]

    @property
    def end(self) -> Value:
        """Time at which an event has ended the member."""
        return self.number("event end")[0]

    def ended(self, chunk: Value | int, state: Value, slope: Value) -> tuple[Value, Value]:
        """A chunk of the state at the end of a step, and of the slope: at the event, if one has ended the member."""
        members, code, stays = self._members, self._members.code, self.reason.equals(EVENT)
        other, rate = (
            members.fields.array(code, what, members.width)[chunk] for what in ("event state", "event slope")
        )
        return code.where(stays, other, state), code.where(stays, rate, slope)

    def goal(self, goal: Value, member: Value) -> Value:
        """Where a member ends: where the first one ended, if that was by an event."""
        code = self._members.code
        first = code.array(self._members.pointer("t", code.number(0, np.int64)), np.float64)
        return code.where(member.differs(0) & self.reason.equals(EVENT), first[0], goal)

    # What the solver writes

    def load(self) -> None:
        """A member begins."""
        code, counts, starts = self._members.code, self.number("event counts"), self.number("starts")
        self.number("stopped")[0] = 0
        with code.for_(len(self.programs)) as k:
            counts[k] = 0
            starts[k] = 0

    def begin(self) -> None:
        """Values at the begin of a member."""
        members, starts = self._members, self.number("starts")
        self._copy_state("state")
        for event in range(len(self.programs)):
            value = self._value(event, members.lane("now")[0])
            self._values(event)[PARTS] = value
            starts[event] = value.equals(0.0).to(np.int64)

    def look(self, begin: Value, end: Value, h: Value) -> None:
        """Look for events in an accepted step, whose coefficients are known."""
        members, code, count = self._members, self._members.code, len(self.programs)
        for what, given in (("event begin", begin), ("event length", h), ("event end", end), ("event whole", end)):
            self.number(what)[0] = given
        differs, before = code.variable(False, bool), []
        for event in range(count):
            values = self._values(event)
            values[0] = values[PARTS]
            before.append(code.variable(values[0]))
        with code.for_(PARTS - 1) as k:
            theta = (k + 1).to(np.float64) * (1 / PARTS)
            self._go_to(theta)
            for event in range(count):
                value = self._value(event, code.fma(h, theta, begin))
                self._values(event)[k + 1] = value
                self._enter(value, before[event], differs)
        self._copy_state("end")
        for event in range(count):
            value = self._value(event, end)
            self._values(event)[PARTS] = value
            self._enter(value, before[event], differs)
        with code.if_(differs.get()), members.module.function("watch"):
            self._search()

    def _enter(self, value: Value, before: Variable, differs: Variable) -> None:
        """Note whether a value has another sign than the one before."""
        known = before.get()
        differs.set(differs.get() | ~(((value > 0) & (known > 0)) | ((value < 0) & (known < 0))))
        before.set(value)

    # States between

    def _copy_state(self, row: str) -> None:
        """Copy a state of the solver."""
        members, target, source = self._members, self._state(self._members.width), self._members.row(row)
        members.chunkwise(lambda k: target.__setitem__(k, source[k]))

    def _state(self, width: int = 1) -> Array:
        return self._members.fields.array(self._members.code, "event state", width)

    def _go_to(self, theta: Value, *, all_of_it: bool = False) -> None:
        """Write the state at a share of the step, or the components of it that events read."""
        members, code, target = self._members, self._members.code, self._state()
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
        length = (theta * self.number("event length")[0]).wide(members.degree)
        members.fields.array(code, "event weights", members.degree)[0] = total * length

    def _between(self, theta: Value, place: Value) -> Value:
        """A component at a share of the step."""
        members, code = self._members, self._members.code
        if not self._is_dense:
            return members.value_at(theta, place)
        weights, size = self.number("event weights"), members.chunks * members.width
        slopes, total = members.rows("coefficients").of(1), members.rows("state").of(1)[place]
        for k in range(members.degree):
            total = code.fma(weights[k], slopes[place + k * size], total)
        return total

    def _value(self, event: int, t: Value) -> Value:
        """Value of an event for the state that is written."""
        members, code, result = self._members, self._members.code, self.number("event value")
        time, program = self.number("event time"), self.programs[event]
        time[0] = t
        parameters = members.fields.array(code, "parameters")
        given = [code.load_pointer(parameters.at(k)) for k in range(len(program.arguments) - 2)]
        members.module.call(name(event), time.pointer, self._state().pointer, *given, result.pointer)
        return result[0]

    # The search

    def _search(self) -> None:
        """Find all events in a step; the first terminal one ends it."""
        members, code = self._members, self._members.code
        stop = code.variable(np.inf)
        for event in range(len(self.programs)):
            self._search_one(event, stop)
        theta = stop.get()
        with code.if_((theta < np.inf) & self.number("stopped")[0].equals(0)):
            t = self._time(theta)
            is_first = t.equals(self.number("event begin")[0])
            self.number("stopped")[0] = code.where(is_first, UNSEEN, code.number(EVENT, np.int64))
            self.number("event end")[0] = t
            self._go_to(theta, all_of_it=True)
            slope = members.fields.array(code, "event slope", members.width)
            members.evaluate(t, self._state(members.width), slope)

    def _time(self, theta: Value) -> Value:
        """Time at a share of the step."""
        code, begin, end = self._members.code, self.number("event begin")[0], self.number("event whole")[0]
        t = code.fma(theta, self.number("event length")[0], begin)
        low, high = code.minimum(begin, end), code.maximum(begin, end)
        return code.minimum(code.maximum(t, low), high)

    def _at(self, event: int, theta: Value) -> Value:
        """Value of an event at a share of the step."""
        self._go_to(theta)
        return self._value(event, self._time(theta))

    def _search_one(self, event: int, stop: Variable) -> None:
        """
        Find the occurrences of one event, from the begin of the step to its end.

        If it is zero where the member begins, it occurs there, if it leaves zero in the direction that counts, and the
        first part of the step is halved again and again.
        """
        code, values, starts = self._members.code, self._values(event), self.number("starts")
        direction = self.number("directions")[event]
        theta, value, first = code.variable(0.0), code.variable(values[0]), code.variable(HALVINGS, np.int64)
        with code.if_(starts[event].differs(0)):
            starts[event] = 0
            theta.set(2.0**-HALVINGS / PARTS)
            value.set(self._at(event, theta.get()))
            first.set(1)
            counts = direction.equals(0.0) | (direction * value.get() > 0)
            with code.if_(counts):
                self._occurs(event, code.number(0.0), code.abs(value.get()), stop)
        with code.for_(HALVINGS + PARTS, first.get()) as k:
            is_half = k < HALVINGS
            share = (k - (HALVINGS - 1)).to(np.float64) * (1 / PARTS)
            after = code.variable(code.where(is_half, 2.0 * theta.get(), share))
            following = code.variable(0.0)
            branch = code.if_(is_half)
            with branch as other:
                following.set(self._at(event, after.get()))
            with code.else_(other):
                following.set(values[code.maximum(k - (HALVINGS - 1), 0)])
            one, two = value.get(), following.get()
            rises, falls = (one < 0) & (two > 0), (one > 0) & (two < 0)
            stays = ((one < 0) & (two < 0)) | ((one > 0) & (two > 0))
            with code.if_(~(rises | falls | stays)):
                self.number("stopped")[0] = UNSEEN
            with code.if_((rises & (direction >= 0)) | (falls & (direction <= 0))):
                self._occurs(event, self._zero(event, theta.get(), after.get(), one, two),
                             code.maximum(code.abs(one), code.abs(two)), stop)  # fmt: skip
            theta.set(after.get())
            value.set(following.get())

    def _zero(self, event: int, begin: Value, end: Value, first: Value, last: Value) -> Value:
        """The share of the step, between two others with different signs, at which an event is zero."""
        code = self._members.code
        a, b, at_a, at_b = (code.variable(one) for one in (end, begin, last, first))
        share, left, best = code.variable(0.5), code.variable(PASSAGES, np.int64), code.variable(end)
        size = code.maximum(code.abs(self.number("event begin")[0]), code.abs(self.number("event whole")[0]))
        width = FINE * size / code.abs(self.number("event length")[0])
        with code.while_(lambda: left.get() > 0):
            left.set(left.get() - 1)
            x = code.fma(share.get(), b.get() - a.get(), a.get())
            is_last = code.variable(x.equals(a.get()) | x.equals(b.get()))
            kept = code.variable(x)
            at_x = self._at(event, kept.get())
            x = kept.get()
            same = ~((at_x > 0) ^ (at_a.get() > 0))
            c, at_c = code.where(same, a.get(), b.get()), code.where(same, at_a.get(), at_b.get())
            b.set(code.where(same, b.get(), a.get()))
            at_b.set(code.where(same, at_b.get(), at_a.get()))
            a.set(x)
            at_a.set(at_x)
            fa, fb, xa, xb = at_a.get(), at_b.get(), a.get(), b.get()
            best.set(code.where(code.abs(fa) < code.abs(fb), xa, xb))
            least = code.fma(code.abs(best.get()), CLOSE, width) / code.abs(xb - xa)
            part, level = (xa - xb) / (c - xb), (fa - fb) / (at_c - fb)
            inverse = fa / (fb - fa) * at_c / (fb - at_c)
            inverse = inverse + (c - xa) / (xb - xa) * fa / (at_c - fa) * fb / (at_c - fb)
            is_straight = (level * level < part) & ((1.0 - level) * (1.0 - level) < 1.0 - part)
            limited = code.minimum(code.maximum(inverse, least), 1.0 - least)
            share.set(code.where(is_straight, limited, 0.5))
            done = fa.equals(0.0) | (least > 0.5) | is_last.get() | fa.differs(fa)
            left.set(code.where(done, 0, left.get()))
        with code.if_(at_a.get().differs(at_a.get())):
            self.number("stopped")[0] = UNSEEN
        return best.get()

    def _occurs(self, event: int, theta: Value, size: Value, stop: Variable) -> None:
        """Write an occurrence, unless there were enough of them."""
        members, code, counts = self._members, self._members.code, self.number("event counts")
        most, share = self.number("terminals")[event], code.variable(theta)
        kept = code.variable(size)
        with code.if_(most.equals(0) | (counts[event] < most)):
            counts[event] = counts[event] + 1
            theta = share.get()
            self._go_to(theta, all_of_it=True)
            t = self._time(theta)
            seen = members.number("seen")
            row = code.array(members.pointer("occurrences", seen[0], 8 * (len(NUMBERS) + members.n)), np.float64)
            numbers: list[Number] = [float(event), t, self._value(event, t), kept.get()]
            for place, given in enumerate(numbers):
                row[place] = given
            state = self._state()
            with code.for_(members.n) as k:
                row[k + len(NUMBERS)] = state[k].to(np.float64)
            seen[0] = seen[0] + 1
            with code.if_(counts[event].equals(self.number("terminals")[event])):
                stop.set(code.minimum(stop.get(), share.get()))


def most_in_a_step(events: int) -> int:
    """Largest number of occurrences of so many events in a step."""
    return events * (PARTS + HALVINGS + 1)


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
