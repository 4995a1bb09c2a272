"""What a march through an implicit problem returns: by arrays, or by machine code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ..._engine.termination import Failure, Termination
from ..core.polynomial import PiecewisePolynomial

Until: TypeAlias = Callable[[PiecewisePolynomial], bool]
"""Given every new part of the solution, in order; returns whether the march may end there, as at a terminal event."""


@dataclass(frozen=True, eq=False)
class ImplicitSteps:
    """
    The steps of a march.

    Parameters
    ----------
    polynomial : PiecewisePolynomial or None
        Nodes, states, and the slopes `K` of the stages of Radau IIA: with `K = A⁻¹ Z / h`, where `Z` are the stages
        less the state at the left node. The slopes of the last stage are those at the right node. None without a step.
    failure : Failure or None
        Why the steps end early.
    failed_at : float or None
        The time at which they do.
    nfev, njev, nlu : int
        Calls of the user's `fun`, evaluations of pencils, and factorisations.
    rejected : int
        Steps that were tried and repeated.
    compiled : bool
        Whether machine code took the steps.
    """

    polynomial: PiecewisePolynomial | None
    failure: Failure | None = None
    failed_at: float | None = None
    nfev: int = 0
    njev: int = 0
    nlu: int = 0
    rejected: int = 0
    compiled: bool = False

    @property
    def termination(self) -> Termination:
        """Why the steps end."""
        return Termination.FINISHED if self.failure is None else self.failure.termination
