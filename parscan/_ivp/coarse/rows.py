"""The stages of DOP853 as products of a few weights and neighbouring rows of one matrix: the state and the slopes.

The second and the third stage serve the next two or three only. Were the rows in the order of the stages, all later
products would read theirs, too, for weights of zero; on wide batches, stages take as long as their rows take to read.
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
class Weights:
    """Weights of the rows `(k, 14)` in sums of slopes, and the rows from the first to the last that has one.

    `rows` of the stages hold the state as well.
    """

    weights: Array
    rows: tuple[slice, ...]


def _weights(of_slopes: Array, *, state: bool) -> Weights:
    """Weights `(k, s)` of the first slopes, as weights of rows; whether the state is among the rows, too."""
    weights = np.zeros((len(of_slopes), len(SLOPES) + 1))
    weights[:, list(SLOPES[: of_slopes.shape[1]])] = of_slopes
    read = [sorted([*np.flatnonzero(row), *([STATE] if state else [])]) for row in weights]
    return Weights(weights, tuple(slice(some[0], some[-1] + 1) for some in read))


@cache
def stages() -> Weights:
    """The weights in the states of all stages, of which the first has none, and in the state at the end of the step."""
    from scipy.integrate import DOP853  # noqa: PLC0415 - slow to import

    s = DOP853.n_stages
    return _weights(np.array([*DOP853.A[:s, :s], DOP853.B]), state=True)


@cache
def errors() -> Weights:
    """The weights in the errors of orders 5 and 3; the latter counts a tenth (Hairer and others, section II.10)."""
    from scipy.integrate import DOP853  # noqa: PLC0415 - slow to import

    return _weights(np.array([DOP853.E5, 0.1 * DOP853.E3]), state=False)
