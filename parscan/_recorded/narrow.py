"""
Branches of removable singularities: so narrow, and so like the other branch, that no solution notices them.

`np.where(np.abs(x) < 1e-7, 1.0, x / np.expm1(x))` is smooth up to a jump of 1e-7, in places where a solution is for a
moment. Such comparisons need no watch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .graph import CONSTANT, INPUT, PRODUCT
from .program import Program, extract
from .switches import STATE, Wanted

NARROW = 1e-3
"""Largest size of numbers in a branch."""

ALIKE = 30.0
"""Largest difference of both branches, relative to their values, in units of that size."""

SHARES = (1.0, 0.5, 0.25)
"""Shares of that size, on both sides of zero, at which they are compared."""

POINTS, ROUNDS, CLOSE = 6, 8, 0.1
"""States at which they are; rounds in which a component is searched that makes the number as small, up to a share."""

ORDERS = ("less", "less_equal", "greater", "greater_equal")


def narrow(program: Program) -> Any:
    """Which nodes are comparisons of sizes that matter to no solution, and sizes that are used by them alone."""
    found, sizes = np.zeros(program.size, bool), _nodes(program, "absolute")
    if not sizes:
        return found
    fixed = _constants(program)
    for block in program.blocks:
        if block.operation not in ORDERS:
            continue
        for k, pair in enumerate(zip(*(np.ravel(ids).tolist() for ids in block.operands), strict=True)):
            size, limit = pair if pair[0] in sizes else pair[::-1]
            if size in sizes and 0 < fixed.get(limit, 1.0) <= NARROW:
                found[block.first + k] = _is_smooth(program, block.first + k, sizes[size][0], fixed[limit])
    others = np.ones(program.size, bool)
    for node in sizes:
        others[node] = False
    for block in program.blocks:
        here = slice(block.first, block.first + block.count)
        for ids in block.operands:
            used = np.ravel(ids) if block.operation == PRODUCT else np.ravel(ids)[~found[here]]
            others[used] = True
    for ids in program.results:
        others[np.ravel(ids)] = True
    return found | (~others & found.any())


def _nodes(program: Program, operation: str) -> dict[int, tuple[int, ...]]:
    """Nodes of an operation, with their operands."""
    return {
        block.first + k: tuple(operands)
        for block in program.blocks
        if block.operation == operation
        for k, operands in enumerate(zip(*(np.ravel(ids).tolist() for ids in block.operands), strict=True))
    }


def _constants(program: Program) -> dict[int, float]:
    return {
        node: value
        for block in program.blocks
        if block.operation == CONSTANT and block.dtype.char == "d"
        for node, value in enumerate(np.ravel(block.data).tolist(), block.first)
    }


def _is_smooth(program: Program, condition: int, number: int, size: float) -> bool:
    """Whether all that a condition decides is alike on both sides where a number is of some size, and smaller."""
    pairs = [nodes[1:] for nodes in _nodes(program, "where").values() if nodes[0] == condition]
    uses = sum(int(np.count_nonzero(ids == condition)) for block in program.blocks for ids in block.operands)
    if not pairs or uses != len(pairs):
        return False
    graph: Any = program  # it has blocks and a size, as a graph has
    wanted: Any = [Wanted(np.array(ids), np.dtype(np.float64)) for ids in ([number], *map(list, pairs))]
    sides = extract(graph, wanted, program.arguments)
    rng = np.random.default_rng(0)
    targets = np.concatenate([np.outer(SHARES, [size, -size]).ravel()] * POINTS)
    given = [rng.uniform(0.5, 2.0, (targets.size, *one.shape)) for one in program.arguments]
    if not _searched(sides, given, targets):
        return False
    _, *found = sides(*given)
    one, other = np.moveaxis(np.stack(found), -1, 0)
    return bool((np.abs(one - other) <= ALIKE * size * np.maximum(np.abs(one), np.abs(other))).all())


def _searched(sides: Program, given: list[Any], targets: Any) -> bool:
    """Change a component of states so that the first result is as wanted, by the secant method; whether that works."""
    places = sorted({int(one) for block in sides.blocks if block.operation == INPUT and block.data[0] == STATE
                     for one in np.ravel(block.data[1])})  # fmt: skip
    flat = given[STATE].reshape(targets.size, -1)
    for place in places:
        kept, step = flat[:, place].copy(), np.full(targets.size, 1e-3)
        value = sides(*given)[0][:, 0] - targets
        for _ in range(ROUNDS):
            flat[:, place] += step
            after = sides(*given)[0][:, 0] - targets
            with np.errstate(all="ignore"):
                step = np.where(after == value, 0.0, -after * step / (after - value))
            value = after
            if (np.abs(value) <= CLOSE * np.abs(targets)).all():
                return True
            if not step.any():
                break
        flat[:, place] = kept
    return False
