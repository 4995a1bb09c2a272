"""Methods that map each node to the next by an explicit formula; Newton's method corrects the nodes alone."""

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
    """A discretisation that gives targets and propagators: an iteration needs nothing else."""

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
