"""Calls of a recorded function that miss known values: flags of them, by operations beside those of the function."""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import RecordingArray
from .program import Argument, Program, extract
from .tangents import replayed


def limits_and_values(value: RecordingArray, first: int, second: int) -> tuple[RecordingArray, RecordingArray]:
    """Arguments of these numbers: the distance that is no miss, and one in units of the values; and values."""
    graph, dtype = value.graph, value.dtype
    limits, known = (graph.argument(number, shape, dtype) for number, shape in ((first, (2,)), (second, value.shape)))
    return RecordingArray(graph, limits, dtype), RecordingArray(graph, known, dtype)


def miss(value: RecordingArray, limits: RecordingArray, known: RecordingArray) -> Any:
    """Nodes of one if any entry is off the known values by more than the limits, or NaN; else of zero."""
    is_near = np.abs(value - known) <= limits[0] + limits[1] * np.abs(known)  # false where something is NaN
    found: Any = np.where(is_near.all(), value.dtype.type(0), value.dtype.type(1))
    return np.ravel(found.ids)


def missing(program: Program) -> Program:
    """
    The program `(..., limits, known) -> miss` of a program `(...) -> value`.

    Raises
    ------
    TooLarge
        If it has too many operations.
    """
    last = len(program.arguments)
    graph, given, (value, *_) = replayed(program, range(last))
    limits, known = limits_and_values(value, last, last + 1)
    found = RecordingArray(graph, miss(value, limits, known), value.dtype)
    return extract(graph, [found], [Argument(one.shape, one.dtype) for one in (*given, limits, known)])
