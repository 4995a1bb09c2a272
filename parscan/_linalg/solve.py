"""Solution of many small linear systems, some of which may be singular."""

from __future__ import annotations

import numpy as np

from .._arrays.namespace import Array, array_namespace


def solve_each(matrices: Array, sides: Array) -> Array:
    """Solutions of the systems `(N, ..., k, k)`, NaN for singular ones.

    A library refuses all systems if one is singular; the singular ones are then found by bisection.
    """
    xp = array_namespace(matrices)
    try:
        return xp.linalg.solve(matrices, sides)
    except np.linalg.LinAlgError:
        half = matrices.shape[0] // 2
        if half == 0:
            return xp.full_like(sides, xp.nan)
        parts = slice(0, half), slice(half, matrices.shape[0])
        return xp.concat([solve_each(matrices[part, ...], sides[part, ...]) for part in parts])
