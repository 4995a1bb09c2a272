"""The end of a solution where the right-hand side is not finite any more."""

from __future__ import annotations

from ..._arrays.elementwise import leading
from ..._arrays.namespace import Array
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial

SAMPLES, ROUNDS = 64, 5
"""Samples in the interval, and number of rounds: each searches the gap between the last good and the first bad one."""


def cut_at_bad_value(rhs: RightHandSide, trial: PiecewisePolynomial) -> tuple[PiecewisePolynomial | None, float | None]:
    """The trial up to where the right-hand side is finite, and the first time known to be bad; None if there is none.

    The method evaluates the right-hand side at the stages only, so its values at the nodes may not be finite.
    """
    xp = trial.xp

    def finite(times: Array, states: Array) -> int:
        return int(leading(xp, xp.isfinite(rhs(times, states))))

    good = finite(trial.ends, trial.y[1:, ...])
    if good == trial.intervals:
        return trial, None
    low, high = float(trial.t[good]), float(trial.t[good + 1])
    for _ in range(ROUNDS):
        times = low + (high - low) * xp.arange(1, SAMPLES + 1, dtype=trial.t.dtype) / SAMPLES
        count = finite(times, trial.evaluate(times))
        count = min(count, SAMPLES - 1)
        low, high = (float(times[count - 1]) if count else low), float(times[count])
    if low == float(trial.t[0]):
        return None, high
    return trial.restrict(low), high
