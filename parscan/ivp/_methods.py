"""The methods for initial value problems: collocation in parallel over time, and SciPy's sequential ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from .._arrays import Array
from ._arguments import Problem
from ._collocation import Collocation
from ._dense_output import DenseOutput
from ._discretisation import Discretisation
from ._function import RightHandSide
from ._march import Task
from ._lsoda import by_lsoda
from ._stepper import by_stepping
from ._tableaux import gauss, radau
from ._trial import Scale
from ._warm import FromGuess, OnMesh, Starter

PARALLEL: dict[str, Callable[[int, int], Discretisation]] = {
    "Radau": lambda stages, n: Collocation(radau(stages), n),
    "Gauss": lambda stages, n: Collocation(gauss(stages), n),
}
"""Methods that are parallel over time, by the numbers of stages and components."""

SEQUENTIAL = ("RK23", "RK45", "BDF", "LSODA")
"""Methods that are SciPy's own."""

SPARSE = {"auto": "BDF", "Radau": "Radau"}
"""SciPy's methods that take the place of parscan's where the zeros of the Jacobian are given."""

NAMES = ("auto", *PARALLEL, *SEQUENTIAL)
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


@dataclass(frozen=True)
class Choice:
    """A method, whether SciPy has it do the work, and the reason if that is not simply what was asked for."""

    method: Any
    is_sequential: bool
    because: str = ""


def choose(method: Any, problem: Problem, options: dict[str, Any], stacks: Callable[[], bool]) -> Choice:
    """The method to use; `stacks()` tells whether `fun` takes many times at once, and is not asked without need."""
    if isinstance(method, type):
        return Choice(method, is_sequential=True)
    if method not in NAMES:
        raise ValueError(f"`method` must be one of {', '.join(NAMES)} or an OdeSolver class of SciPy, got {method!r}.")
    if method in SPARSE and "jac_sparsity" in options:
        return Choice(SPARSE[method], is_sequential=True, because="`jac_sparsity` was given")
    if method == "auto":
        return _choose_for(problem, options, stacks)
    return Choice(method, is_sequential=method in SEQUENTIAL)


def _choose_for(problem: Problem, options: dict[str, Any], stacks: Callable[[], bool]) -> Choice:
    """What `auto` chooses: the first reason that there is for a sequential solver, or else Radau."""
    if problem.is_plain:
        reasons: dict[str, Callable[[], bool]] = {
            "the bandwidths of the Jacobian were given": lambda: "lband" in options or "uband" in options,
            "the tolerance is loose": lambda: problem.rtol >= LOOSE,
            "`fun` cannot be called for many times at once": lambda: not stacks(),
        }
        for reason, holds in reasons.items():
            if holds():
                return Choice("RK45" if problem.is_complex else "LSODA", is_sequential=True, because=reason)
    return Choice("Radau", is_sequential=False)


def make_task(
    problem: Problem, rhs: RightHandSide, method: Discretisation, guess: DenseOutput | None, mesh: Array | None
) -> Task:
    """The problem as the march takes it."""
    rtol, atol = problem.rtol, problem.atol
    coarse = max(COARSE, rtol)
    options = {"rtol": coarse, "atol": atol * (coarse / rtol), "max_step": problem.max_step}
    sequential = by_lsoda if problem.is_plain and not problem.is_complex else by_stepping
    start: Starter = partial(sequential, rhs, **options)
    if guess is not None:
        start = FromGuess(guess, start)
    if mesh is not None:
        start = OnMesh(mesh, start)
    return Task(rhs, method, Scale(rtol, atol), start)
