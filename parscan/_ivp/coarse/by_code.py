"""Attempts of steps of wide batches whose function is called as it is, with machine code between these calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, copy
from ..._functions.right_hand_side import RightHandSide
from ..._recorded.native.text import UnsupportedError
from .rows import SLOPES, STATE

if TYPE_CHECKING:
    from ..._recorded.native.wide_steps import WideSteps

Shares = Sequence[tuple[float, float]]
"""Of a step, where pairs of stages are."""


def attempts(
    rhs: RightHandSide, held: Array, slopes: Sequence[Array], shares: Shares, rtol: Array, atol: Array
) -> Attempts | None:
    """Those of a batch by NumPy, of doubles; None if there is no machine code here."""
    try:
        from ..._recorded.native.wide_steps import WideSteps  # noqa: PLC0415 - slow to import

        steps = WideSteps(held, STATE, SLOPES, rtol.reshape(-1), atol.reshape(-1), slopes[0].shape[1:])
    except UnsupportedError:
        return None
    return Attempts(rhs, slopes, shares, steps)


class Attempts:
    """
    Attempts from the state in the row for it, with the slope there in the row of the first one.

    Parameters
    ----------
    rhs : RightHandSide
    slopes : sequence of arrays, shape (n, *batch)
        The rows of the slopes.
    shares : sequence of pairs
        Of the step, at the stages after the first one, the last of which is its end.
    steps : WideSteps
        Of the same rows.
    """

    def __init__(self, rhs: RightHandSide, slopes: Sequence[Array], shares: Shares, steps: WideSteps) -> None:
        self._rhs, self._slopes, self._shares, self._steps = rhs, slopes, shares, steps
        self._last: Any = None
        """What the function returned at the end of the step, if that is not in its row."""

    def attempt(self, begin: float, end: float, h: float, *, is_counted: bool) -> tuple[Array, Array, float]:
        """
        States at the end and in the last stage, and the square of the error divided by the step.

        Where the step is counted in the test for stiffness, the slope at the end is in its row then.
        """
        steps, slopes = self._steps, self._slopes
        into, last = self._rhs.into, len(self._shares) - 1
        for pair, (early, late) in enumerate(self._shares):
            one, other = steps.begin(pair, h)
            number = 2 * pair + 1
            given = copy(one) if is_counted and pair == last else one  # `fun` may write to it
            into(slopes[number], begin + early * h, given, steps.take)
            steps.finish(pair, h, one, other)
            if pair < last:
                into(slopes[number + 1], begin + late * h, other, steps.take)
        self._last = None
        into(slopes[-1], end, copy(other), None if is_counted else self._take)
        return other, one, steps.error(other)

    def _take(self, value: Any) -> bool:
        """Leave a value at the end of the step where it is."""
        self._last = value if self._steps.take(value) else None
        return self._last is not None

    def settle(self) -> None:
        """Write the slope at the end of the step to its row: further calls of the function may overwrite its value."""
        if self._last is not None:
            for component, part in enumerate(self._last):
                self._slopes[-1][component, ...] = part
            self._last = None
            self._steps.leave()

    def accept(self, y: Array) -> None:
        """Go on from the state at the end."""
        self._steps.accept(y)
        self._last = None
