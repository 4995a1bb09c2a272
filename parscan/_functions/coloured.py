"""Sparse Jacobians by differences, a call of the function for each colour of columns; and whether a pattern holds.

A function is called on one state `(n,)` at one time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from .._arrays.cached import cached_property
from .._arrays.namespace import Array, machine_epsilon, random_moves
from .._linalg.pattern import Pattern

SMALL = machine_epsilon(float) ** 0.5
"""Changes of components, as a share of them."""

ROUNDINGS = 100 * machine_epsilon(float)
"""A value that changes by no more than this share of it has not changed."""

ALIKE = 1e-4
"""Largest difference between the change of a value and what the Jacobian says of it, as a share of the sizes of the
terms: far more than errors of differences."""

Function: TypeAlias = Callable[[float, Array], Array]


class MissingEntryError(ValueError):
    """A value depends on a component although the pattern says that it does not; `entry` is `(row, column)`."""

    def __init__(self, entry: tuple[int, int], t: float) -> None:
        super().__init__(f"component {entry[0]} of `fun` depends on component {entry[1]} of `y` at t = {t!r}")
        self.entry, self.t = entry, t


class Coloured:
    """
    The Jacobian of a function by differences.

    Parameters
    ----------
    fun : callable
    pattern : Pattern
    floor : array, shape (n,)
        Sizes of components below which they count as zero.
    """

    def __init__(self, fun: Function, pattern: Pattern, floor: Array) -> None:
        self._fun, self.pattern, self._floor = fun, pattern, floor

    @cached_property
    def _groups(self) -> list[tuple[Array, Array, Array, Array]]:
        """For each colour its columns, where their entries are, the rows of these, and flags of the other rows."""
        pattern = self.pattern
        colours = pattern.colours
        of_entries, found = colours[pattern.columns], []
        by_colour, order = np.argsort(of_entries, kind="stable"), np.argsort(colours, kind="stable")
        count = int(colours.max()) + 1
        ends = np.searchsorted(of_entries[by_colour], np.arange(count + 1))
        ends_of_columns = np.searchsorted(colours[order], np.arange(count + 1))
        for colour in range(count):
            entries = by_colour[ends[colour] : ends[colour + 1]]
            columns = order[ends_of_columns[colour] : ends_of_columns[colour + 1]]
            others = np.ones(pattern.size, dtype=bool)
            others[pattern.rows[entries]] = False
            found.append((columns, entries, pattern.rows[entries], others))
        return found

    def __call__(self, t: float, y: Array, f: Array) -> Array:
        """Entries `(nnz,)` at a state whose value is `f`; raises `MissingEntryError` where other values change."""
        data, changes = np.empty(self.pattern.rows.size, dtype=f.dtype), self._changes(y)
        for columns, entries, rows, others in self._groups:
            value, steps = self._moved(t, y, columns, changes)
            change = value - f
            wrong = np.flatnonzero(others & is_change(change, f, value))
            if wrong.size:
                self._look_for_missing(t, y, f, wrong, columns)
            data[entries] = change[rows] / steps[self.pattern.columns[entries]]
        return data

    def with_pattern(self, pattern: Pattern) -> Coloured:
        """The same for another pattern."""
        return Coloured(self._fun, pattern, self._floor)

    def _moved(self, t: float, y: Array, columns: Array, changes: Array) -> tuple[Array, Array]:
        """The value where these components are changed, and the changes; of the other sign where that is not finite."""
        for sign in (1.0, -1.0):
            moved = y.copy()
            moved[columns] += sign * changes[columns]
            value = self._fun(t, moved)
            if np.isfinite(value).all():
                break
        return value, moved - y

    def _changes(self, y: Array) -> Array:
        """Changes of all components, away from zero."""
        return SMALL * np.where(y < 0, -1.0, 1.0) * (np.abs(y) + self._floor)

    def check(self, t: float, y: Array, f: Array, data: Array, seed: int = 0) -> None:
        """
        Raise `MissingEntryError` if the values change otherwise in a random direction than the Jacobian says.

        Where a kink is the reason, and not an entry that is missing, values do not depend on components outside of the
        pattern.
        """
        changes = random_moves(y.shape, y, seed=seed) * self._changes(y)
        value, change = self._fun(t, y + changes), (y + changes) - y
        found = value - f
        predicted = self.pattern.matrix(data) @ change
        terms = abs(self.pattern.matrix(data)) @ np.abs(change)
        wrong = np.abs(found - predicted) > ALIKE * (terms + np.abs(found))
        some = np.flatnonzero(wrong & is_change(found, f, value))
        if some.size:
            self._look_for_missing(t, y, f, some[np.argsort(-np.abs(found - predicted)[some])], None)

    def _look_for_missing(self, t: float, y: Array, f: Array, rows: Array, columns: Array | None) -> None:
        """Raise if one of a few rows has an entry outside of the pattern, among some columns or all."""
        for row in rows[:4].tolist():
            own = self.pattern.columns[self.pattern.rows == row]
            candidates = np.setdiff1d(np.arange(y.size) if columns is None else columns, own)
            column = self._column(t, y, f, row, candidates)
            if column is not None:
                raise MissingEntryError((row, column), t)

    def _column(self, t: float, y: Array, f: Array, row: int, columns: Array) -> int | None:
        """One of some columns on which a value depends, by halving; None if there is none."""
        changes = self._changes(y)

        def depends(some: Array) -> bool:
            value, _ = self._moved(t, y, some, changes)
            return bool(is_change(value - f, f, value)[row])

        if not columns.size or not depends(columns):
            return None
        while columns.size > 1:
            first = columns[: columns.size // 2]
            columns = first if depends(first) else columns[columns.size // 2 :]
        return int(columns[0]) if depends(columns) else None


def is_change(change: Array, before: Array, after: Array) -> Array:
    """Flags of values that change by more than rounding."""
    return np.abs(change) > ROUNDINGS * np.maximum(np.abs(before), np.abs(after))
