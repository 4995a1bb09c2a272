"""Nodes of the results of operations: known ones, simpler ones, constants, or new ones of the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy

from .dtypes import INTEGER
from .graph import CONVERT, GATHER, PRODUCT, SEARCH_LEFT, SEARCH_RIGHT, Graph, Ids, TooLarge
from .node_array import Form, ndarray
from .operations import OPERATIONS

np: Any = numpy  # whose types do not know recording arrays


def joint(*operands: tuple[Any, Form]) -> Form:
    """The shape of an operation on nodes of these forms; None if they are many, or must be broadcast first."""
    found: tuple[int, ...] = ()
    several: Form = None
    for nodes, form in operands:
        if type(nodes) is ndarray:
            return None
        if type(nodes) is tuple:
            if several is not None and form != several:
                return None
            several = form
        if form and (len(form) > len(found) or (len(form) == len(found) and type(nodes) is tuple)):
            found = form
    return found if several is None or several == found else None


def entered(graph: Graph, name: str, dtype: numpy.dtype[Any], operands: tuple[Any, ...], data: Any = None) -> Any:
    """Nodes of an operation on few elements; each operand is a tuple of nodes, or an int, which is for all of them."""
    table = graph.scalars[_table(name, dtype, data)]
    found = table.get(operands)
    if found is None:
        found = table[operands] = entered_anew(graph, name, dtype, operands, data)
    return found


def many(
    graph: Graph, name: str, dtype: numpy.dtype[Any], ids: Sequence[Ids], data: Any, shape: tuple[int, ...]
) -> Any:
    """Nodes of an operation on many elements, in one row, which are one block."""
    flat = [in_shape(one, shape).ravel() for one in ids]
    if name in SIMPLER:
        numbers = [graph.zero_or_one(one) if type(one) is int else None for one in ids]
        if (found := SIMPLER[name](tuple(range(len(ids))), numbers)) is not None:
            return flat[found].copy()  # to which the function may write
    if all(graph.fixed[one[0]] for one in flat):
        known = [graph.values(one) for one in flat]
        if all(value is not None for value in known):
            return graph.constants(evaluated(name, dtype, known, data), dtype)
    return graph.elementwise(name, dtype, flat, data)


def in_shape(ids: Ids, shape: tuple[int, ...]) -> Any:
    """Nodes in a shape; `np.broadcast_to` takes ten times as long."""
    if type(ids) is not int and ids.shape == shape:
        return ids
    found = np.empty(shape, INTEGER)
    found[...] = ids
    return found


def entered_anew(graph: Graph, name: str, dtype: numpy.dtype[Any], operands: tuple[Any, ...], data: Any = None) -> Any:
    """What `entered` returns, for operands that its table does not have; simplified where that is exact."""
    fixed, varies, may_be_simple = graph.fixed, False, False
    for one in operands:
        if type(one) is tuple:
            return _new_tuple(graph, name, dtype, operands, data)
        if not fixed[one]:
            varies = True
        elif one not in graph.others:  # zero or one
            may_be_simple = True
    if may_be_simple or not varies:
        found = _simplified(graph, name, dtype, operands, data)
        if found is not None:
            return found
    return graph.scalar(name, dtype, operands, data)


def pair_entered_anew(graph: Graph, name: str, dtype: numpy.dtype[Any], pair: tuple[Any, Any]) -> Any:
    """The same for two operands and no data, with fewer calls: most operations are entered here."""
    one, other = pair
    if type(one) is tuple or type(other) is tuple:
        return _new_pairs(graph, name, dtype, one, other)
    fixed = graph.fixed
    others = graph.others
    if (fixed[one] and (fixed[other] or one not in others)) or (fixed[other] and other not in others):
        found = _simplified(graph, name, dtype, pair, None)
        if found is not None:
            return found
    first = len(fixed)
    if first >= graph.limit:
        raise TooLarge
    operations, dtypes, operands, _ = graph.latest
    operations.append(name)
    dtypes.append(dtype)
    operands.append(pair)
    fixed.append(0)
    return first


def _new_pairs(graph: Graph, name: str, dtype: numpy.dtype[Any], one: Any, other: Any) -> tuple[int, ...]:
    """The same of several elements, without a call for each."""
    table, first, second, times = graph.scalars[name], one, other, 0
    if type(one) is tuple:
        first, times = one[0], len(one)
        if one[-1] != first or one.count(first) != times:
            first = None
    if type(other) is tuple:
        second, times = other[0], len(other)
        if other[-1] != second or other.count(second) != times:
            second = None
    if first is not None and second is not None:  # all pairs are the same
        row = first, second
        node = table.get(row)
        if node is None:
            node = table[row] = pair_entered_anew(graph, name, dtype, row)
        return (node,) * times
    fixed, others, latest = graph.fixed, graph.others, graph.latest
    nodes = []
    for row in _rows(one, other):
        node = table.get(row)
        if node is None:
            first, second = row
            if (fixed[first] and (fixed[second] or first not in others)) or (fixed[second] and second not in others):
                node = pair_entered_anew(graph, name, dtype, row)
                latest = graph.latest
            else:
                node = len(fixed)
                latest[0].append(name)
                latest[1].append(dtype)
                latest[2].append(row)
                fixed.append(0)
            table[row] = node
        nodes.append(node)
    if len(fixed) > graph.limit:
        raise TooLarge
    return tuple(nodes)


def _rows(one: Any, other: Any) -> list[tuple[int, int]]:
    """Pairs of elements; an int is paired with all of the other operand."""
    if type(one) is not tuple:
        return [(one, second) for second in other]
    if type(other) is not tuple:
        return [(first, other) for first in one]
    return list(zip(one, other, strict=True))


def single_entered_anew(graph: Graph, name: str, dtype: numpy.dtype[Any], operand: Any) -> Any:
    """The same for one operand."""
    if type(operand) is not tuple:
        return entered_anew(graph, name, dtype, (operand,))
    table, fixed, latest = graph.scalars[name], graph.fixed, graph.latest
    first, count = operand[0], len(operand)
    is_same = count > 2 and operand[-1] == first and operand.count(first) == count  # it takes as long as two elements
    nodes: Any = []
    for one in operand[:1] if is_same else operand:
        row = (one,)
        node = table.get(row)
        if node is None:
            if fixed[one]:
                node = entered_anew(graph, name, dtype, row)
                latest = graph.latest
            else:
                node = len(fixed)
                latest[0].append(name)
                latest[1].append(dtype)
                latest[2].append(row)
                fixed.append(0)
            table[row] = node
        nodes.append(node)
    if len(fixed) > graph.limit:
        raise TooLarge
    return tuple(nodes * count if is_same else nodes)


def _new_tuple(graph: Graph, name: str, dtype: numpy.dtype[Any], operands: tuple[Any, ...], data: Any) -> Any:
    """The same of several elements."""
    table, nodes, only, times = graph.scalars[_table(name, dtype, data)], [], [], 1
    for one in operands:
        if type(one) is not tuple:
            only.append(one)
            continue
        first, times = one[0], len(one)
        if one[-1] != first or one.count(first) != times:
            break
        only.append(first)
    else:  # all elements are the same
        row = tuple(only)
        node = table.get(row)
        if node is None:
            node = table[row] = entered_anew(graph, name, dtype, row, data)
        return (node,) * times
    for row in zip(*[one if type(one) is tuple else repeat(one) for one in operands], strict=False):
        node = table.get(row)
        if node is None:
            node = table[row] = entered_anew(graph, name, dtype, row, data)
        nodes.append(node)
    return tuple(nodes)


def _table(name: str, dtype: numpy.dtype[Any], data: Any) -> Any:
    """Key of the dictionary of an operation's nodes."""
    return name if data is None and name != CONVERT else (name, dtype, id(data))


