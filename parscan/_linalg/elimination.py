"""Elimination in matrices of one sparse pattern: LAPACK's for bands, SuperLU otherwise; their order is found once.

The matrices of a stiff solver are pencils such as `I/γ - h J`, whose entries change from step to step and whose pattern
does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from .._arrays.namespace import Array
from .pattern import Pattern

PIVOT = 0.01
"""Share of the largest entry of a column from which on SuperLU takes the diagonal as pivot, and so keeps the order."""

Solve: TypeAlias = Callable[[Array], Array]
"""The solution `(n,)` for a right-hand side `(n,)`, which is not changed."""

Factor: TypeAlias = Callable[[Array], Solve]
"""How to solve with the matrix of some entries `(nnz,)`; raises `SingularError`."""


class SingularError(Exception):
    """A matrix without an inverse."""


def elimination(pattern: Pattern) -> Factor:
    """The elimination that is faster for matrices of a pattern."""
    order = pattern.order_of_band
    return _Sparse(pattern) if order is None else _Banded(pattern, order)


class _Banded:
    """LAPACK's elimination in a band, of rows and columns in some order."""

    def __init__(self, pattern: Pattern, order: Array) -> None:
        n, place = pattern.size, np.argsort(order)
        is_natural = bool(np.all(order == place)) and bool(np.all(order[1:] > order[:-1]))
        self._order: Array | None = None if is_natural else order
        self._place: Array | None = None if is_natural else place
        rows, columns = place[pattern.rows].astype(np.int64), place[pattern.columns].astype(np.int64)
        self._lower, self._upper = int((rows - columns).max()), int((columns - rows).max())
        self._shape = n, 2 * self._lower + self._upper + 1
        self._at = columns * self._shape[1] + self._lower + self._upper + rows - columns

    def __call__(self, data: Array) -> Solve:
        from scipy.linalg import lapack  # noqa: PLC0415 - slow to import

        band = np.zeros(self._shape[0] * self._shape[1], dtype=data.dtype)
        band[self._at] = data
        names = ("zgbtrf", "zgbtrs") if band.dtype.kind == "c" else ("dgbtrf", "dgbtrs")
        factor, substitute = (getattr(lapack, name) for name in names)
        matrix = band.reshape(self._shape).T
        lu, pivots, info = factor(matrix, self._lower, self._upper, overwrite_ab=1)
        if info:
            raise SingularError
        order, place = self._order, self._place

        def solve(right: Array) -> Array:
            given = right if order is None else right[order]
            found = substitute(lu, self._lower, self._upper, given, pivots)[0]
            return found if place is None else found[place]

        return solve


class _Sparse:
    """SuperLU's elimination. Its order for the first matrix is kept: rows and columns of later ones are put into it."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._known: tuple[Pattern, Array, Array] | None = None

    def __call__(self, data: Array) -> Solve:
        from scipy.sparse.linalg import splu  # noqa: PLC0415 - slow to import

        options: dict[str, Any] = {"diag_pivot_thresh": PIVOT, "options": {"SymmetricMode": True}}
        if not np.isfinite(data).all():
            raise SingularError
        try:
            if self._known is None:
                found = splu(self._pattern.matrix(data), permc_spec="MMD_AT_PLUS_A", **options)
                self._known = self._in_order(np.argsort(found.perm_c))
                return found.solve
            pattern, where, order = self._known
            found = splu(pattern.matrix(data[where]), permc_spec="NATURAL", **options)
        except RuntimeError as error:  # exactly singular
            raise SingularError from error
        place = np.argsort(order)
        return lambda right: found.solve(right[order])[place]

    def _in_order(self, order: Array) -> tuple[Pattern, Array, Array]:
        """The pattern in this order of rows and columns, where its entries are, and the order."""
        given, place = self._pattern, np.argsort(order)
        keys = place[given.columns].astype(np.int64) * given.size + place[given.rows]
        where = np.argsort(keys, kind="stable")
        rows = place[given.rows[where]].astype(np.int32)
        starts = np.searchsorted(keys[where], np.arange(given.size + 1, dtype=np.int64) * given.size)
        return Pattern(given.size, rows, starts.astype(np.int32)), where, order
