"""What a family of Jacobians must know of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .._arrays import Array, Namespace, array_namespace


class Structure(ABC):
    """A family of n×n matrices closed under product, kept in a compact layout behind any leading axes.

    One object describes the family; the matrices themselves travel as plain arrays of that layout.
    """

    @abstractmethod
    def shape(self, n: int) -> tuple[int, ...]:
        """Trailing axes of the layout for states of `n` components; raises ValueError if `n` does not fit."""

    @abstractmethod
    def colours(self, n: int) -> int:
        """Fewest perturbed states that reveal a matrix; colour `c` perturbs the components `c, c + colours, …`."""

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

    @property
    @abstractmethod
    def core(self) -> Structure:
        """Family that quasi-Newton keeps of this one."""

    @abstractmethod
    def to_core(self, matrices: Array) -> Array:
        """The part of the matrices that quasi-Newton keeps, in the layout of `core`."""

    @abstractmethod
    def norm(self, matrices: Array) -> Array:
        """Root mean square of the singular values of each independent part, broadcasting against the matrices."""

    @abstractmethod
    def clip(self, matrices: Array, bound: float) -> Array:
        """The same matrices with their singular values at most `bound`."""

    @abstractmethod
    def to_dense(self, matrices: Array) -> Array:
        """The same matrices as `(..., n, n)`."""

    @abstractmethod
    def operands(self, matrices: Array, vectors: Array) -> tuple[Array, Array]:
        """Matrices and `(..., n)` vectors as an affine scan takes them: elementwise, or dense with equal batches."""


def apply(structure: Structure, matrices: Array, vectors: Array) -> Array:
    """Products of matrices with `(..., n)` vectors, never as full matrices."""
    xp = array_namespace(vectors)
    left, right = structure.operands(matrices, vectors)
    products = left * right if left.ndim == right.ndim else (left @ right[..., None])[..., 0]
    return xp.reshape(products, vectors.shape)


def seeds(xp: Namespace, structure: Structure, n: int, dtype: object) -> Array:
    """Perturbed components per colour, `(colours, n)` of zeros and ones."""
    colours = structure.colours(n)
    component = xp.arange(n)[None, :] % max(colours, 1)
    return xp.astype(component == xp.arange(colours)[:, None], dtype)
