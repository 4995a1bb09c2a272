"""The tangent linear model of a discretisation: the propagation of small changes of a solved trajectory.

Each interval maps the change δ_p of its left node, and forcings φ of the right-hand side at some of its points, to the
change of its right node and to the changes of the slopes S of its polynomial:

    δ_{p+1} = A_p δ_p + B_p φ_p,    δS_p = C_p δ_p + D_p φ_p.

Batches are one axis of B members here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, Namespace, array_namespace


@dataclass(frozen=True, eq=False)
class TangentLinear(ABC):
    """The model on N intervals.

    `times` `(m,)` and `states` `(m, *batch, n)` are the points at which the right-hand side is evaluated, and forced;
    `propagators` are the A_p `(N, B, n, n)`, `slopes` the C_p for the q slopes of a polynomial, `(N, q, B, n, n)`.
    """

    times: Array
    states: Array
    propagators: Array
    slopes: Array

    @cached_property
    def xp(self) -> Namespace:
        """The array library."""
        return array_namespace(self.states)

    @abstractmethod
    def respond(self, forcing: Array) -> tuple[Array, Array]:
        """B φ `(N, B, n, k)` and D φ `(N, q, B, n, k)` for forcings `(m, B, n, k)`."""

    @abstractmethod
    def pull_back(self, ends: Array, slopes: Array | None) -> Array:
        """Bᴴ u + Dᴴ v `(m, B, n)` for u `(N, B, n)`, and v `(N, q, B, n)` if it is not zero."""
