"""A crossing of a threshold: its time, the modes on either side, and what it adds; or none, with an exception."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from math import nan

from ..._arrays.namespace import Array
from ...warnings import KinkWarning

REMEDY = "Make the jump smooth (np.tanh), or take differences of whole solutions."

Rates = tuple[Array, Array]
"""Derivatives of a crossing's time by the state right before, in a row, and by parameters."""


class NoDerivativeError(RuntimeError):
    """There is no derivative."""

    def __init__(self, time: float, what: str) -> None:
        super().__init__(f"at t = {time:.6g}, {what}: there the derivative does not exist. {REMEDY}")


@dataclass(frozen=True, eq=False)
class Crossing:
    """
    A time at which modes change: before and after `(k,)`.

    `moves` are what the change of a time adds to the state, `(*batch, n)`, with the time's rates. The flags of the
    guards that `count` are of those which jump at a time that depends on the state. `in_time`: none that changes
    depends on the state. `exact` is the time to the last digit: `time` is that of a node which is as good as there.
    """

    time: float
    before: Array
    after: Array
    moves: tuple[tuple[Array, Rates], ...]
    counts: Array
    in_time: bool
    exact: float = nan

    @property
    def exactly(self) -> Crossing:
        """The same at its exact time."""
        return replace(self, time=self.exact)


def warn_of_kinks(time: float, what: str) -> None:
    """Warn that derivatives neglect kinks, the first at a time."""
    warnings.warn(
        f"{what}, the first at t = {time:.6g}: derivatives may be wrong by up to a tenth. Make the kinks smooth "
        "(np.logaddexp, np.hypot), or differentiate solutions of fewer members.",
        KinkWarning,
        stacklevel=5,
    )


def warn_of_changes(time: float) -> None:
    """Warn that derivatives neglect changes of the function that the solution does not see."""
    warnings.warn(
        f"near the solution, `fun` changes with time too fast for the largest number of nodes, first at "
        f"t = {time:.6g}: derivatives may be wrong. Make `fun` smooth, or differentiate solutions of shorter spans.",
        KinkWarning,
        stacklevel=5,
    )
