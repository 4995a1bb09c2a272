"""The tolerance on corrections, and the size of their rounding errors."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays.elementwise import ratio
from .._arrays.namespace import Array, array_namespace, machine_epsilon, smallest_normal

ROUNDINGS = 8
"""Rounding errors of a number that count as noise: those of a few operations."""


@dataclass(frozen=True)
class Tolerance:
    """Elementwise bound `atol + rtol·|y|` on the error of a state."""

    rtol: float
    atol: float

    def relative(self, correction: Array, y: Array) -> Array:
        """|correction| in units of the bound; NaN where it is undefined."""
        xp = array_namespace(y)
        return ratio(xp, xp.abs(correction), self.atol + self.rtol * xp.abs(y))

    def relative_to(self, correction: Array, size: Array) -> Array:
        """|correction| in units of `rtol·size`, without `atol`, which would hide a tiny defect that may grow."""
        xp = array_namespace(size)
        return ratio(xp, xp.abs(correction), self.rtol * size)


def is_noise(difference: Array, size: Array) -> Array:
    """Flags of the differences between numbers of about this size that are no more than their rounding."""
    xp, epsilon = array_namespace(difference), machine_epsilon(difference.dtype)
    spacing = epsilon * smallest_normal(difference.dtype)  # the spacing of denormal numbers
    return xp.abs(difference) <= ROUNDINGS * (epsilon * size + spacing)
