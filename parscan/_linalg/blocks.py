"""Batches of small square blocks, however the components are dealt out to them."""

from __future__ import annotations

from abc import abstractmethod

from .._arrays.namespace import Array, array_namespace, conjugate
from .singular_values import clip_singular_values, root_mean_square
from .structure import Structure


class Blocks(Structure):
    """Each component belongs to one block, and depends on those of its block only.

    Layout of the matrices: `(..., blocks, k, k)`.
    """

    @abstractmethod
    def _split(self, vectors: Array) -> Array:
        """Vectors `(..., n)` as `(..., blocks, k)`; `from_scan` is the way back."""

    def from_differences(self, differences: Array) -> Array:
        """The response to component j of every block is column j of every block."""
        xp = array_namespace(differences)
        return xp.moveaxis(self._split(differences), 0, -1)

    def scale_columns(self, matrices: Array, scales: Array) -> Array:
        """Column j of every block times component j of it."""
        return matrices * self._split(scales)[..., None, :]

    def product(self, left: Array, right: Array) -> Array:
        """Batched product of the blocks."""
        return left @ right

    def conjugate_transpose(self, matrices: Array) -> Array:
        """Each block by itself."""
        return array_namespace(matrices).matrix_transpose(conjugate(matrices))

    def outer(self, left: Array, right: Array) -> Array:
        """Products within each block."""
        return self._split(left)[..., :, None] * self._split(right)[..., None, :]

    def norm(self, matrices: Array) -> Array:
        """Frobenius norm of each block, over √k."""
        return root_mean_square(matrices)

    def clip(self, matrices: Array, bound: float) -> Array:
        """Singular values of each block are those of the whole."""
        return clip_singular_values(matrices, bound)

    def operands(self, matrices: Array, vectors: Array) -> tuple[Array, Array]:
        """Blocks become one more batch axis of a dense scan."""
        return matrices, self._split(vectors)
