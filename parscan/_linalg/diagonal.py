"""Diagonal matrices."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays.namespace import Array, array_namespace, conjugate
from .structure import Structure


@dataclass(frozen=True)
class Diagonal(Structure):
    """Component i of a step depends on component i of the state only: elementwise recurrences.

    Layout of the matrices: `(..., n)`, entry `[..., i]` = ∂f_i/∂y_i.

    Examples
    --------
    >>> import parscan
    >>> parscan.Diagonal().shape(3)
    (3,)
    """

    def shape(self, n: int) -> tuple[int, ...]:
        """Trailing axis `(n,)`."""
        return (n,)

    def colours(self, n: int) -> int:
        """One perturbed state: the components do not depend on each other."""
        return min(n, 1)

    def from_differences(self, differences: Array) -> Array:
        """The only response is the diagonal."""
        return differences[0, ...]

    def scale_columns(self, matrices: Array, scales: Array) -> Array:
        """Elementwise product."""
        return matrices * scales

    def product(self, left: Array, right: Array) -> Array:
        """Elementwise product."""
        return left * right

    def conjugate_transpose(self, matrices: Array) -> Array:
        """The conjugates."""
        return conjugate(matrices)

    def identity(self, matrices: Array) -> Array:
        """Ones."""
        return array_namespace(matrices).ones_like(matrices)

    def solve(self, matrices: Array, *right: Array) -> tuple[Array, ...]:
        """Elementwise quotients."""
        return tuple(side / matrices for side in right)

    def root(self, left: Array, right: Array) -> Array:
        """Elementwise roots of the sums of squares."""
        xp = array_namespace(left)
        return xp.astype(xp.hypot(xp.abs(left), xp.abs(right)), left.dtype)

    def from_dense(self, matrices: Array) -> Array:
        """Entries `[..., i, i]`."""
        return array_namespace(matrices).linalg.diagonal(matrices)

    def norm(self, matrices: Array) -> Array:
        """Absolute value of each entry."""
        return array_namespace(matrices).abs(matrices)

    def clip(self, matrices: Array, bound: float) -> Array:
        """Entries scaled to absolute values of at most `bound`."""
        xp = array_namespace(matrices)
        size = xp.abs(matrices)
        one = xp.ones_like(size)
        return matrices * xp.where(size > bound, bound / xp.where(size > 0, size, one), one)

    def to_dense(self, matrices: Array) -> Array:
        """Zeros off the diagonal."""
        xp = array_namespace(matrices)
        return matrices[..., None] * xp.eye(matrices.shape[-1], dtype=matrices.dtype)
