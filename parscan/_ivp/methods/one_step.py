"""Methods that map each node to the next by an explicit formula; Newton's method corrects the nodes alone."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from ..._arrays.namespace import Array, quiet
from ..._functions.right_hand_side import RightHandSide
from ..._kernels.dispatch import affine_scan
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..core.tableaux import radau
from .collocation import Collocation
from .discretisation import Corrected, Discretisation, Linear

RELIANCE = 0.1
"""
How far estimated errors of intervals may grow, in tolerances, so that errors of the nodes are small. Those of RK4 were
up to 40 times as large.
"""


class StepMap(Discretisation):
    """A discretisation that gives targets and propagators: an iteration needs nothing else."""

    @property
    def reliance(self) -> float:
        """Estimates are those of the nodes."""
        return RELIANCE

    def finer(self, n: int) -> Discretisation:
        """Radau IIA of so many stages that its order is higher: it is stable wherever this method is used."""
        return Collocation(radau(self.order // 2 + 2), n)

    @abstractmethod
    def linearise(self, rhs: RightHandSide, trial: PiecewisePolynomial) -> tuple[Array, Array]:
        """Targets `(N, *batch, n)` of the nodes after the first, and propagators `(N, *batch, n, n)` into them."""

    def correct(self, rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale) -> Corrected:
        """Propagate the defects from node to node. The stages are not updated."""
        xp = trial.xp
        targets, propagators = self.linearise(rhs, trial)
        with quiet():
            corrections = affine_scan(propagators, targets - trial.y[1:, ...])
            corrected = replace(trial, y=xp.concat([trial.y[:1, ...], trial.y[1:, ...] + corrections]))
            return Corrected(corrected, scale.relative(corrections, corrected), Linear(propagators))
