"""Drivers: functions in machine code that call recorded ones, with their constants and their memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ..program import Program
from . import compilation
from .expressions import Array, Code
from .kernel import NAME, Kernel, fill
from .layout import ALIGNED, address, aligned
from .libm import NUMBER
from .routine import Inline, Routine
from .target import is_thread
from .text import Register

ARGUMENTS = "ptr noalias readonly %table", "ptr noalias %memory", "ptr %unused", "i64 %steps"
"""Of a driver's function: constants, its memory, and a number that Python gives at each call."""


class Fields:
    """
    Named arrays in one piece of memory, which a driver and Python share.

    Attributes
    ----------
    size : int
        Bytes of all.
    all : dict
        Where they begin, their dtypes and shapes, by name.
    """

    def __init__(self) -> None:
        self.size = 0
        self.all: dict[str, tuple[int, np.dtype[Any], tuple[int, ...]]] = {}

    def add(self, name: str, dtype: Any, *shape: int) -> None:
        """Another array."""
        dtype = np.dtype(dtype)
        self.all[name] = self.size, dtype, shape
        unit = NUMBER if is_thread() else ALIGNED
        self.size += -(-prod(shape) * dtype.itemsize // unit) * unit

    def offset(self, name: str) -> int:
        """Bytes before an array."""
        return self.all[name][0]

    def view(self, memory: Any, name: str) -> Any:
        """An array, as NumPy sees it."""
        start, dtype, shape = self.all[name]
        return memory[start : start + prod(shape) * dtype.itemsize].view(dtype).reshape(shape)

    def flat(self, memory: Any, name: str) -> Any:
        """All elements of an array."""
        start, dtype, shape = self.all[name]
        return memory[start : start + prod(shape) * dtype.itemsize].view(dtype)

    def views(self, memory: Any) -> dict[str, Any]:
        """All arrays."""
        return {name: self.view(memory, name) for name in self.all}

    def array(self, code: Code, name: str, width: int = 1, stride: int = 0) -> Array:
        """An array, as the driver sees it, in items of a width."""
        start, dtype, _ = self.all[name]
        return code.array(code.pointer("%memory", start), dtype, width, stride)


@dataclass(frozen=True)
class Driver:
    """
    Text of a driver with its routines, and what it needs.

    Attributes
    ----------
    kernel : Kernel
        Its `scratch` is the size of the memory, and its `table` holds constants of the driver, then of the routines.
    fields : Fields
    """

    kernel: Kernel
    fields: Fields
    routines: tuple[tuple[int, int, tuple[Any, ...]], ...]
    """Where the constants of programs begin in the table, their numbers, and where the constants come from."""
    _code: list[compilation.Code] = field(default_factory=list, compare=False)

    @property
    def code(self) -> compilation.Code:
        """The machine code."""
        if not self._code:
            self.compile()
        return self._code[0]

    def compile(self, code: compilation.Code | None = None) -> None:
        """Compile it, unless its code is known."""
        self._code.append(code or compilation.compiled(self.kernel))

    def table(self, programs: Sequence[Program]) -> Any:
        """The table with the constants of programs that have the same structure."""
        found = aligned(self.kernel.table.shape[0])
        found[...] = self.kernel.table
        for start, number, sources in self.routines:
            if sources:
                fill(found[start:], sources, programs[number])
        return found


class Module:
    """
    The text of a driver and its routines in the making.

    Parameters
    ----------
    constants : array
        Numbers that the driver reads at the beginning of its table.
    routines : sequence of Routine
    fields : Fields
        Memory of the driver; the routines get their own behind it.
    is_brief : bool
        Whether functions for what is seldom done are compiled in a third of the time, and to slower code.
    """

    def __init__(
        self, constants: Any, routines: Sequence[Routine], fields: Fields, *, is_brief: bool = True
    ) -> None:  # fmt: skip
        self.code, self.fields, self._hints = Code(), fields, "noinline optnone" if is_brief else "noinline"
        self._routines = {one.name: one for one in routines}
        constants = np.ascontiguousarray(constants).reshape(-1).view(np.uint8)
        parts, self._starts, self._scratch = [constants], dict[str, int](), dict[str, int]()
        size = 0
        for one in routines:
            size += -(-parts[-1].shape[0] // ALIGNED) * ALIGNED
            self._starts[one.name] = size
            parts.append(one.table)
            self._scratch[one.name] = fields.size
            fields.add(f"scratch of {one.name}", np.uint8, one.scratch)
        self._parts = list(zip([0, *self._starts.values()], parts, strict=True))
        self._inline: Inline | None = None
        self._functions: list[str] = []

    def inline(self, program: Program, lanes: int) -> Inline | None:
        """The first program, to be written out in the driver's lines; None if it has loops or arrays."""
        start, last = self._parts[-1]
        begin = start - (-last.shape[0] // ALIGNED) * ALIGNED
        self._inline, self._begin = Inline(program, lanes, self.code.text, begin), begin
        return self._inline if self._inline.is_possible else None

    @contextmanager
    def function(self, name: str) -> Iterator[None]:
        """Write a function of its own, which is called here, for what is seldom done."""
        with self.code.another_function():
            yield
            text = self.code.function(name, ARGUMENTS[:2], self._hints)
        self._functions.append(text.replace("define void", "define internal void"))
        self.code.call(name, "%table", "%memory")

    def call(self, name: str, *pointers: Register) -> None:
        """Call a routine with its arguments and results."""
        table = self.code.pointer("%table", self._starts[name])
        self.code.call(name, table, self.code.pointer("%memory", self._scratch[name]), *pointers)

    def driver(self) -> Driver:
        """The driver, when all is written."""
        declarations, external = dict(self.code.text.declarations), dict(self.code.text.external)
        for one in self._routines.values():
            declarations |= one.declarations
            external |= one.external
        function = self.code.function(NAME, ARGUMENTS)
        routines = [one.text for one in self._routines.values()]
        text = "\n".join([*declarations.values(), *routines, *self._functions, function])
        sources = [(self._starts[name], k, one.sources) for k, (name, one) in enumerate(self._routines.items())]
        if self._inline is not None:
            self._parts.append((self._begin, self._inline.table))
            sources.append((self._begin, 0, self._inline.sources))
        table = aligned(self._parts[-1][0] + self._parts[-1][1].shape[0])
        for start, part in self._parts:
            table[start : start + part.shape[0]] = part
        return Driver(Kernel(text, external, table, self.fields.size), self.fields, tuple(sources))


class Machine:
    """
    A driver in memory, with the constants of some programs.

    Raises
    ------
    UnsupportedError
        If LLVM cannot compile it.
    """

    def __init__(self, driver: Driver, programs: Sequence[Program]) -> None:
        self._code, self._table, self._size = driver.code, driver.table(programs), driver.kernel.scratch
        self._fields, self._function, self._table_address = driver.fields, self._code.function, address(self._table)

    def memory(self) -> Any:
        """Zeroed memory, for one run."""
        return aligned(self._size)

    def views(self, memory: Any) -> dict[str, Any]:
        """The arrays in some memory."""
        return self._fields.views(memory)

    def run(self, memory: Any, steps: int) -> None:
        """Call the driver; it releases the GIL."""
        self.call(address(memory), steps)

    def call(self, memory: int, steps: int) -> None:
        """Call the driver with memory at an address, which is in use until then."""
        self._function(self._table_address, memory, 0, steps)

    @property
    def address(self) -> int:
        """Where the driver is in memory."""
        return self._code.address

    @property
    def table(self) -> int:
        """Where its constants are; both are there as long as the machine."""
        return self._table_address
