"""Trajectories with nodes at crossings: of jumps in time, of thresholds of the state, and of kinks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from math import prod

from ..._arrays.namespace import Array
from ..core.polynomial import PiecewisePolynomial
from .between_crossings import ROUNDS, SETTLED, BetweenCrossings
from .converge_fully import polished
from .crossing import REMEDY, Crossing, NoDerivativeError, warn_of_kinks
from .crossings import crossings
from .fixed_modes import fixed_along
from .jumping import TOUCH, Jumping
from .saltation import SAME
from .trajectory import Trajectory

APART = "Differentiate solutions of fewer members."

TOGETHER = 50_000
"""Crossings times members of a batch, at most: at each, all members get a node."""


def with_crossings(found: Jumping, trajectory: Trajectory) -> tuple[Trajectory, list[Crossing]]:
    """A trajectory with nodes at all crossings in time, and the crossings."""
    every, solution = crossings(found, trajectory.solution), trajectory.solution
    xp, known = solution.xp, set(solution.t.tolist())
    fresh = sorted({one.time for one in every if one.in_time} - known)
    if not fresh:
        return trajectory, every
    mesh = solution.mesh.broken_at(xp.asarray(fresh, dtype=solution.t.dtype)).with_breaks()
    refined = polished(trajectory.rhs, trajectory.method, solution.resampled(mesh)).solution
    return trajectory.on(refined), crossings(found, refined)


def followed(found: Jumping, trajectory: Trajectory) -> Trajectory:
    """The trajectory, solved anew from jump to jump with fixed modes, with kicks at these, and with nodes at kinks."""
    with suppress(NoDerivativeError):  # errors may be larger at jumps than elsewhere
        return _followed(found, trajectory)
    return _followed(replace(found, touch=TOUCH), trajectory)


def _followed(found: Jumping, trajectory: Trajectory) -> Trajectory:
    """The same, with places where thresholds are touched."""
    trajectory, every = with_crossings(found, trajectory)
    xp, solution = trajectory.solution.xp, trajectory.solution
    jumps, kinks = (_counting(found, [one for one in every if bool(one.moves) == is_jump]) for is_jump in (True, False))
    is_complex = solution.y.dtype.kind == "c"
    if bool(xp.any(jumps)):
        if is_complex:
            time = next(one.time for one in every if one.moves and bool(xp.any(one.counts)))
            raise NoDerivativeError(time, "the solution crosses a threshold of `fun`, and its states are complex")
        for flags in (jumps | kinks, jumps):
            if _are_few(solution, every, flags):
                if bool(xp.any(kinks & ~flags)):
                    _warn_of_many(every, kinks)
                return BetweenCrossings(trajectory, found, every, flags).followed()
        raise RuntimeError(f"members cross thresholds of `fun` at too many times for one mesh. {APART}")
    if is_complex or not bool(xp.any(kinks)):
        return trajectory  # a function that is complex differentiable has no kinks
    if not _are_few(solution, every, kinks):
        _warn_of_many(every, kinks)
        return trajectory
    return _with_kinks(found, trajectory, every, kinks)


def _warn_of_many(every: Sequence[Crossing], kinks: Array) -> None:
    """Warn of kinks at too many times."""
    time = next(one.time for one in every if bool((kinks & (one.before != one.after)).any()))
    warn_of_kinks(time, "members of the batch meet too many kinks of `fun` for one mesh")


def _are_few(solution: PiecewisePolynomial, every: Sequence[Crossing], flags: Array) -> bool:
    """Whether the members of a batch can have nodes at all crossings of some guards."""
    members = prod(solution.y.shape[1:-1])
    return members == 1 or members * sum(bool((flags & (one.before != one.after)).any()) for one in every) <= TOGETHER


def _counting(found: Jumping, every: Sequence[Crossing]) -> Array:
    """Flags of the guards that count at some crossings."""
    flags = found.xp.zeros(found.matters.shape, dtype=found.xp.bool)
    for one in every:
        flags = flags | one.counts
    return flags


def _with_kinks(found: Jumping, trajectory: Trajectory, every: list[Crossing], flags: Array) -> Trajectory:
    """
    A trajectory with nodes at all kinks that depend on the state, between which modes are fixed.

    At a kink, the right-hand side is continuous. If a node is off by ε, so is the solution by ε²: all nodes are put
    where the solution has its kinks, at once, and again where the new one has them: exactly there, since derivatives
    are off by ε times the change of the Jacobian.
    """
    given, xp = trajectory.solution, trajectory.solution.xp
    rhs, solution, last = trajectory.rhs.without_jacobian(), given, None
    for _ in range(ROUNDS):
        events = [one.exactly for one in every if bool(xp.any(flags & (one.before != one.after)))]
        times = xp.asarray([one.time for one in events], dtype=given.t.dtype)
        settled = SETTLED * float(xp.abs(given.t[-1] - given.t[0]))
        if last is not None and (last.shape != times.shape or bool(xp.all(xp.abs(times - last) <= settled))):
            break
        mesh = given.mesh.broken_at(xp.sort(times)).with_breaks()
        fixed = fixed_along(found, events, flags, solution)
        solution = polished(rhs.by(fixed), trajectory.method, solution.resampled(mesh)).solution
        last, every = times, crossings(found, solution)
    return Trajectory(rhs.by(fixed), trajectory.method, solution, trajectory.on(solution).kicks)


def beside_crossings(trajectory: Trajectory, times: Array, states: Array) -> Array:
    """The states at which users' functions are called: a little aside of crossings, where they may be on any side."""
    solution, xp = trajectory.solution, trajectory.solution.xp
    found = states
    for node in trajectory.kicks:
        at, way = solution.t[node], solution.direction
        for side, interval in ((-1.0, node - 1), (1.0, node)):
            length = xp.abs(solution.steps[interval])
            near = (xp.abs(times - at) <= SAME * length) & (side * way * (times - at) >= 0)
            if bool(xp.any(near)):
                aside = solution.evaluate(xp.reshape(at + side * way * SAME * length, (1,)))
                found = xp.where(xp.reshape(near, (-1, *(1,) * (states.ndim - 1))), aside, found)
    return found


def reject_crossings(trajectory: Trajectory) -> None:
    """Raise if thresholds of the state are crossed, for parameters with which the function cannot be recorded."""
    for node in trajectory.kicks:
        raise RuntimeError(
            f"at t = {float(trajectory.solution.t[node]):.6g}, the solution crosses a threshold of `fun`, which cannot "
            f"be recorded with these parameters as variables: they may move the threshold. {REMEDY}"
        )
