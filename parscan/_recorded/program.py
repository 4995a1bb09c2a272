"""A recorded function without what its results do not need, and its evaluation by NumPy: the oracle of compiled code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .array import RecordingArray, evaluated
from .graph import CONSTANT, INPUT, PRODUCT, Block, Graph, Ids


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
    _rows: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def operations(self) -> int:
        """Number of scalar operations; a product of a matrix (m, k) with a vector counts as m k."""
        weights = (block.operands[0].shape[1] if block.operation == PRODUCT else 1 for block in self.blocks)
        named = (block.operation not in (INPUT, CONSTANT) for block in self.blocks)
        return sum(
            block.count * weight for block, weight, is_one in zip(self.blocks, weights, named, strict=True) if is_one
        )

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
        flat = [np.reshape(a, (count, -1)).T for a in arguments]
        kinds, values = self._places(), {}
        for char, rows in self._sizes().items():
            values[char] = np.empty((rows, count), dtype=char)
        dtypes, places = kinds
        for block in self.blocks:
            if block.operation == INPUT:
                found = flat[block.data[0]][block.data[1]]
            elif block.operation == CONSTANT:
                found = block.data[:, None]
            else:
                operands = [values[dtypes[np.ravel(ids)[0]]][places[ids]] for ids in block.operands]
                found = _value(block, operands)
            values[block.dtype.char][places[block.first : block.first + block.count]] = found
        return tuple(
            np.moveaxis(
                np.stack([values[dtypes[node]][places[node]] for node in ids.ravel().tolist()]).reshape(
                    (*ids.shape, -1)
                )
                if ids.size
                else np.empty((*ids.shape, count)),
                -1,
                0,
            ).astype(dtype)
            for ids, dtype in zip(self.results, self.dtypes, strict=True)
        )

    def _places(self) -> tuple[list[str], Any]:
        """Per node the character of its dtype, and its row among the nodes of this dtype."""
        if "places" not in self._rows:
            dtypes, places, used = [""] * self.size, np.empty(self.size, dtype=np.intp), {}
            for block in self.blocks:
                char, end = block.dtype.char, block.first + block.count
                dtypes[block.first : end] = [char] * block.count
                places[block.first : end] = used.get(char, 0) + np.arange(block.count)
                used[char] = used.get(char, 0) + block.count
            self._rows["places"], self._rows["used"] = (dtypes, places), used
        return self._rows["places"]  # type: ignore[no-any-return]

    def _sizes(self) -> dict[str, int]:
        self._places()
        return self._rows["used"]  # type: ignore[no-any-return]


def _value(block: Block, operands: list[Any]) -> Any:
    if block.operation == PRODUCT:
        matrix, vector = operands  # (m, k, calls) and (k, calls)
        if matrix.shape[-1] > 1 and block.operands[0].size > 0:
            return np.einsum("mkc,kc->mc", matrix, vector)
        return matrix[..., 0] @ vector
    return evaluated(block.operation, block.dtype, operands, block.data)


def extract(graph: Graph, results: Sequence[RecordingArray], arguments: Sequence[Argument]) -> Program:
    """The program of some results: without nodes that they do not need, and renumbered."""
    needed = np.zeros(graph.size, dtype=bool)
    for result in results:
        needed[result.ids] = True
    for block in reversed(graph.blocks):
        some = needed[block.first : block.first + block.count]
        if some.any():
            for ids in block.operands:
                needed[_some(block, ids, some)] = True
    numbers, size, blocks = np.full(graph.size, -1, dtype=np.intp), 0, []
    for block in graph.blocks:
        some = needed[block.first : block.first + block.count]
        count = int(np.count_nonzero(some))
        if count:
            numbers[block.first : block.first + block.count][some] = np.arange(size, size + count)
            operands = tuple(numbers[_some(block, ids, some)] for ids in block.operands)
            blocks.append(Block(block.operation, size, count, block.dtype, operands, _data(block, some)))
            size += count
    ids = tuple(numbers[np.asarray(result.ids)] for result in results)
    return Program(tuple(blocks), size, tuple(arguments), ids, tuple(result.dtype for result in results))


def _some(block: Block, ids: Ids, some: Any) -> Any:
    """Operands of the needed ones among the nodes of a block, as an array; a product needs its whole vector."""
    if isinstance(ids, int):
        return np.asarray([ids])
    return ids if block.operation == PRODUCT and ids is block.operands[1] else ids[some]


def _data(block: Block, some: Any) -> Any:
    if block.operation == INPUT:
        return block.data[0], block.data[1][some]
    return block.data[some] if block.operation == CONSTANT else block.data
