"""The table of the functions that are recorded, and helpers of its entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from .array import RecordingArray, as_recording
from .dtypes import CHARS
from .graph import Graph
from .refusal import Refused
from .sparse import SparseMatrix

np: Any = numpy  # whose types do not know recording arrays

Function = Callable[..., Any]

TABLE: dict[str, Function] = {}
"""What records a function of NumPy, by its name; functions of `numpy.linalg` and `scipy` have the same place."""

ALIASES = {"true_divide": "divide", "abs": "absolute", "mod": "remainder", "bitwise_and": "logical_and",
           "bitwise_or": "logical_or", "bitwise_xor": "logical_xor", "invert": "logical_not",
           "pow": "power", "acos": "arccos", "asin": "arcsin", "atan": "arctan",
           "atan2": "arctan2", "acosh": "arccosh", "asinh": "arcsinh", "atanh": "arctanh", "amax": "max",
           "amin": "min", "around": "round", "concat": "concatenate", "permute_dims": "transpose",
           "trapz": "trapezoid", "row_stack": "vstack", "vecdot": "vdot"}  # fmt: skip
"""Other names of ufuncs and functions."""


def holds(value: Any) -> bool:
    """Whether a value is a recording array or a list, tuple or dictionary that contains one."""
    kind = type(value)
    if kind is RecordingArray or kind is SparseMatrix:
        return True
    if kind is dict:
        return any(map(holds, value.values()))
    return isinstance(value, list | tuple) and any(map(holds, value))


def are_known(value: Any) -> bool:
    """Whether all recording arrays in a value are constants."""
    if type(value) is RecordingArray:
        return value.constants is not None
    parts = value.values() if type(value) is dict else value if type(value) in (list, tuple) else ()
    return all(map(are_known, parts))


def known(value: Any) -> Any:
    """A value with constants instead of the recording arrays in it."""
    if isinstance(value, RecordingArray):
        found = value.constants
        if found is None:
            raise Refused("uses a value")
        return found[()] if found.ndim == 0 else found
    if isinstance(value, SparseMatrix):
        return value.matrix
    if type(value) is dict:
        return {key: known(one) for key, one in value.items()}
    return type(value)(map(known, value)) if type(value) in (list, tuple) else value


def lifted(graph: Graph, value: Any) -> Any:
    """A value with recording arrays of constants instead of the arrays in it."""
    if type(value) is np.ndarray:
        return as_recording(graph, value) if value.dtype.char in CHARS else value
    if type(value) in (list, tuple):
        return type(value)(lifted(graph, one) for one in value)
    if type(value).__module__.startswith("scipy.sparse") and hasattr(value, "tocsr"):
        return SparseMatrix(graph, value)
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(lifted(graph, one) for one in value)
    return value


def records(*names: str) -> Callable[[Function], Function]:
    """Enter a function into the table."""

    def enter(function: Function) -> Function:
        TABLE.update(dict.fromkeys(names or (function.__name__.strip("_"),), function))
        return function

    return enter


def graph_of(*values: Any) -> Graph:
    """The graph of the first recording array among values that may be nested lists."""
    for value in values:
        if isinstance(value, RecordingArray):
            return value.graph
        if isinstance(value, list | tuple) and (found := _graph_or_none(value)) is not None:
            return found
    raise AssertionError("a function was recorded without a recording array")


def _graph_or_none(values: Any) -> Graph | None:
    try:
        return graph_of(*values)
    except AssertionError:
        return None


def recording(value: Any, *others: Any) -> RecordingArray:
    """A value as a recording array."""
    return value if isinstance(value, RecordingArray) else as_recording(graph_of(value, *others), value)


def written(out: Any, found: Any) -> Any:
    """The array into which a result was written."""
    if not isinstance(out, RecordingArray):
        raise Refused("writes into an array that is not recorded")
    out[...] = found
    return out
