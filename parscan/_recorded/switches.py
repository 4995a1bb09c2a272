"""Kinks and jumps of a recorded function in time alone: the operations that have them, and what they are functions of.

A switch is an operation whose operands depend on the time, and not on the state, and which is not smooth where a
function of these operands passes certain levels: `t < a` where `t - a` passes zero, `floor(t)` where `t` passes whole
numbers, a place in a sorted table where `t` passes its entries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi
from typing import Any, NamedTuple

import numpy as np

from .._arrays.cached import cached_property
from .graph import CONVERT, INPUT, PRODUCT, SEARCH_LEFT, SEARCH_RIGHT, Block
from .program import Program, any_of, extract

TIME, STATE = 0, 1
"""Numbers of the arguments."""

FREE, AFFINE, MONOTONE, SMOOTH = range(4)
"""How a node depends on time between neighbouring switches: not at all, affinely, monotonically, in another way."""

ZERO, WHOLE, TABLE = range(3)
"""Levels: zero; whole numbers; the entries of a table."""

QUOTIENTS = ("divide", "reciprocal", "arctan2")

EITHER = ("maximum", "minimum", "fmax", "fmin")
"""Operations whose result is one of their operands."""

COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")

SEARCHES = (SEARCH_LEFT, SEARCH_RIGHT)

RISING = frozenset(["exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "cbrt", "tanh", "sinh", "arctan",
                    "arcsinh", "arcsin", "arccos", "arctanh", "arccosh", "expit", "erf", "erfc"])  # fmt: skip
"""Monotone functions."""

STEEP = frozenset(["exp", "exp2", "expm1", "tanh", "sinh", "arctan", "expit", "erf", "erfc"])
"""Functions that change most, or become large, about the place where their argument is zero."""

SHARP = RISING | {"cosh", "power"}
"""Functions that make narrow pulses, or steps, of arguments that change slowly; so do quotients."""

WAVES = frozenset(["sin", "cos", "tan"])

JUMPY = frozenset([*COMPARISONS, *SEARCHES, "sign", "signbit", "heaviside", "floor", "ceil", "trunc", "rint",
                   "floor_divide", "isnan", "isfinite", "isinf"])  # fmt: skip
"""Operations that are constant between neighbouring switches."""


class Wanted(NamedTuple):
    """Nodes and their dtype: what is extracted from a program."""

    ids: Any
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Switches:
    """
    The switches of a function of time, state and numbers.

    Attributes
    ----------
    program : Program
        Its results are the first operands of all switches, then their second ones, `(k,)` both; where there is no
        second one, it is the first one again.
    direct : Program
        Its results are the times `(m,)` at which `t` itself is compared with something that does not depend on it.
    tables : tuple of arrays
        Those in which `t` itself is searched.
    differs, divides : arrays of bool, shape (k,)
        Whether the function whose levels count is the difference or the ratio of both operands; otherwise it is the
        first one.
    scales, offsets : arrays of float, shape (k,)
        Factor on this function, and what is subtracted then.
    levels : array of int, shape (k,)
        `ZERO`, `WHOLE`, or `TABLE` plus the number among the `searched` tables.
    degrees, depths : arrays of int, shape (k,)
        How the function depends on time between the switches of smaller depths.
    is_scaled : array of bool, shape (k,)
        Whether the operation changes where its argument is near zero, within about one.
    helps : array of bool, shape (k,)
        Whether the switch is none, but a place on both sides of which another operation is monotone.
    searched : tuple of arrays
        Tables in which functions of time are searched.
    outputs : Program
        Its results are all nodes that depend on time and not on the state, and that the function reads then.
    is_sharp : bool
        Whether operations can make narrow pulses of time, although they are smooth.
    """

    program: Program
    direct: Program
    tables: tuple[Any, ...]
    differs: Any
    divides: Any
    scales: Any
    offsets: Any
    levels: Any
    degrees: Any
    depths: Any
    is_scaled: Any
    helps: Any
    searched: tuple[Any, ...]
    outputs: Program
    is_sharp: bool

    @cached_property
    def has_corners(self) -> bool:
        """Whether there are switches, and not only places where others are monotone, or where pulses are."""
        return bool(self.tables or self.direct.results or not self.helps.all())

    @cached_property
    def is_plain(self) -> bool:
        """Whether there are no switches, and all centres of pulses are where affine functions are zero."""
        return not self.has_corners and bool(self.are_affine.all())

    @cached_property
    def are_affine(self) -> Any:
        """Of which switches the function is affine in the whole span, and counts where it is zero."""
        return (self.degrees == AFFINE) & (self.depths == 0) & (self.levels == ZERO)

    @cached_property
    def depends(self) -> bool:
        """Whether corners, or widths of pulses, depend on the numbers after the state."""
        count = len(self.program.arguments)
        programs = self.program, self.direct, *([self.outputs] if self.is_sharp else [])
        return any(one.reads(k) for one in programs for k in range(STATE + 1, count))


class _Row(NamedTuple):
    """A switch; see `Switches`."""

    x: int
    y: int
    degree: int
    depth: int
    level: int = ZERO
    differs: bool = False
    divides: bool = False
    scale: float = 1.0
    offset: float = 0.0
    is_scaled: bool = False
    helps: bool = False


class _Nodes:
    """Nodes of a program: on what they depend, and how."""

    def __init__(self, program: Program) -> None:
        size = program.size
        self.by_time, self.by_state = np.zeros(size, bool), np.zeros(size, bool)
        self.degrees, self.depths = np.zeros(size, np.int64), np.zeros(size, np.int64)
        self.time = -1
        self.rows: list[_Row] = []
        self.direct: list[int] = []
        self.tables: list[Any] = []
        self.searched: list[Any] = []
        self.read = np.zeros(size, bool)
        self.squares, self.waves = np.zeros(size, bool), np.zeros(size, bool)
        """Products of functions of time, and what depends on sines of it."""
        self.is_sharp = self.waves_matter = False
        for block in program.blocks:
            self._enter(block)
        for ids in program.results:
            self.read[ids] = True

    def _enter(self, block: Block) -> None:
        here = slice(block.first, block.first + block.count)
        if block.operation == INPUT:
            self.by_time[here] = block.data[0] == TIME
            self.by_state[here] = block.data[0] == STATE
            if block.data[0] == TIME:
                self.degrees[here], self.time = AFFINE, block.first
        if not block.operands:
            return
        for flags in (self.by_time, self.by_state):
            flags[here] = any_of(block, flags)
        states = self.by_state[here]
        if states.any():
            for ids in block.operands:
                self.read[ids if block.operation == PRODUCT else ids[states]] = True
        own = self.by_time[here] & ~states
        for row in np.flatnonzero(own).tolist():
            if block.operation == PRODUCT:
                self._of_product(block, row)
            else:
                self._one(block, block.first + row, [int(ids[row]) for ids in block.operands])

    def _of_product(self, block: Block, row: int) -> None:
        matrix, vector = block.operands
        nodes = np.concatenate([matrix[row], vector])
        self.depths[block.first + row] = self.depths[nodes].max()
        is_affine = self.degrees[nodes].max() <= AFFINE and self.degrees[matrix[row]].max() == FREE
        self.degrees[block.first + row] = AFFINE if is_affine else SMOOTH

    def _one(self, block: Block, node: int, operands: list[int]) -> None:
        """How a node depends on time, and whether it is a switch."""
        degrees = [int(self.degrees[one]) for one in operands]
        depth = max(int(self.depths[one]) for one in operands)
        if not max(degrees):
            self.depths[node] = depth
            return
        name = block.operation
        is_whole = name == CONVERT and block.dtype.kind in "iub"
        row = self._switch("trunc" if is_whole else name, operands, degrees, depth, block.data)
        self._shape(name, node, operands, degrees, is_switch=row is not None and not row.helps)
        if row is not None:
            self.rows.append(row)
        self.depths[node] = depth + (row is not None)
        self.degrees[node] = FREE if is_whole else degree(name, operands, degrees)

    def _shape(self, name: str, node: int, operands: list[int], degrees: list[int], *, is_switch: bool) -> None:
        """Note whether an operation can make pulses, and whether it matters where waves turn."""
        squares, varies = bool(self.squares[operands].any()), FREE not in degrees
        is_high = name == "multiply" and squares and varies
        is_sharp = name in SHARP or is_high or (name in QUOTIENTS and degrees[-1] != FREE)
        has_zeros_of = name in ("negative", "multiply") or (name == "divide" and degrees[1] == FREE)
        self.squares[node] = has_zeros_of and (squares or (name == "multiply" and varies))
        self.is_sharp |= is_sharp
        waves = bool(self.waves[operands].any())
        self.waves_matter |= waves and (is_sharp or is_switch)
        self.waves[node] = waves or name in WAVES

    def _switch(self, name: str, operands: list[int], degrees: list[int], depth: int, data: Any) -> _Row | None:
        if is_direct(name, operands, degrees, self.time):
            if name in SEARCHES:
                self.tables.append(data)
            else:
                self.direct.append(operands[operands[0] == self.time])
            return None
        rule = SWITCHES.get(name)
        if rule is None or (name == "multiply" and operands[0] != operands[1] and degrees != [AFFINE, AFFINE]):
            return None
        if self.squares[operands[0]] and (name in STEEP or name == "multiply"):
            return None  # it changes where the square is zero
        found = rule(_Row(operands[0], operands[0], degrees[0], depth), operands, degrees)
        if name in SEARCHES:
            self.searched.append(data)
            found = found._replace(level=TABLE + len(self.searched) - 1)
        return found


def _of_difference(row: _Row, operands: list[int], degrees: list[int]) -> _Row:
    return row._replace(y=operands[1], degree=degree("subtract", operands, degrees), differs=True)


def _of_ratio(row: _Row, operands: list[int], degrees: list[int]) -> _Row:
    return row._replace(y=operands[1], degree=degree("divide", operands, degrees), level=WHOLE, divides=True)


def _of_second(row: _Row, operands: list[int], degrees: list[int]) -> _Row:
    return row._replace(x=operands[1], y=operands[1], degree=degrees[1])


def _at(**changes: Any) -> Callable[..., _Row]:
    return lambda row, *_: row._replace(**changes)


SWITCHES: dict[str, Callable[[_Row, list[int], list[int]], _Row]] = {
    **dict.fromkeys((*COMPARISONS, *EITHER), _of_difference),
    **dict.fromkeys(("remainder", "fmod", "floor_divide"), _of_ratio),
    **dict.fromkeys((*SEARCHES, "absolute", "sign", "signbit", "heaviside", "arctan2"), _at()),
    "copysign": _of_second,
    **dict.fromkeys(("floor", "ceil", "trunc"), _at(level=WHOLE)),
    "rint": _at(level=WHOLE, offset=0.5),
    **dict.fromkeys(("sin", "tan"), _at(level=WHOLE, scale=1 / pi, offset=0.5, helps=True)),
    "cos": _at(level=WHOLE, scale=1 / pi, helps=True),
    **dict.fromkeys(("power", "multiply"), _at(helps=True)),
    **dict.fromkeys(("cosh", *STEEP), _at(is_scaled=True, helps=True)),
}
"""
Switches by the names of operations. Sines are monotone between odd quarters of turns; squares, other powers and
hyperbolic cosines on both sides of zero.
"""


def is_direct(name: str, operands: list[int], degrees: list[int], time: int) -> bool:
    """Whether the time itself is compared with what does not depend on it, or searched in a table."""
    if name in SEARCHES:
        return operands[0] == time
    return (name in COMPARISONS or name in EITHER) and time in operands and FREE in degrees


def degree(name: str, operands: Sequence[int], degrees: Sequence[int]) -> int:
    """How the result of an operation depends on time, from what is known of its operands."""
    if not max(degrees) or name in JUMPY:
        return FREE
    if name == "multiply" and operands[0] == operands[1]:
        return _of_monotone(degrees)
    rule = DEGREES.get(name)
    return SMOOTH if rule is None else rule(degrees)


def _of_sum(degrees: Sequence[int]) -> int:
    return AFFINE if max(degrees) == AFFINE else max(degrees) if FREE in degrees else SMOOTH


def _of_monotone(degrees: Sequence[int]) -> int:
    return MONOTONE if degrees[0] < SMOOTH and FREE in (*degrees[1:], FREE) else SMOOTH


DEGREES: dict[str, Callable[[Sequence[int]], int]] = {
    **dict.fromkeys((*EITHER, "absolute", "negative", "copysign", CONVERT), max),
    **dict.fromkeys(("add", "subtract"), _of_sum),
    "where": lambda degrees: max(degrees) if degrees[0] == FREE else SMOOTH,
    "multiply": lambda degrees: max(degrees) if FREE in degrees else SMOOTH,
    **dict.fromkeys(("divide", "remainder", "fmod"), lambda degrees: degrees[0] if degrees[1] == FREE else SMOOTH),
    **dict.fromkeys((*RISING, "cosh", "sin", "cos", "tan"), _of_monotone),
    "power": lambda degrees: _of_monotone(degrees) if degrees[1] == FREE else SMOOTH,
}
"""
How results depend on time between neighbouring switches, by the names of operations; in another way, where it is not
listed.
"""


def switches(program: Program) -> Switches | None:
    """The switches of a function of `t`, `y` and numbers; None if it has none, and no pulses either."""
    if not program.reads(TIME):
        return None
    nodes = _Nodes(program)
    chars = np.array(list("".join(block.dtype.char * block.count for block in program.blocks)))
    rows = [
        row for row in nodes.rows if row.degree != FREE and (nodes.waves_matter or row.level != WHOLE or not row.helps)
    ]
    rows.sort(key=lambda row: str(chars[row.x]))
    is_sharp = nodes.is_sharp and bool(rows)
    if not (any(not row.helps for row in rows) or nodes.direct or nodes.tables or is_sharp):
        return None
    columns = [np.array(column) for column in zip(*rows, strict=True)] if rows else [np.zeros(0, int)] * 11
    x, y, degrees, depths, levels, differs, divides, scales, offsets, is_scaled, helps = columns
    read = np.flatnonzero(nodes.read & nodes.by_time & ~nodes.by_state)
    return Switches(
        _extracted(program, chars, x, y),
        _extracted(program, chars, np.array(sorted(set(nodes.direct)), int)),
        tuple({id(one): one for one in nodes.tables}.values()),
        differs.astype(bool), divides.astype(bool), scales, offsets, levels, degrees, depths, is_scaled.astype(bool),
        helps.astype(bool),
        tuple(nodes.searched),
        _extracted(program, chars, read),
        is_sharp,
    )  # fmt: skip


def _extracted(program: Program, chars: Any, *given: Any) -> Program:
    """A program with a result of each dtype for each of some arrays of nodes, all of which have the same dtypes."""
    results = []
    for nodes in given:
        for char in sorted(set(chars[nodes].tolist())):
            results.append(Wanted(nodes[chars[nodes] == char], np.dtype(np.float64)))
    graph: Any = program  # it has blocks and a size, as a graph has
    wanted: Any = results
    return extract(graph, wanted, program.arguments)
