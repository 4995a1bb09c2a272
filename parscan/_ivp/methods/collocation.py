"""Collocation on a mesh, with the stages condensed out of every interval.

An interval from t_p of length h has the state y_p at its start and the stage derivatives K; with J_i = ∂f/∂y at the
stages,

    (I - h A⊗J) δK = (F - K) + J δ_p,    δ_{p+1} = (I + h Σ b_i ∂K_i/∂y) δ_p + d_p,

where d_p is the difference between the interval's end and the next node. The second is an affine scan over all nodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..._arrays.namespace import Array, quiet
from ..._functions.right_hand_side import RightHandSide
from ..._kernels.dispatch import Condensed, condense, correct_mesh
from ..._kernels.generic.condense_frozen import condense_frozen
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..core.tableaux import Tableau
from .discretisation import Corrected, Discretisation, Linear
from .filter import filtered
from .stage_tangents import implicit_stages
from .tangent_linear import TangentLinear

FROZEN_FROM = 64
"""Size `s n` of an interval's linear system from which one Jacobian serves for all its stages.

Newton's method then converges more slowly, but the system decouples into smaller ones, and only one Jacobian instead of
`s` is evaluated. Measured on the heat equation and on chains of oscillators with n = 4 to 60.
"""


FEW_STAGES, RELIANCE = 3, (10.0, 300.0)
"""How far estimated errors of polynomials may grow, in tolerances, so that those of nodes are a few: up to this number
of stages, and with more of them. Of nine problems, errors of the nodes were at most 0.4 and 0.01 times as large."""


@dataclass(frozen=True)
class Collocation(Discretisation):
    """The method of a tableau, for `n` components."""

    tableau: Tableau
    n: int

    @property
    def frozen(self) -> bool:
        """Whether one Jacobian serves for all stages of an interval."""
        return self.tableau.stages * self.n >= FROZEN_FROM and self.tableau.stages > 1

    @property
    def description(self) -> str:
        """Family and stages."""
        return f"{self.tableau.kind}, {self.tableau.stages} stages"

    @property
    def output(self) -> Tableau:
        """The collocation polynomials."""
        return self.tableau

    @property
    def error_power(self) -> int:
        """The power of the defect at the start of an interval, times its length."""
        return self.tableau.stages + 1

    @property
    def is_superlinear(self) -> bool:
        """Yes, unless one Jacobian serves for all stages."""
        return not self.frozen

    @property
    def matrices(self) -> int:
        """Jacobians and condensed stages."""
        return 2 * self.tableau.stages

    @property
    def order(self) -> int:
        """That of the tableau."""
        return self.tableau.order

    @property
    def reliance(self) -> float:
        """Nodes are far more accurate than the polynomials."""
        return RELIANCE[self.tableau.stages > FEW_STAGES]

    def finer(self, n: int) -> Discretisation:
        """The method of the same family with two more stages."""
        return Collocation(self.tableau.family(self.tableau.stages + 2), n)

    def correct(self, rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale) -> Corrected:
        """Evaluate all stages, condense them, propagate the corrections from node to node.

        If a value is not finite, the corrections of its interval and of all later ones are not finite either.
        """
        xp = trial.xp
        N, s, *batch, n = trial.stages.shape
        members = math.prod(batch)
        y, stages = xp.reshape(trial.y, (N + 1, members, n)), xp.reshape(trial.stages, (N, s, members, n))
        at_once, correct = None if self.frozen else rhs.of_stages, correct_mesh
        if at_once is None:
            values, jacobians = self._linearise(rhs, trial)
            condensed, last = self._condense(trial, values - trial.stages, jacobians), jacobians[:, -1, ...]
        else:
            rhs.counts.njev += 1
            rhs.counts.add(1, N * s)
            given = self.tableau.A, trial.stage_times, trial.steps, y, stages
            residuals, jacobians = at_once.linearise(*given)
            h = xp.reshape(xp.broadcast_to(trial.steps[:, None], (N, members)), (-1,))
            condensed, correct = condense(jacobians, self.tableau.A, self.tableau.b, h, residuals), at_once.correct
            last = xp.reshape(jacobians, (N, *batch, s, n, n))[..., -1, :, :]
        solved = correct(condensed, self.tableau.b, trial.steps, y, stages, scale.rtol, scale.atol)
        y, stages = xp.reshape(solved.y, trial.y.shape), xp.reshape(solved.K, trial.stages.shape)
        corrected = trial.corrected(y, stages)
        propagators = xp.reshape(condensed.propagators, (N, *batch, n, n))
        return Corrected(corrected, solved.sizes, Linear(propagators, last))

    def assess(
        self, rhs: RightHandSide, trial: PiecewisePolynomial, linear: Linear, scale: Scale
    ) -> tuple[PiecewisePolynomial, Array]:
        """Errors by the defect of the polynomial.

        The polynomial satisfies the equation at the stages. Its defect is evaluated at the start of the interval, at a
        point between the stages and, unless the last stage is there, at the end. The error is h/2s times the defect,
        filtered by (I - h J / 2s)^{-1} as in Hairer and Wanner's code for Radau IIA (1996, IV.8), so that stiff
        components that the method damps do not count. Between the stages, the filtered defect is the error of the
        polynomial.
        """
        xp = trial.xp
        share = 1 / (2 * self.tableau.stages)
        with quiet():
            steps = trial.lengths[..., None]
            missed = share * steps * self._missed(rhs, trial)
            errors = filtered(missed, trial, linear.jacobians, share)
            return trial, scale.relative(xp.max(errors, axis=-1), trial)

    def _missed(self, rhs: RightHandSide, trial: PiecewisePolynomial) -> Array:
        """Defect of the polynomials at a few places of every interval, `(N, *batch, n, places)`."""
        xp, (N, s, *state) = trial.xp, trial.stages.shape
        weights = xp.asarray(self.tableau.for_defect, dtype=trial.stages.dtype)
        sums = xp.reshape(weights @ xp.reshape(trial.stages, (N, s, -1)), (N, weights.shape[0], *state))
        inner = trial.y[:-1, ...] + trial.lengths * sums[:, 0, ...]
        ends, times = trial.both_ends, trial.times(self.tableau.between)
        values = rhs(xp.concat([ends.t, times]), xp.concat([ends.y, inner]))
        inside = values[ends.t.shape[0] :, ...]
        at_end = [] if self.tableau.ends_with_a_stage else [values[ends.right, ...]]
        return xp.moveaxis(xp.stack([values[ends.left, ...], inside, *at_end], axis=1) - sums[:, 1:, ...], 1, -1)

    def tangent_matrices(self, n: int) -> int:
        """Jacobians, condensed stages, and both transposed."""
        return 4 * self.tableau.stages

    def tangent_linear(self, rhs: RightHandSide, trial: PiecewisePolynomial, *, inside: bool) -> TangentLinear:
        """The model with a Jacobian for every stage, even where Newton's method uses one for all stages."""
        xp = trial.xp
        times, states = self._points(trial)
        jacobians = rhs.exact_jacobian(xp.reshape(times, (-1,)), xp.reshape(states, (-1, *trial.y.shape[1:])))
        return implicit_stages(self.tableau.A, self.tableau.b, trial.steps, times, states, jacobians)

    def _points(self, trial: PiecewisePolynomial) -> tuple[Array, Array]:
        """Times `(N, s)` and states `(N, s, *batch, n)` at the stages."""
        xp = trial.xp
        shape = trial.stages.shape
        A = xp.asarray(self.tableau.A, dtype=trial.stages.dtype)
        with quiet():
            sums = xp.reshape(A @ xp.reshape(trial.stages, (*shape[:2], -1)), shape)
            return trial.stage_times, trial.y[:-1, None, ...] + trial.lengths[:, None, ...] * sums

    def _linearise(self, rhs: RightHandSide, trial: PiecewisePolynomial) -> tuple[Array, Array]:
        """Right-hand sides `(N, s, *batch, n)` at the stages, Jacobians there, or one for each interval."""
        xp = trial.xp
        shape = trial.stages.shape
        times, states = self._points(trial)
        stacked = xp.reshape(times, (-1,)), xp.reshape(states, (-1, *trial.y.shape[1:]))
        if not self.frozen:
            values, jacobians = rhs.linearise(*stacked)
            return xp.reshape(values, shape), xp.reshape(jacobians, (*shape, shape[-1]))
        values = xp.reshape(rhs(*stacked), shape)
        middle = self.tableau.stages // 2
        jacobians = rhs.jacobian(times[:, middle], states[:, middle, ...], values[:, middle, ...])
        return values, jacobians[:, None, ...]

    def _condense(self, trial: PiecewisePolynomial, residuals: Array, jacobians: Array) -> Condensed:
        """Stages condensed out of every interval of every batch element, all of them along one axis."""
        xp = trial.xp
        n, s, batch = trial.y.shape[-1], self.tableau.stages, trial.y.shape[1:-1]
        h = trial.steps
        if batch:
            jacobians, residuals = xp.moveaxis(jacobians, 1, -3), xp.moveaxis(residuals, 1, -2)
            h = xp.broadcast_to(xp.reshape(h, (-1, *(1,) * len(batch))), (trial.intervals, *batch))
        h, r = xp.reshape(h, (-1,)), xp.reshape(residuals, (-1, s, n))
        if self.frozen:
            return condense_frozen(xp.reshape(jacobians, (-1, n, n)), self.tableau.A, self.tableau.b, h, r)
        return condense(xp.reshape(jacobians, (-1, s, n, n)), self.tableau.A, self.tableau.b, h, r)
