"""What the matrices of linear systems in drivers consist of: real numbers, or complex ones."""

from __future__ import annotations

from dataclasses import dataclass

from .elimination import Shape
from .expressions import Code, Value
from .pairs import Pairs


@dataclass
class Numbers:
    """
    Numbers of matrices `diagonal I - h J` with a real matrix `J`.

    Parameters
    ----------
    diagonals : tuple of numbers
        A real number; or a complex number for each lane.
    plane : int
        Bytes from real to imaginary parts in memory.
    """

    diagonals: tuple[complex, ...]
    plane: int = 0

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

    def diagonal(self, code: Code, shape: Shape) -> Value:
        """The diagonal without `h J`."""
        if isinstance(code, Pairs):
            return code.constants(self.diagonals, shape.dtype)
        return code.number(self.diagonals[0].real, shape.dtype, shape.lanes)
