"""
Programs in single precision, recorded in double.

What depends on states and parameters is computed in single precision. The time, the first argument, and what depends on
nothing else stay in double precision: a time of many periods has too few digits otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import RecordingArray, recorded
from .graph import CONSTANT, CONVERT, INPUT, LIMIT, PRODUCT, Block, Graph
from .program import Argument, Program, extract

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)

FREE, TIMED, OTHER = 0, 1, 2
"""How a node depends on arguments: not at all, on the time alone, or on others."""


def in_single(program: Program) -> Program:
    """A program of real numbers with all arguments after the first one, and all results, in single precision."""
    return _Single(program).program()


class _Single:
    """
    Records a program again.

    Nodes that depend on no argument but the time have one in double precision, and a conversion of it; those that
    depend on none at all have one in each precision. The others have one in single precision.
    """

    def __init__(self, program: Program) -> None:
        self.old, self.graph = program, Graph(LIMIT)
        first, *others = program.arguments
        self.arguments = [first, *(Argument(one.shape, narrowed(one.dtype)) for one in others)]
        self.given = [self.graph.argument(k, one.shape, one.dtype) for k, one in enumerate(self.arguments)]
        self.depends = np.zeros(program.size, dtype=np.int8)
        self.doubles, self.singles = np.full((2, program.size), -1, dtype=np.intp)

    def program(self) -> Program:
        """The new program."""
        for block in self.old.blocks:
            self._enter(block, slice(block.first, block.first + block.count))
        results = [
            RecordingArray(self.graph, self.singles[ids], narrowed(dtype))
            for ids, dtype in zip(self.old.results, self.old.dtypes, strict=True)
        ]
        return extract(self.graph, results, self.arguments)

    def _enter(self, block: Block, own: slice) -> None:
        """Enter the nodes of a block."""
        if block.operation == INPUT:
            number, places = block.data
            self.depends[own] = OTHER if number else TIMED
            found = np.ravel(self.given[number])[places]
            self._keep(block, own, found, None if number else found)
            return
        if block.operation != CONSTANT:
            self.depends[own] = max((int(self.depends[ids].max(initial=FREE)) for ids in block.operands), default=FREE)
        how = int(self.depends[own].max(initial=FREE))
        wide = None if how == OTHER else self._recorded(block, self.doubles, block.dtype, block.data)
        data = block.data
        if data is not None and data.dtype == DOUBLE:  # constants, and tables
            with np.errstate(over="ignore"):  # they are infinite then
                data = data.astype(SINGLE)
        is_new = how != TIMED
        self._keep(
            block, own, self._recorded(block, self.singles, narrowed(block.dtype), data) if is_new else wide, wide
        )

    def _keep(self, block: Block, own: slice, found: Any, wide: Any) -> None:
        """Note the nodes of a block in single precision, which may have to be converted, and in double precision."""
        is_timed = int(self.depends[own].max(initial=FREE)) == TIMED
        if is_timed and block.dtype == DOUBLE:
            found = recorded(self.graph, CONVERT, SINGLE, [found])
        self.singles[own] = found
        if wide is not None:
            self.doubles[own] = wide

    def _recorded(self, block: Block, nodes: Any, dtype: Any, data: Any) -> Any:
        """The block's operation on nodes of one precision."""
        operands = [nodes[np.asarray(ids)] for ids in block.operands]
        if block.operation == CONSTANT:
            return self.graph.constants(data, dtype)
        if block.operation == PRODUCT:
            return self.graph.product(operands[0], operands[1], dtype)
        return recorded(self.graph, block.operation, dtype, operands, data)


def narrowed(dtype: Any) -> Any:
    """A dtype in single precision."""
    return SINGLE if dtype == DOUBLE else dtype
