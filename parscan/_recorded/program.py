"""A recorded function, reduced to the operations that its results need, and its values by NumPy: the oracle of code."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from .._arrays.cached import cached_property
from .array import RecordingArray
from .graph import CONSTANT, INPUT, NEW, PRODUCT, Block, Graph, Ids
from .results import evaluated_loudly

LOOPED = 16
"""Operations that are about as much machine code as a loop."""


@dataclass(frozen=True)
class Argument:
    """Shape and dtype of an argument."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Program:
    """
    Blocks of operations that lead from arguments to results.

    Attributes
    ----------
    blocks : tuple of Block
        In an order in which each needs earlier ones only. Their nodes are numbered from 0 to `size - 1`. Nodes of the
        blocks of one argument are a part of its elements: see `Block.data`.
    size : int
        Number of nodes.
    arguments : tuple of Argument
        Of the recorded function.
    results : tuple of integer arrays
        Nodes of each result, in its shape.
    dtypes : tuple of NumPy dtypes
        Of the results.
    """

    blocks: tuple[Block, ...]
    size: int
    arguments: tuple[Argument, ...]
    results: tuple[Any, ...]
    dtypes: tuple[np.dtype[Any], ...]
    _cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def operations(self) -> int:
        """Number of scalar operations; a product of a matrix (m, k) with a vector counts as m k."""
        weights = (block.operands[0].shape[1] if block.operation == PRODUCT else 1 for block in self.blocks)
        named = (block.operation not in (INPUT, CONSTANT) for block in self.blocks)
        return sum(
            block.count * weight for block, weight, is_one in zip(self.blocks, weights, named, strict=True) if is_one
        )

    @cached_property
    def written(self) -> int:
        """Number of operations in the text of machine code, in which a loop over many elements counts as a few."""
        return sum(min(block.count, LOOPED) for block in self.blocks if block.operation not in (INPUT, CONSTANT))

    @cached_property
    def kinds(self) -> tuple[tuple[str, int, str], ...]:
        """Operations, sizes and dtypes of the blocks: what a program costs, about."""
        return tuple((block.operation, block.count, block.dtype.char) for block in self.blocks)

    @cached_property
    def fingerprint(self) -> bytes:
        """A hash of the whole record, constants included: programs with equal fingerprints are equal."""
        return self._hash(constants=True)

    @cached_property
    def skeleton(self) -> bytes:
        """A hash of the record without the values of constants."""
        return self._hash(constants=False)

    def _hash(self, *, constants: bool) -> bytes:
        text = [repr((self.arguments, self.dtypes, [ids.shape for ids in self.results]))]
        nodes, values = list(map(np.ravel, self.results)), list[Any]()
        for operation, _, count, dtype, operands, data in self.blocks:
            text.append(f"{operation} {count} {dtype.char}")
            if count > 1 or operation == PRODUCT:
                text.append(repr([ids.shape for ids in operands]))
                nodes += map(np.ravel, operands)
            else:
                nodes += operands
            if data is not None:
                number, array = data if operation == INPUT else ("", data)
                text.append(f"{number} {array.dtype.char} {array.nbytes}")
                if constants or operation != CONSTANT:
                    values.append(array.tobytes())
        numbers = np.concatenate(nodes).tobytes()
        return hashlib.blake2b(b"".join(["\n".join(text).encode(), numbers, *values])).digest()

    def reads(self, argument: int) -> bool:
        """Whether the results depend on an element of an argument."""
        return any(block.operation == INPUT and block.data[0] == argument for block in self.blocks)

    def depends(self, operation: str, operand: int, arguments: Container[int]) -> bool:
        """Whether an operand, given by its number, of operations of some name depends on one of some arguments."""
        flags = np.zeros(self.size, dtype=bool)
        for block in self.blocks:
            if block.operation == INPUT:
                found: Any = block.data[0] in arguments
            else:
                found = any_of(block, flags)
            flags[block.first : block.first + block.count] = found
            if block.operation == operation and flags[block.operands[operand]].any():
                return True
        return False

    def __call__(self, *arguments: Any) -> tuple[Any, ...]:
        """
        Evaluate the results by NumPy.

        Parameters
        ----------
        *arguments : array, shape (m, *shape)
            Arguments of `m` calls, stacked.

        Returns
        -------
        tuple of arrays, shapes (m, *shape)
        """
        count = arguments[0].shape[0] if arguments else 1
        flat = [np.reshape(a, (count, prod(np.shape(a)[1:]))).T for a in arguments]
        values = {char: np.empty((rows, count), dtype=char) for char, rows in self._places()[2].items()}
        operands, results = self._operands()
        with np.errstate(all="ignore"):
            for block, given in zip(self.blocks, operands, strict=True):
                if block.operation == INPUT:
                    found = flat[block.data[0]][block.data[1]]
                elif block.operation == CONSTANT:
                    found = block.data[:, None]
                else:
                    parts = [values[char][rows] for char, rows in given]
                    if block.operation == PRODUCT:
                        found = self._product(block, parts)
                    else:
                        found = evaluated_loudly(block.operation, block.dtype, parts, block.data)
                begin = self._places()[1][block.first]
                values[block.dtype.char][begin : begin + block.count] = found
        return tuple(
            np.moveaxis(values[where[0]][where[1]], -1, 0).astype(dtype) if where else np.empty((count, *shape), dtype)
            for where, shape, dtype in zip(results, [ids.shape for ids in self.results], self.dtypes, strict=True)
        )

    def _product(self, block: Block, parts: Any) -> Any:
        """Values of a product; a constant matrix is the same in all calls."""
        matrix, vector = parts
        if matrix.shape[-1] and self._are_constant(block.operands[0]):
            return matrix[..., 0] @ vector
        return np.einsum("mkc,kc->mc", matrix, vector)

    def _operands(self) -> tuple[list[Any], list[Any]]:
        """Where the operands of each block are, and the results: the characters of their dtypes, and rows of nodes."""
        if "operands" not in self._cache:
            chars, places, _ = self._places()

            def where(ids: Any) -> Any:
                if not ids.size:
                    return None
                rows = places[ids]
                if rows.ndim == 1 and (np.diff(rows) == 1).all():  # which need not be copied
                    rows = slice(int(rows[0]), int(rows[-1]) + 1)
                return chars[int(ids.flat[0])], rows

            operands = [list(map(where, block.operands)) for block in self.blocks]
            self._cache["operands"] = operands, list(map(where, self.results))
        return self._cache["operands"]

    def _are_constant(self, nodes: Any) -> bool:
        if "constant" not in self._cache:
            found = self._cache["constant"] = np.zeros(self.size, dtype=bool)
            for block in self.blocks:
                if block.operation == CONSTANT:
                    found[block.first : block.first + block.count] = True
        return bool(self._cache["constant"][nodes].all())

    def _places(self) -> tuple[str, Any, dict[str, int]]:
        """For each node, the character of its dtype and its row among the nodes of this dtype; the number of rows."""
        if "places" not in self._cache:
            places, used = np.empty(self.size, dtype=np.intp), dict[str, int]()
            for block in self.blocks:
                char, end = block.dtype.char, block.first + block.count
                places[block.first : end] = used.get(char, 0) + np.arange(block.count)
                used[char] = used.get(char, 0) + block.count
            chars = "".join(block.dtype.char * block.count for block in self.blocks)
            self._cache["places"] = chars, places, used
        return self._cache["places"]


