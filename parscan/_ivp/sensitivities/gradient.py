"""Gradients with respect to parameters: what adjoint forcings make of the right-hand side's derivative by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..._arrays.namespace import Array, array_namespace, conjugate, copy
from ..._functions.by_parameters import of_argument
from ..._functions.moved_jumps import warn_of_moved_jumps
from ..._functions.parameters import Chosen, Tree, as_same_structure, choose, leaves, reject_nothing
from ..._functions.right_hand_side import RightHandSide
from .forcing import Forcing

SAMPLE = 64
"""Points on which steps of differences are tried."""


@dataclass(frozen=True, eq=False)
class Function:
    """The right-hand side as a step of a recurrence without inputs, which gradients are made for."""

    rhs: RightHandSide
    times: Array
    x: None = None

    @property
    def args(self) -> tuple[Any, ...]:
        """Further arguments."""
        return self.rhs.args

    @property
    def function(self) -> Callable[..., Any]:
        """The user's own, after its time: a state is its first argument."""
        return partial(self.rhs.function, None)

    def varied(self, y: Array, x: None, args: tuple[Any, ...], times: slice) -> Array:
        """Right-hand sides with other arguments."""
        return self.rhs.with_args(args)(self.times[times], y)


class Points:
    """Points of a trajectory at which the right-hand side is forced, as those of a recurrence's solution."""

    stacks = True

    def __init__(self, rhs: RightHandSide, times: Array, states: Array) -> None:
        self.step = Function(rhs, times)
        self.y0 = states[0, ...]
        self._states = states

    def before(self, begin: int, end: int) -> Array:
        """Some of the states, in memory of their own."""
        return copy(self._states[begin:end, ...])

    def sample(self) -> Iterator[tuple[slice, Array]]:
        """A few of them."""
        count = self._states.shape[0]
        times = slice(0, count, max(1, -(-count // SAMPLE)))
        yield times, copy(self._states[times, ...])


Pull = Callable[[], tuple[Array, ...]]
"""Times `(m,)`, states and adjoint forcings `(m, *batch, n)`."""


def by_forcing(rhs: RightHandSide, pull: Pull, forcing: Callable[..., Any]) -> Array:
    """Products with what the user's `forcing` gives: one number, or one per parameter."""
    times, states, adjoint = pull()
    given = Forcing(forcing, rhs)
    values = given(times, states)
    xp = array_namespace(values)
    products = conjugate(values) * adjoint[..., None]
    sums = xp.sum(products, axis=tuple(range(products.ndim - 1)))
    return sums if given.many else sums[0]


def by_parameters(rhs: RightHandSide, pull: Pull, params: Any, vjp: Callable[..., Any] | None) -> Tree:
    """By the user's vector-Jacobian product, or by differences, in the structure of the parameters."""
    chosen = choose(params, Function(rhs, array_namespace(rhs.y0).zeros(0)))
    reject_nothing(chosen, vjp)
    for name, tree in zip(chosen.names, chosen.trees(None, rhs.args), strict=True):
        leaves(name, tree)  # raises for what has no gradient, before any work is done
    times, states, adjoint = pull()
    if vjp is not None:
        return _by_product(rhs, times, states, adjoint, chosen, vjp)
    points = Points(rhs, times, states)
    warn_of_moved_jumps(points, adjoint, chosen, in_time=True)
    return chosen.joined([of_argument(points, adjoint, int(key)) for key in chosen.keys])


def _by_product(
    rhs: RightHandSide, times: Array, states: Array, adjoint: Array, chosen: Chosen, vjp: Callable[..., Any]
) -> Tree:
    """One call with all points; what it returns is the result, if there are no arguments to compare it with."""
    value = rhs.evaluate(partial(vjp, copy(array_namespace(adjoint).moveaxis(adjoint, -1, 0))), times, states)
    return as_same_structure("the result", value, chosen.joined(chosen.trees(None, rhs.args))) if chosen.keys else value
