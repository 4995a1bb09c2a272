"""Methods that map each node to the next by a formula of their own: Newton's method corrects the nodes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from ..._arrays.namespace import Array, quiet
from ..._functions.right_hand_side import RightHandSide
from ..._kernels.dispatch import affine_scan
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from .discretisation import Corrected, Discretisation, Linear


class StepMap(Discretisation):
    """A discretisation whose targets and propagators are all that an iteration needs."""

    @abstractmethod
    def linearise(self, rhs: RightHandSide, trial: PiecewisePolynomial) -> tuple[Array, Array]:
        """Targets `(N, *batch, n)` of the nodes after the first, and propagators `(N, *batch, n, n)` into them."""

    def correct(self, rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale) -> Corrected:
        """Carry the defects from node to node; the stages are not kept up with."""
        xp = trial.xp
        targets, propagators = self.linearise(rhs, trial)
        with quiet():
            corrections = affine_scan(propagators, targets - trial.y[1:, ...])
            corrected = replace(trial, y=xp.concat([trial.y[:1, ...], trial.y[1:, ...] + corrections]))
            return Corrected(corrected, scale.relative(corrections, corrected), Linear(propagators))

    @abstractmethod
    def assess(
        self, rhs: RightHandSide, trial: PiecewisePolynomial, linear: Linear, scale: Scale
    ) -> tuple[PiecewisePolynomial, Array]:
        """As for all discretisations."""
