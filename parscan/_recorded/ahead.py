"""Operations on some arguments alone, evaluated ahead: once, instead of in every call with the same arguments."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np

from .graph import CONSTANT, INPUT, PRODUCT, Block
from .program import Program


class Ahead:
    """
    A program in two parts: values that depend on no other than some arguments are constants of the second part.

    Parameters
    ----------
    program : Program
    arguments : container of int
        Numbers of these arguments.

    Attributes
    ----------
    nodes : array of int
        Nodes of the program that become constants, and that others, or results, depend on.
    """

    def __init__(self, program: Program, arguments: Container[int]) -> None:
        self._numbers = [k for k in range(len(program.arguments)) if k in arguments]
        known, wanted = (np.zeros(program.size, dtype=bool) for _ in range(2))
        before: list[Block] = []
        for block in program.blocks:
            inner = block.operation != INPUT and all(known[ids].all() for ids in block.operands)
            if inner or (block.operation == INPUT and block.data[0] in arguments):
                known[block.first : block.first + block.count] = True
                before.append(block)
        for ids in program.results:
            wanted[ids] = True
        rest: list[Block] = []
        for block in reversed(program.blocks):
            if wanted[block.first : block.first + block.count].any():
                rest.append(block)
                for ids in () if known[block.first] else block.operands:
                    wanted[ids] = True
        rest.reverse()
        own = {k: one for k, one in enumerate(rest) if known[one.first] and one.operation != CONSTANT}
        places = [np.arange(one.first, one.first + one.count) for one in own.values()]
        self.nodes = np.concatenate([np.empty(0, np.intp), *places])
        self._given = [(k, *one.data) for k, one in own.items() if one.operation == INPUT]
        # results of one dtype are together: a call of NumPy takes its time for each
        chars: dict[str, list[int]] = {}
        for k, one in own.items():
            if one.operation != INPUT:
                chars.setdefault(one.dtype.char, []).append(k)
        together = [np.concatenate([np.arange(rest[k].count) + rest[k].first for k in some]) for some in chars.values()]
        dtypes = tuple(map(np.dtype, chars))
        self._before = _merged(replace(program, results=tuple(together), dtypes=dtypes, _cache={}), before)
        self._rest = _renumbered(program, [_constant(one) if k in own else one for k, one in enumerate(rest)])
        self._places = list(chars.values())

    def rest(self, values: Sequence[Any]) -> Program:
        """The second part, for values of these arguments in the order of the program."""
        given = dict(zip(self._numbers, values, strict=True))
        blocks = list(self._rest.blocks)
        for place, number, some in self._given:
            block = blocks[place]
            blocks[place] = block._replace(data=np.ravel(given[number])[some].astype(block.dtype))
        if self._places:
            for places, found in zip(self._places, self._before(*self._all(given)), strict=True):
                begin = 0
                for place in places:
                    block = blocks[place]
                    blocks[place] = block._replace(data=found[0, begin : begin + block.count])
                    begin += block.count
        return replace(self._rest, blocks=tuple(blocks), _cache={})

    def _all(self, given: dict[int, Any]) -> list[Any]:
        """Arguments of a call; the first part reads no others than those that are given."""
        every = enumerate(self._before.arguments)
        return [np.reshape(given.get(k, np.zeros(one.shape, one.dtype)), (1, *one.shape)) for k, one in every]


def _constant(block: Block) -> Block:
    """A constant in place of a block; its values are given later."""
    return Block(CONSTANT, block.first, block.count, block.dtype, (), None)


def _merged(program: Program, blocks: Sequence[Block]) -> Program:
    """The same as `_renumbered`, with blocks of one operation that do not wait for each other joined."""
    depth = np.zeros(program.size, dtype=np.intp)
    groups: dict[Any, list[Block]] = {}
    for number, block in enumerate(blocks):
        level = max((int(depth[ids].max()) + 1 for ids in block.operands if ids.size), default=0)
        depth[block.first : block.first + block.count] = level
        alone = None if block.data is None and block.operation != PRODUCT else number
        groups.setdefault((level, block.operation, block.dtype.char, alone), []).append(block)
    numbers, found, first = np.zeros(program.size, dtype=np.intp), [], 0
    for key in sorted(groups, key=lambda key: key[0]):
        some, begin = groups[key], first
        for block in some:
            numbers[block.first : block.first + block.count] = np.arange(first, first + block.count)
            first += block.count
        operands = some[0].operands
        if len(some) > 1:
            operands = tuple(np.concatenate(ids) for ids in zip(*(one.operands for one in some), strict=True))
        found.append(
            some[0]._replace(first=begin, count=first - begin, operands=tuple(numbers[ids] for ids in operands))
        )
    results = tuple(numbers[ids] for ids in program.results)
    return replace(program, blocks=tuple(found), size=first, results=results, _cache={})


def _renumbered(program: Program, blocks: Sequence[Block]) -> Program:
    """The program of some of its blocks, which lead to its results."""
    firsts = list(accumulate((block.count for block in blocks), initial=0))
    numbers = np.zeros(program.size, dtype=np.intp)
    for block, first in zip(blocks, firsts, strict=False):
        numbers[block.first : block.first + block.count] = np.arange(first, first + block.count)
    found = tuple(
        block._replace(first=first, operands=tuple(numbers[ids] for ids in block.operands))
        for block, first in zip(blocks, firsts, strict=False)
    )
    results = tuple(numbers[ids] for ids in program.results)
    return replace(program, blocks=found, size=firsts[-1], results=results, _cache={})
