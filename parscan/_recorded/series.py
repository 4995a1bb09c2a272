"""Taylor series of recorded right-hand sides: which sums of products give each coefficient from those before.

Moore, Interval Analysis (1966), chapter 11; Griewank & Walther, Evaluating Derivatives (2008), chapter 13. Products,
quotients, roots and constant powers have recurrences of their own. Every other operation with derivatives follows from
`r' = g u'`, where `g` is the derivative in the table of operations: it is recorded as well, and has a series, too. So a
sine comes with the cosine, which is its derivative, and no operation needs another row than it has. Operations on the
time alone may jump or have kinks, where steps end: between these times, conditions and steps of a staircase are
constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .array import RecordingArray, recorded
from .graph import CONSTANT, CONVERT, INPUT, PRODUCT, Graph
from .operations import OPERATIONS
from .program import Program, extract
from .refusal import Refused

TIME, STATE = 0, 1
"""Numbers of the arguments of a right-hand side."""

DERIVE = "derive"
"""The rule of series that are derivatives of others."""


class Term(NamedTuple):
    """
    How the coefficients of a series follow from others.

    Attributes
    ----------
    rule : str
        A name in `RULES` of whoever computes them.
    slot : int
        The series.
    series : tuple of int
        Series of which it needs the coefficient of the same order.
    values : tuple of int
        Values that it needs.
    sums : tuple of int
        Sums of products that it needs.
    """

    rule: str
    slot: int
    series: tuple[int, ...] = ()
    values: tuple[int, ...] = ()
    sums: tuple[int, ...] = ()


@dataclass(frozen=True)
class Series:
    """
    The recurrence for the series of a solution. Those of the components of the state come first; then that of the time.

    Attributes
    ----------
    program : Program
        All values that are needed, a function of the arguments of the right-hand side with one result.
    terms : tuple of Term
        In an order in which each needs earlier ones only, of the same order of coefficients.
    sums : tuple of (int, int)
        Pairs of series, whose coefficients of orders `j` and `k - j` are multiplied and added up, for `0 < j < k`.
    slopes : tuple of (int, int)
        For each component of the right-hand side, its series, or -1 if it is constant; and its value.
    size : int
        Number of series.
    """

    program: Program
    terms: tuple[Term, ...]
    sums: tuple[tuple[int, int], ...]
    slopes: tuple[tuple[int, int], ...]
    size: int

    @property
    def key(self) -> str:
        """What code depends on, besides the structure of the program."""
        return repr((self.terms, self.sums, self.slopes, self.size))


def series(program: Program, limit: int) -> Series:
    """
    The recurrence of a right-hand side `fun(t, y, *parameters)`.

    Raises
    ------
    Refused
        If an operation on what changes has no series.
    TooLarge
        If it has more nodes than the limit.
    """
    found = _Expansion(program, limit)
    return found.series()


class _Node(NamedTuple):
    """A term of which nodes are known, not places. A node `u` is -1 - u for the series of its derivative."""

    rule: str
    series: tuple[int, ...] = ()
    values: tuple[int, ...] = ()
    sums: tuple[tuple[int, int], ...] = ()


def _of_derivative(node: int) -> int:
    return -1 - node


class _Expansion:
    """A graph of scalar operations on what changes, and the rules of its nodes."""

    def __init__(self, program: Program, limit: int) -> None:
        self.graph = graph = Graph(limit)
        self.arguments = [
            RecordingArray(graph, graph.argument(number, one.shape, one.dtype), one.dtype)
            for number, one in enumerate(program.arguments)
        ]
        self.program, self.dtype = program, program.arguments[STATE].dtype
        self.state = np.ravel(self.arguments[STATE].ids).tolist()
        self.time = int(np.ravel(self.arguments[TIME].ids)[0])
        self.nodes: dict[int, _Node] = {node: _Node("given") for node in (self.time, *self.state)}
        """Rules of nodes that change; a node whose coefficients are those of another one is not among them."""
        self.same: dict[int, int] = {}
        """Nodes whose coefficients of positive orders are those of another node."""
        self.refused: dict[int, str] = {}
        self.timed: set[int] = {self.time}
        """Nodes that change with the time, but not with the state."""
        self._seen = graph.size
        self.results = self._replay()

    def _replay(self) -> list[int]:
        """Record all operations on one element each; return the nodes of the result."""
        program, graph = self.program, self.graph
        places: list[int] = [0] * program.size
        for block in program.blocks:
            if block.operation == INPUT:
                found = np.ravel(self.arguments[block.data[0]].ids)[block.data[1]].tolist()
            elif block.operation == CONSTANT:
                found = np.ravel(graph.constants(block.data, block.dtype)).tolist()
            elif block.operation == PRODUCT:
                found = self._product(block, places)
            else:
                rows = zip(*(ids.tolist() for ids in map(np.ravel, block.operands)), strict=True)
                found = [
                    self._record(block.operation, block.dtype, [places[one] for one in row], block.data) for row in rows
                ]
            places[block.first : block.first + block.count] = found
            self._classify()
        return [places[node] for node in np.ravel(program.results[0]).tolist()]

    def _record(self, name: str, dtype: Any, operands: Sequence[int], data: Any = None) -> int:
        return int(np.asarray(recorded(self.graph, name, dtype, list(operands), data)))

    def _product(self, block: Any, places: list[int]) -> list[int]:
        """A product of a matrix and a vector, written out."""
        matrix, vector = (np.asarray(ids).tolist() for ids in block.operands)
        found = []
        for row in matrix:
            factors = zip(row, vector, strict=True)
            terms = [self._record("multiply", block.dtype, [places[a], places[b]]) for a, b in factors]
            total = terms[0]
            for term in terms[1:]:
                total = self._record("add", block.dtype, [total, term])
            found.append(total)
        return found

    # Rules

    def _classify(self) -> None:
        """Enter the rules of new nodes; the rules may record further ones."""
        graph = self.graph
        while self._seen < graph.size:
            size = graph.size
            for block in [one for one in graph.blocks if one.first >= self._seen]:
                if block.operation in (INPUT, CONSTANT):
                    continue
                columns = [np.ravel(ids).tolist() for ids in block.operands]
                for node, operands in enumerate(zip(*columns, strict=True), start=block.first):
                    self._enter(node, block, operands)
            self._seen = size

    def moves(self, node: int) -> bool:
        """Whether a node changes with the time."""
        return node in self.nodes or node in self.same or node in self.refused

    def base(self, node: int) -> int:
        """The node that has the coefficients of a node."""
        return self.same.get(node, node)

    def _enter(self, node: int, block: Any, operands: tuple[int, ...]) -> None:
        if not any(map(self.moves, operands)):
            return
        if all(one in self.timed or not self.moves(one) for one in operands):
            if self._is_staircase(block):
                return
            self.timed.add(node)
        for one in operands:
            if one in self.refused and not self._is_guarded(block.operation, operands):
                self.refused[node] = self.refused[one]
                return
        found = self._rule(node, block, operands)
        if isinstance(found, _Node):
            self.nodes[node] = found
        elif isinstance(found, int):
            self.same[node] = self.base(found)
        else:
            self.refused[node] = found

    def _is_staircase(self, block: Any) -> bool:
        """Whether an operation has steps at single points, and is constant between them."""
        operation = OPERATIONS.get(block.operation)
        if operation is None:
            return block.operation != PRODUCT and (block.operation != CONVERT or block.dtype.kind != "f")
        return not operation.partials and operation.chooses is None

    def _is_guarded(self, name: str, operands: tuple[int, ...]) -> bool:
        """
        Whether an operation is the choice of `1 / p` for powers of a number `p` that is not too large.

        Small negative powers are recorded so.
        """
        if name != "where" or operands[1] in self.refused or not self.moves(operands[1]):
            return False
        blocks = {one.first: one for one in self.graph.blocks}
        condition = blocks.get(operands[0])
        if condition is None or condition.operation != "less_equal":
            return False
        size, most = (int(np.ravel(one)[0]) for one in condition.operands)
        return (
            size in blocks
            and blocks[size].operation == "absolute"
            and self.graph.value(most) == np.finfo(self.dtype).max
        )

    def _rule(self, node: int, block: Any, operands: tuple[int, ...]) -> _Node | int | str:
        """The rule of an operation; the node that has its coefficients; or why it has none."""
        name = block.operation
        if name == CONVERT and block.dtype.kind == "f" and block.dtype == self.graph.dtype(operands[0]):
            return operands[0]
        row = OWN_RULES.get(name)
        if block.dtype == self.dtype and row is not None:
            found = row(self, node, operands)
            if found is not None:
                return found
        operation = OPERATIONS.get(name)
        if operation is not None and operation.chooses is not None and (name == "where" or node in self.timed):
            return self._chosen(node, operation, operands)
        is_rough = name in NOT_SMOOTH and node not in self.timed
        if operation is None or not operation.partials or is_rough or block.dtype != self.dtype:
            return f"takes `{name}` of what changes with the solution, which has no Taylor series"
        return self._by_derivatives(node, operation, operands)

    def _chosen(self, node: int, operation: Any, operands: tuple[int, ...]) -> _Node | str:
        """The rule of one of two operands, under a condition that is constant in a step."""
        graph = self.graph
        given = [RecordingArray(graph, one, graph.dtype(one)) for one in operands]
        condition = operation.chooses(*given, RecordingArray(graph, node, self.dtype))
        chosen = int(np.asarray(condition.ids))
        if self.moves(chosen):  # of others than `where`, it is new, and one of numbers that depend on the time alone
            return f"takes `{operation.name}` of what changes with the solution, which has no Taylor series"
        one, zero = graph.number(1.0, self.dtype), graph.number(0.0, self.dtype)
        value = self._record("where", self.dtype, [chosen, one, zero])
        first, second = operands[-2:]
        if not self.moves(second):
            return _Node("first", (self.base(first),), (value,))
        if not self.moves(first):
            return _Node("second", (self.base(second),), (value,))
        return _Node("select", (self.base(first), self.base(second)), (value,))

    def _by_derivatives(self, node: int, operation: Any, operands: tuple[int, ...]) -> _Node | str:
        """The rule `r' = g u' + …`."""
        graph = self.graph
        given = [RecordingArray(graph, one, graph.dtype(one)) for one in operands]
        result = RecordingArray(graph, node, self.dtype)
        pairs, values, own = [], [], []
        for one, partial in zip(operands, operation.partials, strict=True):
            if not self.moves(one):
                continue
            if partial is None:
                return f"takes `{operation.name}` of what changes with the solution, which has no Taylor series"
            factor = partial(*given, result)
            g = int(np.asarray(factor.ids)) if isinstance(factor, RecordingArray) else graph.number(factor, self.dtype)
            derivative = _of_derivative(self.base(one))
            own.append(derivative)
            values.append(g)
            pairs.append((derivative, g))
        return _Node("integral", tuple(own), tuple(values), tuple(pairs))

    # The whole

    def series(self) -> Series:
        """What is needed of it, with places for nodes."""
        self._classify()
        for node in self.results:
            if node in self.refused:
                raise Refused(self.refused[node])
        terms = self._needed()
        slots = {node: number for number, node in enumerate((*self.state, self.time))}
        for node in terms:
            slots.setdefault(node, len(slots))
        values: dict[int, int] = {}
        sums: dict[tuple[int, int], int] = {}

        def pair(one: int, other: int) -> int:
            places = sorted((slots[self._of(one)], slots[self._of(other)]))
            return sums.setdefault((places[0], places[1]), len(sums))

        found = [
            Term(
                term.rule, slots[node], tuple(slots[self._of(one)] for one in term.series),
                tuple(values.setdefault(one, len(values)) for one in term.values),
                tuple(pair(*both) if self._changes(both[1]) else -1 for both in term.sums),
            )
            for node, term in terms.items()
        ]  # fmt: skip
        slopes = tuple(
            (slots[self.base(node)] if self.moves(node) else -1, values.setdefault(node, len(values)))
            for node in self.results
        )
        result = RecordingArray(self.graph, np.array(list(values), dtype=np.intp), self.dtype)
        program = extract(self.graph, [result], self.program.arguments)
        return Series(program, tuple(found), tuple(sums), slopes, len(slots))

    def _changes(self, node: int) -> bool:
        return node < 0 or self.moves(node)

    def _of(self, node: int) -> int:
        return node if node < 0 else self.base(node)

    def _needed(self) -> dict[int, _Node]:
        """The rules that are needed, in order."""
        found: dict[int, _Node] = {}
        left = [self.base(node) for node in self.results if self.moves(node)]
        while left:
            node = left.pop()
            if node in found:
                continue
            term = _Node(DERIVE, (-1 - node,)) if node < 0 else self.nodes[node]
            found[node] = term
            others = [*term.series, *(one for both in term.sums for one in both if self._changes(one))]
            if any(one in self.refused for one in others):
                raise Refused(next(self.refused[one] for one in others if one in self.refused))
            left += [self._of(one) for one in others]
        return {node: found[node] for node in _in_order(found) if found[node].rule != "given"}


def _in_order(terms: dict[int, _Node]) -> list[int]:
    """Nodes, each after those of which it needs the coefficient of the same order."""
    found: dict[int, None] = {}
    for last in sorted(terms):
        left = [last]
        while left:
            others = [one for one in terms[left[-1]].series if one not in found]
            if others and left[-1] not in found:
                left += others
            else:
                found.setdefault(left.pop())
    return list(found)


def _sum(one: str, of: _Expansion, operands: tuple[int, ...]) -> _Node | int:
    """The rule of a sum or a difference, in which one may be constant."""
    first, second = operands
    if not of.moves(second):
        return first
    if not of.moves(first):
        return second if one == "add" else _Node("negative", (of.base(second),))
    return _Node(one, (of.base(first), of.base(second)))


def _multiply(of: _Expansion, node: int, operands: tuple[int, ...]) -> _Node:
    first, second = operands
    if of.moves(first) and of.moves(second):
        pair = of.base(first), of.base(second)
        return _Node("multiply", pair, (first, second), (pair,))
    factor, other = (first, second) if of.moves(second) else (second, first)
    return _Node("scale", (of.base(other),), (factor,))


def _divide(of: _Expansion, node: int, operands: tuple[int, ...]) -> _Node:
    first, second = operands
    one = of.graph.number(1.0, of.dtype)
    inverse = of._record("divide", of.dtype, [one, second])
    if not of.moves(second):
        return _Node("scale", (of.base(first),), (inverse,))
    dividend = (of.base(first),) if of.moves(first) else ()
    below = of.base(second)
    return _Node("divide", (below, *dividend), (node, inverse), ((below, node),))


def _sqrt(of: _Expansion, node: int, operands: tuple[int, ...]) -> _Node:
    half = of.graph.number(0.5, of.dtype)
    return _Node("sqrt", (of.base(operands[0]),), (of._record("divide", of.dtype, [half, node]),), ((node, node),))


def _power(of: _Expansion, node: int, operands: tuple[int, ...]) -> _Node:
    """`r = u**p` with a constant exponent: `u r' = p u' r`; otherwise `r = exp(p log(u))`."""
    base, exponent = operands
    if of.moves(exponent):
        logarithm = of._record("multiply", of.dtype, [exponent, of._record("log", of.dtype, [base])])
        derivative = _of_derivative(logarithm)
        return _Node("integral", (derivative,), (node,), ((derivative, node),))
    one = of.graph.number(1.0, of.dtype)
    inverse = of._record("divide", of.dtype, [one, base])
    u = of.base(base)
    derivative = _of_derivative(u)
    sums = ((derivative, node), (u, _of_derivative(node)))
    return _Node("power", (derivative,), (exponent, node, inverse), sums)


def _where(of: _Expansion, node: int, operands: tuple[int, ...]) -> int | None:
    return operands[1] if of._is_guarded("where", operands) else None


OWN_RULES: dict[str, Any] = {
    "add": lambda of, node, operands: _sum("add", of, operands),
    "subtract": lambda of, node, operands: _sum("subtract", of, operands),
    "negative": lambda of, node, operands: _Node("negative", (of.base(operands[0]),)),
    "multiply": _multiply,
    "divide": _divide,
    "sqrt": _sqrt,
    "power": _power,
    "where": _where,
}
"""Rules of operations that take fewer products than those that follow from derivatives."""

NOT_SMOOTH = frozenset(["absolute", "copysign", "remainder", "fmod", "heaviside"])
"""Operations with derivatives that jump."""


def coefficients(found: Series, order: int, t: Any, y: Any, *parameters: Any, scale: Any = 1.0) -> Any:
    """
    Coefficients `(order + 1, n)` of the series of the solution in `(t' - t) / scale`, by NumPy: the oracle of code.

    Parameters
    ----------
    found : Series
    order : int
        The last coefficient.
    t, y, parameters
        Time, state, and further arguments.
    scale : float
        Unit of time.
    """
    dtype = found.program.dtypes[0]
    given = [np.asarray(one, dtype=like.dtype)[None] for one, like in zip((t, y, *parameters), found.program.arguments,
                                                                           strict=True)]  # fmt: skip
    values = found.program(*given)[0][0]
    rows, n = np.zeros((order + 1, found.size), dtype), len(found.slopes)
    rows[0, :n] = np.ravel(y)
    for k in range(1, order + 1):
        rows[k, n] = scale if k == 1 else 0.0
        for number, (slot, value) in enumerate(found.slopes):
            before = values[value] if k == 1 else rows[k - 1, slot] if slot >= 0 else 0.0
            rows[k, number] = scale * before / k
        sums = [sum(rows[j, a] * rows[k - j, b] for j in range(1, k)) for a, b in found.sums]
        for term in found.terms:
            own = [rows[k, slot] for slot in term.series]
            products = [sums[one] if one >= 0 else 0.0 for one in term.sums]
            rows[k, term.slot] = RULES[term.rule](_Numbers, k, own, [values[one] for one in term.values], products)
    return rows[:, :n]


class _Numbers:
    """Operations on numbers that rules need."""

    where = np.where

    @staticmethod
    def fma(one: Any, other: Any, more: Any) -> Any:
        """A product and a sum."""
        return one * other + more


def _multiplied(on: Any, k: Any, own: Any, values: Any, sums: Any) -> Any:
    return on.fma(own[0], values[1], on.fma(own[1], values[0], sums[0]))


def _divided(on: Any, k: Any, own: Any, values: Any, sums: Any) -> Any:
    """`r = a / b`, from `b r = a`."""
    below, *dividend = own
    result, inverse = values
    missing = on.fma(below, result, sums[0])
    return (dividend[0] - missing if dividend else -missing) * inverse


def _powered(on: Any, k: Any, own: Any, values: Any, sums: Any) -> Any:
    exponent, result, inverse = values
    return (exponent * on.fma(own[0], result, sums[0]) - sums[1]) * (inverse * (1.0 / k))


def _integrated(on: Any, k: Any, own: Any, values: Any, sums: Any) -> Any:
    total = sums[0]
    for more in sums[1:]:
        total = total + more
    for derivative, factor in zip(own, values, strict=True):
        total = on.fma(derivative, factor, total)
    return total * (1.0 / k)


RULES: dict[str, Any] = {
    "add": lambda on, k, own, values, sums: own[0] + own[1],
    "subtract": lambda on, k, own, values, sums: own[0] - own[1],
    "negative": lambda on, k, own, values, sums: -own[0],
    "scale": lambda on, k, own, values, sums: own[0] * values[0],
    "multiply": _multiplied,
    "divide": _divided,
    "sqrt": lambda on, k, own, values, sums: (own[0] - sums[0]) * values[0],
    "power": _powered,
    "integral": _integrated,
    "select": lambda on, k, own, values, sums: on.where(values[0] > 0.5, own[0], own[1]),
    "first": lambda on, k, own, values, sums: on.where(values[0] > 0.5, own[0], 0.0),
    "second": lambda on, k, own, values, sums: on.where(values[0] > 0.5, 0.0, own[0]),
    DERIVE: lambda on, k, own, values, sums: k * own[0],
}
"""
The coefficient of order `k` from coefficients of that order, values, and sums of products; on numbers, and on values of
machine code. `on.fma(a, b, c)` is `a b + c`.
"""