def any_of(block: Block, flags: Any) -> Any:
    """Which nodes of a block have a flagged operand."""
    if block.operation == PRODUCT:
        matrix, vector = block.operands
        return flags[matrix].any(axis=1) | flags[vector].any()
    found: Any = False
    for ids in block.operands:
        found = found | flags[ids]
    return found


def needed(graph: Graph, results: Sequence[Ids]) -> Any:
    """Whether nodes lead to some results, an array of bool."""
    flags = bytearray(graph.size)
    found = np.frombuffer(flags, dtype=bool)
    for ids in results:
        found[ids] = True
    for block in reversed(graph.blocks):
        first, count = block.first, block.count
        if count == 1 and block.operation != PRODUCT:
            if flags[first]:
                for ids in block.operands:
                    flags[ids if isinstance(ids, int) else int(ids[0])] = True
        elif (some := found[first : first + count]).any():
            for ids in block.operands:
                found[_some(block, ids, some)] = True
    return found


def extract(graph: Graph, results: Sequence[RecordingArray], arguments: Sequence[Argument]) -> Program:
    """The program of some results: without nodes that they do not need, and renumbered."""
    wanted = needed(graph, [result.ids for result in results])
    numbers = np.cumsum(wanted) - 1
    size, used, blocks = 0, 0, []
    flags = wanted.tobytes()
    alone = [ids for block in graph.blocks if flags[block.first] for ids in block.operands if type(ids) is int]
    rows = list(numbers[np.array(alone, np.intp)][:, None])  # many arrays of one number, in the fastest way
    for block in graph.blocks:
        operation, first, count, dtype, nodes, data = block
        if count == 1:
            if flags[first]:
                if nodes and type(nodes[0]) is int:
                    begin, used = used, used + len(nodes)
                    operands = tuple(rows[begin:used])
                else:
                    operands = tuple([numbers[ids] for ids in nodes])
                blocks.append(NEW(Block, (operation, size, 1, dtype, operands, data)))
                size += 1
            continue
        some = wanted[first : first + count]
        count = int(np.count_nonzero(some))
        if count:
            operands = tuple(numbers[_some(block, ids, some)] for ids in block.operands)
            blocks.append(Block(block.operation, size, count, block.dtype, operands, _data(block, some)))
            size += count
    ids = tuple(numbers[np.asarray(result.ids)] for result in results)
    return Program(tuple(blocks), size, tuple(arguments), ids, tuple(result.dtype for result in results))


def _some(block: Block, ids: Ids, some: Any) -> Any:
    """Operands of the needed nodes of a block; a product needs its whole vector."""
    return ids if block.operation == PRODUCT and ids is block.operands[1] else ids[some]


def _data(block: Block, some: Any) -> Any:
    if block.operation == INPUT:
        return block.data[0], block.data[1][some]
    return block.data[some] if block.operation == CONSTANT else block.data
