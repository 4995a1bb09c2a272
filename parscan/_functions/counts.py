"""Counts of the calls of a user's functions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Counts:
    """Calls of a function, states evaluated in these calls, and evaluations of its Jacobian.

    Copies of a function with other arguments share the counts.
    """

    nfev: int = 0
    npoints: int = 0
    njev: int = 0

    def add(self, calls: int, states: int) -> None:
        """Count calls that evaluate a number of states in all."""
        self.nfev += calls
        self.npoints += states
