"""What a family of Jacobians must know of itself."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from .._arrays.namespace import Array, Namespace


class Structure(ABC):
    """A family of n×n matrices closed under product and adjoint, kept in a compact layout behind any leading axes.

    One object describes the family; the matrices themselves travel as plain arrays of that layout. Every array of the
    layout is a matrix of the family, another one each: there are no numbers in it that do not count.
    """

    @abstractmethod
    def shape(self, n: int) -> tuple[int, ...]:
        """Trailing axes of the layout for states of `n` components; raises ValueError if `n` does not fit."""

    @abstractmethod
    def colours(self, n: int) -> int:
        """Fewest perturbed states that reveal a matrix: each has all components of one colour perturbed."""

    @abstractmethod
    def from_differences(self, differences: Array) -> Array:
        """Layout from `(colours, ..., n)` responses to the perturbations of each colour."""

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
    def outer(self, left: Array, right: Array) -> Array:
        """Outer product of two `(..., n)` vectors, as far as it lies within the family."""

    @abstractmethod
    def from_dense(self, matrices: Array) -> Array:
        """The part of `(..., n, n)` matrices that lies within the family."""

    @abstractmethod
    def to_dense(self, matrices: Array) -> Array:
        """The same matrices as `(..., n, n)`."""

    @abstractmethod
    def norm(self, matrices: Array) -> Array:
        """Root mean square of the singular values of each independent part, broadcasting against the matrices."""

    @abstractmethod
    def clip(self, matrices: Array, bound: float) -> Array:
        """The same matrices with their singular values at most `bound`."""

    @abstractmethod
    def operands(self, matrices: Array, vectors: Array) -> tuple[Array, Array]:
        """Matrices and `(..., n)` vectors as an affine scan takes them: elementwise, or dense with equal batches."""

    def from_scan(self, vectors: Array) -> Array:
        """Vectors as a scan of `operands` returns them, as `(..., n)` again; by default they are that."""
        return vectors

    def colouring(self, components: Array, n: int) -> Array:
        """Colours, from 0 on, of the components numbered so: no row of a matrix meets two of one colour.

        By default the components take turns: `c, c + colours, …` have colour `c`.
        """
        return components % max(self.colours(n), 1)

    @property
    def core(self) -> Structure:
        """Family that quasi-Newton keeps of this one; by default all of it."""
        return self

    def to_core(self, matrices: Array) -> Array:
        """The part of the matrices that quasi-Newton keeps, in the layout of `core`; by default all of it."""
        return matrices

    def is_full(self, n: int) -> bool:
        """Whether every n×n matrix is in the family, so that no step can couple more."""
        return math.prod(self.shape(n)) == n * n


def apply(structure: Structure, matrices: Array, vectors: Array) -> Array:
    """Products of matrices with `(..., n)` vectors, never as full matrices."""
    left, right = structure.operands(matrices, vectors)
    return structure.from_scan(left * right if left.ndim == right.ndim else (left @ right[..., None])[..., 0])


def seeds(xp: Namespace, structure: Structure, n: int, dtype: object) -> Array:
    """Perturbed components per colour, `(colours, n)` of zeros and ones."""
    colours = structure.colouring(xp.arange(n), n)
    return xp.astype(colours[None, :] == xp.arange(structure.colours(n))[:, None], dtype)
