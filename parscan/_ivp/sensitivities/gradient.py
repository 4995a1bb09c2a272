"""Gradients with respect to parameters: adjoint forcings times derivatives of the right-hand side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from ..._arrays.namespace import Array, array_namespace, conjugate, copy
from ..._functions.by_parameters import of_argument
from ..._functions.moved_jumps import warn_of_moved_jumps
from ..._functions.parameters import (
    Chosen,
    Tree,
    arguments_with_leaves,
    as_same_structure,
    choose,
    leaves,
    reject_nothing,
    told_of_differences,
)
from ..._functions.points import Points
from ..._functions.right_hand_side import RightHandSide
from ..._recorded.budget import NoCodeError
from .followed import beside_crossings, reject_crossings
from .forcing import Forcing
from .moving import Moving
from .recorded_gradient import by_parameters as of_recorded
from .trajectory import AdjointSolution, Trajectory

SAMPLE = 64
"""Number of points on which step sizes of differences are tried."""


class Course(Protocol):
    """The adjoint equations along a trajectory."""

    def solved(self, moving: Moving | None = None) -> tuple[AdjointSolution, Trajectory]:
        """Their solution, on the trajectory of parameters that move jumps if there are any, and the trajectory."""

    def moving(self, keys: Sequence[int]) -> Moving | None:
        """Of the arguments with these indices, those that the function can be recorded with; None if nothing moves."""

    def beside(self, adjoint: Array) -> Array:
        """Adjoint forcings, those at breakpoints moved to other stages, for parameters that may move a kink."""


def by_forcing(rhs: RightHandSide, course: Course, forcing: Callable[..., Any]) -> Array:
    """The gradient by the user's `forcing`: one number, or one for each parameter."""
    times, states, adjoint = _points_of(course)
    given = Forcing(forcing, rhs)
    values = given(times, states)
    xp = array_namespace(values)
    products = conjugate(values) * adjoint[..., None]
    sums = xp.sum(products, axis=tuple(range(products.ndim - 1)))
    return sums if given.many else sums[0]


def by_parameters(rhs: RightHandSide, course: Course, params: Any, vjp: Callable[..., Any] | None) -> Tree:
    """The gradient by the user's vector-Jacobian product, or by other derivatives, in the parameters' structure."""
    chosen = choose(params, partial(rhs.function, None), rhs.args)  # with the time bound, the state comes first
    reject_nothing(chosen, vjp)
    for name, tree in zip(chosen.names, chosen.trees(None, rhs.args), strict=True):
        leaves(name, tree)  # raises for parameters without a gradient, before any work
    if vjp is not None:
        return _by_product(rhs, *_points_of(course), chosen, vjp)
    keys = [int(key) for key in chosen.keys]
    moving = course.moving(keys)
    solved, trajectory = course.solved(moving)
    exact: dict[Any, Tree] = {}
    if moving is not None and solved.after is not None:
        times, states, adjoint = solved.points
        with suppress(NoCodeError):
            exact.update(moving.gradient(times, states, adjoint, solved.after))
    rest = replace(chosen, keys=tuple(key for key in keys if key not in exact))
    if rest.keys:
        reject_crossings(trajectory)
        exact |= dict(zip(rest.keys, _by_record_or_differences(rhs, solved, course, rest), strict=True))
    return chosen.joined([exact[key] for key in keys])


def of_parameters(rhs: RightHandSide) -> str:
    """What to say of parameters by which there are differences only; empty if there are none."""
    chosen, found = choose(None, partial(rhs.function, None), rhs.args), dict[str, list[str]]()
    for key, name in arguments_with_leaves(chosen, rhs.args):
        try:
            of_recorded(rhs, [key])
        except NoCodeError as refusal:
            found.setdefault(str(refusal), []).append(name)
    return "".join(f"; {part}" for part in told_of_differences("`fun`", found))


def _points_of(course: Course) -> tuple[Array, Array, Array]:
    """Times, states and adjoint forcings for a user's function."""
    solved, trajectory = course.solved()
    times, states, adjoint = solved.points
    return times, beside_crossings(trajectory, times, states), adjoint


def _by_record_or_differences(
    rhs: RightHandSide, solved: AdjointSolution, course: Course, chosen: Chosen
) -> list[Tree]:  # fmt: skip
    """The gradient by each parameter: exact where the function can be recorded with it, otherwise by differences."""
    times, states, adjoint = solved.points
    keys = [int(key) for key in chosen.keys]
    exact, jumpy = _recorded(rhs, times, states, adjoint, course.beside, keys)
    adjoint = course.beside(adjoint)
    points = points_of(rhs, times, states)
    checked = replace(chosen, keys=tuple(key for key in keys if key in jumpy or key not in exact))
    moving = warn_of_moved_jumps(points, adjoint, checked, in_time=True)
    return [
        exact[key] if key in exact else of_argument(points, adjoint, key, moving, chosen.own_name(key)) for key in keys
    ]


def _recorded(
    rhs: RightHandSide, times: Array, states: Array, adjoint: Array, beside: Callable[[Array], Array], keys: list[int]
) -> tuple[dict[int, Tree], set[int]]:  # fmt: skip
    """Gradients by the arguments with which the function can be recorded, all or one by one; which may move jumps."""
    found: dict[int, Tree] = {}
    jumpy: set[int] = set()
    if not states.size or not keys:
        return found, jumpy
    groups = [keys] if len(keys) == 1 else [keys, *([key] for key in keys)]
    for group in groups:
        with suppress(NoCodeError):
            recorded = of_recorded(rhs, group)
            moving = {key for key in group if recorded.moves_jumps(key)}
            if moving:
                found |= recorded.gradient(times, states, beside(adjoint))
            if len(moving) < len(group):  # where nothing moves, the adjoint is exact as it is
                exact = recorded.gradient(times, states, adjoint)
                found |= {key: exact[key] for key in group if key not in moving}
            jumpy |= moving
        if len(found) == len(set(keys)):
            break
    return found, jumpy


def points_of(rhs: RightHandSide, times: Array, states: Array) -> Points:
    """The points of the adjoint forcings, with the right-hand side as a function of states without inputs."""
    count = states.shape[0]

    def values(y: Array, x: None, args: tuple[Any, ...], some: slice) -> Array:
        return rhs.with_args(args)(times[some], y)

    def before(begin: int, end: int) -> Array:
        return copy(states[begin:end, ...])

    def sample() -> Iterator[tuple[slice, Array]]:
        some = slice(0, count, max(1, -(-count // SAMPLE)))
        yield some, copy(states[some, ...])

    return Points(values, rhs.args, None, states[0, ...], before, sample, stacks=True)


def _by_product(
    rhs: RightHandSide, times: Array, states: Array, adjoint: Array, chosen: Chosen, vjp: Callable[..., Any]
) -> Tree:
    """The result of one call of `vjp` with all points; it may be of any form if there are no parameters."""
    value = rhs.evaluate(partial(vjp, copy(array_namespace(adjoint).moveaxis(adjoint, -1, 0))), times, states)
    return as_same_structure("the result", value, chosen.joined(chosen.trees(None, rhs.args))) if chosen.keys else value
