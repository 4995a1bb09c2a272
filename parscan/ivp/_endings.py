"""How a solution ends before its time: what all sequential solvers say of it, and when."""

from __future__ import annotations

from .._arrays import machine_epsilon

NOT_FINITE = "the right-hand side gave values that are not finite"

TOO_SMALL = "the steps became smaller than the spacing of the numbers"

SMALLEST = 10 * machine_epsilon("float64")
"""Steps that are smaller than this share of the time are the end of a solution, a pole for example."""
