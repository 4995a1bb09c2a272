"""What is chosen to solve a problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from ..._engine.termination import Termination

BANDS = {"lband", "uband"}
"""Options that only SciPy's LSODA knows: bandwidths of the Jacobian."""


@dataclass(frozen=True)
class Choice:
    """A method, whether SciPy has it do the work, and the reason if that is not simply what was asked for.

    `share` is what part of the tolerances a sequential solver gets, so that its errors together stay below them;
    `tries_ensemble` is a wide batch of which it is not known yet whether it is stiff: that is tried first. `otherwise`
    is what SciPy goes on with, from where the solver ends like that. As `pairs`, complex states are real and imaginary
    parts. Steps take at most a share of `longest` of the span. A solver ends after `most_steps`; where its steps stay
    short, it starts anew, as long as there are more than one of its `starts`. `while_analytic` has complex states whole
    where the function has complex derivatives at the beginning, for `most_steps`: `otherwise` tells what then.
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

    def after(self, ending: Termination) -> Choice | None:
        """What goes on from where the solver ended so."""
        return replace(self, starts=self.starts - 1) if ending is Termination.SLOW else self.otherwise.get(ending)
