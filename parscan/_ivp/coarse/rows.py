"""The stages of DOP853 as products of a few weights and neighbouring rows of one matrix: the state and the slopes.

On wide batches, stages take as long as their rows take to read. Two stages are therefore summed up at once, from the
slopes that both need; that of the first is then added to the second. And the rows are not in the order of the stages:
the second and the third stage serve the next two or three only, and later products would read them for weights of zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ..._arrays.namespace import Array

STATE = 3
"""The row of the state."""

SLOPES = (2, 1, 0, *range(4, 14))
"""The rows of the slopes, in the order of the stages; the last one is the slope at the end of the step."""


@dataclass(frozen=True)
class Pairs:
    """Two sums of slopes after the other.

    Parameters
    ----------
    weights : array, shape (2 k, 14)
        Weights of the rows in all sums.
    rows : tuple of slices
        For each pair, the rows from the first to the last that has a weight in one of the two sums.
    between : list of floats
        Weight, in the second sum of each pair, of the slope that belongs to the first; `weights` are without it.
    """

    weights: Array
    rows: tuple[slice, ...]
    between: list[float]


def _of_rows(of_slopes: Array) -> Array:
    """Weights `(k, s)` of the first slopes as weights `(k, 14)` of rows."""
    weights = np.zeros((len(of_slopes), len(SLOPES) + 1))
    weights[:, list(SLOPES[: of_slopes.shape[1]])] = of_slopes
    return weights


def _read(weights: Array, *others: int) -> slice:
    """The rows from the first to the last that has weights or is among the others."""
    some = [*np.flatnonzero(np.any(weights, axis=0)), *others]
    return slice(int(min(some)), int(max(some)) + 1)


@cache
def stages() -> Pairs:
    """The sums for the states of all stages but the first, and for the state at the end of the step."""
    from scipy.integrate import DOP853  # noqa: PLC0415 - slow to import

    s = DOP853.n_stages
    of_slopes = np.array([*DOP853.A[1:s, :s], DOP853.B])
    seconds, firsts = np.arange(1, s, 2), np.arange(1, s, 2)
    between = of_slopes[seconds, firsts].tolist()
    of_slopes[seconds, firsts] = 0.0
    weights = _of_rows(of_slopes)
    return Pairs(weights, tuple(_read(weights[k : k + 2], STATE) for k in range(0, s, 2)), between)


@cache
def errors() -> tuple[Array, slice]:
    """The weights in the errors of orders 5 and 3, and their rows.

    That of order 3 counts a tenth (Hairer, Nørsett and Wanner, section II.10).
    """
    from scipy.integrate import DOP853  # noqa: PLC0415 - slow to import

    weights = _of_rows(np.array([DOP853.E5, 0.1 * DOP853.E3]))
    return weights, _read(weights)
