"""
What a call has left in memory, made unknown before the next call.

A function that keeps its first state, and subtracts it from later ones, gives the same operations when it is called
again with the same symbols: their difference, which is zero. So whatever depends on the arguments is replaced by
numbers that nothing else depends on. A function that reads them gives something else then; one that writes them before
it reads them, as buffers are used, does not.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable
from types import CellType, FunctionType, MethodType, SimpleNamespace
from typing import Any

import numpy

from .array import ABOVE, RecordingArray, as_recording
from .dtypes import CHARS
from .graph import PARTS, Graph
from .libraries import Library
from .names import Globals
from .origins import PLAIN, is_users, slots_of
from .unread import variables

np: Any = numpy  # whose types do not know recording arrays

ARGUMENT = -1
"""Number of the argument that unknown numbers are: no function has it."""


def forget(graph: Graph, copies: Iterable[Any]) -> None:
    """Replace all values in copies that depend on arguments by unknown ones."""
    waiting, seen = list(copies), dict[int, Any]()
    while waiting:
        one = waiting.pop()
        if type(one) is RecordingArray:
            _forget(graph, one)
        elif type(one) not in PLAIN and id(one) not in seen:
            seen[id(one)] = one
            waiting += _parts(one)


def _forget(graph: Graph, array: RecordingArray) -> None:
    nodes = np.asarray(array.ids)
    known = np.frombuffer(graph.fixed, bool)[nodes] if nodes.size else np.ones(nodes.shape, bool)
    if known.all() or array.dtype.char not in CHARS:
        return
    unknown = np.where(known, nodes, _unknown(graph, nodes.shape, array.dtype).ids)
    if array.ndim:
        array[...] = RecordingArray(graph, unknown, array.dtype)
    else:
        array.held = int(unknown)


def _unknown(graph: Graph, shape: tuple[int, ...], dtype: Any) -> Any:
    own = PARTS.get(dtype.char, dtype)
    one, other = (as_recording(graph, RecordingArray(graph, graph.argument(ARGUMENT, shape, own), own)) for _ in "ab")
    return ABOVE["paired"](one, other) if dtype.kind == "c" else one


def _parts(given: Any) -> list[Any]:
    """What an object holds; nothing of objects that the copies share with the function."""
    found = next((parts for kinds, parts in HELD if isinstance(given, kinds)), _variables)
    return list(found(given))


def _in_cell(given: CellType) -> list[Any]:
    try:
        return [given.cell_contents]
    except ValueError:  # empty
        return []


def _of_function(given: FunctionType) -> list[Any]:
    if not is_users(given.__module__):
        return []
    return [*(given.__closure__ or ()), given.__defaults__, given.__kwdefaults__, *vars(given).values()]


def _variables(given: Any) -> list[Any]:
    kind = given if isinstance(given, type) else type(given)
    if not is_users(kind.__module__) and kind is not SimpleNamespace:
        return []
    slots = [] if kind is given else [getattr(given, name) for name in slots_of(kind) if hasattr(given, name)]
    return [*variables(given).values(), *slots]


HELD: tuple[tuple[Any, Callable[[Any], Iterable[Any]]], ...] = (
    ((list, tuple, deque), iter),
    (Globals, lambda given: [value for name, value in given.items() if name != "__builtins__"]),
    (dict, lambda given: given.values()),
    (CellType, _in_cell),
    (FunctionType, _of_function),
    (MethodType, lambda given: [given.__self__, given.__func__]),
    (functools.partial, lambda given: [given.func, given.args, given.keywords, *vars(given).values()]),
    (Library, lambda given: [value for name, value in vars(given).items() if name not in ("_module", "_copies")]),
)
"""What objects hold, by their types."""
