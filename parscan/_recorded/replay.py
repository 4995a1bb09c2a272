"""Programs recorded again, in graphs of their own: to derive those that are not the record of a function."""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import RecordingArray, recorded
from .graph import CONSTANT, INPUT, LIMIT, PRODUCT, Graph
from .program import Program
from .record import Recording


def replayed(program: Program, limit: int = LIMIT) -> Recording:
    """
    A recording of a program of real numbers with one result.

    Raises
    ------
    TooLarge
        If it has more nodes than the limit.
    """
    graph = Graph(limit)
    given = [graph.argument(k, one.shape, one.dtype) for k, one in enumerate(program.arguments)]
    nodes = np.zeros(program.size, dtype=np.intp)
    for block in program.blocks:
        operands = [nodes[np.asarray(ids)] for ids in block.operands]
        if block.operation == INPUT:
            found: Any = np.ravel(given[block.data[0]])[block.data[1]]
        elif block.operation == CONSTANT:
            found = graph.constants(block.data, block.dtype)
        elif block.operation == PRODUCT:
            found = graph.product(operands[0], operands[1], block.dtype)
        else:
            found = recorded(graph, block.operation, block.dtype, operands, block.data)
        nodes[block.first : block.first + block.count] = found
    arguments = [RecordingArray(graph, ids, one.dtype) for ids, one in zip(given, program.arguments, strict=True)]
    (ids,), (dtype,) = program.results, program.dtypes
    result = RecordingArray(graph, nodes[ids], dtype)
    return Recording(graph, tuple(arguments), result, tuple(one.dtype for one in arguments), dtype)
