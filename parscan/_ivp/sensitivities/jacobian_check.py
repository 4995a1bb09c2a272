"""Which Jacobians are exact: derivatives need exact ones, Newton's method only close ones."""

from __future__ import annotations

from dataclasses import dataclass

from ..._arrays.elementwise import is_complex, rows_of
from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, random_signs
from ..._functions.code import Code
from ..._functions.coupling import couples_members
from ..._functions.differences import POWER, step_sizes
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import agree, has_no_derivative, misses_change
from ..._linalg.dense import Dense
from ..._recorded.budget import NoCodeError

SAMPLE = 32
"""Points at which the Jacobian is checked."""

FEW = 0.25
"""Share of the points at which the Jacobian may be wrong, at a kink for example."""


UNLIKE = "gave other values or slopes than its recorded operations"

UNASKED = "is not recorded, as `compile=False` asks"

BY_JAC, EXACT, BY_DIFFERENCES = "by `jac`", "exact, by the recorded operations of `fun`", "by differences"
"""Where Jacobians come from."""


@dataclass(frozen=True)
class Linearised:
    """A right-hand side, and in words what its Jacobians come from."""

    rhs: RightHandSide
    source: str


def exactly_linearised(rhs: RightHandSide, t: Array, states: Array) -> Linearised:
    """
    The right-hand side with the best Jacobians: the user's, of its recorded operations, or differences.

    The first two must agree with differences at a sample of points.

    Raises
    ------
    RuntimeError
        If states are complex, and the right-hand side has no complex derivative; or if members of a batch depend on
        each other.
    """
    if states.size == 0:
        return Linearised(rhs, BY_JAC if rhs.has_jacobian else BY_DIFFERENCES)
    if is_complex(states) and _has_no_derivative(rhs, t, states):
        raise RuntimeError(
            "`fun` is not complex differentiable, as with np.abs(y) or np.conj(y); complex solutions have no "
            "derivatives then. Solve for the real and imaginary parts as components of a real state."
        )
    if states.ndim > 2 and _couples(rhs, t, states):
        raise RuntimeError(
            "in `fun`, members of the batch depend on each other, and derivatives are found member by member. Make one "
            "state of all members: solve for y of shape (n,), with the axes of the batch among the components."
        )
    if rhs.has_jacobian:
        if _is_exact(rhs, t, states):
            return Linearised(rhs, BY_JAC)
        rhs = rhs.without_jacobian()
    if rhs.recorder is None:
        return Linearised(rhs, f"{BY_DIFFERENCES}: `fun` {UNASKED}")
    try:
        code = rhs.recorder()
        if _has_values(rhs, code, t, states) and _is_exact(found := rhs.derived_by(code), t, states):
            return Linearised(found, EXACT)
        reason = UNLIKE
    except NoCodeError as error:
        reason = str(error)
    return Linearised(rhs, f"{BY_DIFFERENCES}: `fun` {reason}")


def _some(t: Array, states: Array) -> tuple[Array, Array]:
    """A sample of the points."""
    xp, count = array_namespace(states), states.shape[0]
    some = xp.arange(0, count, max(1, -(-count // SAMPLE)))
    return xp.take(t, some), xp.take(states, some, axis=0)


def _has_values(rhs: RightHandSide, code: Code, t: Array, states: Array) -> bool:
    """Whether the function has the values of code, up to rounding."""
    t, states = _some(t, states)
    with quiet():
        found = code.values(t, states)
        return agree(found, rhs(t, states), machine_epsilon(states.dtype) ** 0.5, t, states, rhs)


def _is_exact(rhs: RightHandSide, t: Array, states: Array) -> bool:
    """Whether the Jacobian is exact at most of a sample of points."""
    t, states = _some(t, states)
    try:
        with quiet():
            off = _off(rhs, t, states)
    except Exception:  # `fun` may reject states beside the solution; then no comparison is possible
        return True
    return off <= FEW * t.shape[0]


def _couples(rhs: RightHandSide, t: Array, states: Array) -> bool:
    """Whether members of a batch depend on each other, at a sample of points."""
    t, states = _some(t, states)
    return couples_members(lambda y: rhs(t, y), states)


def _has_no_derivative(rhs: RightHandSide, t: Array, states: Array) -> bool:
    """Whether changes along the imaginary axis are others than along the real one, at a part of a sample of points."""
    xp, (t, states) = array_namespace(states), _some(t, states)
    change = random_signs(states.shape, states, seed=0) * step_sizes(states, power=POWER)
    try:
        with quiet():
            off = has_no_derivative(lambda y: rhs(t, y), states, change)
    except Exception:  # `fun` may reject states beside the solution; then no comparison is possible
        return False
    return len(rows_of(xp, off)) > FEW * t.shape[0]


def _off(rhs: RightHandSide, t: Array, states: Array) -> int:
    """Number of points at which the Jacobian does not predict the effect of a change of all components."""
    xp = array_namespace(states)
    change = random_signs(states.shape, states, seed=0) * step_sizes(states, power=POWER)
    matrices = rhs.jacobian(t, states, states)

    def carried(values: Array) -> Array:  # large terms may cancel in a value: rounding is relative to them
        return xp.maximum(xp.abs(values), xp.sum(xp.abs(matrices) * xp.abs(states)[..., None, :], axis=-1))

    return len(rows_of(xp, misses_change(lambda y: rhs(t, y), Dense(), matrices, states, change, carried)))
