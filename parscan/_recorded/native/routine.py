"""A program as a function inside of other machine code, such as the right-hand side that a solver's code calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..program import Program
from .kernel import Writer


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


def routine(name: str, program: Program, lanes: int = 1, modes: Sequence[str] = ()) -> Routine:
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

    Raises
    ------
    UnsupportedError
        If it has no machine code.
    """
    return _Writer(program, 0, lanes, modes, (), False).routine(name)


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
