"""A recorded right-hand side together with its derivatives, as one program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .array import RecordingArray
from .differentiate import jacobian
from .program import Program
from .record import Recording


class Derived(Protocol):
    """A program of derivatives, and where their entries stand."""

    @property
    def program(self) -> Program: ...

    @property
    def rows(self) -> Any: ...

    @property
    def columns(self) -> Any: ...


@dataclass(frozen=True)
class Linearised:
    """
    The program `(t, y, ...) -> (f, entries, slopes)` of a function `f(t, y, ...)` of a number and a vector.

    Attributes
    ----------
    program : Program
        `entries` (k,) are those of the Jacobian ∂f/∂y that may differ from zero, row by row; `slopes` (n,) are ∂f/∂t.
    rows, columns : arrays of int, shape (k,)
        Where the entries stand.
    is_linear : bool
        Whether no entry depends on `y`.
    """

    program: Program
    rows: Any
    columns: Any
    is_linear: bool


def values_and_entries(recording: Recording, argument: int = 1) -> Linearised:
    """
    Derive a recorded function by one of its arguments, as `linearised` does, without its derivative by time.

    The program is `(t, y, ...) -> (f, entries)`; it raises the same.
    """
    graph, result = recording.graph, recording.result
    flat = result.with_ids(np.ravel(result.ids))
    rows, columns, entries = jacobian(graph, flat, recording.arguments[argument])
    return Linearised(recording.extract(flat, entries), rows, columns, not recording.extract(entries).reads(argument))


@dataclass(frozen=True)
class Curved:
    """
    The program `(t, y, ...) -> entries` of the second derivatives of a function by `y`.

    Attributes
    ----------
    program : Program
        Entries (k,) that may differ from zero.
    rows, columns, others : arrays of int, shape (k,)
        Where the entries stand: `rows` are of the function.
    """

    program: Program
    rows: Any
    columns: Any
    others: Any


def second_derivatives(recording: Recording, argument: int = 1) -> Curved:
    """Derive a recorded function twice by one of its arguments; it raises the same as `linearised`."""
    graph, y = recording.graph, recording.arguments[argument]
    rows, columns, entries = jacobian(graph, recording.result.with_ids(np.ravel(recording.result.ids)), y)
    which, others, found = jacobian(graph, entries, y)
    return Curved(recording.extract(found), rows[which], columns[which], others)


def linearised(recording: Recording) -> Linearised:
    """
    Derive a recorded function `f(t, y, ...)`, whose result is a vector of as many numbers as `y`.

    Raises
    ------
    Refused
        If something in it has no derivative.
    TooLarge
        If the derivatives have too many operations.
    """
    graph, result = recording.graph, recording.result
    flat = result.with_ids(np.ravel(result.ids))
    t, y, *_ = recording.arguments
    rows, columns, entries = jacobian(graph, flat, y)
    places, _, found = jacobian(graph, flat, t)
    slopes = np.array(flat.filled(0.0).ids)
    slopes[places] = found.ids
    program = recording.extract(flat, entries, RecordingArray(graph, slopes, flat.dtype))
    return Linearised(program, rows, columns, not recording.extract(entries).reads(1))
