"""The choice of a method for a problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from ..._engine.termination import Termination
from ..._linalg.pattern import Pattern

BANDS = {"lband", "uband"}
"""Options that only SciPy's LSODA knows: bandwidths of the Jacobian."""


@dataclass(frozen=True)
class Choice:
    """A method, and how to use it.

    Parameters
    ----------
    method : str or OdeSolver
        Name of the method, or a class of SciPy's solvers.
    is_sequential : bool
        Whether SciPy's solver of that name solves the problem.
    because : str
        The reason for the choice; empty if the user named the method.
    share : float
        Factor on the tolerances of a sequential solver, so that its accumulated errors stay below them.
    tries_ensemble : bool
        First try common explicit steps for a wide batch; `method` follows if they turn out stiff.
    otherwise : dict
        For each reason for which the solver may end early, the choice that continues from there.
    pairs : bool
        Whether complex states are solved for as real and imaginary parts.
    longest : float
        Longest step as a share of the span.
    most_steps : float
        Steps after which the solver ends.
    starts : int
        How often the solver may start, the first time included: it is restarted where its steps stay short.
    while_analytic : bool
        For `pairs`: first solve for the complex states as they are, for `most_steps`, if the function has complex
        derivatives at the initial state.
    is_checked : bool
        Whether further solves tell the error at the end, and take place with tighter tolerances if that is large.
    is_sampled : bool
        Whether `fun` is sampled between the steps, and the solve fails where they passed over a pulse of it.
    pattern : Pattern, optional
        That of the Jacobian, if it was found.
    """

    method: Any
    is_sequential: bool = False
    because: str = ""
    share: float = 1.0
    tries_ensemble: bool = False
    otherwise: Mapping[Termination, Choice] = field(default_factory=dict)
    pairs: bool = False
    longest: float = inf
    most_steps: float = inf
    starts: int = 1
    while_analytic: bool = False
    is_checked: bool = False
    is_sampled: bool = False
    pattern: Pattern | None = None

    def after(self, ending: Termination) -> Choice | None:
        """The choice that continues from where the solver ended for this reason; None if the solve ends there."""
        return replace(self, starts=self.starts - 1) if ending is Termination.SLOW else self.otherwise.get(ending)

    def scaled(self, factor: float) -> Choice:
        """The same choices with other tolerances."""
        otherwise = {ending: choice.scaled(factor) for ending, choice in self.otherwise.items()}
        return replace(self, share=self.share * factor, otherwise=otherwise)
