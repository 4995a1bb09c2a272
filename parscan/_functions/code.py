"""What a right-hand side needs of machine code that takes its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from .._arrays.namespace import Array

if TYPE_CHECKING:
    from .._kernels.dispatch import Condensed, CorrectedMesh


class OfStages(Protocol):
    """What corrects a mesh of `N` intervals of `B` members in few passes over memory."""

    def linearise(self, A: Any, t: Array, h: Array, y: Array, K: Array) -> tuple[Array, Array]:
        """
        Values at stages less their slopes, `(N B, s, n)`, and Jacobians there, `(N B, s, n, n)`.

        `A` (s, s) is the method's matrix, of NumPy; `t` (N, s) are the times of the stages, `h` (N,) the lengths, `y`
        (N + 1, B, n) the states at nodes, and `K` (N, s, B, n) the slopes.
        """

    def correct(
        self, condensed: Condensed, b: Any, h: Array, y: Array, K: Array, rtol: float | Array, atol: Array
    ) -> CorrectedMesh:  # fmt: skip
        """As `correct_mesh`."""


class Code(Protocol):
    """Machine code of a right-hand side and its Jacobian, on times `(m,)` and stacked states `(m, *batch, n)`."""

    @property
    def of_stages(self) -> OfStages | None:
        """What corrects meshes; None if arrays do."""
        return None

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
