"""Full matrices."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays.namespace import Array
from .diagonal import Diagonal
from .square_matrices import SquareMatrices
from .structure import Structure


@dataclass(frozen=True)
class Dense(SquareMatrices):
    """Every component of a step may depend on every component of the state.

    Layout of the matrices: `(..., n, n)`, entry `[..., i, j]` = ∂f_i/∂y_j.

    Examples
    --------
    >>> import parscan
    >>> parscan.Dense().shape(3)
    (3, 3)
    """

    def shape(self, n: int) -> tuple[int, ...]:
        """Trailing axes `(n, n)`."""
        return (n, n)

    def colours(self, n: int) -> int:
        """One perturbed state per component."""
        return n

    def from_dense(self, matrices: Array) -> Array:
        """The matrices themselves."""
        return matrices

    @property
    def core(self) -> Structure:
        """Diagonal matrices."""
        return Diagonal()

    def to_core(self, matrices: Array) -> Array:
        """Entries `[..., i, i]`."""
        return self.core.from_dense(matrices)

    def to_dense(self, matrices: Array) -> Array:
        """The matrices themselves."""
        return matrices
