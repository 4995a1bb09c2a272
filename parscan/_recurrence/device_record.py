"""The record of a step for one sequence of a batch on a device, and where a sequence finds its inputs in memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from .._arrays.namespace import Array, contiguous, dtype_name, itemsize
from .._functions.step import Step
from .._recorded.budget import NoCodeError
from .code import REFUSALS, kind_of
from .systems.recorded_step import recorded_on_device

KEPT = 1024
"""Functions that are remembered."""

_made: OrderedDict[Any, bool] = OrderedDict()

if TYPE_CHECKING:
    from .._recorded.program import Program

MOST_TOGETHER = 512
"""Largest number of sequences of a batch that is recorded as a whole."""


@dataclass(frozen=True)
class Input:
    """
    Where sequences find an input.

    Parameters
    ----------
    array : array
        In C order. Its first axis is time, if `step` is not zero.
    first : int
        Numbers of a row before the first one that is read; then the array has two axes.
    step, sequence : int
        Bytes from a step, and from a sequence, to the next.
    """

    array: Array
    first: int
    step: int
    sequence: int

    def arguments(self, begin: int, end: int, length: int) -> list[Any]:
        """What a kernel gets, for some steps in segments of a length."""
        rows = self.array[begin:end, ...] if self.step else self.array
        return [rows[:, self.first :] if self.first else rows, self.step, length * self.step, self.sequence]


@dataclass(frozen=True)
class Recorded:
    """
    The step of one sequence.

    Parameters
    ----------
    program : Program
        `(y, *inputs) -> y'`.
    is_complex : bool
        Whether states are complex: they are pairs.
    inputs : tuple of Input
    """

    program: Program
    is_complex: bool
    inputs: tuple[Input, ...]


def recorded_alone(step: Step, states: Array) -> Recorded:
    """The first sequence of a batch, recorded as if it were alone; raises `NoCodeError`."""
    batch = tuple(states.shape[1:-1])
    recording = recorded_on_device(step, states, alone=True)
    inputs = [_whole_rows(contiguous(x), batch) for x in _inputs(step)]
    return Recorded(recording.program, recording.dtype.kind == "c", tuple(inputs))


def recorded_together(step: Step, states: Array) -> Recorded:
    """One of all sequences of a batch, recorded together, with constants of its own; raises `NoCodeError`."""
    from .._recorded.batch import decoupled  # noqa: PLC0415 - slow to import

    batch, xp = tuple(states.shape[1:-1]), step.xp
    recording, axes = recorded_on_device(step, states, alone=False), tuple(range(1, 1 + len(batch)))
    if recording.dtype.kind == "c":
        raise NoCodeError("has complex states in a batch whose members differ")
    program = recording.program
    member = decoupled(program, [axes, *[None] * (len(program.arguments) - 1)], [axes])
    if member is None:
        raise NoCodeError("couples members of the batch, or they do different operations")
    arguments = member.program.arguments[1:]
    given = [_inputs(step)[part.argument - 1] for part in member.parts]
    if any(dtype_name(x.dtype) != str(one.dtype) for x, one in zip(given, arguments, strict=False)):
        raise NoCodeError("converts inputs of a batch whose members differ")
    found = []
    for part, x in zip(member.parts, given, strict=True):
        rows, first, apart = xp.reshape(contiguous(x), (x.shape[0], -1)), part.first, part.stride
        if part.places is not None:
            rows = xp.take(rows, xp.asarray(part.places.ravel()), axis=1)
            first, apart = 0, part.size
        found.append(Input(rows, first, rows.shape[1] * itemsize(x.dtype), apart * itemsize(x.dtype)))
    found += [Input(xp.asarray(table), 0, 0, table.strides[0]) for table in map(_in_order, member.tables)]
    return Recorded(member.program, False, tuple(found))


def with_refusals(step: Step, states: Array, seconds: float, make: Any) -> Any:
    """What is made; after a refusal, the next attempt is made once solves took much longer than it."""
    key, begin = ("device", *kind_of(step, states)), time.perf_counter()
    if reason := REFUSALS.reason(key, seconds):
        raise NoCodeError(reason)
    try:
        return make()
    except NoCodeError as refusal:
        if key[1] is not None:
            REFUSALS.enter(key, time.perf_counter() - begin, str(refusal))
        raise


def note_made(step: Step, states: Array) -> None:
    """Remember that kernels of the step were made."""
    key = kind_of(step, states)
    if key[0] is not None:
        _made[key] = True
        while len(_made) > KEPT:
            _made.popitem(last=False)


def was_made(step: Step, states: Array) -> bool:
    """Whether there were kernels of a step of this code, for states of this shape, and none was refused since."""
    key = kind_of(step, states)
    return key in _made and not REFUSALS.reason(("device", *key), 0.0)


def _whole_rows(x: Array, batch: tuple[int, ...]) -> Input:
    """Inputs of all sequences, or with an entry for each of them."""
    row = prod(x.shape[1:]) * itemsize(x.dtype)
    return Input(x, 0, row, row // prod(batch) if x.shape[1 : 1 + len(batch)] == batch else 0)


def _in_order(table: Any) -> Any:
    return table.copy(order="C")


def _inputs(step: Step) -> tuple[Array, ...]:
    return () if step.x is None else step.x if isinstance(step.x, tuple) else (step.x,)
