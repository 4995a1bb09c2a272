"""Properties of a program: whether it is affine in an argument, and the colours of the columns of its Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from .graph import CONSTANT, CONVERT, INPUT, PRODUCT, Block
from .program import Program

FREE, AFFINE, OTHER = 0, 1, 2
"""How a node depends on an argument: not at all, affinely, or in another way."""


def is_affine(program: Program, argument: int) -> bool:
    """
    Whether the results are affine functions of an argument, for all values of the other arguments.

    Only the operations are examined: `y * y / y` does not count as affine. Neither do step functions such as `floor`,
    whose derivative is zero.
    """
    each = bytearray(program.size)
    degrees = np.frombuffer(each, dtype=np.int8)
    chars = "".join([block.dtype.char * block.count for block in program.blocks])
    for block in program.blocks:
        operation, first, count, _, operands, data = block
        if operation == INPUT:
            degrees[first : first + count] = AFFINE if data[0] == argument else FREE
        elif count == 1 and operation not in (CONSTANT, CONVERT, PRODUCT):
            each[first] = _of_one(operation, tuple([each[ids.item()] for ids in operands]))
        elif operation != CONSTANT:
            degrees[first : first + count] = _degree(block, [degrees[ids] for ids in operands], chars)
    return all(bool((degrees[ids] <= AFFINE).all()) for ids in program.results)


def _degree(block: Block, operands: list[Any], chars: str) -> Any:
    if block.operation == CONVERT and (block.dtype.kind != "f" or chars[block.operands[0][0]] not in "fd"):
        return OTHER * (operands[0] > FREE)
    return _by_rule(block.operation, operands)


@cache
def _of_one(operation: str, operands: tuple[int, ...]) -> int:
    """Degree of one node; there are few combinations, and arrays of one number are slow."""
    return int(_by_rule(operation, [np.int8(degree) for degree in operands]))


def _by_rule(operation: str, operands: Sequence[Any]) -> Any:
    rule = DEGREES.get(operation)
    return OTHER * (np.max(operands, axis=0) > FREE) if rule is None else rule(*operands)


def _of_multiply(x: Any, y: Any) -> Any:
    return np.where((x > FREE) & (y > FREE), OTHER, np.maximum(x, y))


DEGREES: dict[str, Callable[..., Any]] = {
    "add": np.maximum,
    "subtract": np.maximum,
    "negative": lambda x: x,
    CONVERT: lambda x: x,
    "multiply": _of_multiply,
    "divide": lambda x, y: np.where(y > FREE, OTHER, x),
    "where": lambda c, x, y: np.where(c > FREE, OTHER, np.maximum(x, y)),
    PRODUCT: lambda matrix, vector: _of_multiply(matrix, vector[None, :]).max(axis=1, initial=FREE),
}
"""Dependence of results on an argument, from that of the operands; operations not listed are not affine."""


def colours(rows: Any, columns: Any, n: int) -> Any:
    """
    Colour the columns of a sparse matrix so that those of one colour share no row.

    The sum of the columns of a colour then contains each of their entries: a Jacobian takes as many products with
    vectors as there are colours. Curtis, Powell & Reid, J. Inst. Maths Applics 13 (1974) 117: each column takes the
    first colour that fits. Columns are taken in their order, or those with most entries first, whichever needs fewer
    colours.

    Parameters
    ----------
    rows, columns : arrays of int, shape (entries,)
        Places of the entries that may differ from zero.
    n : int
        Number of columns.

    Returns
    -------
    array of int, shape (n,)
        Colours from 0 on. Columns without entries have the colour 0.
    """
    order = np.argsort(columns, kind="stable")
    count = np.bincount(columns, minlength=n)
    members = np.split(np.asarray(rows)[order], np.cumsum(count)[:-1]) if n else []
    entries = [some.tolist() for some in members]
    found = _coloured(entries, range(n))
    fewest = int(np.bincount(rows, minlength=1).max())
    if found.max(initial=-1) + 1 > fewest:
        other = _coloured(entries, np.argsort(-count, kind="stable").tolist())
        found = min(found, other, key=lambda one: int(one.max()))
    return found


def _coloured(entries: list[list[int]], order: Any) -> Any:
    """Colours of the columns, taken in some order; the colours used in each row are the bits of an integer."""
    taken = dict.fromkeys((row for rows in entries for row in rows), 0)
    found = np.zeros(len(entries), dtype=np.intp)
    for column in order:
        bits = 0
        for row in entries[column]:
            bits |= taken[row]
        free = ~bits & (bits + 1)  # the lowest bit that is 0
        found[column] = free.bit_length() - 1
        for row in entries[column]:
            taken[row] |= free
    return found
