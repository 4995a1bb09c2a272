"""Block-diagonal matrices with equal blocks."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays.counts import as_count
from .._arrays.namespace import Array, array_namespace
from .square_matrices import SquareMatrices


@dataclass(frozen=True)
class BlockDiagonal(SquareMatrices):
    """Each group of `size` neighbouring components depends on the components of that group only.

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
        object.__setattr__(self, "size", as_count("size", self.size, of="BlockDiagonal"))

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

    def from_dense(self, matrices: Array) -> Array:
        """Blocks `[..., b·size:(b+1)·size, b·size:(b+1)·size]`."""
        xp = array_namespace(matrices)
        blocks = matrices.shape[-1] // self.size
        shape = (*matrices.shape[:-2], blocks, self.size, blocks, self.size)
        # linalg.diagonal takes the last two axes: (..., b, i, c, j) → (..., i, j, b, c) → (..., i, j, b)
        spread = xp.moveaxis(xp.reshape(matrices, shape), (-4, -2), (-2, -1))
        return xp.moveaxis(xp.linalg.diagonal(spread), -1, -3)

    def to_dense(self, matrices: Array) -> Array:
        """Full matrices, with zeros outside the blocks."""
        xp = array_namespace(matrices)
        blocks = matrices.shape[-3]
        # (..., b, i, c, j): block b in rows and c in columns, equal on the diagonal of blocks only
        spread = matrices[..., :, :, None, :] * xp.eye(blocks, dtype=matrices.dtype)[:, None, :, None]
        n = blocks * self.size
        return xp.reshape(spread, (*matrices.shape[:-3], n, n))

    def to_scan(self, vectors: Array) -> Array:
        """(..., n) as (..., blocks, size)."""
        xp = array_namespace(vectors)
        return xp.reshape(vectors, (*vectors.shape[:-1], vectors.shape[-1] // self.size, self.size))

    def from_scan(self, vectors: Array) -> Array:
        """(..., blocks, size) as (..., n)."""
        return array_namespace(vectors).reshape(vectors, (*vectors.shape[:-2], vectors.shape[-2] * self.size))
