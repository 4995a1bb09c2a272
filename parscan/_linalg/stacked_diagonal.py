"""Square arrays of diagonal matrices: several vectors, coupled component by component."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays.counts import as_count
from .._arrays.namespace import Array, array_namespace
from .square_matrices import SquareMatrices


@dataclass(frozen=True)
class StackedDiagonal(SquareMatrices):
    """The state is several vectors one after another; components at the same place of each vector depend on each other.

    Examples are the hidden and the cell state of an LSTM with elementwise recurrence [1]_, and positions followed by
    velocities. If the vectors were interleaved, the structure would be `BlockDiagonal`.

    Layout of the matrices, for `m = n / parts`: `(..., m, parts, parts)`, entry `[..., i, a, b]` =
    ∂f_{a·m+i}/∂y_{b·m+i}.

    Parameters
    ----------
    parts : int
        Vectors in the state, a divisor of the number of components.

    Raises
    ------
    TypeError, ValueError
        If `parts` is no integer, or less than 1.

    References
    ----------
    .. [1] F. Danieli, P. Rodriguez, M. Sarabia, X. Suau, L. Zappella, "ParaRNN: Unlocking Parallel Training of
       Nonlinear RNNs for Large Language Models", arXiv:2510.21450, 2025.

    Examples
    --------
    >>> import parscan
    >>> parscan.StackedDiagonal(2).shape(6)
    (3, 2, 2)
    """

    parts: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", as_count("parts", self.parts, of="StackedDiagonal"))

    def shape(self, n: int) -> tuple[int, ...]:
        """Trailing axes `(n / parts, parts, parts)`."""
        if n % self.parts:
            raise ValueError(
                f"`structure` has {self.parts} parts but the state has {n} components; choose a divisor of {n}."
            )
        return (n // self.parts, self.parts, self.parts)

    def colours(self, n: int) -> int:
        """One perturbed state per vector, in all its components at once."""
        return min(n, self.parts)

    def colouring(self, components: Array, n: int) -> Array:
        """The index of the vector to which a component belongs."""
        return components // max(n // self.parts, 1)

    def from_dense(self, matrices: Array) -> Array:
        """Diagonals `[..., a·m + i, b·m + i]`."""
        xp = array_namespace(matrices)
        m = matrices.shape[-1] // self.parts
        spread = xp.reshape(matrices, (*matrices.shape[:-2], self.parts, m, self.parts, m))
        # (..., a, i, b, j) → (..., a, b, i, j) → (..., a, b, i) → (..., i, a, b)
        return xp.moveaxis(xp.linalg.diagonal(xp.moveaxis(spread, -2, -3)), -1, -3)

    def to_dense(self, matrices: Array) -> Array:
        """Full matrices, with zeros off the diagonals."""
        xp = array_namespace(matrices)
        m = matrices.shape[-3]
        # (..., i, a, b) → (..., a, i, b, j), zero unless i = j
        spread = xp.moveaxis(matrices, -3, -2)[..., None] * xp.eye(m, dtype=matrices.dtype)[:, None, :]
        n = m * self.parts
        return xp.reshape(spread, (*matrices.shape[:-3], n, n))

    def to_scan(self, vectors: Array) -> Array:
        """(..., n) as (..., m, parts)."""
        xp = array_namespace(vectors)
        m = vectors.shape[-1] // self.parts
        return xp.matrix_transpose(xp.reshape(vectors, (*vectors.shape[:-1], self.parts, m)))

    def from_scan(self, vectors: Array) -> Array:
        """(..., m, parts) as (..., n)."""
        xp = array_namespace(vectors)
        return xp.reshape(xp.matrix_transpose(vectors), (*vectors.shape[:-2], vectors.shape[-2] * self.parts))
