"""A recorded function as a graph: blocks of scalar operations, each block one operation on many elements."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import repeat
from math import copysign, isnan
from typing import Any, NamedTuple

import numpy as np

Ids = Any
"""Numbers of nodes: an integer array, or an int for a block of one."""

INPUT, CONSTANT, CONVERT, GATHER, PRODUCT = "input", "constant", "convert", "gather", "product"
SEARCH_LEFT, SEARCH_RIGHT = "search left", "search right"
PAIR = "pair"
"""
Blocks that are no operations of the table: elements of an argument, constants, changes of dtype, entries of a table of
constants at a computed index, places in a sorted table, and products of a matrix with a vector. A pair is a complex
number, made of the nodes of its real and imaginary parts: operations on pairs are recorded as operations on the parts,
so that no other block has a pair as operand, and programs contain none.
"""

PARTS = {"D": np.dtype(np.float64), "F": np.dtype(np.float32)}
"""Dtypes of the real and imaginary parts of complex numbers, by the characters of theirs."""

FEW = 16
"""Elements of arrays of at most this size are recorded one by one, so that equal ones become one node."""

LIMIT = 2_000_000
"""Largest number of nodes; beyond, recording ends."""


def distinct(numbers: Any) -> list[int]:
    """The numbers in an array, each once, in rising order; `np.unique` loads `numpy.ma`, which takes 10 ms."""
    return sorted(set(np.ravel(numbers).tolist()))


class TooLarge(Exception):  # noqa: N818 - it says what happened
    """A graph grew beyond its limit."""


class Block(NamedTuple):
    """
    Nodes `first` to `first + count - 1`, all by one operation.

    Operands are the numbers of earlier nodes: an array `(count,)`, or an int, per operand. The `data` of inputs are the
    argument's number and the elements' places in it, those of constants their values, those of gathers and searches a
    table. A product has the operands `A` (count, k) and `x` (k,), both of nodes.
    """

    operation: str
    first: int
    count: int  # type: ignore[assignment]
    dtype: np.dtype[Any]
    operands: tuple[Ids, ...]
    data: Any = None


NEW = tuple.__new__  # makes a block in half the time that its class takes


class Latest(NamedTuple):
    """
    Operations, dtypes and operands of nodes in a row: making a block of each takes three times as long.

    `data` are those of the nodes that have some, by their places in the row.
    """

    operations: list[str]
    dtypes: list[np.dtype[Any]]
    operands: list[tuple[int, ...]]
    data: dict[int, Any]


class Graph:
    """
    Blocks in the order in which they were recorded; equal operations on equal nodes are one node.

    Attributes
    ----------
    limit : int
        Largest number of nodes.
    latest : Latest
        The last nodes of operations on one element, which are not among the blocks yet.
    scalars : dict
        Nodes of operations on one element: dictionaries by operands, one for each operation. Conversions and lookups
        have one for each dtype and table. Those of a few elements are tuples, and have tuples among their operands.
    doubles, singles : dict
        Nodes of numbers of Python in double and in single precision, apart from zeros and NaN.
    numbers : bool
        Whether entries of arrays are numbers of Python, whose division by zero raises an exception.
    fixed : bytearray
        For each node, whether it is a constant.
    others : set
        Constants that are neither zero nor one, apart from those of tables.
    exceptions : dict
        Nodes of the conditions under which the function raises an exception, as keys.
    branches : Branches or None
        What decides conditions on values while a function is called on all ways through it.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._blocks: list[Block] = []
        self.latest = Latest([], [], [], {})
        self.limit = limit
        self.scalars: defaultdict[Any, dict[tuple[Any, ...], Any]] = defaultdict(dict)
        self.numbers = False
        self.exceptions: dict[int, None] = {}
        self.branches: Any = None
        self._known: dict[Any, Any] = {}
        self.doubles: dict[float, int] = {}
        self.singles: dict[float, int] = {}
        self._numbers = {"d": self.doubles, "f": self.singles}
        self._zeros: dict[Any, int] = {}
        self._constants: dict[int, Any] = {}
        self._tables: list[Any] = []
        self._table_starts: list[int] = []
        self._chars = bytearray()  # per node, as far as they were asked for, the character of its dtype
        self._typed = 0  # number of blocks whose nodes are among these
        self.others = set[int]()
        self.fixed = bytearray()
        # Nodes of the parts of pairs: of a few by their nodes, an int or a tuple; of many, and of those few when they
        # are asked for together with others, per node in an array, where -1 is for nodes that are no pairs.
        self._halves: dict[Any, tuple[Any, Any]] = {}
        self._pairs: list[int] = []  # which are not in the array yet
        self._parts = np.empty((2, 0), dtype=np.intp)

    @property
    def blocks(self) -> list[Block]:
        """All blocks."""
        latest = self.latest
        if latest.operations:
            numbers = range(len(self.fixed) - len(latest.operations), len(self.fixed))
            parts = zip(latest.operations, numbers, repeat(1), latest.dtypes, latest.operands, repeat(None))
            blocks: list[Block] = [NEW(Block, part) for part in parts]
            for place, data in latest.data.items():
                blocks[place] = blocks[place]._replace(data=data)
            self._blocks += blocks
            self.latest = Latest([], [], [], {})
        return self._blocks

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.fixed)

    def argument(self, index: int, shape: tuple[int, ...], dtype: Any) -> Ids:
        """Nodes of an argument, of its shape."""
        count = int(np.prod(shape))
        return self._append(INPUT, count, np.dtype(dtype), (), (index, np.arange(count))).reshape(shape)

    def constants(self, values: Any, dtype: Any) -> Ids:
        """Nodes of constants, in their shape. Constants with equal bits are one node; a large array is one block."""
        values = np.asarray(values, dtype=dtype)
        if values.dtype.char in PARTS:
            own = PARTS[values.dtype.char]
            return self.pair(self.constants(values.real, own), self.constants(values.imag, own), values.dtype)
        if values.ndim == 0:
            return self.constant(values)
        if values.size <= FEW:
            ids = [self.constant(value) for value in values.ravel()]
            return np.asarray(ids, dtype=np.intp).reshape(values.shape)
        key = (CONSTANT, values.dtype.char, values.size, values.tobytes())
        found = self._known.get(key)
        if found is None:
            flat = values.ravel().copy()
            found = self._known[key] = int(self._append(CONSTANT, values.size, values.dtype, (), flat)[0])
            self._tables.append(flat)
            self._table_starts.append(found)
        return np.arange(found, found + values.size).reshape(values.shape)

    def constant(self, value: Any) -> int:
        """Node of one constant, a NumPy scalar or an array of shape ()."""
        if value.dtype.char in PARTS:
            return int(self.pair(self.constant(value.real), self.constant(value.imag), value.dtype))
        key = (CONSTANT, value.dtype.char, value.tobytes())
        found = self._known.get(key)
        if found is None:
            found = self.scalar(CONSTANT, value.dtype, (), value.reshape(1))
            self._known[key] = found
            self.fixed[found] = 1
            self._constants[found] = value[()]
            if value[()] not in (0, 1):
                self.others.add(found)
        return found

    def pair(self, real: Ids, imaginary: Ids, dtype: np.dtype[Any]) -> Ids:
        """Nodes of complex numbers, from those of their real and imaginary parts, which have one shape."""
        if type(real) is int:
            return self.few_pairs(real, imaginary, dtype)
        if real.size <= FEW:
            found = self.few_pairs(tuple(real.ravel().tolist()), tuple(imaginary.ravel().tolist()), dtype)
            return np.array(found, dtype=np.intp).reshape(real.shape)
        flat, size = (real.ravel(), imaginary.ravel()), self.size
        ids = self.elementwise(PAIR, dtype, flat)
        if self.size > size:
            self._make_room()
            self._parts[:, size : self.size] = flat
            self.fixed[size : self.size] = (self.are_constant(flat[0]) & self.are_constant(flat[1])).tobytes()
        return ids.reshape(real.shape)

    def few_pairs(self, real: Any, imaginary: Any, dtype: np.dtype[Any]) -> Any:
        """The same for a few nodes, each a tuple of them or an int."""
        table = self.scalars[PAIR, dtype]
        found = table.get((real, imaginary))
        if found is None:
            if type(real) is int:
                found = self.scalar(PAIR, dtype, (real, imaginary))
                self.fixed[found] = self.fixed[real] and self.fixed[imaginary]
                self._pairs.append(found)
            else:
                found = tuple([self.few_pairs(*parts, dtype) for parts in zip(real, imaginary, strict=True)])
            table[real, imaginary] = found
            self._halves[found] = real, imaginary
        return found

    def _make_room(self) -> None:
        if self.size > self._parts.shape[1]:
            added = np.full((2, 2 * self.size - self._parts.shape[1]), -1)
            self._parts = np.concatenate([self._parts, added], axis=1)

    def parts(self, ids: Ids) -> tuple[Ids, Ids]:
        """Nodes of the real and of the imaginary parts of pairs."""
        if type(ids) is int:
            return self.few_parts(ids)
        if self._pairs:
            self._make_room()
            self._parts[:, self._pairs] = np.array([self._halves[node] for node in self._pairs]).T
            self._pairs = []
        return self._parts[0, ids], self._parts[1, ids]

    def few_parts(self, nodes: Any) -> tuple[Any, Any]:
        """The same for a few nodes, a tuple of them or an int."""
        found = self._halves.get(nodes)
        if found is None:
            if type(nodes) is int:
                found = int(self._parts[0, nodes]), int(self._parts[1, nodes])
            else:
                real, imaginary = zip(*map(self.few_parts, nodes), strict=True)
                found = real, imaginary
            self._halves[nodes] = found
        return found

    def _is_pair(self, node: int) -> bool:
        return node in self._halves or (node < self._parts.shape[1] and bool(self._parts[0, node] >= 0))

    def number(self, value: Any, dtype: np.dtype[Any]) -> int:
        """Node of a number of Python in some dtype."""
        char = dtype.char
        if not value and char not in PARTS:  # zeros have signs
            numbers, key = self._zeros, (char, copysign(1.0, value))
        elif char not in PARTS and not isnan(value):  # a NaN has no equal
            numbers, key = self._numbers.setdefault(char, {}), value
        else:
            return self.constant(np.asarray(value, dtype))
        found = numbers.get(key)
        if found is None:
            found = numbers[key] = self.constant(np.asarray(value, dtype))
        return found

    def table(self, values: Any) -> Any:
        """A table of constants: the same array for equal ones."""
        key = ("table", values.dtype.char, values.shape, values.tobytes())
        return self._known.setdefault(key, values)

    def value(self, node: int) -> Any:
        """Value of a constant; None for any other node."""
        if not self.fixed[node]:
            return None
        if node in self._constants:
            return self._constants[node]
        if self._is_pair(node):
            real, imaginary = self.parts(node)
            return self.dtype(node).type(complex(self.value(real), self.value(imaginary)))
        place = bisect_right(self._table_starts, node) - 1
        return self._tables[place][node - self._table_starts[place]]

    def zero_or_one(self, node: int) -> Any:
        """Value of a constant that is zero or one; None for any other node."""
        return None if not self.fixed[node] or node in self.others else self.value(node)

    def are_constant(self, nodes: Ids) -> Any:
        """Whether nodes are constants, an array of bool of their shape."""
        return np.frombuffer(self.fixed, dtype=bool)[nodes]

    def dtype(self, node: int) -> np.dtype[Any]:
        """Dtype of a node."""
        if node >= len(self._chars):
            for block in self.blocks[self._typed :]:
                self._chars += block.dtype.char.encode() * block.count
            self._typed = len(self.blocks)
        return np.dtype(chr(self._chars[node]))

    def values(self, nodes: Ids) -> Any:
        """Values of nodes that are all constants, of their shape; None if one is not."""
        if not self.are_constant(nodes).all():
            return None
        if isinstance(nodes, np.ndarray) and nodes.size > 1 and self._is_pair(int(nodes.flat[0])):
            found = np.empty(nodes.shape, self.dtype(int(nodes.flat[0])))
            found.real, found.imag = map(self.values, self.parts(nodes))
            return found
        if isinstance(nodes, np.ndarray) and nodes.size and (table := self._table_with(nodes)) is not None:
            return table[1][nodes - table[0]]
        return np.asarray([self.value(node) for node in np.ravel(nodes).tolist()]).reshape(np.shape(nodes))

    def _table_with(self, nodes: Any) -> tuple[int, Any] | None:
        """Start and values of the block of constants that has all of these nodes."""
        place = bisect_right(self._table_starts, int(nodes.min())) - 1
        if place < 0 or int(nodes.max()) >= self._table_starts[place] + len(self._tables[place]):
            return None
        return self._table_starts[place], self._tables[place]

    def scalar(self, operation: str, dtype: np.dtype[Any], operands: tuple[int, ...], data: Any = None) -> int:
        """A new node of an operation on one element; `scalars` must not have it yet."""
        fixed, latest = self.fixed, self.latest
        first = len(fixed)
        if first >= self.limit:
            raise TooLarge
        if data is not None:
            latest.data[len(latest[0])] = data
        latest[0].append(operation)
        latest[1].append(dtype)
        latest[2].append(operands)
        fixed.append(0)
        return first

    def elementwise(self, operation: str, dtype: np.dtype[Any], operands: Sequence[Ids], data: Any = None) -> Ids:
        """Nodes of an operation on operands of one shape (count,)."""
        key = (operation, dtype.char, *(ids.tobytes() for ids in operands), id(data))
        found = self._known.get(key)
        count = operands[0].shape[0]
        if found is None:
            copies = tuple(np.array(ids) for ids in operands)
            found = self._known[key] = int(self._append(operation, count, dtype, copies, data)[0]) if count else 0
        return np.arange(found, found + count)

    def product(self, matrix: Ids, vector: Ids, dtype: np.dtype[Any]) -> Ids:
        """Nodes of the product of a matrix (m, k) with a vector (k,)."""
        key = (PRODUCT, dtype.char, matrix.shape, matrix.tobytes(), vector.tobytes())
        found = self._known.get(key)
        if found is None:
            operands = (np.array(matrix), np.array(vector))
            found = self._known[key] = int(self._append(PRODUCT, matrix.shape[0], dtype, operands, None)[0])
        return np.arange(found, found + matrix.shape[0])

    def _append(self, operation: str, count: int, dtype: np.dtype[Any], operands: tuple[Ids, ...], data: Any) -> Ids:
        first = self.size
        if first + count > self.limit:
            raise TooLarge
        self.blocks.append(Block(operation, first, count, dtype, operands, data))
        self.fixed += bytes([operation == CONSTANT]) * count
        return np.arange(first, self.size)
