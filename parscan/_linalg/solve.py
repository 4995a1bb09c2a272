"""Solution of many small linear systems, some of which may be singular."""

from __future__ import annotations

import numpy as np

from .._arrays.namespace import Array, Namespace


def solve_each(matrices: Array, sides: Array, xp: Namespace) -> Array:
    """Solutions of the systems, NaN for singular ones: libraries refuse all if one is, so those are searched for."""
    try:
        return xp.linalg.solve(matrices, sides)
    except np.linalg.LinAlgError:
        if matrices.shape[0] == 1:
            return xp.full_like(sides, xp.nan)
        half = matrices.shape[0] // 2
        return xp.concat(
            [
                solve_each(matrices[part, ...], sides[part, ...], xp)
                for part in (slice(0, half), slice(half, matrices.shape[0]))
            ]
        )
