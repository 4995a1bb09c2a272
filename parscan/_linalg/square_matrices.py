"""Structures whose matrices are small square arrays in the last two axes: a full matrix, or independent blocks."""

from __future__ import annotations

from array_api_compat import device

from .._arrays.namespace import Array, array_namespace, conjugate
from .singular_values import clip_singular_values, root_mean_square
from .structure import Structure


class SquareMatrices(Structure):
    """Each component belongs to one block, and depends on the components of its block only.

    Layout of the matrices: `(..., k, k)`. Several blocks have an axis before these, which is a batch axis in a scan.
    """

    def from_differences(self, differences: Array) -> Array:
        """The response to component j of every block is column j of every block."""
        return array_namespace(differences).moveaxis(self.to_scan(differences), 0, -1)

    def scale_columns(self, matrices: Array, scales: Array) -> Array:
        """Column j of every block times component j of it."""
        return matrices * self.to_scan(scales)[..., None, :]

    def product(self, left: Array, right: Array) -> Array:
        """Batched product of the blocks."""
        return left @ right

    def conjugate_transpose(self, matrices: Array) -> Array:
        """The conjugate transposes of the blocks."""
        return array_namespace(matrices).matrix_transpose(conjugate(matrices))

    def identity(self, matrices: Array) -> Array:
        """Ones on the diagonal of every block."""
        xp, place = array_namespace(matrices), device(matrices)
        identities = xp.empty(matrices.shape, dtype=matrices.dtype, device=place)
        identities[...] = xp.eye(matrices.shape[-1], dtype=matrices.dtype, device=place)
        return identities

    def solve(self, matrices: Array, *right: Array) -> tuple[Array, ...]:
        """One factorisation of each block for all right-hand sides."""
        xp, k = array_namespace(matrices), matrices.shape[-1]
        solutions = xp.linalg.solve(matrices, xp.concat(right, axis=-1))
        return tuple(solutions[..., i * k : (i + 1) * k] for i in range(len(right)))

    def root(self, left: Array, right: Array) -> Array:
        """Lower triangular factors by QR: nothing is squared, so that small entries keep their digits."""
        xp = array_namespace(left)
        rows = xp.concat([self.conjugate_transpose(left), self.conjugate_transpose(right)], axis=-2)
        return self.conjugate_transpose(xp.linalg.qr(rows)[1])

    def norm(self, matrices: Array) -> Array:
        """Frobenius norm of each block, over √k."""
        return root_mean_square(matrices)

    def clip(self, matrices: Array, bound: float) -> Array:
        """Clip block by block: singular values of the blocks are those of the whole matrix."""
        return clip_singular_values(matrices, bound)
