"""Limits of the values of nodes, as far as their last operations show them, to see whether an index is in a table."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from math import ceil, floor, inf, isfinite
from operator import attrgetter
from typing import Any

import numpy as np

from .graph import CONVERT, SEARCH_LEFT, SEARCH_RIGHT, Graph

DEPTH = 16
"""Operations in a row that are followed."""

MOST = 16
"""Nodes of several blocks whose limits are found together; those of more nodes are unknown."""

Limits = tuple[float, float]

UNKNOWN: Limits = (-inf, inf)

SHORT = 127
"""The largest integer of eight bits."""

LONG = 2.0**31
"""Integers of 32 bits are less."""


def limits(graph: Graph, nodes: Any) -> Limits:
    """The least and the largest number that some nodes can be, apart from NaN, and from integers made of NaN."""
    return _of(graph, np.ravel(nodes), DEPTH, {}) if np.size(nodes) else UNKNOWN


def _of(graph: Graph, nodes: Any, depth: int, found: dict[bytes, Limits]) -> Limits:
    """Limits of some nodes; they are entered into those that were found."""
    key = nodes.tobytes()
    if key not in found:
        found[key] = _of_new(graph, nodes, depth, found)
    return found[key]


def _of_new(graph: Graph, nodes: Any, depth: int, found: dict[bytes, Limits]) -> Limits:
    if (values := graph.values(nodes)) is not None:
        return UNKNOWN if np.isnan(values).any() else (float(values.min()), float(values.max()))
    block = graph.blocks[bisect_right(graph.blocks, int(nodes[0]), key=attrgetter("first")) - 1]
    rows = nodes - block.first
    if rows.min() < 0 or rows.max() >= block.count:
        each = (_of(graph, nodes[k : k + 1], depth, found) for k in range(len(nodes)))
        return _of_all(list(each)) if len(nodes) <= MOST else UNKNOWN
    if block.dtype.kind == "b":
        return 0.0, 1.0
    if block.operation in (SEARCH_LEFT, SEARCH_RIGHT):
        return 0.0, float(len(block.data))
    if not depth or block.operation not in FOLLOWED:
        return UNKNOWN
    operands = [np.array([one]) if isinstance(one, int) else one[rows] for one in block.operands[-2:]]
    low, high = FOLLOWED[block.operation]([_of(graph, one, depth - 1, found) for one in operands])
    if block.operation == "remainder" and block.dtype.kind != "f":
        high -= 1
    return (low, high) if block.dtype.kind == "f" or _are_of(block.dtype, (low, high)) else UNKNOWN


def _are_of(dtype: Any, found: Limits) -> bool:
    """Whether integers between limits surely are numbers of their dtype: others wrap around."""
    is_short = found[0] >= 0 and found[1] <= SHORT
    return is_short or (dtype.kind == "i" and dtype.itemsize >= 4 and found[0] > -LONG and found[1] < LONG)


def _of_all(given: list[Limits]) -> Limits:
    return min(low for low, _ in given), max(high for _, high in given)


def _upwards(given: list[Limits]) -> Limits:
    low, high = (float(ceil(one)) if isfinite(one) else one for one in given[0])
    return low, high


def _downwards(given: list[Limits]) -> Limits:
    low, high = (float(floor(one)) if isfinite(one) else one for one in given[0])
    return low, high


def _towards_zero(given: list[Limits]) -> Limits:
    low, high = (float(int(one)) if isfinite(one) else one for one in given[0])
    return low, high


def _of_product(given: list[Limits]) -> Limits:
    """Zero, whatever the other number is, apart from NaN."""
    if (0.0, 0.0) in given:
        return 0.0, 0.0
    corners = [one * other for one in given[0] for other in given[1]]
    return (min(corners), max(corners)) if all(map(isfinite, corners)) else UNKNOWN


def _of_remainder(given: list[Limits]) -> Limits:
    """The remainder of a number may be rounded to the divisor."""
    low, high = given[1]
    return (0.0, high) if low > 0 else UNKNOWN


FOLLOWED: dict[str, Callable[[list[Limits]], Limits]] = {
    CONVERT: _towards_zero,
    "trunc": _towards_zero,
    "floor": _downwards,
    "ceil": _upwards,
    "rint": lambda given: (_downwards(given)[0], _upwards(given)[1]),
    "maximum": lambda given: (max(low for low, _ in given), max(high for _, high in given)),
    "minimum": lambda given: (min(low for low, _ in given), min(high for _, high in given)),
    "where": _of_all,
    "add": lambda given: (given[0][0] + given[1][0], given[0][1] + given[1][1]),
    "subtract": lambda given: (given[0][0] - given[1][1], given[0][1] - given[1][0]),
    "multiply": _of_product,
    "negative": lambda given: (-given[0][1], -given[0][0]),
    "remainder": _of_remainder,
}
"""Limits of the result of an operation, by those of its last two operands."""
