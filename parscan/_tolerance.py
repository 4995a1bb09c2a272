"""When a correction is small enough, and when it is only rounding."""

from __future__ import annotations

from dataclasses import dataclass

from ._arrays import Array, array_namespace, machine_epsilon

ROUNDINGS = 8
"""Roundings of a number's own size that count as noise: those of a few operations."""


@dataclass(frozen=True)
class Tolerance:
    """Elementwise bound `atol + rtol·|y|` on what a state may be off."""

    rtol: float
    atol: float

    def relative(self, correction: Array, y: Array) -> Array:
        """|correction| in units of the bound; NaN where it is undefined."""
        xp = array_namespace(y)
        size, bound = xp.abs(correction), self.atol + self.rtol * xp.abs(y)
        zero = xp.zeros_like(size)
        return xp.where(size == 0, zero, size / bound)  # 0/0 is no error: a zero state with atol=0


def is_noise(difference: Array, size: Array) -> Array:
    """Where a difference between numbers of about this size is no more than their rounding."""
    xp = array_namespace(difference)
    return xp.abs(difference) <= ROUNDINGS * machine_epsilon(difference.dtype) * size
