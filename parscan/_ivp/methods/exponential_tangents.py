"""Tangent linear model of DEER. The method contains the Jacobian, so its derivative contains second derivatives.

With X = h J̄ and Z = h z̄, the end of an interval is `exp(X) y_l + φ₁(X) Z`. J̄ and z̄ depend on both nodes, l and r:

    dJ = f_yy δ + φ_y,    dz = φ - dJ y,    δ_r = exp(X) δ_l + L_exp(X, dX) y_l + L_φ₁(X, dX) Z + φ₁(X) dZ,

which is solved for δ_r. The L are Fréchet derivatives: blocks of the matrix functions of `[[X, dX], [0, X]]`. The
adjoint of L(X, ·) is L(Xᴴ, ·) (Higham, "Functions of Matrices", SIAM 2008, sections 3.1 and 3.2). Second derivatives of
f are exact where it is recorded; elsewhere they are, and derivatives φ_y of a forcing always, differences of fourth
order: the forcing is evaluated beside the nodes, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace, conjugate, quiet
from ..._functions.differences import step_sizes
from ..._functions.right_hand_side import RightHandSide
from ..._linalg.exponential import exponential
from ..._linalg.solve import solve_each
from ..core.polynomial import PiecewisePolynomial
from . import hermite as _hermite
from .tangent_linear import TangentLinear

STENCIL = ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12))
"""First derivative by differences of fourth order: pairs of a place, in steps, and its weight."""

POWER = 0.2
"""The step, relative to a component, is ε to this power, which balances truncation and rounding of the differences."""


@dataclass(frozen=True, eq=False)
class Ends:
    """Parts of the tangent model, `(N, B, …)`: half the steps, X, Z, both nodes, the exponential and φ₁ of X."""

    half: Array
    X: Array
    Z: Array
    left: Array
    right: Array
    exp: Array
    phi: Array

    def change(self, left: Array, right: Array) -> Array:
        """Changes `(N, B, n)` of the ends due to changes `(N, B, n, n)` of the Jacobians at both nodes."""
        half = self.half[..., None]
        L_exp, L_phi = frechet(self.X, half * (left + right))
        dZ = -self.half * (_times(left, self.left) + _times(right, self.right))
        return _times(L_exp, self.left) + _times(L_phi, self.Z) + _times(self.phi, dZ)

    def pull_back(self, ends: Array) -> tuple[Array, Array, Array]:
        """Adjoint of `change`, and of an equal change of f at both nodes.

        The gradients with respect to the left Jacobian, the right Jacobian, and f.
        """
        turned = array_namespace(ends).matrix_transpose(conjugate(self.X))
        W, half = frechet(turned, _outer(ends, self.left))[0], self.half
        W = W + frechet(turned, _outer(ends, self.Z))[1]
        a = _adjoint_times(self.phi, ends)
        return (
            half[..., None] * (W - _outer(a, self.left)),
            half[..., None] * (W - _outer(a, self.right)),
            half * a,
        )


@dataclass(frozen=True, eq=False)
class ExponentialTangents(TangentLinear):
    """The model. Its points are the m ends, and points beside them, at multiples of `steps` `(m, B, n)` along axes."""

    ends: Ends
    jacobians: Array
    by_right: Array
    steps: Array
    left: slice
    right: slice

    def respond(self, forcing: Array) -> tuple[Array, Array]:
        """The responses to all forcings, computed one after the other."""
        xp = self.xp
        found = [self._respond(forcing[..., k]) for k in range(forcing.shape[-1])]
        ends, slopes = zip(*found, strict=True)
        return xp.stack(ends, axis=-1), xp.stack(slopes, axis=-1)

    def _respond(self, forcing: Array) -> tuple[Array, Array]:
        xp, ends = self.xp, self.ends
        with quiet():
            at_nodes, derivative = self._differences(forcing)
            left, right = at_nodes[self.left, ...], at_nodes[self.right, ...]
            offsets = ends.change(derivative[self.left, ...], derivative[self.right, ...])
            offsets = offsets + _times(ends.phi, ends.half * (left + right))
            offsets = self._solved(offsets)
            slopes = [
                rise * offsets / (2 * ends.half)
                + by_left * left
                + by_right * (_times(self.jacobians[self.right, ...], offsets) + right)
                for rise, by_left, by_right in self._weights
            ]
        return offsets, xp.stack(slopes, axis=1) if slopes else xp.zeros_like(offsets[:, None, ...])[:, :0, ...]

    def pull_back(self, ends: Array, slopes: Array | None) -> Array:
        """Adjoint of the steps of `respond`, in reverse order."""
        xp, n = self.xp, ends.shape[-1]
        nodes = xp.zeros((self.jacobians.shape[0], *ends.shape[1:]), dtype=ends.dtype)
        with quiet():
            at_ends = self.jacobians[self.right, ...]
            parts = [] if slopes is None else [slopes[:, q, ...] for q in range(slopes.shape[1])]
            for (rise, by_left, by_right), part in zip(self._weights, parts, strict=True):
                right = by_right * part
                ends = ends + rise * part / (2 * self.ends.half) + _adjoint_times(at_ends, right)
                nodes[self.left, ...] += by_left * part
                nodes[self.right, ...] += right
            ends = self._solved(ends, adjoint=True)
            by_left, by_right, both = self.ends.pull_back(ends)
            nodes[self.left, ...] += both
            nodes[self.right, ...] += both
            matrices = xp.zeros_like(self.jacobians)
            matrices[self.left, ...] += by_left
            matrices[self.right, ...] += by_right
            beside = [weight * matrices[..., j] / self.steps[..., j, None] for j in range(n) for _, weight in STENCIL]
        return xp.concat([nodes, *beside])

    def _differences(self, forcing: Array) -> tuple[Array, Array]:
        """The forcing at the ends, and its derivatives by the state, `(m, B, n, n)`."""
        xp, n = self.xp, forcing.shape[-1]
        values = xp.reshape(forcing, (1 + len(STENCIL) * n, *self.steps.shape))
        return values[0, ...], _stencil(values[1:, ...], self.steps)

    def _solved(self, sides: Array, *, adjoint: bool = False) -> Array:
        """Changes δ_r of the right nodes that satisfy δ_r = (∂/∂δ_r) δ_r + `sides`; or the adjoint of that map."""
        xp = self.xp
        matrices = xp.eye(sides.shape[-1], dtype=sides.dtype) - self.by_right
        matrices = xp.matrix_transpose(conjugate(matrices)) if adjoint else matrices
        return solve_each(matrices, sides[..., None])[..., 0]

    @cached_property
    def _weights(self) -> list[tuple[float, float, float]]:
        """Weights of rise, left slope and right slope in each slope of the output; empty if slopes are not needed."""
        return _hermite.weights() if self.slopes.shape[1] else []


def exponential_tangents(rhs: RightHandSide, trial: PiecewisePolynomial, *, inside: bool) -> ExponentialTangents:
    """The model on a solved trial."""
    xp, points = trial.xp, trial.both_ends
    *batch, n = trial.y.shape[1:]
    count, left, right = points.t.shape[0], points.left, points.right
    flat = (count, -1, n)
    states = xp.reshape(points.y, flat)
    values = xp.reshape(rhs(points.t, points.y), flat)
    jacobians = xp.reshape(rhs.exact_jacobian(points.t, points.y), (*states.shape, n))
    steps = xp.reshape(step_sizes(points.y, power=POWER), flat)
    times = xp.concat([points.t] * (1 + len(STENCIL) * n))
    units = xp.eye(n, dtype=trial.y.dtype)
    beside = [states + place * steps * units[j, :] for j in range(n) for place, _ in STENCIL]
    stacked = xp.reshape(xp.concat([states, *beside]), (-1, *batch, n))
    second = rhs.second_derivatives(points.t, points.y)  # (..., i, l, j)
    around = None if second is not None else rhs.exact_jacobian(times[count:], stacked[count:, ...])
    with quiet():
        if around is not None:
            second = _stencil(xp.reshape(around, (-1, *jacobians.shape)), steps)
        second = xp.reshape(second, (*jacobians.shape, n))
        ends = _ends(trial, values, jacobians)
        nothing = xp.zeros_like(jacobians[right, ...])
        by_left = xp.stack([ends.change(second[left, ..., j], nothing) for j in range(n)], axis=-1)
        by_right = xp.stack([ends.change(nothing, second[right, ..., j]) for j in range(n)], axis=-1)
        eye = xp.eye(n, dtype=states.dtype)
        propagators = solve_each(eye - by_right, ends.exp + by_left)
        slopes = [
            rise * (propagators - eye) / (2 * ends.half[..., None])
            + on_left * jacobians[left, ...]
            + on_right * (jacobians[right, ...] @ propagators)
            for rise, on_left, on_right in (_hermite.weights() if inside else [])
        ]
    C = xp.stack(slopes, axis=1) if slopes else xp.zeros_like(propagators[:, None, ...])[:, :0, ...]
    return ExponentialTangents(times, stacked, propagators, C, ends, jacobians, by_right, steps, left, right)


def _ends(trial: PiecewisePolynomial, values: Array, jacobians: Array) -> Ends:
    """The parts of the model, from the right-hand sides and Jacobians at the ends of the intervals."""
    xp, points = trial.xp, trial.both_ends
    left, right = points.left, points.right
    states = xp.reshape(points.y, values.shape)
    half = xp.astype(xp.reshape(trial.steps, (-1, 1, 1)), states.dtype) / 2
    z = values - _times(jacobians, states)
    X = half[..., None] * (jacobians[left, ...] + jacobians[right, ...])
    exp, phi = exponential(X)
    return Ends(half, X, half * (z[left, ...] + z[right, ...]), states[left, ...], states[right, ...], exp, phi)


def frechet(X: Array, direction: Array) -> tuple[Array, Array]:
    """Fréchet derivatives of exp and φ₁ at the matrices X `(..., n, n)`."""
    xp, n = array_namespace(X), X.shape[-1]
    upper = xp.concat([X, direction], axis=-1)
    lower = xp.concat([xp.zeros_like(X), X], axis=-1)
    exp, phi = exponential(xp.concat([upper, lower], axis=-2))
    return exp[..., :n, n:], phi[..., :n, n:]


def _stencil(values: Array, steps: Array) -> Array:
    """Derivatives `(m, B, …, n)` by the components, from values `(n * 4, m, B, …)` beside the ends."""
    xp, n, count = array_namespace(values), steps.shape[-1], len(STENCIL)
    columns = []
    for j in range(n):
        total = sum(weight * values[j * count + k, ...] for k, (_, weight) in enumerate(STENCIL))
        columns.append(total / xp.reshape(steps[..., j], (*steps.shape[:-1], *(1,) * (total.ndim - 2))))
    return xp.stack(columns, axis=-1)


def _times(matrices: Array, vectors: Array) -> Array:
    """Products of matrices and vectors."""
    return (matrices @ vectors[..., None])[..., 0]


def _adjoint_times(matrices: Array, vectors: Array) -> Array:
    """Products of adjoint matrices and vectors."""
    return _times(array_namespace(matrices).matrix_transpose(conjugate(matrices)), vectors)


def _outer(left: Array, right: Array) -> Array:
    """Outer products `left rightᴴ`."""
    return left[..., :, None] * conjugate(right)[..., None, :]
