"""What a right-hand side needs of machine code that takes its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .._arrays.namespace import Array


class Code(Protocol):
    """Machine code of a right-hand side and its Jacobian, on times `(m,)` and stacked states `(m, *batch, n)`."""

    def within(self, low: float, high: float) -> Code:
        """The same with times clipped to these limits."""

    def values(self, t: Array, states: Array) -> Array:
        """Values `(m, *batch, n)`."""

    def linearise(self, t: Array, states: Array) -> tuple[Array, Array]:
        """Values, and Jacobians `(m, *batch, n, n)`."""

    def second(self, t: Array, states: Array) -> Array | None:
        """Derivatives `(m, *batch, n, n, n)` of Jacobians by the states, the last axis; None if they are not known."""


Recorder = Callable[[], Code]
"""Returns a recorded right-hand side; raises `NoCodeError` where there is none."""
