"""Effects of small changes of the states, and of parameters, on the right-hand side along a solution."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, random_signs
from ..._functions.parameters import Leaf, Tree, has_integers, leaves, like
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial

POWER = 1 / 2
"""Changes are ε to this power: small enough to lead across a jump from hardly any place."""

FAR, LEAST, MOST = 1e3, 1e-5, 0.1
"""
Errors of derivatives above which steps are too long for them: so many relative tolerances, and bounds of that.

Where steps follow the solution, errors of derivatives are a few tolerances.
"""


def allowed(rtol: float) -> float:
    """Largest error of a derivative that is left as it is."""
    return min(max(FAR * rtol, LEAST), MOST)


class Look(NamedTuple):
    """
    The effect of a small change of arguments on the right-hand side.

    Attributes
    ----------
    along : callable
        The effect at times `(m,)` and states `(m, *batch, n)`, in rows; and the values of the right-hand side there,
        whose rounding is the noise of the effect.
    change : array, shape (*batch, n), or None
        The change of the states, if these are changed: effects count relative to it. Otherwise, they count relative to
        the effect along the whole solution.
    """

    along: Callable[[Array, Array], tuple[Array, Array]]
    change: Array | None = None


def at_states(rhs: Callable[[Array, Array], Array], solution: PiecewisePolynomial) -> Look:
    """The effect of a change of all states."""
    xp, y = solution.xp, solution.y
    change = machine_epsilon(y.dtype) ** POWER * sizes_of(y) * random_signs(y.shape[1:], y, seed=4)

    def along(t: Array, states: Array) -> tuple[Array, Array]:
        return _less(rhs(t, states), rhs(t, states + change), rhs(t, states - change))

    return Look(along, xp.abs(change))


def at_parameters(rhs: RightHandSide, solution: PiecewisePolynomial) -> Look | None:
    """The effect of a change of all numbers in arguments; None without numbers, or where `fun` rejects changed ones."""
    base, up, down = (
        rhs.with_args(tuple(_changed(tree, sign) for tree in rhs.args)) if sign else rhs.with_args(rhs.args)
        for sign in (0.0, 1.0, -1.0)
    )
    if all(one is other for one, other in zip(up.args, rhs.args, strict=True)):
        return None
    try:
        with quiet():
            for one in (up, down):
                one(solution.t[:1], solution.y[:1, ...])
    except Exception:  # the function may reject other values
        return None
    return Look(lambda t, states: _less(*(one(t, states) for one in (base, up, down))))


def _less(base: Array, up: Array, down: Array) -> tuple[Array, Array]:
    """The smaller one of two changes of values: one may lead across a jump, or a kink, that others deal with."""
    xp, ahead, behind = array_namespace(base), up - base, base - down
    return xp.where(xp.abs(ahead) <= xp.abs(behind), ahead, behind), base


def _changed(tree: Tree, sign: float) -> Tree:
    """An argument with all of its numbers changed by a small share; itself if it holds others."""
    with suppress(TypeError, ValueError):
        own = list(leaves("", tree).values())
        if own and not has_integers(tree):
            return like(tree, iter([moved(leaf, sign) for leaf in own]))
    return tree


def moved(leaf: Leaf, sign: float) -> Leaf:
    """A number or an array with a change of random signs."""
    if isinstance(leaf, float | complex):
        return leaf + sign * machine_epsilon("float64") ** POWER * (leaf or 1.0)
    xp = array_namespace(leaf)
    size = xp.where(leaf == 0, xp.ones_like(leaf), leaf)
    return leaf + sign * machine_epsilon(leaf.dtype) ** POWER * size * random_signs(tuple(leaf.shape), leaf, seed=5)


def sizes_of(states: Array) -> Array:
    """
    Largest sizes `(*batch, n)` of the components over all nodes, from states `(m, *batch, n)`.

    A component that is zero throughout has the size of the largest one.
    """
    xp = array_namespace(states)
    sizes = xp.max(xp.abs(states), axis=0)
    largest = xp.max(sizes)
    return xp.where(sizes > 0, sizes, xp.where(largest > 0, largest, xp.ones_like(largest)))
