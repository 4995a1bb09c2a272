"""The pattern of the Jacobian of a function of a long state, found by calls of it: diagonals, as stencils have them.

Single components are changed, and the diagonals on which values change make a pattern; it is tried on other states, as
any pattern is, and diagonals of entries that it lacks are added.
"""

from __future__ import annotations

import numpy as np

from .._arrays.namespace import Array, random_moves
from .._linalg.pattern import Pattern
from .coloured import Coloured, Function, MissingEntryError, is_change

SAMPLES = 32
"""Components that are changed one by one, spread over all; besides, the first and the last few."""

ENDS = 3
"""Components at each end that are changed one by one."""

WIDEST, DENSEST = 64, 0.1
"""Largest number of diagonals, and largest share of entries, of a pattern that is worth its search."""

ADDED = 64
"""Largest number of missing entries that are added."""

FAR = 1e-2
"""Changes of components, as a share of them: large ones, so that no effect is lost in rounding."""


def found_pattern(fun: Function, t: float, y: Array, floor: Array) -> Pattern | None:
    """The pattern at states near `y`; None if there is none with few entries, or if `fun` is not finite near `y`."""
    n, size = y.size, np.abs(y) + floor + (np.mean(np.abs(y)) or 1.0)
    states = [y + FAR * random_moves(y.shape, y, seed=seed) * size for seed in (1, 2)]
    values = [fun(t, state) for state in states]
    if not all(np.isfinite(value).all() for value in values):
        states, values = [y], [fun(t, y)]
    if not np.isfinite(values[0]).all():
        return None
    offsets = _offsets(fun, t, states[0], values[0], size)
    for _ in range(ADDED):
        if not offsets or len(offsets) > WIDEST:
            return None
        pattern = Pattern.of_diagonals(n, sorted(offsets))
        if pattern.share > DENSEST:
            return None
        try:
            return _without_zeros(Coloured(fun, pattern, np.maximum(floor, size)), t, states, values)
        except MissingEntryError as missing:
            offsets.add(missing.entry[0] - missing.entry[1])
    return None


def _offsets(fun: Function, t: float, y: Array, f: Array, size: Array) -> set[int]:
    """Numbers of the diagonals on which the values depend on some components."""
    n, found = y.size, {0}
    ends = np.arange(min(ENDS, n))
    some = np.unique(np.concatenate([ends, np.linspace(0, n - 1, SAMPLES).astype(int), n - 1 - ends]))
    for column in some.tolist():
        moved = y.copy()
        moved[column] += FAR * size[column]
        value = fun(t, moved)
        rows = np.flatnonzero(is_change(value - f, f, value))
        if rows.size > WIDEST:
            return set()
        found.update((rows - column).tolist())
    return found


def _without_zeros(coloured: Coloured, t: float, states: list[Array], values: list[Array]) -> Pattern:
    """The entries that are not zero at one of the states, once all of them are checked."""
    pattern, given = coloured.pattern, np.zeros(coloured.pattern.rows.size, dtype=bool)
    for seed, (state, value) in enumerate(zip(states, values, strict=True)):
        data = coloured(t, state, value)
        coloured.check(t, state, value, data, seed)
        given |= data != 0
    return Pattern.of_places(pattern.size, pattern.rows[given], pattern.columns[given])
