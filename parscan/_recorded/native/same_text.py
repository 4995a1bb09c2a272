"""Programs that have the same text: they differ in constants that are read from the table."""

from __future__ import annotations

import hashlib
from math import isnan
from typing import Any

import numpy as np

from ..graph import CONSTANT, INPUT, SEARCH_LEFT, SEARCH_RIGHT
from ..program import Program
from .text import ADDITIONS, LIMITS, inverse, of_zeros

CHOSEN = {"power": 1, "divide": 1, **dict.fromkeys(LIMITS, 2)}
"""Operations whose spelling depends on constants, and the number of such operands, from the last one on."""

WITH_LIMITS = CHOSEN | dict.fromkeys(ADDITIONS, 2)
"""The same for programs with limits, whose spelling depends on the zeros of what is limited."""


def structure(program: Program) -> bytes:
    """A hash of a program without the values of its constants, apart from those that its text depends on."""
    pieces = [repr((program.arguments, program.dtypes, [ids.shape for ids in program.results])).encode()]
    pieces += [ids.tobytes() for ids in program.results]
    places: dict[int, int] = {}
    values: list[Any] | None = None
    chosen = _chosen(program)
    for number, (operation, _, count, dtype, operands, data) in enumerate(program.blocks):
        facts: Any = [array.shape for array in operands]
        if operation == INPUT:
            facts = (data[0], data[1].shape, data[1].tobytes())
        elif operation != CONSTANT and data is not None:
            facts.append((places.setdefault(id(data), number), data.dtype.char, data.shape))
            if operation in (SEARCH_LEFT, SEARCH_RIGHT) and data.dtype.kind == "f":
                facts.append(bool(np.isnan(data).any()))
        elif operation in chosen and dtype.kind == "f":
            if values is None:
                values = _values(program)
            facts += [_fact(operation, dtype, ids, values) for ids in operands[-chosen[operation] :]]
        pieces.append(f"{operation} {count} {dtype.char} {facts}".encode())
        pieces += [array.tobytes() for array in operands]
    return hashlib.blake2b(b"|".join(pieces)).digest()


def _chosen(program: Program) -> dict[str, int]:
    return WITH_LIMITS if any(block.operation in LIMITS for block in program.blocks) else CHOSEN


def is_chosen(program: Program, nodes: Any) -> bool:
    """Whether the text may depend on the values of some nodes, if they were constants."""
    chosen = _chosen(program)
    operands = [
        np.ravel(ids)
        for one in program.blocks
        if one.operation in chosen and one.dtype.kind == "f"
        for ids in one.operands[-chosen[one.operation] :]
    ]
    return bool(np.isin(nodes, np.concatenate([np.empty(0, np.intp), *operands])).any())


def _values(program: Program) -> list[Any]:
    """Values of constants, by their nodes; None for other nodes."""
    found: list[Any] = [None] * program.size
    for block in program.blocks:
        if block.operation == CONSTANT:
            found[block.first : block.first + block.count] = block.data.tolist()
    return found


def _fact(operation: str, dtype: np.dtype[Any], ids: Any, values: list[Any]) -> Any:
    """What the spelling of an operation depends on, of an operand."""
    numbers = {values[node] for node in ids.tolist()}
    if None in numbers:
        return "computed"
    if any(map(isnan, numbers)):
        return "NaN"
    if operation in LIMITS:
        return f"numbers {of_zeros(operation, [values[node] for node in ids.tolist()])}"
    if operation in ADDITIONS or len(numbers) > 1:
        return "zeros" if operation in ADDITIONS and 0 in numbers else "numbers"
    number = numbers.pop()
    if operation == "power":
        return number if number in (1.5, 2.5) else "number"
    return number if inverse(number, dtype) else "number"
