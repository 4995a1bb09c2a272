"""Full matrices."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays import Array, array_namespace
from ._structure import Structure


@dataclass(frozen=True)
class Dense(Structure):
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

    def from_differences(self, differences: Array) -> Array:
        """The response to component j is column j."""
        xp = array_namespace(differences)
        return xp.moveaxis(differences, 0, -1)

    def scale_columns(self, matrices: Array, scales: Array) -> Array:
        """Column j times `scales[..., j]`."""
        return matrices * scales[..., None, :]

    def product(self, left: Array, right: Array) -> Array:
        """Batched matrix product."""
        return left @ right

    def diagonal(self, matrices: Array) -> Array:
        """Entries `[..., i, i]`."""
        return array_namespace(matrices).linalg.diagonal(matrices)

    def to_dense(self, matrices: Array) -> Array:
        """Nothing to do."""
        return matrices

    def operands(self, matrices: Array, vectors: Array) -> tuple[Array, Array]:
        """Already as a scan takes them."""
        return matrices, vectors
