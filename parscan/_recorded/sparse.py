"""Sparse matrices of constants in recorded functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import RecordingArray, as_recording
from .graph import Graph
from .refusal import Refused


class SparseMatrix:
    """
    A matrix or array of `scipy.sparse`, of which products with vectors and matrices are recorded.

    Parameters
    ----------
    graph : Graph
        Where they are recorded.
    matrix : sparse matrix or array of SciPy
        Its entries are constants.
    """

    __array_ufunc__ = None  # so that NumPy asks this class

    def __init__(self, graph: Graph, matrix: Any) -> None:
        self._graph, self._matrix = graph, matrix

    @property
    def matrix(self) -> Any:
        """The matrix of SciPy."""
        return self._matrix

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, SparseMatrix):
            return SparseMatrix(self._graph, self._matrix @ other.matrix)
        if not isinstance(other, RecordingArray):
            return as_recording(self._graph, self._matrix @ other)
        rows = self._matrix.tocsr()
        if other.shape[0] != rows.shape[1]:
            raise ValueError(f"a matrix of shape {rows.shape} and an array of shape {other.shape} have no product")
        count = np.diff(rows.indptr)
        found = other.cast(0.0).with_ids(np.full((rows.shape[0], *other.shape[1:]), other.filled(0.0).ids.flat[0]))
        for place in range(int(count.max(initial=0))):  # the entries of a row in their order, as SciPy adds them
            some = np.flatnonzero(count > place)
            entries = rows.indptr[some] + place
            factors = rows.data[entries].reshape(-1, *(1,) * (other.ndim - 1))
            term = factors * other[rows.indices[entries]]
            found[some] = term if place == 0 else found[some] + term
        return found

    def dot(self, other: Any) -> Any:
        """The product with an array."""
        return self @ other

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, RecordingArray) and other.ndim and type(self._matrix).__name__.endswith("matrix"):
            return self @ other  # `*` of matrices, not of sparse arrays
        return SparseMatrix(self._graph, self._matrix * _plain(other))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> SparseMatrix:
        return SparseMatrix(self._graph, self._matrix / _plain(other))

    def __add__(self, other: Any) -> SparseMatrix:
        return SparseMatrix(self._graph, self._matrix + _plain(other))

    def __sub__(self, other: Any) -> SparseMatrix:
        return SparseMatrix(self._graph, self._matrix - _plain(other))

    def __neg__(self) -> SparseMatrix:
        return SparseMatrix(self._graph, -self._matrix)

    def __rmatmul__(self, other: Any) -> Any:
        return (self.T @ other.T).T

    @property
    def T(self) -> SparseMatrix:  # noqa: N802 - as in SciPy
        """The transposed matrix."""
        return SparseMatrix(self._graph, self._matrix.T)

    @property
    def shape(self) -> Any:
        """Numbers of rows and columns."""
        return self._matrix.shape

    def toarray(self) -> Any:
        """The matrix as an array."""
        return as_recording(self._graph, self._matrix.toarray())

    todense = toarray

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self._matrix, name)
        if not callable(found):
            return found

        def method(*args: Any, **options: Any) -> Any:
            value = found(*args, **options)
            return SparseMatrix(self._graph, value) if hasattr(value, "tocsr") else value

        return method


def _plain(value: Any) -> Any:
    if isinstance(value, RecordingArray):
        if value.constants is None:
            raise Refused("changes a sparse matrix by a value")
        return value.constants[()]
    return value.matrix if isinstance(value, SparseMatrix) else value
