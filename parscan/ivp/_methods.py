"""The methods for initial value problems: collocation in parallel over time, and SciPy's sequential ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .._arrays import Array, machine_epsilon
from ._arguments import Problem
from ._dense_output import DenseOutput
from ._function import RightHandSide
from ._march import Task
from ._start import by_scipy
from ._stepper import by_stepping
from ._tableaux import Tableau, gauss, radau
from ._trial import Scale
from ._warm import FromGuess, OnMesh, Starter

COLLOCATION: dict[str, Callable[[int], Tableau]] = {"Radau": radau, "Gauss": gauss}
"""Families of collocation methods, by the number of stages."""

SEQUENTIAL = ("RK23", "RK45", "BDF", "LSODA")
"""Methods that are SciPy's own."""

NAMES = ("auto", *COLLOCATION, *SEQUENTIAL)
"""All that `method` may be, but for classes of SciPy's solvers."""

STAGES = ((1e-5, 3), (1e-9, 5), (0.0, 7))
"""Stages by the relative tolerance: the first row whose tolerance is not larger."""

COARSE = 1e-4
"""Relative tolerance of the start: looser ones cost more meshes and windows than they save."""

LOOSE = 3e-4
"""Relative tolerance from which on the start would be as good as the solution: `auto` returns SciPy's LSODA."""


def stages_for(rtol: float) -> int:
    """Stages that a tolerance wants."""
    return next(stages for least, stages in STAGES if rtol >= least)


def choose(method: Any, problem: Problem, *, stacks: bool) -> tuple[Any, str]:
    """The method to use, a name or a class of SciPy's, and the reason if it is `auto`'s."""
    if isinstance(method, type):
        return method, ""
    if method not in NAMES:
        raise ValueError(f"`method` must be one of {', '.join(NAMES)} or an OdeSolver class of SciPy, got {method!r}.")
    if method != "auto":
        return method, ""
    sequential = "RK45" if problem.is_complex else "LSODA"
    if problem.is_plain and not stacks:
        return sequential, "`fun` cannot be called for many times at once"
    if problem.is_plain and problem.rtol >= LOOSE:
        return sequential, "the tolerance is loose"
    return "Radau", ""


def make_task(
    problem: Problem, rhs: RightHandSide, tableau: Tableau, guess: DenseOutput | None, mesh: Array | None
) -> Task:
    """The problem as the march takes it."""
    rtol, atol = problem.rtol, problem.atol
    enough = max(10 * machine_epsilon(problem.y0.dtype) / rtol, min(0.03, rtol**0.5))  # as in SciPy's Radau
    coarse = max(COARSE, rtol)
    options = {"rtol": coarse, "atol": atol * (coarse / rtol), "max_step": problem.max_step}
    sequential = by_scipy if problem.is_plain and not problem.is_complex else by_stepping
    start: Starter = partial(sequential, rhs, **options)
    if guess is not None:
        start = FromGuess(guess, start)
    if mesh is not None:
        start = OnMesh(mesh, start)
    return Task(rhs, tableau, Scale(rtol, atol), enough, start)
