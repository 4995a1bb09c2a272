"""Sparse Jacobians for solvers of large systems: the user's, or differences on a pattern that is given or found."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._arrays.counts import as_count
from ..._arrays.namespace import Array, random_moves
from ..._functions.coloured import ROUNDINGS as NOISE
from ..._functions.coloured import SMALL, Coloured, Function, MissingEntryError
from ..._functions.sparsity_found import found_pattern
from ..._linalg.pattern import Pattern
from ..core.problem import Problem

LARGE = 5000
"""Components from which on a dense Jacobian is refused."""

WRONG = 0.5
"""Share of the change of `fun` in a random direction by which the user's Jacobian may miss it."""


class ByDifferences:
    """
    Differences, with a pattern that is checked at every state, more closely at some.

    Parameters
    ----------
    coloured : Coloured
    given : str
        The arguments that gave the pattern; empty if it was found.
    """

    def __init__(self, coloured: Coloured, given: str) -> None:
        self._coloured, self._given, self.count, self._next = coloured, given, 0, 1

    @property
    def pattern(self) -> Pattern:
        """Of the entries."""
        return self._coloured.pattern

    def __call__(self, t: float, y: Array, f: Array) -> Array:
        """Entries `(nnz,)`; raises `ValueError` if a given pattern lacks one, and adds it if the pattern was found."""
        self.count += 1
        while True:
            try:
                data = self._coloured(t, y, f)
                if self.count >= self._next:
                    self._next = 2 * self.count
                    self._coloured.check(t, y, f, data, self.count)
            except MissingEntryError as missing:
                if self._given:
                    raise ValueError(
                        f"A nonzero entry is left out by {self._given}: {missing}. Pass a pattern with all "
                        "entries, or none, so that it is found."
                    ) from None
                row, column = missing.entry
                more = Pattern.of_diagonals(y.size, [row - column])
                self._coloured = self._coloured.with_pattern(self.pattern.union(more))
                self._next = self.count
            else:
                return data


class OfUser:
    """
    The user's Jacobian.

    Parameters
    ----------
    jac : callable or sparse matrix
    fun : callable
    t, y, f : float, array, array
        A time, a state, and the value of the function there.
    floor : array
        Sizes of components below which they count as zero.
    """

    def __init__(self, jac: Any, fun: Function, t: float, y: Array, f: Array, floor: Array) -> None:
        self._jac, self.count = jac, 0
        matrix = self._matrix(t, y)
        self.pattern = Pattern.of_stored(matrix)
        self._check(matrix, fun, t, y, f, floor)

    def _matrix(self, t: float, y: Array) -> Any:
        """The sparse matrix at a state."""
        from scipy.sparse import csc_array, issparse  # noqa: PLC0415 - slow to import

        n = y.size
        if callable(self._jac):
            self.count += 1
        given = self._jac(t, y.copy()) if callable(self._jac) else self._jac
        if not issparse(given):
            if n > LARGE:
                raise TypeError(
                    f"`jac` returned {type(given).__name__} for {n} components; return a sparse matrix of "
                    f"scipy.sparse, as a dense one has {n}² entries."
                )
            given = np.asarray(given)
        if given.shape != (n, n):
            raise ValueError(f"`jac` is expected to have shape {(n, n)}, but actually has {given.shape}.")
        return csc_array(given, dtype=y.dtype)

    def _check(self, matrix: Any, fun: Function, t: float, y: Array, f: Array, floor: Array) -> None:
        """Raise `ValueError` if the values change otherwise than the Jacobian says, in two random directions."""
        for seed in range(2):
            way = SMALL * random_moves(y.shape, y, seed=seed) * (np.abs(y) + floor)
            found, said = fun(t, y + way) - f, matrix @ ((y + way) - y)
            if not np.isfinite(found).all():
                return
            noise = NOISE * (np.abs(f).max() + (abs(matrix) @ np.abs(y)).max())
            if np.abs(found - said).max() <= WRONG * max(np.abs(found).max(), np.abs(said).max()) + noise:
                return
        raise ValueError(
            "`jac` is not the derivative of `fun` at the initial state: entry [i, j] must be the derivative of "
            "component i of `fun` by component j of `y`; without `jac`, differences are taken."
        )

    def __call__(self, t: float, y: Array, f: Array) -> Array:
        """Entries `(nnz,)`; the pattern grows where the matrix has others."""
        matrix = self._matrix(t, y)
        found = self.pattern.places(matrix)
        if found is None:
            self.pattern = self.pattern.union(Pattern.of_stored(matrix))
            found = self.pattern.places(matrix)
            assert found is not None
        data = np.zeros(self.pattern.rows.size, dtype=y.dtype)
        data[found[1]] = found[0].data
        return data


SparseJacobian = ByDifferences | OfUser


NAMES = {"jac_sparsity": "`jac_sparsity`", "lband": "`lband` and `uband`", "uband": "`lband` and `uband`"}
"""Arguments that give a pattern, in the words of errors."""


def pattern_of(problem: Problem, options: dict[str, Any]) -> Pattern | None:
    """The pattern of the Jacobian that the arguments of a solve give; None if they give none."""
    n = problem.y0.size
    if problem.has_sparse_jacobian:
        return Pattern.of_stored(problem.first_jacobian)
    if "jac_sparsity" in options:
        return as_pattern(options["jac_sparsity"], n)
    if "lband" in options or "uband" in options:
        return Pattern.of_bands(n, *(as_band(name, options.get(name), n) for name in ("lband", "uband")))
    return None


def jacobian_of(
    fun: Function, t: float, y: Array, f: Array, floor: Array, *, jac: Any = None, pattern: Pattern | None = None,
    **options: Any,
) -> SparseJacobian:  # fmt: skip
    """The user's Jacobian, or differences with its pattern, which is searched if none is given."""
    if jac is not None:
        return OfUser(jac, fun, t, y, f, floor)
    given = next((words for name, words in NAMES.items() if options.get(name) is not None), "")
    found = pattern or found_pattern(fun, t, y, floor) or Pattern.of_bands(y.size, y.size, y.size)
    return ByDifferences(Coloured(fun, found, floor), given)


def as_pattern(given: Any, n: int) -> Pattern:
    """The pattern that the user gave, checked."""
    from scipy.sparse import issparse  # noqa: PLC0415 - slow to import

    matrix = given if issparse(given) else np.asarray(given)
    if matrix.shape != (n, n):
        raise ValueError(f"`jac_sparsity` is expected to have shape {(n, n)}, but actually has {matrix.shape}.")
    return Pattern.of(matrix)


def as_band(name: str, given: Any, n: int) -> int:
    """A bandwidth that the user gave, checked; none is none."""
    band = 0 if given is None else as_count(name, given, 0)
    if not 0 <= band < n:
        raise ValueError(f"`{name}` must be from 0 to {n - 1}, the diagonals beside the main one, got {given!r}.")
    return band
