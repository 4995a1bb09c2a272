"""The methods for initial value problems: collocation in parallel over time, and SciPy's sequential ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

from .._arrays.namespace import library
from .._engine.termination import Termination
from .._functions.raised import Raised
from .core.choice import BANDS, Choice
from .core.problem import Problem
from .mesh.task import PARALLEL, TIGHTER

JUMPING = "RK45"
"""SciPy's solver that goes on where others make no headway at jumps: of its orders, it takes fewest calls then."""

HARDLY_TIGHTER = 0.3
"""The same for DOP853 and BDF, whose errors are some tolerances."""

WIDE = 24
"""Members from which `auto` steps a batch through time as one; fewer are solved faster by Newton's method on a mesh."""

SEQUENTIAL = ("RK23", "RK45", "BDF", "LSODA")
"""Methods that are SciPy's own."""


SPARSE = {"auto": "BDF", "Radau": "Radau"}
"""SciPy's methods that take the place of parscan's where the zeros of the Jacobian are given."""

WHOLE_STEPS = 500
"""Steps of BDF on complex states that seem to have complex derivatives: without these it takes very short ones."""

STARTS = 9
"""Starts of LSODA: behind a jump, its steps may stay short for ever, unless it starts anew."""

ENDLESS = {"auto": "Radau", "Radau": "Radau", "DOP853": "DOP853"}
"""SciPy's methods that take their place where only an event ends the span: LSODA chooses its first step by the end."""

NAMES = ("auto", *PARALLEL, *SEQUENTIAL)
"""All that `method` may be, but for classes of SciPy's solvers."""


LOOSE = 3e-4
"""Relative tolerance from which on the start would be as good as the solution: `auto` returns SciPy's LSODA."""

MANY = 12
"""Components above which `auto` leaves a single problem to LSODA: the cube of their number costs more than calls.

Measured on heat equations, Brusselators by lines and chains of oscillators; the crossover is between 8 and 20.
"""


MANY_COMPONENTS = "there are many components (pass `jac_sparsity` if most entries of the Jacobian are zero)"
"""The reason for LSODA then, with what may be faster."""


def _patient(method: str, because: str, share: float, *, pairs: bool = False) -> Choice:
    """A solver of SciPy's that makes way where `fun` jumps to and fro: for one of one step, with error control."""
    explicit = Choice(JUMPING, True, "`fun` jumps to and fro")
    starts = STARTS if method == "LSODA" else 1
    return Choice(method, True, because, share, otherwise={Termination.STUCK: explicit}, pairs=pairs, starts=starts)


def _of_complex(because: str, share: float) -> Choice:
    """DOP853 for complex states, and where they are stiff, BDF for their parts: it takes fewest Jacobians."""
    share = max(share, HARDLY_TIGHTER)
    pairs = _patient("BDF", "they are stiff", share, pairs=True)
    otherwise = {**pairs.otherwise, Termination.LONG: pairs}
    then = replace(pairs, otherwise=otherwise, most_steps=WHOLE_STEPS, while_analytic=True)
    return replace(_patient("DOP853", because, share), otherwise={**then.otherwise, Termination.STIFF: then})


def choose(
    method: Any, problem: Problem, options: dict[str, Any], stacks: Callable[[], bool], *, on_mesh: bool
) -> Choice:
    """The method to use; `stacks()` tells whether `fun` takes many times at once, and is not asked without need.

    `on_mesh` says that something was given that only methods on a mesh know.
    """
    if not isinstance(method, type) and method not in NAMES:
        raise ValueError(f"`method` must be one of {', '.join(NAMES)} or an OdeSolver class of SciPy, got {method!r}.")
    if isinstance(method, type) or method in SEQUENTIAL:
        return _scipys(problem, Choice(method, is_sequential=True, pairs=problem.is_complex and method == "LSODA"))
    if method in SPARSE and "jac_sparsity" in options:
        zeros = "`jac_sparsity` was given"
        return _scipys(problem, Choice(SPARSE[method], is_sequential=True, because=zeros, pairs=problem.is_complex))
    if problem.is_endless:
        return _choose_endless(method, problem, on_mesh=on_mesh)
    if method != "auto" or on_mesh:
        return Choice("Radau" if method == "auto" else method)
    return _choose_single(problem, options, stacks) if problem.is_plain else _choose_batch(problem)


def _scipys(problem: Problem, choice: Choice) -> Choice:
    """The choice, if SciPy takes the problem."""
    if problem.is_plain:
        return choice
    raise ValueError(
        f"`method` {choice.method!r} is SciPy's, which takes NumPy arrays of shape (n,), but `y0` has the shape "
        f"{(problem.y0.shape[-1], *problem.batch)} and is of {library(problem.y0)}; name one of {', '.join(PARALLEL)}."
    )


def _choose_endless(method: str, problem: Problem, *, on_mesh: bool) -> Choice:
    """SciPy's solver of the same name: without an end there is no mesh."""
    if on_mesh or method not in ENDLESS:
        raise ValueError(
            f"`t_span` must be finite for meshes, and for `method` {method!r}, got {problem.span}; "
            f"{' and '.join(ENDLESS)} without `mesh`, `guess`, `stages` and `window` take an end that is infinite."
        )
    share = TIGHTER if method == "auto" and problem.rtol < LOOSE else 1.0
    because = "`t_span` has no end"
    if method == "auto" and problem.is_complex:
        return _scipys(problem, _of_complex(because, share))
    return _scipys(problem, _patient(ENDLESS[method], because, share))


def _choose_single(problem: Problem, options: dict[str, Any], stacks: Callable[[], bool]) -> Choice:
    """What `auto` chooses: the first reason that there is for a sequential solver, or else Radau."""
    reasons: dict[str, tuple[float, Callable[[], bool]]] = {
        "the bandwidths of the Jacobian were given": (1.0, lambda: bool(BANDS.intersection(options))),
        "the tolerance is loose": (1.0, lambda: problem.rtol >= LOOSE),
        MANY_COMPONENTS: (TIGHTER, lambda: problem.y0.shape[-1] > MANY),
        "states are complex": (TIGHTER, lambda: problem.is_complex),
        "`fun` cannot be called for many times at once": (TIGHTER, lambda: not stacks()),
    }
    for reason, (share, holds) in reasons.items():
        if holds() and problem.is_complex and not BANDS.intersection(options):
            return _of_complex(reason, share)
        if holds():
            return _patient("LSODA", reason, share, pairs=problem.is_complex)
    return Choice("Radau")


def instead_of(method: Any, problem: Problem, raised: Raised, *, on_mesh: bool, chatters: bool) -> Choice | None:
    """What `auto` chooses where a solution ends early, after an exception or since `fun` jumps to and fro.

    SciPy's solvers may never visit the states that the functions raised for. Raises the exception for other methods,
    and where SciPy does not take the problem.
    """
    may_switch = method == "auto" and not on_mesh and problem.is_plain
    if raised.error is None and not (chatters and may_switch):
        return None
    if not may_switch:
        raise raised.for_user()
    because = "`fun` jumps to and fro"
    if raised.error is not None:
        because = f"{type(raised.error).__name__} was raised for t = {raised.time!r}, at a state that may be a guess"
    if problem.is_complex:
        return _of_complex(because, TIGHTER)
    return _patient("LSODA", because, TIGHTER)


def _choose_batch(problem: Problem) -> Choice:
    """A wide batch is parallel enough by itself, unless it is stiff."""
    return Choice("Radau", tries_ensemble=prod(problem.batch) >= WIDE)
