"""Contents of copies, in a form that can be compared after another call."""

from __future__ import annotations

from types import CellType
from typing import Any

import numpy

from .array import RecordingArray
from .origins import HUGE, PLAIN, slots_of
from .unread import variables

np: Any = numpy  # whose types do not know recording arrays

UNCHANGED = ("__builtins__", "__dict__", "__weakref__", "__doc__")
"""Members of copied globals and objects that a call does not change."""


def contents(copy: Any) -> Any:
    """The contents of a copy, in a form that can be compared."""
    if type(copy) is RecordingArray or isinstance(copy, np.ndarray):
        return _token(copy)
    if isinstance(copy, set | list | tuple):
        return type(copy)(map(_token, copy)) if type(copy) is set else list(map(_token, copy))
    if isinstance(copy, CellType):
        try:
            return _token(copy.cell_contents)
        except ValueError:  # empty
            return None
    members = copy if isinstance(copy, dict) else variables(copy)
    slots = [] if isinstance(copy, type) else [name for name in slots_of(type(copy)) if hasattr(copy, name)]
    return [(_token(name), _token(value)) for name, value in members.items() if name not in UNCHANGED] + [
        (name, _token(getattr(copy, name))) for name in slots
    ]


def _token(value: Any) -> Any:
    """A value in a form that can be compared: numbers and arrays by their contents, other objects by identity."""
    if type(value) is RecordingArray:
        nodes, _ = value.few()
        return nodes.tobytes() if isinstance(nodes, np.ndarray) else nodes
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.tobytes() if value.size <= HUGE else id(value)
    return (type(value), repr(value)) if type(value) in PLAIN else id(value)
