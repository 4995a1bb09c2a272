"""Tangent linear models of Runge-Kutta methods.

With J_i = ∂f/∂y at the stages and forcings φ_i there,

    δK_i = J_i (δ_p + h Σ_j a_ij δK_j) + φ_i,    δ_{p+1} = δ_p + h Σ_i b_i δK_i.

The adjoint of the stages is a method of the same kind, with transposed coefficients and adjoint Jacobians. With the
adjoint u of the right node and the adjoints v of the stages,

    w_i = μ_i + h Σ_j a_ji J_jᴴ w_j,    μ_i = h b_i u + v_i

(Hager, "Runge-Kutta methods in optimal control and the transformed adjoint system", Numerische Mathematik 87 (2000);
Sanz-Serna, "Symplectic Runge-Kutta schemes for adjoint equations", SIAM Review 58 (2016)).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..._arrays.namespace import Array, array_namespace, conjugate, quiet
from ..._kernels.dispatch import condense
from ..._kernels.generic.condense import solve_stages
from .tangent_linear import TangentLinear


@dataclass(frozen=True, eq=False)
class ImplicitStages(TangentLinear):
    """Collocation: the slopes of the polynomial are the stages. Jacobians are `(N * B, s, n, n)`, steps `(N * B,)`."""

    A: Array
    b: Array
    jacobians: Array
    steps: Array

    def respond(self, forcing: Array) -> tuple[Array, Array]:
        """Solve one linear system for each interval and member."""
        xp = self.xp
        N, s, B, n = self.slopes.shape[:-1]
        sides = xp.moveaxis(xp.reshape(forcing, (N, s, B, n, -1)), 2, 1)
        stages = solve_stages(self.jacobians, self.A, self.steps, xp.reshape(sides, (N * B, s, n, -1)))
        with quiet():
            weights = self.steps[:, None] * xp.asarray(self.b, dtype=self.steps.dtype)
            rows = xp.astype(weights, forcing.dtype)[:, None, :] @ xp.reshape(stages, (N * B, s, -1))
        ends = xp.reshape(rows, (N, B, n, -1))
        return ends, xp.moveaxis(xp.reshape(stages, (N, B, s, n, -1)), 1, 2)

    def pull_back(self, ends: Array, slopes: Array | None) -> Array:
        """The adjoint stages are condensed like stages."""
        xp = self.xp
        N, s, B, n = self.slopes.shape[:-1]
        weights = xp.astype(self.steps[:, None] * xp.asarray(self.b, dtype=self.steps.dtype), ends.dtype)
        transposed = xp.matrix_transpose(conjugate(self.jacobians))
        with quiet():
            given = weights[..., None] * xp.reshape(ends, (N * B, 1, n))
            if slopes is not None:
                given = given + xp.reshape(xp.moveaxis(slopes, 2, 1), given.shape)
            sides = (transposed @ given[..., None])[..., 0]
            pulled = condense(transposed, self.A.T, self.b, self.steps, sides).X0
            lower = xp.asarray(self.A.T, dtype=ends.dtype)
            found = given + xp.astype(self.steps, ends.dtype)[:, None, None] * (lower @ pulled)
        return xp.reshape(xp.moveaxis(xp.reshape(found, (N, B, s, n)), 1, 2), (-1, B, n))


def implicit_stages(A: Array, b: Array, steps: Array, times: Array, states: Array, jacobians: Array) -> ImplicitStages:
    """The model for steps `(N,)`, and times `(N, s)`, states `(N, s, *batch, n)` and Jacobians at the stages."""
    xp = array_namespace(states)
    N, s, *batch, n = states.shape
    by_member = xp.moveaxis(xp.reshape(jacobians, (N, s, -1, n, n)), 2, 1)
    B = by_member.shape[1]
    J = xp.reshape(by_member, (N * B, s, n, n))
    h = xp.reshape(xp.broadcast_to(steps[:, None], (N, B)), (-1,))
    condensed = condense(J, A, b, h, xp.zeros((N * B, s, n), dtype=J.dtype))
    slopes = xp.moveaxis(xp.reshape(condensed.X1, (N, B, s, n, n)), 1, 2)
    propagators = xp.reshape(condensed.propagators, (N, B, n, n))
    points = xp.reshape(times, (-1,)), xp.reshape(states, (-1, *batch, n))
    return ImplicitStages(*points, propagators, slopes, A, b, J, h)


@dataclass(frozen=True, eq=False)
class ExplicitStages(TangentLinear):
    """A strictly lower triangular `A`: stages are computed one after the other.

    Jacobians are s arrays `(N, B, n, n)`, steps `(N, 1, 1, 1)`. The slopes of the polynomial are sums of stages, with
    the rows of `mixing` `(q, s)` as weights; stages that only the polynomial needs have zero weights in `b`.
    """

    A: Array
    b: Array
    mixing: Array
    jacobians: list[Array]
    steps: Array

    def respond(self, forcing: Array) -> tuple[Array, Array]:
        """Forward substitution over the stages."""
        xp = self.xp
        s = len(self.jacobians)
        forced = xp.reshape(forcing, (-1, s, *forcing.shape[1:]))
        with quiet():
            stages = _substitute(self.A, self.jacobians, self.steps, [forced[:, i, ...] for i in range(s)])
            return self.steps * _sum(self.b, stages), _mixed(self.mixing, stages)

    def pull_back(self, ends: Array, slopes: Array | None) -> Array:
        """Backward substitution, from the last stage to the first."""
        xp = self.xp
        steps = self.steps[..., 0]
        s = len(self.jacobians)
        adjoint: list[Array] = [None] * s
        fed: list[Array] = [None] * s
        with quiet():
            for i in reversed(range(s)):
                given = steps * float(self.b[i]) * ends
                if slopes is not None:
                    given = given + _sum(self.mixing[:, i], [slopes[:, k, ...] for k in range(slopes.shape[1])])
                adjoint[i] = given + steps * _sum(self.A[i + 1 :, i], fed[i + 1 :])
                fed[i] = (xp.matrix_transpose(conjugate(self.jacobians[i])) @ adjoint[i][..., None])[..., 0]
            found = xp.stack(adjoint, axis=1)
        return xp.reshape(found, (-1, *found.shape[2:]))


def explicit_stages(
    A: Array, b: Array, mixing: Array, steps: Array, times: Array, states: Array, jacobians: Array
) -> ExplicitStages:
    """The model for steps `(N,)`, and times `(N, s)`, states `(N, s, *batch, n)` and Jacobians at the stages."""
    xp = array_namespace(states)
    N, s, *batch, n = states.shape
    J = xp.reshape(jacobians, (N, s, -1, n, n))
    each = [J[:, i, ...] for i in range(s)]
    h = xp.reshape(xp.astype(steps, states.dtype), (-1, 1, 1, 1))
    with quiet():
        stages = _substitute(A, each, h, each)
        propagators = xp.eye(n, dtype=states.dtype) + h * _sum(b, stages)
        slopes = _mixed(mixing, stages)
    points = xp.reshape(times, (-1,)), xp.reshape(states, (-1, *batch, n))
    return ExplicitStages(*points, propagators, slopes, A, b, mixing, each, h)


def _substitute(A: Array, jacobians: list[Array], steps: Array, sides: list[Array]) -> list[Array]:
    """Stages `δK_i = J_i h Σ_j a_ij δK_j + sides_i`."""
    stages: list[Array] = []
    for i, (J, side) in enumerate(zip(jacobians, sides, strict=True)):
        stages.append(side + J @ (steps * _sum(A[i, :i], stages)) if A[i, :i].any() else side)
    return stages


def _mixed(mixing: Array, stages: list[Array]) -> Array:
    """Sums of the stages with the rows of `mixing` as weights, along a second axis."""
    xp = array_namespace(stages[0])
    if mixing.shape[0] == 0:
        return xp.zeros((stages[0].shape[0], 0, *stages[0].shape[1:]), dtype=stages[0].dtype)
    return xp.stack([_sum(row, stages) for row in mixing], axis=1)


def _sum(weights: Array, parts: list[Array]) -> Array:
    """Sum of the weighted parts, or 0. Weights of zero are skipped."""
    terms = [weight * part for weight, part in zip(weights.tolist(), parts, strict=True) if weight]
    return sum(terms[1:], start=terms[0]) if terms else 0.0
