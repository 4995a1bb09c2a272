"""Block-diagonal matrices with equal blocks."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays import Array, array_namespace, conjugate
from ._singular_values import clip_singular_values, root_mean_square
from ._structure import Structure


@dataclass(frozen=True)
class BlockDiagonal(Structure):
    """Groups of `size` neighbouring components depend on each other, and on no other group.

    Layout of the matrices: `(..., n / size, size, size)`, entry `[..., b, i, j]` =
    ∂f_{b·size+i}/∂y_{b·size+j}.

    Parameters
    ----------
    size : int
        Components per block, a divisor of the number of components.

    Raises
    ------
    TypeError, ValueError
        If `size` is no integer, or less than 1.

    Examples
    --------
    >>> import parscan
    >>> parscan.BlockDiagonal(2).shape(6)
    (3, 2, 2)
    """

    size: int

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or isinstance(self.size, bool):
            raise TypeError(f"`size` of BlockDiagonal must be an integer, got {self.size!r}.")
        if self.size < 1:
            raise ValueError(f"`size` of BlockDiagonal must be at least 1, got {self.size}.")

    def shape(self, n: int) -> tuple[int, ...]:
        """Trailing axes `(n / size, size, size)`."""
        if n % self.size:
            raise ValueError(
                f"`structure` has blocks of {self.size} but the state has {n} components; choose a divisor of {n}."
            )
        return (n // self.size, self.size, self.size)

    def colours(self, n: int) -> int:
        """One perturbed state per component of a block, in all blocks at once."""
        return min(n, self.size)

    def from_differences(self, differences: Array) -> Array:
        """The response to component j of every block is column j of every block."""
        xp = array_namespace(differences)
        return xp.moveaxis(self._split(differences), 0, -1)

    def scale_columns(self, matrices: Array, scales: Array) -> Array:
        """Column j of block b times `scales[..., b·size + j]`."""
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

    def from_dense(self, matrices: Array) -> Array:
        """Blocks `[..., b·size:(b+1)·size, b·size:(b+1)·size]`."""
        xp = array_namespace(matrices)
        blocks = matrices.shape[-1] // self.size
        shape = (*matrices.shape[:-2], blocks, self.size, blocks, self.size)
        # linalg.diagonal takes the last two axes: (..., b, i, c, j) → (..., i, j, b, c) → (..., i, j, b)
        spread = xp.moveaxis(xp.reshape(matrices, shape), (-4, -2), (-2, -1))
        return xp.moveaxis(xp.linalg.diagonal(spread), -1, -3)

    def norm(self, matrices: Array) -> Array:
        """Frobenius norm of each block, over √size."""
        return root_mean_square(matrices)

    def clip(self, matrices: Array, bound: float) -> Array:
        """Singular values of each block are those of the whole."""
        return clip_singular_values(matrices, bound)

    def to_dense(self, matrices: Array) -> Array:
        """Zeros between the blocks."""
        xp = array_namespace(matrices)
        blocks = matrices.shape[-3]
        # (..., b, i, c, j): block b in rows and c in columns, equal on the diagonal of blocks only
        spread = matrices[..., :, :, None, :] * xp.eye(blocks, dtype=matrices.dtype)[:, None, :, None]
        n = blocks * self.size
        return xp.reshape(spread, (*matrices.shape[:-3], n, n))

    def operands(self, matrices: Array, vectors: Array) -> tuple[Array, Array]:
        """Blocks become one more batch axis of a dense scan."""
        return matrices, self._split(vectors)

    def from_scan(self, vectors: Array) -> Array:
        """(..., blocks, size) as (..., n)."""
        return array_namespace(vectors).reshape(vectors, (*vectors.shape[:-2], vectors.shape[-2] * self.size))

    def _split(self, vectors: Array) -> Array:
        """(..., n) as (..., blocks, size)."""
        xp = array_namespace(vectors)
        return xp.reshape(vectors, (*vectors.shape[:-1], vectors.shape[-1] // self.size, self.size))
