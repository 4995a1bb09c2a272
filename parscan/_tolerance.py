"""When a correction is small enough."""

from __future__ import annotations

from dataclasses import dataclass

from ._arrays import Array, array_namespace, machine_epsilon

ROUNDINGS = 32
"""Rounding errors of a state's own size that count as none: a few operations' worth."""


@dataclass(frozen=True)
class Tolerance:
    """Elementwise bound `atol + rtol·|y|` on a correction, and the level below which it is rounding."""

    rtol: float
    atol: float

    def relative(self, correction: Array, y: Array) -> Array:
        """|correction| in units of the bound; NaN where it is undefined."""
        xp = array_namespace(y)
        size, bound = xp.abs(correction), self.atol + self.rtol * xp.abs(y)
        zero = xp.zeros_like(size)
        return xp.where(size == 0, zero, size / bound)  # 0/0 is no error: a zero state with atol=0

    def is_rounding(self, correction: Array, y: Array) -> Array:
        """Where a correction is no more than the rounding errors of a step."""
        xp = array_namespace(y)
        bound = 1e-3 * self.atol + ROUNDINGS * machine_epsilon(y.dtype) * xp.abs(y)
        return xp.abs(correction) <= bound
