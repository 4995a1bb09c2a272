"""What the matrices of linear systems in drivers consist of: real numbers, or complex ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .elimination import Shape
from .expressions import Array, Code, Value
from .pairs import Pairs


@dataclass
class Numbers:
    """
    Numbers of matrices `diagonal I - h J`, or `diagonal M + h J`, with real matrices `J` and `M`.

    Parameters
    ----------
    diagonals : tuple of numbers
        A real number; or a complex number for each lane.
    plane : int
        Bytes from real to imaginary parts in memory.
    has_mass : bool
        Whether there is a matrix `M`, with entries at the places of those of `J`.
    """

    diagonals: tuple[complex, ...]
    plane: int = 0
    has_mass: bool = False

    @property
    def is_complex(self) -> bool:
        """Whether they are complex, with the same `J` in all lanes."""
        return len(self.diagonals) > 1

    def shared_lanes(self, lanes: int) -> int:
        """Lanes in which `J` is in memory."""
        return 1 if self.is_complex else lanes

    def code(self, other: Code | None = None) -> Code:
        """Writes a function, or further lines of another one."""
        if not self.is_complex:
            return other or Code()
        return Pairs.beside(other, self.plane) if other else Pairs(self.plane)

    @property
    def given(self) -> tuple[str, ...]:
        """Names of what matrices are made of: entries of `J`, their factor, and entries of `M`."""
        return ("entries", "factor", "masses") if self.has_mass else ("entries", "factor")

    def factor(self, h: Value) -> Value:
        """The factor of `J`."""
        return h if self.has_mass else -h

    def entries(self, code: Code, shape: Shape, given: Sequence[Array]) -> Callable[[Value | int], Value]:
        """Entries of a matrix, at places of entries of `J`; without the diagonal if `M` is the identity."""
        entries, factor, *masses = given
        size, lanes = factor[0], shape.lanes
        if not masses:
            return lambda place: entries[place] * size
        diagonal, wide = self.diagonal(code, shape), size.wide(lanes)
        return lambda place: code.fma(entries[place].wide(lanes), wide, diagonal * masses[0][place].wide(lanes))

    def diagonal(self, code: Code, shape: Shape) -> Value:
        """The diagonal without `h J`."""
        if isinstance(code, Pairs):
            return code.constants(self.diagonals, shape.dtype)
        return code.number(self.diagonals[0].real, shape.dtype, shape.lanes)
