"""The interface of a structure: a family of matrices, such as the diagonal ones, and their arithmetic."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from .._arrays.namespace import Array, Namespace


class Structure(ABC):
    """A family of n×n matrices closed under product and adjoint, kept in a compact layout behind any leading axes.

    One object describes the family; the matrices themselves are plain arrays of that layout. The layout is one-to-one:
    distinct arrays are distinct matrices, with no unused entries.
    """

    @abstractmethod
    def shape(self, n: int) -> tuple[int, ...]:
        """Trailing axes of the layout for states of `n` components; raises ValueError if `n` does not fit."""

    @abstractmethod
    def colours(self, n: int) -> int:
        """Number of perturbed states, each with one colour of components perturbed, that determine a matrix."""

    @abstractmethod
    def from_differences(self, differences: Array) -> Array:
        """Matrices in the layout, from the responses `(colours, ..., n)` to perturbations of each colour."""

    @abstractmethod
    def scale_columns(self, matrices: Array, scales: Array) -> Array:
        """Product with `diag(scales)` on the right; `scales` is `(..., n)`."""

    @abstractmethod
    def product(self, left: Array, right: Array) -> Array:
        """Matrix product `left @ right` in this layout."""

    @abstractmethod
    def conjugate_transpose(self, matrices: Array) -> Array:
        """The adjoint matrices, in this layout."""

    @abstractmethod
    def identity(self, matrices: Array) -> Array:
        """Identity matrices in the shape, dtype and device of `matrices`."""

    @abstractmethod
    def solve(self, matrices: Array, *right: Array) -> tuple[Array, ...]:
        """Solutions `matrices⁻¹ side` for all right-hand sides, which are matrices of the family."""

    @abstractmethod
    def root(self, left: Array, right: Array) -> Array:
        """Some matrices `Z` with `Z Zᴴ = left leftᴴ + right rightᴴ`, such as Cholesky factors."""

    @abstractmethod
    def from_dense(self, matrices: Array) -> Array:
        """The part of `(..., n, n)` matrices that lies within the family."""

    @abstractmethod
    def to_dense(self, matrices: Array) -> Array:
        """The matrices as full ones, `(..., n, n)`."""

    @abstractmethod
    def norm(self, matrices: Array) -> Array:
        """Root mean square of the singular values of each independent part, broadcasting against the matrices."""

    @abstractmethod
    def clip(self, matrices: Array, bound: float) -> Array:
        """The matrices with singular values above `bound` reduced to `bound`."""

    def operands(self, matrices: Array, vectors: Array) -> tuple[Array, Array]:
        """Matrices and `(..., n)` vectors as operands of an affine scan: elementwise, or dense with equal batches."""
        return matrices, self.to_scan(vectors)

    def to_scan(self, vectors: Array) -> Array:
        """Vectors `(..., n)` in the layout of a scan; by default unchanged."""
        return vectors

    def from_scan(self, vectors: Array) -> Array:
        """Vectors `(..., n)` from the result of a scan of `operands`; by default unchanged."""
        return vectors

    def colouring(self, components: Array, n: int) -> Array:
        """Colours, from 0 on, of the given components: no row of a matrix has two entries of one colour.

        By default the components `c, c + colours, c + 2 colours, …` have colour `c`.
        """
        return components % max(self.colours(n), 1)

    @property
    def core(self) -> Structure:
        """Family of the approximate Jacobians of quasi-Newton methods; by default this one."""
        return self

    def to_core(self, matrices: Array) -> Array:
        """Part of the matrices that quasi-Newton methods keep, in the layout of `core`; by default all of it."""
        return matrices

    def is_full(self, n: int) -> bool:
        """Whether every n×n matrix is in the family, so that it covers every possible coupling of components."""
        return math.prod(self.shape(n)) == n * n


def apply(structure: Structure, matrices: Array, vectors: Array) -> Array:
    """Products of matrices with `(..., n)` vectors, without full matrices."""
    left, right = structure.operands(matrices, vectors)
    return structure.from_scan(left * right if left.ndim == right.ndim else (left @ right[..., None])[..., 0])


def seeds(xp: Namespace, structure: Structure, n: int, dtype: object) -> Array:
    """Perturbed components per colour, `(colours, n)` of zeros and ones."""
    colours = structure.colouring(xp.arange(n), n)
    return xp.astype(colours[None, :] == xp.arange(structure.colours(n))[:, None], dtype)
