"""A program as a function inside of other machine code, such as the right-hand side that a solver's code calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..program import Program
from .kernel import Writer
from .layout import Scalars
from .text import Register, Text


@dataclass(frozen=True)
class Routine:
    """
    Text of a function that evaluates a program once, and what it needs.

    The function is `void (table, scratch, argument 0, ..., result 0, ...)`, all pointers. Results must not overlap with
    arguments, nor with each other. With lanes, the lanes of each element of arguments and results are neighbours in
    memory, or, for arguments that are shared, all lanes read the same.

    Attributes
    ----------
    name : str
    text : str
        In LLVM's language.
    declarations : dict
        Declarations of functions that it calls, by name.
    external : dict
        Addresses of those that are not LLVM's own, by name.
    table : array of bytes
        Constants.
    scratch : int
        Bytes of memory that it works in.
    sources : tuple
        Where the constants come from; see `Kernel`.
    """

    name: str
    text: str
    declarations: dict[str, str]
    external: dict[str, int]
    table: Any
    scratch: int
    sources: tuple[Any, ...]


def routine(
    name: str, program: Program, lanes: int = 1, modes: Sequence[str] = (), text: Text | None = None
) -> Routine:
    """
    Write the function of a program.

    Parameters
    ----------
    name : str
        Of the function.
    program : Program
    lanes : int
        Calls that are evaluated at a time.
    modes : sequence of str
        With lanes, how each argument and each result lies in memory: `UNIT` or `SHARED`; by default, all are `UNIT`.
    text : Text, optional
        To which lines are written: it knows how functions are called.

    Raises
    ------
    UnsupportedError
        If it has no machine code.
    """
    writer = _Writer(program, 0, lanes, modes, (), False)
    writer.text = text or writer.text
    return writer.routine(name)


class _Writer(Writer):
    def routine(self, name: str) -> Routine:
        text, count = self.text, len(self.program.arguments)
        text.label = "step"
        pointers = [self._name(k) for k in range(count + len(self.program.results))]
        self.bases, self.lane_offsets = [[one] for one in pointers], [[] for _ in pointers]
        for argument in range(count):
            for block in self._inputs(argument):
                self._fill(block, self.bases[argument])
        self._parts()
        for number in range(len(self.program.results)):
            self._store_result(number)
        given = ", ".join(f"ptr noalias {'readonly ' * (k < count)}{one}" for k, one in enumerate(pointers))
        lines = [
            f"define internal void @{name}(ptr noalias readonly %table, ptr noalias %scratch, {given}) nounwind {{",
            "entry:",
            *self.entry,
            "  br label %step",
            "step:",
            *text.lines,
            "  ret void",
            "}",
        ]
        layout = self.layout
        return Routine(
            name, "\n".join(lines) + "\n", text.declarations, text.external, layout.the_table(),
            layout.scratch_bytes, self._sources(),
        )  # fmt: skip


class Inline(Writer):
    """
    A program written out in the lines of other code, with all values in registers.

    Parameters
    ----------
    program : Program
    lanes : int
    text : Text
        To which lines are written.
    table : int
        Bytes of the table of this code before the program's own constants.
    """

    def __init__(self, program: Program, lanes: int, text: Text, table: int) -> None:
        super().__init__(program, 0, lanes, (), (), False)
        self.text, self._begin = text, table
        self._inputs_of = [self._inputs(k) for k in range(len(program.arguments))]

    @property
    def is_possible(self) -> bool:
        """Whether the program has neither loops nor arrays."""
        layout = self.layout
        return not layout.loops and all(isinstance(one, Scalars) for one in layout.parts) and not layout.scratch_bytes

    def __call__(self, *arguments: Sequence[Register]) -> list[list[Register]]:
        """Write one evaluation; arguments and results are lists of elements."""
        self.values.clear()
        for blocks, argument in zip(self._inputs_of, arguments, strict=True):
            for block in blocks:
                for k, place in enumerate(np.asarray(block.data[1]).tolist()):
                    self.values[block.first + k] = argument[place]
        self._parts()
        return [[self.value(node) for node in np.ravel(ids).tolist()] for ids in self.program.results]

    @property
    def table(self) -> Any:
        """The program's constants, when all is written."""
        return self.layout.the_table()

    @property
    def sources(self) -> tuple[Any, ...]:
        """Where the constants come from; see `Kernel`."""
        return self._sources()

    def _pointer(self, space: int, offset: int) -> Register:
        return super()._pointer(space, self._begin + offset)

    def _constant(self, node: int, dtype: np.dtype[Any]) -> Register:
        value = self._load(self._pointer(*self.layout.address(node)), dtype, 1)
        return self._splat(value, dtype, self.lanes)
