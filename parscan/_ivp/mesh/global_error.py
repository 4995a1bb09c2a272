"""The errors of the nodes of a mesh: those of all intervals before, which grow or shrink along the solution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from ..._arrays.cached import cached_property
from ..._arrays.elementwise import ratio
from ..._arrays.memory import nodes_that_fit
from ..._arrays.namespace import (
    Array,
    Namespace,
    all_finite,
    array_namespace,
    machine_epsilon,
    quiet,
    random_signs,
)
from ..._functions.right_hand_side import RightHandSide
from ..._kernels.dispatch import affine_scan
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..methods.discretisation import Discretisation

ALLOWED, BETWEEN = 3.0, 10.0
"""Largest error of the last state, in tolerances, with which a mesh is accepted, and how much larger others may be."""

BAD = 100.0
"""Largest error of the last state, in tolerances, of a success."""

FIXED = 10.0
"""How far errors may grow, in tolerances, on a mesh that is kept: only `BAD` ones are told there."""

ROUNDINGS = 1.0
"""Spacings of the numbers by which every interval is taken to change a state."""

EXPLAINED = 10.0
"""How many times as large as the estimated one the effect of rounding may be."""

SENSITIVE = 10.0
"""Growth of small changes along a mesh from which on errors of Jacobians by differences would grow on, too."""

MOST = 1e6
"""Largest factor by which an error is to fall on the next mesh: estimates that are larger say little."""


@dataclass(frozen=True, eq=False)
class Grown:
    """
    What errors and rounding have become at the node after each interval.

    Parameters
    ----------
    errors, roundings : array, shape (N, *batch, n)
        Estimated errors of the states, and what rounding may change.
    unit, largest : array, shape (N, *batch, n) and (*batch, n)
        Tolerances of the states, and their largest sizes: no error counts as larger. As sizes of components count those
        at both ends of an interval, but that of the last state alone.
    is_known : bool
        Whether a finer method told the errors; otherwise they are small, and only their size is roughly known.
    """

    errors: Array
    roundings: Array
    unit: Array
    largest: Array
    is_known: bool

    @cached_property
    def sizes(self) -> Array:
        """Largest errors after each interval, `(N,)`, in tolerances."""
        return _sizes(self.errors, self.unit, self.largest)

    @cached_property
    def floors(self) -> Array:
        """The same of rounding."""
        return _sizes(self.roundings, self.unit, self.largest)

    @property
    def share_of_state(self) -> float:
        """The error of the last state as a share of the largest size of its component, unless that is always zero."""
        xp = array_namespace(self.errors)
        with quiet():
            shares = ratio(xp, xp.abs(self.errors[-1, ...]), self.largest)
        return float(xp.max(xp.where(self.largest == 0, xp.zeros_like(shares), shares)))

    @property
    def excess(self) -> float:
        """Factor by which the errors are too large."""
        return excess(self.sizes, self.floors)

    def along(self, propagators: Array, trial: PiecewisePolynomial) -> Grown:
        """The same with what rounding becomes by other propagators."""
        y = trial.y
        signs = random_signs(tuple(y[1:, ...].shape), y, seed=0)
        with quiet():
            return replace(self, roundings=affine_scan(propagators, signs * _rounded(array_namespace(y).abs(y))))

    def after(self, before: Grown | None, propagators: Array) -> Grown:
        """The same together with what has grown before, in the window that ends at the first state."""
        if before is None:
            return self
        nothing = array_namespace(self.errors).zeros_like(self.errors)
        with quiet():
            errors = self.errors + affine_scan(propagators, nothing, before.errors[-1, ...])
            roundings = self.roundings + affine_scan(propagators, nothing, before.roundings[-1, ...])
        return replace(self, errors=errors, roundings=roundings, is_known=self.is_known or before.is_known)


def excess(sizes: Array, floors: Array) -> float:
    """Factor by which errors `(N,)` are too large; 1 if they are small enough, not known, or caused by rounding."""
    xp = array_namespace(sizes)
    error = max(float(sizes[-1]), float(xp.max(sizes)) / BETWEEN)
    return min(above(error, float(xp.max(floors)), ALLOWED), MOST)


def above(error: float, floor: float, allowed: float) -> float:
    """
    Factor by which an error is too large; 1 if it is allowed.

    As much as rounding may change is always allowed. If that is `BAD`, no method finds the solution, and `EXPLAINED`
    times as much is allowed: errors that are larger still are not those of rounding.
    """
    floor = max(1.0, floor)
    return error / floor if error > (EXPLAINED if floor > BAD else allowed) * floor else 1.0


def is_unexplained(error: float, floor: float) -> bool:
    """Whether an error of the last state makes a solve fail: it is large, and rounding does not explain it."""
    return error > max(BAD, EXPLAINED * floor)


def grown(
    method: Discretisation,
    rhs: RightHandSide,
    trial: PiecewisePolynomial,
    propagators: Array,
    errors: Array,
    scale: Scale,
    reliance: float,
) -> Grown:
    """
    Errors of the nodes of a solved trial, whose intervals have the estimated `errors` `(N,)` in tolerances.

    They are the changes of the nodes by one Newton iteration of a finer method. It is left out where errors of the
    estimated sizes, with random signs, grow to `reliance` tolerances at most.
    """
    xp, y = trial.xp, trial.y
    signs, sizes = random_signs(tuple(y[1:, ...].shape), y, seed=0), xp.abs(y)
    largest, unit = xp.max(sizes, axis=0), _unit(xp, sizes, scale)
    with quiet():
        column = xp.reshape(xp.astype(errors, unit.dtype, copy=False), (-1, *(1,) * (y.ndim - 1)))
        moved = _rounded(sizes), column * unit
        roundings, supposed = (affine_scan(propagators, signs * xp.astype(one, signs.dtype)) for one in moved)
        found = Grown(supposed * (ALLOWED / reliance), roundings, unit, largest, is_known=False)
        if float(xp.max(_sizes(supposed, unit, largest))) <= reliance:
            return found
        finer = method.finer(y.shape[-1])
        changes = finer.correct(rhs, trial.resampled(trial.mesh, finer.output), scale).trial.y[1:, ...] - y[1:, ...]
        return replace(found, errors=changes, is_known=True) if all_finite(changes) else found


def accurate_propagators(
    method: Discretisation,
    rhs: RightHandSide,
    trial: PiecewisePolynomial,
    propagators: Array,
    found: Grown,
    rtol: float,
) -> Array:
    """
    Propagators by accurate Jacobians, where those by differences would spoil what errors become; or the given ones.

    Errors are carried on along orbits that are close to a centre, say: an error of a time grows a million times there
    and shrinks again, and small errors of propagators leave much of it.
    """
    growth = float(trial.xp.max(found.floors)) * rtol / machine_epsilon(trial.y.dtype)
    if rhs.has_exact_jacobian or not found.is_known or not growth > SENSITIVE:
        return propagators
    xp, y, count = trial.xp, trial.y, trial.intervals
    size = nodes_that_fit(count, y[0, ...], method.tangent_matrices(y.shape[-1]) * y.shape[-1] ** 2)
    parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
    each = [method.tangent_linear(rhs, trial.part(part), inside=False).propagators for part in parts]
    accurate = xp.reshape(xp.concat(each), propagators.shape)
    return accurate if all_finite(accurate) else propagators


def _rounded(sizes: Array) -> Array:
    """What rounding changes a state by after each interval."""
    return ROUNDINGS * machine_epsilon(sizes.dtype) * sizes[1:, ...]


def _unit(xp: Namespace, sizes: Array, scale: Scale) -> Array:
    """Tolerances `(N, *batch, n)` of the states after each interval."""
    return scale.atol + scale.rtol * xp.concat([xp.maximum(sizes[:-2, ...], sizes[1:-1, ...]), sizes[-1:, ...]])


def _sizes(errors: Array, unit: Array, largest: Array) -> Array:
    """Largest errors after each interval, `(N,)`, in tolerances."""
    xp = array_namespace(errors)
    with quiet():
        found = ratio(xp, xp.minimum(xp.abs(errors), largest), unit)
    return xp.max(xp.reshape(found, (found.shape[0], prod(found.shape[1:]))), axis=1)
