"""Events in machine code: the zeros of recorded functions on the polynomials of steps, one step after the other.

The values at the ends of a step and at times within it have one sign, or the signs change. Then, and only then, zeros
are searched between two times of different signs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..program import Program
from .between import Between, Frame
from .driver import Fields
from .expressions import Array, Number, Value, Variable
from .routine import Routine, routine
from .status import Status
from .text import UnsupportedError

EVENT, UNSEEN = int(Status.EVENT), int(Status.UNSEEN)
"""Why members end."""

PARTS = 13
"""Parts of a step at whose ends functions are evaluated."""

HALVINGS = 20
"""Halvings of the first part of all, if a function is zero at the begin: they show its sign afterwards."""

NUMBERS = "number", "t", "value", "size"
"""What is written of an occurrence, before the state: which function, the time, its value there, and the largest one
between which the zero lies."""


def name(number: int) -> str:
    """Name of the routine of an event."""
    return f"event {number}".replace(" ", "_")


class Events(Between):
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
        super().__init__(members, "event", programs, is_dense=is_dense)
        self.programs = programs

    def routines(self) -> list[Routine]:
        """The functions."""
        return [routine(name(number), one) for number, one in enumerate(self.programs)]

    def extend(self, fields: Fields) -> None:
        """Add memory."""
        super().extend(fields)
        members, count = self._members, len(self.programs)
        fields.add("event values", np.float64, count, PARTS + 1)
        for what in ("event counts", "starts", "terminals"):
            fields.add(what, np.int64, count)
        fields.add("directions", np.float64, count)
        fields.add("event slope", members.dtype, members.chunks, members.width)
        for what in ("event value", "event share"):
            fields.add(what, np.float64, 1)
        fields.add("stopped", np.int64, 1)

    # Memory

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
        self.copy_state("state")
        for event in range(len(self.programs)):
            value = self._value(event, members.lane("now")[0])
            self._values(event)[PARTS] = value
            starts[event] = value.equals(0.0).to(np.int64)

    def look(self, begin: Value, end: Value, h: Value, share: Value | None = None) -> None:
        """Look for events in an accepted step, whose coefficients are known; or in a share of it, to the row "end"."""
        members, code, count = self._members, self._members.code, len(self.programs)
        self.begin_step(begin, end, h)
        if share is not None:
            self.own("share")[0], end = share, self.time_at(share)
        differs, before = code.variable(False, bool), []
        for event in range(count):
            values = self._values(event)
            values[0] = values[PARTS]
            before.append(code.variable(values[0]))
        with code.for_(PARTS - 1) as k:
            theta = (k + 1).to(np.float64) * self._part(share is not None)
            self.go_to(theta)
            for event in range(count):
                value = self._value(event, code.fma(h, theta, begin))
                self._values(event)[k + 1] = value
                self._enter(value, before[event], differs)
        self.copy_state("end")
        for event in range(count):
            value = self._value(event, end)
            self._values(event)[PARTS] = value
            self._enter(value, before[event], differs)
        with code.if_(differs.get()), members.module.function("watch"):
            self._search(is_shared=share is not None)

    def _part(self, is_shared: bool) -> Value | float:
        """Length of a part, of which there are `PARTS` in the step, or in a share of it."""
        return self.own("share")[0] * (1 / PARTS) if is_shared else 1 / PARTS

    def _enter(self, value: Value, before: Variable, differs: Variable) -> None:
        """Note whether a value has another sign than the one before."""
        known = before.get()
        differs.set(differs.get() | ~(((value > 0) & (known > 0)) | ((value < 0) & (known < 0))))
        before.set(value)

    def _value(self, event: int, t: Value) -> Value:
        """Value of an event for the state that is written."""
        members, code, result = self._members, self._members.code, self.number("event value")
        time, program = self.number("event time"), self.programs[event]
        time[0] = t
        parameters = members.fields.array(code, "parameters")
        given = [code.load_pointer(parameters.at(k)) for k in range(len(program.arguments) - 2)]
        members.module.call(name(event), time.pointer, self.state().pointer, *given, result.pointer)
        return result[0]

    # The search

    def _search(self, *, is_shared: bool) -> None:
        """Find all events in a step; the first terminal one ends it."""
        members, code = self._members, self._members.code
        stop = code.variable(np.inf)
        for event in range(len(self.programs)):
            self._search_one(event, stop, is_shared=is_shared)
        theta = stop.get()
        with code.if_((theta < np.inf) & self.number("stopped")[0].equals(0)):
            t = self.time_at(theta)
            is_first = t.equals(self.number("event begin")[0])
            self.number("stopped")[0] = code.where(is_first, UNSEEN, code.number(EVENT, np.int64))
            self.number("event end")[0] = t
            self.go_to(theta, all_of_it=True)
            slope = members.fields.array(code, "event slope", members.width)
            if members.switching is not None:
                members.switching.settle(t, self.state(members.width))
            members.evaluate(t, self.state(members.width), slope)

    def _at(self, event: int, theta: Value) -> Value:
        """Value of an event at a share of the step."""
        self.go_to(theta)
        return self._value(event, self.time_at(theta))

    def _search_one(self, event: int, stop: Variable, *, is_shared: bool) -> None:
        """
        Find the occurrences of one event, from the begin of the step to its end.

        If it is zero where the member begins, it occurs there, if it leaves zero in the direction that counts, and the
        first part of the step is halved again and again.
        """
        code, values, starts = self._members.code, self._values(event), self.number("starts")
        direction, part = self.number("directions")[event], self._part(is_shared)
        theta, value, first = code.variable(0.0), code.variable(values[0]), code.variable(HALVINGS, np.int64)
        with code.if_(starts[event].differs(0)):
            starts[event] = 0
            theta.set(2.0**-HALVINGS * part)
            value.set(self._at(event, theta.get()))
            first.set(1)
            counts = direction.equals(0.0) | (direction * value.get() > 0)
            with code.if_(counts):
                self._occurs(event, code.number(0.0), code.abs(value.get()), stop)
        with code.for_(HALVINGS + PARTS, first.get()) as k:
            is_half = k < HALVINGS
            share = (k - (HALVINGS - 1)).to(np.float64) * part
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
                zero, last = self.zero(lambda x: self._at(event, x), theta.get(), after.get(), one, two)
                with code.if_(last.differs(last)):
                    self.number("stopped")[0] = UNSEEN
                self._occurs(event, zero, code.maximum(code.abs(one), code.abs(two)), stop)
            theta.set(after.get())
            value.set(following.get())

    def _occurs(self, event: int, theta: Value, size: Value, stop: Variable) -> None:
        """Write an occurrence, unless there were enough of them."""
        members, code, counts = self._members, self._members.code, self.number("event counts")
        most, share = self.number("terminals")[event], code.variable(theta)
        kept = code.variable(size)
        with code.if_(most.equals(0) | (counts[event] < most)):
            counts[event] = counts[event] + 1
            theta = share.get()
            self.go_to(theta, all_of_it=True)
            t = self.time_at(theta)
            seen = members.number("seen")
            row = code.array(members.pointer("occurrences", seen[0], 8 * (len(NUMBERS) + members.n)), np.float64)
            numbers: list[Number] = [float(event), t, self._value(event, t), kept.get()]
            for place, given in enumerate(numbers):
                row[place] = given
            state = self.state()
            with code.for_(members.n) as k:
                row[k + len(NUMBERS)] = state[k].to(np.float64)
            seen[0] = seen[0] + 1
            with code.if_(counts[event].equals(self.number("terminals")[event])):
                stop.set(code.minimum(stop.get(), share.get()))


def most_in_a_step(events: int) -> int:
    """Largest number of occurrences of so many events in a step."""
    return events * (PARTS + HALVINGS + 1)
