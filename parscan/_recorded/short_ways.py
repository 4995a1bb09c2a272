"""Short ways to record frequent functions of NumPy on a few numbers in double precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy

from .array import QUICK, RecordingArray, chosen, made
from .dtypes import FLOAT64, NUMBERS
from .graph import FEW, Graph

np: Any = numpy  # whose types do not know recording arrays

INTEGERS = frozenset([int])

ORDERS: dict[Any, tuple[tuple[int, ...], tuple[int, ...]]] = {}
"""For arrays of given shapes that are put together: the places of the elements of the result, and its shape."""

MOST = 1000
"""Of them that are kept."""


def _filled(graph: Graph, value: float, shape: tuple[int, ...]) -> RecordingArray | None:
    count = prod(shape)
    if not 0 < count <= FEW:
        return None
    node = graph.number(value, FLOAT64)
    return made(graph, node if count == 1 else (node,) * count, FLOAT64, shape)


def _made(graph: Graph, *args: Any, value: float) -> RecordingArray | None:
    """`np.zeros` and the like."""
    shape = args[0] if len(args) == 1 and type(args[0]) is tuple else args
    if len(args) != 1 or not INTEGERS.issuperset(map(type, shape)) or not shape:
        return None
    return _filled(graph, value, shape)


def _made_like(graph: Graph, *args: Any, value: float) -> RecordingArray | None:
    """`np.zeros_like` and the like."""
    given = args[0] if args else None
    if len(args) != 1 or type(given) is not RecordingArray or given.dtype is not FLOAT64 or not given.ndim:
        return None
    return _filled(graph, value, given.shape)


def _together(graph: Graph, arrays: Any = None, axis: Any = 0, *others: Any, name: str) -> RecordingArray | None:
    """`np.stack` and the like."""
    if type(arrays) not in (list, tuple) or type(axis) is not int or others:
        return None
    nodes, shapes, recorded = list[int](), list[Any](), False
    for array in arrays:
        if type(array) is RecordingArray:
            own, shape = array.few()
            if array.dtype is not FLOAT64 or shape is None:
                return None
            recorded = True
        elif type(array) in NUMBERS:
            own, shape = graph.number(array, FLOAT64), ()
        else:
            return None
        shapes.append(shape)
        if type(own) is int:
            nodes.append(own)
        else:
            nodes += own
    if not recorded or len(nodes) > FEW:
        return None
    key = name, tuple(shapes), axis
    found = ORDERS.get(key)
    if found is None:
        found = _remembered(key)
    order, form = found
    return made(graph, nodes[0] if len(nodes) == 1 else tuple([nodes[one] for one in order]), FLOAT64, form)


def _remembered(key: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    (name, shapes, axis), first, parts = key, 0, []
    for shape in shapes:
        count = prod(shape)
        parts.append(np.arange(first, first + count).reshape(shape))
        first += count
    places = getattr(np, name)(parts, axis)
    if len(ORDERS) > MOST:
        ORDERS.clear()
    found = ORDERS[key] = tuple(places.ravel().tolist()), places.shape
    return found


def _array(graph: Graph, *args: Any) -> RecordingArray | None:
    """`np.array` of a list."""
    return _together(graph, args[0], name="stack") if len(args) == 1 else None


def _clipped(graph: Graph, *args: Any) -> RecordingArray | None:
    """`np.clip` between two numbers."""
    if len(args) != 3:
        return None
    given, low, high = args
    if type(given) is not RecordingArray or given.dtype is not FLOAT64 or given.form is None:
        return None
    if type(low) not in NUMBERS or type(high) not in NUMBERS:
        return None
    return QUICK["minimum"][1](QUICK["maximum"][1](given, low), high)


def _chosen(graph: Graph, *args: Any) -> RecordingArray | None:
    return chosen(*args) if len(args) == 3 else None


SHORT: dict[str, Callable[..., RecordingArray | None]] = {
    "where": _chosen,
    "zeros": partial(_made, value=0.0),
    "empty": partial(_made, value=0.0),
    "ones": partial(_made, value=1.0),
    "zeros_like": partial(_made_like, value=0.0),
    "empty_like": partial(_made_like, value=0.0),
    "ones_like": partial(_made_like, value=1.0),
    "stack": partial(_together, name="stack"),
    "concatenate": partial(_together, name="concatenate"),
    "array": _array,
    "clip": _clipped,
}
"""Functions `(graph, *args)` by names of those of NumPy; they return None for what they do not know."""
