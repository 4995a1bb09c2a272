"""Checks that a solution still solves the problem: the user may have changed data that `fun` reads."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace, quiet
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..methods.discretisation import Discretisation

FAR = 300.0
"""Correction, in tolerances, above which the problem must have changed."""

CHANGED = (
    "the derivatives cannot be evaluated: `fun` no longer gives this solution. Something that it reads, `args` for "
    "example, has been changed since; solve again, or change copies."
)


def reject_changed(rhs: RightHandSide, method: Discretisation, solution: PiecewisePolynomial, scale: Scale) -> None:
    """Raise if a Newton iteration would change the solution by more than `FAR` tolerances where it is steepest."""
    if solution.y.size and not needed(rhs, method, steepest(solution, scale), scale) <= FAR:
        raise RuntimeError(CHANGED)


def needed(rhs: RightHandSide, method: Discretisation, solution: PiecewisePolynomial, scale: Scale) -> float:
    """Largest correction of a Newton iteration, in tolerances."""
    with quiet():
        sizes = method.correct(rhs, solution, scale).sizes
    return float(array_namespace(sizes).max(sizes))


def steepest(solution: PiecewisePolynomial, scale: Scale) -> PiecewisePolynomial:
    """The interval in which the solution changes most, with its neighbours."""
    xp = solution.xp
    changes = _changes(solution, scale)
    first = max(0, int(xp.argmax(changes)) - 1)
    last = min(first + 3, solution.intervals)
    return solution.part(slice(first, last))


def _changes(solution: PiecewisePolynomial, scale: Scale) -> Array:
    """Changes over the intervals, `(N,)`, in tolerances."""
    xp = solution.xp
    sizes = scale.relative(solution.y[1:, ...] - solution.y[:-1, ...], solution)
    return xp.where(xp.isfinite(sizes), sizes, xp.zeros_like(sizes))
