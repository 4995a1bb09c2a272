"""Full matrices."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays.namespace import Array, array_namespace, conjugate
from .diagonal import Diagonal
from .singular_values import clip_singular_values, root_mean_square
from .structure import Structure


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

    def conjugate_transpose(self, matrices: Array) -> Array:
        """Rows become columns."""
        return array_namespace(matrices).matrix_transpose(conjugate(matrices))

    def outer(self, left: Array, right: Array) -> Array:
        """All products."""
        return left[..., :, None] * right[..., None, :]

    def from_dense(self, matrices: Array) -> Array:
        """Nothing to do."""
        return matrices

    @property
    def core(self) -> Structure:
        """The diagonal."""
        return Diagonal()

    def to_core(self, matrices: Array) -> Array:
        """Entries `[..., i, i]`."""
        return self.core.from_dense(matrices)

    def norm(self, matrices: Array) -> Array:
        """Frobenius norm of each matrix, over √n."""
        return root_mean_square(matrices)

    def clip(self, matrices: Array, bound: float) -> Array:
        """Singular values of each matrix."""
        return clip_singular_values(matrices, bound)

    def to_dense(self, matrices: Array) -> Array:
        """Nothing to do."""
        return matrices

    def operands(self, matrices: Array, vectors: Array) -> tuple[Array, Array]:
        """Already as a scan takes them."""
        return matrices, vectors