def _simplified(graph: Graph, name: str, dtype: numpy.dtype[Any], ids: tuple[int, ...], data: Any) -> int | None:
    """Node that an operation, some of whose operands are constants, always equals; None if there is none."""
    fixed = graph.fixed
    for one in ids:
        if not fixed[one]:
            return SIMPLER[name](ids, list(map(graph.zero_or_one, ids))) if name in SIMPLER else None
    values = [graph.value(one) for one in ids]
    return graph.constant(np.asarray(evaluated(name, dtype, values, data), dtype))


def equals(value: Any, number: float) -> bool:
    return value is not None and value == number


SIMPLER: dict[str, Callable[[tuple[int, ...], list[Any]], int | None]] = {
    "multiply": lambda ids, values: ids[0] if equals(values[1], 1) else ids[1] if equals(values[0], 1) else None,
    "divide": lambda ids, values: ids[0] if equals(values[1], 1) else None,
    "subtract": lambda ids, values: ids[0] if equals(values[1], 0) and not np.signbit(values[1]) else None,
    "where": lambda ids, values: ids[1 if values[0] else 2] if values[0] is not None else None,
}
"""
The operand that the result of an operation on one element always equals, also for infinities, NaN and signed zeros;
None if there is none. Arguments are the operands, and the values of those that are zeros or ones, None for the others.
Adding 0 is not listed, since `-0.0 + 0.0` is 0.0.
"""


def evaluated(name: str, dtype: numpy.dtype[Any], operands: Any, data: Any = None) -> Any:
    """Values of an operation on numbers, by NumPy."""
    with np.errstate(all="ignore"):
        return evaluated_loudly(name, dtype, operands, data)


def evaluated_loudly(name: str, dtype: numpy.dtype[Any], operands: Any, data: Any = None) -> Any:
    """The same, with NumPy's warnings."""
    if name in OPERATIONS:
        return OPERATIONS[name].value(*operands)
    if name == CONVERT:
        return np.asarray(operands[0]).astype(dtype)
    if name == GATHER:
        places = np.asarray(operands[0])
        inside = (places >= -len(data)) & (places < len(data))
        return np.where(inside, data[np.where(inside, places, 0)], np.asarray(np.nan, dtype))
    if name in (SEARCH_LEFT, SEARCH_RIGHT):
        return np.searchsorted(data, operands[0], side="left" if name == SEARCH_LEFT else "right")
    assert name == PRODUCT, name
    return np.matmul(operands[0], operands[1])


def product(graph: Graph, matrix: Any, vector: Any, dtype: numpy.dtype[Any]) -> Any:
    """Nodes of the product of a matrix (m, k) with a vector (k,); constants, if both are constants."""
    if graph.are_constant(vector).all() and graph.are_constant(matrix).all():
        with np.errstate(all="ignore"):
            return graph.constants(graph.values(matrix) @ graph.values(vector), dtype)
    return graph.product(matrix, vector, dtype)
