"""
Constants that stand in the text of short programs with several conditions: 0, 1, -1 and 2.

Other constants are read from a table, so that the code is the same for other ones. Where a state is set to 0 and then
compared with 1, it is known while the code is written which way it branches there, if the numbers are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import CONSTANT
from ..program import Program
from .in_a_row import FEWEST, LONGEST

PLAIN = (0.0, 1.0, -1.0, 2.0)


def is_plain(value: Any) -> bool:
    """Whether a number stands in the text."""
    return value in PLAIN


def plain_numbers(program: Program) -> tuple[Any, ...]:
    """Nodes and values of those of a program, with their signs; none if the program is long, or has few conditions."""
    conditions = sum(block.count for block in program.blocks if block.operation == "where")
    if conditions < FEWEST or sum(block.count for block in program.blocks if block.operation != CONSTANT) > LONGEST:
        return ()
    return tuple(
        (block.first + place, value, bool(np.signbit(value)))
        for block in program.blocks
        if block.operation == CONSTANT and block.dtype.kind == "f"
        for place, value in enumerate(np.ravel(block.data).tolist())
        if is_plain(value)
    )
