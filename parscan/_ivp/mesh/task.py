"""The task of a solve on a mesh: the method, the coarse solution and the tolerances, for a problem."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..._arrays.counts import as_count
from ..._arrays.namespace import Array, array_namespace, library
from ..._functions.right_hand_side import RightHandSide
from ..coarse.dop853 import by_dop853
from ..coarse.lsoda import by_lsoda
from ..coarse.rodas3 import by_stepping
from ..coarse.step_over_jump import follow
from ..coarse.steps import CoarseSolution
from ..coarse.stretches import over_breaks
from ..coarse.warm_start import Starter, from_guess, on_mesh
from ..core.mesh import Mesh, among, union
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from ..core.scale import Scale
from ..core.tableaux import FAMILIES, MOST_STAGES, Tableau
from ..methods.collocation import Collocation
from ..methods.discretisation import Discretisation
from ..methods.explicit import dop853, rk4
from ..methods.exponential import DEER
from .window import Task


def with_ends(times: Array, span: tuple[float, float]) -> Array:
    """Times of the output as a mesh over the whole span."""
    xp = array_namespace(times)
    begin, end = (xp.asarray([time], dtype=times.dtype) for time in span)
    inner = times[(times != span[0]) & (times != span[1])]
    return xp.concat([begin, inner, end])


def as_stages(stages: Any) -> int:
    """Stages of a collocation method."""
    count = as_count("stages", stages)
    if count > MOST_STAGES:
        raise ValueError(f"`stages` must be between 1 and {MOST_STAGES}, got {stages}.")
    return count


COLLOCATION = tuple(FAMILIES)
"""Methods that take a number of stages."""


def _collocation(family: Callable[[int], Tableau], stages: int, n: int) -> Discretisation:
    """The method of a family of tableaux with these numbers of stages and components."""
    return Collocation(family(stages), n)


PARALLEL: dict[str, Callable[[int, int], Discretisation]] = {
    **{name: partial(_collocation, family) for name, family in FAMILIES.items()},
    "RK4": lambda stages, n: rk4(),
    "DOP853": lambda stages, n: dop853(),
    "DEER": lambda stages, n: DEER(),
}
"""Methods that are parallel over time, by the numbers of stages and components."""


SMALL = 16
"""Numbers in the states of a batch up to which LSODA solves the whole batch as one state, for the coarse solution."""


TIGHTER = 0.1
"""Factor on the tolerances of a sequential solver whose steps are the result: its errors add up to ten tolerances."""


STAGES = ((1e-3, 3), (1e-7, 5), (0.0, 7))
"""Relative tolerances and numbers of stages: the first row applies whose tolerance is at most that of the problem."""


COARSE = 1e-4
"""Smallest relative tolerance of the coarse solution: looser ones cost more meshes and windows than they save."""


NOTHING = 1e-9
"""Where the user's absolute tolerance is zero, that of the coarse solution is this times its relative tolerance times
the largest component of the initial state."""


def discretise(name: str, problem: Problem, stages: Any) -> Discretisation:
    """The method of that name, with the given number of stages, or the one that suits the tolerance."""
    if stages is not None and name not in COLLOCATION:
        raise ValueError(f"`stages` is for {', '.join(COLLOCATION)}; {name} has its own.")
    if stages is None:
        stages = next(count for least, count in STAGES if problem.rtol >= least)
    return PARALLEL[name](as_stages(stages), problem.y0.shape[-1])


def make_task(
    problem: Problem,
    rhs: RightHandSide,
    method: Discretisation,
    guess: PiecewisePolynomial | None,
    mesh: Array | None,
    times: Array | None,
    window: int | None,
    *,
    between: bool = True,
    by_code: Callable[..., CoarseSolution] | None = None,
    share: float = 1.0,
) -> Task:
    """
    The task for a problem.

    `times` are the times of the output; `between`: states at other times are wanted, too.
    `by_code(span, y0, **options)` makes coarse solutions by machine code. Sequential steps in place of a window have
    this share of the tolerances.
    """
    if mesh is None and times is not None and method.is_on_output:
        mesh = with_ends(times, problem.span)
    if mesh is not None:
        mesh = Mesh(mesh, problem.breaks).with_breaks(near=0.0).t
    coarse = max(COARSE, problem.rtol)
    options = {"rtol": coarse, "atol": _loosened(problem, coarse), "max_step": problem.max_step}
    small = library(problem.y0) == "numpy" and problem.y0.size <= SMALL
    robust = by_lsoda if small or problem.is_plain else by_stepping
    sequential = robust if robust is by_lsoda else partial(by_dop853, robust)
    start: Starter = partial(by_code or partial(over_breaks, sequential, problem.breaks, rhs), **options)
    if guess is not None:
        start = from_guess(guess, start)
    if mesh is not None:
        start = on_mesh(mesh, start)
    tighter = TIGHTER * share
    exact = {"rtol": problem.rtol * tighter, "atol": problem.atol * tighter, "max_step": problem.max_step}
    follows = None if mesh is not None else partial(over_breaks, partial(follow, robust), problem.breaks, rhs, **exact)
    breaks = union(problem.breaks, mesh)
    at_nodes = mesh is not None and not between and (times is None or _are_nodes(times, mesh))
    return Task(
        rhs,
        method,
        Scale(problem.rtols, problem.atol),
        start,
        follows,
        window,
        problem.max_step,
        breaks,
        fixed=mesh is not None,
        at_nodes=at_nodes,
    )


def _are_nodes(times: Array, mesh: Array) -> bool:
    """Whether all of the times are nodes of a mesh in either direction."""
    xp = array_namespace(mesh)
    return times.shape[0] == 0 or bool(xp.all(among(times, xp.sort(mesh))))


def _loosened(problem: Problem, coarse: float) -> Array:
    """Absolute tolerance of the coarse solution.

    It is loosened by the same factor as the relative one, unless it would be zero or as large as the states.
    """
    xp = problem.xp
    useful = coarse * xp.max(xp.abs(problem.y0))
    loosened = xp.minimum(problem.atol * (coarse / problem.rtol), xp.maximum(problem.atol, useful))
    return xp.where(loosened > 0, loosened, NOTHING * xp.where(useful > 0, useful, xp.ones_like(useful)))
