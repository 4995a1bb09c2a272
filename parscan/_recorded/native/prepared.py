"""
Members of an ensemble that are prepared together, before lanes take them.

The first step of a member follows from its first slope by a chain of operations that takes as long as half a step. A
lane that ended would do that alone while all others wait; here, as many members as there are lanes do it side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from ..program import Program
from .driver import Fields, Module
from .expressions import Array, Code, Value
from .text import Register

PREFIX = "prepared "
"""Of the fields that hold prepared members."""

NUMBERS = "now", "goal", "limit", "tightness", "step", "direction"
"""What is known of a prepared member, besides its number, state, first slope and parameters: doubles."""

SHARE = 32
"""No more members than this part of those that are left are prepared at once: threads should end at the same time."""


class Lanes(Protocol):
    """The solver that is written into; its attributes are those of `Members`."""

    lanes: int
    n: int
    dtype: np.dtype[Any]
    chunks: int
    width: int
    code: Code
    fields: Fields
    module: Module
    program: Program

    def number(self, name: str) -> Array: ...

    def pointer(self, name: str, member: Value, size: int = 0) -> Register: ...

    def load(self, lane: Value, member: Value) -> None: ...

    def reset(self, lane: Value, values: dict[str, Any]) -> None: ...

    def begin_prepared(self) -> None: ...


class Prepared:
    """
    Writes how members are prepared, and taken.

    Parameters
    ----------
    members : Lanes
        Those of the ensemble: their memory and their functions.
    parameters : sequence of int
        Numbers of the parameters that members have for themselves.
    """

    def __init__(self, members: Lanes, parameters: Sequence[int]) -> None:
        self._members, self._parameters = members, [f"parameter {k}" for k in parameters]
        self._rows = {("state", 0), ("slopes", 0)}
        self._names = {*NUMBERS, "member", "given", *self._parameters}
        self._is_written = False

    def extend(self, fields: Fields) -> None:
        """Add memory."""
        members = self._members
        for name in NUMBERS:
            fields.add(PREFIX + name, np.float64, 1, members.lanes)
        for name in ("member", "given"):
            fields.add(PREFIX + name, np.int64, 1, members.lanes)
        for name in ("state", "slopes"):
            fields.add(PREFIX + name, members.dtype, members.chunks, members.width)
        for name in self._parameters:
            argument = members.program.arguments[2 + int(name.split()[1])]
            fields.add(PREFIX + name, argument.dtype, int(np.prod(argument.shape)), members.lanes)
        for name in ("prepared", "handed out"):
            fields.add(name, np.int64, 1)

    def name(self, name: str, number: int = 0) -> str:
        """Where a field is read and written now: that of prepared members while these are."""
        here = self._is_written and (name in self._names or (name, number) in self._rows)
        return PREFIX + name if here else name

    @contextmanager
    def written(self) -> Iterator[None]:
        """What is written in this context is about prepared members."""
        self._is_written = True
        yield
        self._is_written = False

    def take(self, lane: Value) -> None:
        """Give a member to a lane that has none."""
        members, code = self._members, self._members.code
        count, place = (members.fields.array(code, name) for name in ("prepared", "handed out"))
        with code.if_(place[0].equals(count[0])), members.module.function("prepare_members"):
            self._prepare()
        with code.if_(place[0] < count[0]):
            self._hand_out(lane, place[0])
            place[0] = place[0] + 1

    def _prepare(self) -> None:
        """The next members: their first slopes and first steps."""
        members, code = self._members, self._members.code
        queue, count = members.pointer("queue", code.number(0, np.int64)), members.number("members")[0]
        begun = code.array(queue, np.int64)[0]
        wanted = code.minimum((count - begun) / SHARE, members.lanes)
        wanted = code.maximum(wanted, 1)
        first = code.assigned(f"atomicrmw add ptr {queue}, i64 {wanted.register} monotonic", np.dtype(np.int64), 1)
        found = code.maximum(code.minimum(count - first, wanted), 0)
        for name, value in (("prepared", found), ("handed out", code.number(0, np.int64))):
            members.fields.array(code, name)[0] = value
        with self.written(), code.if_(found > 0):
            with code.for_(found) as place:
                members.load(place, first + place)
            members.begin_prepared()

    def _hand_out(self, lane: Value, place: Value) -> None:
        """Copy a prepared member to a lane."""
        members, code, lanes = self._members, self._members.code, self._members.lanes
        sizes = dict.fromkeys((*NUMBERS, "member"), 1) | {"state": members.n, "slopes": members.n}
        for name in self._parameters:
            sizes[name] = int(np.prod(members.program.arguments[2 + int(name.split()[1])].shape))
        for name, size in sizes.items():
            source, target = (members.fields.array(code, one) for one in (PREFIX + name, name))
            with code.for_(size) as k:
                target[k * lanes + lane] = source[k * lanes + place]
        chosen = members.fields.array(code, PREFIX + "given")[place].equals(0)
        members.reset(lane, {"evaluations": 1 + chosen.to(np.int64), "fresh": 0, "active": 1})
