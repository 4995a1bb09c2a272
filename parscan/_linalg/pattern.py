"""Patterns of sparse matrices: which entries may be other than zero, the bandwidths, and the colours of the columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays.cached import cached_property
from .._arrays.namespace import Array

NARROW = 40
"""Diagonals up to which LAPACK's elimination in a band is faster than SuperLU's."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """
    Entries of a square matrix, by columns; those of the diagonal are among them.

    Parameters
    ----------
    size : int
        Rows and columns.
    rows : array of int, shape (nnz,)
        Of all entries, ascending within each column.
    starts : array of int, shape (size + 1,)
        Where the entries of each column begin.
    """

    size: int
    rows: Array
    starts: Array

    @classmethod
    def of(cls, matrix: Any) -> Pattern:
        """The entries of a matrix that are not zero, and the diagonal; `matrix` is sparse or dense."""
        from scipy.sparse import coo_array  # noqa: PLC0415 - slow to import

        found = coo_array(matrix)
        given = found.data != 0
        return cls.of_places(found.shape[0], found.row[given], found.col[given])

    @classmethod
    def of_stored(cls, matrix: Any) -> Pattern:
        """The entries that a sparse matrix stores, and the diagonal."""
        found = matrix.tocoo()
        return cls.of_places(found.shape[0], found.row, found.col)

    @classmethod
    def of_places(cls, size: int, rows: Array, columns: Array) -> Pattern:
        """The entries at these places, which may occur several times, and the diagonal."""
        diagonal = np.arange(size, dtype=np.int64)
        keys = np.concatenate([columns.astype(np.int64) * size + rows, diagonal * (size + 1)])
        keys = np.unique(keys)
        starts = np.searchsorted(keys, np.arange(size + 1, dtype=np.int64) * size)
        return cls(size, (keys % size).astype(np.int32), starts.astype(np.int32))

    @classmethod
    def of_diagonals(cls, size: int, offsets: Any) -> Pattern:
        """All entries `[j + offset, j]` with these offsets."""
        place, parts = np.arange(size, dtype=np.int64), []
        for offset in offsets:
            some = place[max(0, -offset) : size - max(0, offset)]
            parts.append((some + offset, some))
        rows, columns = (np.concatenate([part[k] for part in parts]) for k in range(2))
        return cls.of_places(size, rows, columns)

    @classmethod
    def of_bands(cls, size: int, lower: int, upper: int) -> Pattern:
        """The entries `[i, j]` with `-upper <= i - j <= lower`."""
        return cls.of_diagonals(size, range(-min(upper, size - 1), min(lower, size - 1) + 1))

    @cached_property
    def columns(self) -> Array:
        """Column of each entry `(nnz,)`."""
        return np.repeat(np.arange(self.size, dtype=np.int32), np.diff(self.starts))

    @cached_property
    def keys(self) -> Array:
        """A number for the place of each entry `(nnz,)`, ascending."""
        return self.columns.astype(np.int64) * self.size + self.rows

    @cached_property
    def diagonal(self) -> Array:
        """Where the entries of the diagonal are, `(size,)`."""
        return np.searchsorted(self.keys, np.arange(self.size, dtype=np.int64) * (self.size + 1))

    @cached_property
    def bandwidths(self) -> tuple[int, int]:
        """Numbers of diagonals below and above the main one."""
        offsets = self.rows.astype(np.int64) - self.columns
        return int(max(offsets.max(initial=0), 0)), int(max((-offsets).max(initial=0), 0))

    @cached_property
    def order_of_band(self) -> Array | None:
        """The order of rows and columns in which the entries are in a narrow band; None if there is none."""
        if sum(self.bandwidths) < NARROW:
            return np.arange(self.size)
        from scipy.sparse.csgraph import reverse_cuthill_mckee  # noqa: PLC0415 - slow to import

        ones = self.matrix(np.ones(self.rows.size))
        order = reverse_cuthill_mckee((ones + ones.T).tocsr(), symmetric_mode=True)
        place = np.argsort(order)
        apart = place[self.rows].astype(np.int64) - place[self.columns]
        return order if int(apart.max()) - int(apart.min()) < NARROW else None

    @property
    def share(self) -> float:
        """Entries, as a share of all entries of a dense matrix."""
        return float(self.rows.size) / float(self.size) ** 2

    @cached_property
    def colours(self) -> Array:
        """
        Colours of the columns `(size,)`, from 0 on: no row has entries in two columns of one colour.

        Curtis, Powell and Reid, "On the estimation of sparse Jacobian matrices", IMA Journal of Applied Mathematics 13
        (1974): each column in turn takes the first colour that none of those has that share a row with it.
        """
        lower, upper = self.bandwidths
        if self.rows.size > (lower + upper + 1) * self.size // 2:
            return np.arange(self.size) % (lower + upper + 1)
        ones = self.matrix(np.ones(self.rows.size, dtype=np.int32))
        beside = (ones.T @ ones).tocsr()
        places, ends = beside.indices.tolist(), beside.indptr.tolist()
        found = [-1] * self.size
        for column in range(self.size):
            taken = {found[other] for other in places[ends[column] : ends[column + 1]]}
            colour = 0
            while colour in taken:
                colour += 1
            found[column] = colour
        return np.asarray(found)

    def matrix(self, data: Array) -> Any:
        """The sparse matrix with these entries `(nnz,)`."""
        from scipy.sparse import csc_array  # noqa: PLC0415 - slow to import

        return csc_array((data, self.rows, self.starts), shape=(self.size, self.size))

    def places(self, matrix: Any) -> tuple[Any, Array] | None:
        """A sparse matrix by columns, and where its entries are among those of the pattern; None if some are not."""
        found = matrix.tocsc()
        found.sum_duplicates()
        if found.nnz == self.rows.size and np.array_equal(found.indices, self.rows):
            return found, np.arange(found.nnz)
        columns = np.repeat(np.arange(self.size, dtype=np.int64), np.diff(found.indptr))
        keys = columns * self.size + found.indices
        where = np.minimum(np.searchsorted(self.keys, keys), self.keys.size - 1)
        return (found, where) if np.array_equal(self.keys[where], keys) else None

    def union(self, other: Pattern) -> Pattern:
        """The entries of both."""
        rows, columns = (
            np.concatenate([one, two]) for one, two in ((self.rows, other.rows), (self.columns, other.columns))
        )
        return Pattern.of_places(self.size, rows, columns)
