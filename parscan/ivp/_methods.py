"""The methods for initial value problems: collocation in parallel over time, and SciPy's sequential ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf, prod
from typing import Any

from .._arrays import Array, array_namespace, library
from ._arguments import Problem, as_stages, with_ends
from ._breaks import are_nodes, union, with_breaks
from ._endings import Ending
from ._function import RightHandSide
from ._raised import Raised
from ._trial import Scale
from ._window import Task
from .methods._collocation import Collocation
from .methods._discretisation import Discretisation
from .methods._explicit import dop853, rk4
from .methods._exponential import DEER
from .methods._tableaux import FAMILIES, Tableau
from .output._dense_output import DenseOutput
from .starts._dop853 import by_dop853
from .starts._following import follow
from .starts._lsoda import by_lsoda
from .starts._stepper import by_stepping
from .starts._stretches import over_breaks
from .starts._warm import FromGuess, OnMesh, Starter

COLLOCATION = tuple(FAMILIES)
"""Methods that take a number of stages."""


def _collocation(family: Callable[[int], Tableau], stages: int, n: int) -> Discretisation:
    """Of a family of tableaux, for so many stages and components."""
    return Collocation(family(stages), n)


PARALLEL: dict[str, Callable[[int, int], Discretisation]] = {
    **{name: partial(_collocation, family) for name, family in FAMILIES.items()},
    "RK4": lambda stages, n: rk4(),
    "DOP853": lambda stages, n: dop853(),
    "DEER": lambda stages, n: DEER(),
}
"""Methods that are parallel over time, by the numbers of stages and components."""

SMALL = 16
"""Numbers in the states of a batch up to which LSODA makes the start, as for one state of so many components."""

TIGHTER = 0.1
"""Part of the tolerances for LSODA where the user means them: its errors over all steps are some ten times as large."""

JUMPING = "RK45"
"""SciPy's solver that goes on where others make no headway at jumps: of its orders, it takes fewest calls then."""

HARDLY_TIGHTER = 0.3
"""The same for DOP853 and BDF, whose errors are some tolerances."""

WIDE = 24
"""Members from which `auto` steps a batch through time as one; fewer are solved faster by Newton's method on a mesh."""

SEQUENTIAL = ("RK23", "RK45", "BDF", "LSODA")
"""Methods that are SciPy's own."""

BANDS = {"lband", "uband"}
"""Options that only SciPy's LSODA knows: bandwidths of the Jacobian."""

SPARSE = {"auto": "BDF", "Radau": "Radau"}
"""SciPy's methods that take the place of parscan's where the zeros of the Jacobian are given."""

STARTS = 9
"""Starts of LSODA: behind a jump, its steps may stay short for ever, unless it starts anew."""

ENDLESS = {"auto": "Radau", "Radau": "Radau", "DOP853": "DOP853"}
"""SciPy's methods that take their place where only an event ends the span: LSODA chooses its first step by the end."""

NAMES = ("auto", *PARALLEL, *SEQUENTIAL)
"""All that `method` may be, but for classes of SciPy's solvers."""

STAGES = ((1e-3, 3), (1e-7, 5), (0.0, 7))
"""Stages by the relative tolerance: the first row whose tolerance is not larger."""

COARSE = 1e-4
"""Relative tolerance of the start: looser ones cost more meshes and windows than they save."""

NOTHING = 1e-9
"""Share of the start's tolerance for the largest component that is its absolute one where the user's is zero."""

LOOSE = 3e-4
"""Relative tolerance from which on the start would be as good as the solution: `auto` returns SciPy's LSODA."""

MANY = 12
"""Components above which `auto` leaves a single problem to LSODA: the cube of their number costs more than calls.

Measured on heat equations, Brusselators by lines and chains of oscillators; the crossover is between 8 and 20.
"""


MANY_COMPONENTS = "there are many components (pass `jac_sparsity` if most entries of the Jacobian are zero)"
"""The reason for LSODA then, with what may be faster."""


def discretise(name: str, problem: Problem, stages: Any) -> Discretisation:
    """The method of that name, with the stages that were asked for, or that the tolerance wants."""
    if stages is not None and name not in COLLOCATION:
        raise ValueError(f"`stages` is for {', '.join(COLLOCATION)}; {name} has its own.")
    if stages is None:
        stages = next(count for least, count in STAGES if problem.rtol >= least)
    return PARALLEL[name](as_stages(stages), problem.y0.shape[-1])


@dataclass(frozen=True)
class Choice:
    """A method, whether SciPy has it do the work, and the reason if that is not simply what was asked for.

    `share` is what part of the tolerances a sequential solver gets, so that its errors together stay below them;
    `tries_ensemble` is a wide batch of which it is not known yet whether it is stiff: that is tried first. `otherwise`
    is what SciPy goes on with, from where the solver ends like that. As `pairs`, complex states are real and imaginary
    parts. Steps take at most a share of `longest` of the span. A solver ends after `most_steps`; where its steps stay
    short, it starts anew, as long as there are more than one of its `starts`.
    """

    method: Any
    is_sequential: bool = False
    because: str = ""
    share: float = 1.0
    tries_ensemble: bool = False
    otherwise: Mapping[Ending, Choice] = field(default_factory=dict)
    pairs: bool = False
    longest: float = inf
    most_steps: float = inf
    starts: int = 1

    def after(self, ending: Ending) -> Choice | None:
        """What goes on from where the solver ended so."""
        return replace(self, starts=self.starts - 1) if ending is Ending.SLOW else self.otherwise.get(ending)


def _patient(method: str, because: str, share: float, *, pairs: bool = False) -> Choice:
    """A solver of SciPy's that makes way where `fun` jumps to and fro: for one of one step, with error control."""
    explicit = Choice(JUMPING, True, "`fun` jumps to and fro")
    starts = STARTS if method == "LSODA" else 1
    return Choice(method, True, because, share, otherwise={Ending.STUCK: explicit}, pairs=pairs, starts=starts)


def _of_complex(because: str, share: float) -> Choice:
    """DOP853 for complex states, and where they are stiff, BDF for their parts: it takes fewest Jacobians."""
    share = max(share, HARDLY_TIGHTER)
    then = _patient("BDF", "they are stiff", share, pairs=True)
    return replace(_patient("DOP853", because, share), otherwise={**then.otherwise, Ending.STIFF: then})


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


def make_task(
    problem: Problem,
    rhs: RightHandSide,
    method: Discretisation,
    guess: DenseOutput | None,
    mesh: Array | None,
    times: Array | None,
    window: int | None,
    *,
    between: bool = True,
) -> Task:
    """The problem as the march takes it; `times` are those of the output, which may be wanted `between` them, too."""
    if mesh is None and times is not None and method.is_on_output:
        mesh = with_ends(times, problem.span)
    if mesh is not None:
        mesh = with_breaks(mesh, problem.breaks, near=0.0)
    coarse = max(COARSE, problem.rtol)
    options = {"rtol": coarse, "atol": _loosened(problem, coarse), "max_step": problem.max_step}
    small = library(problem.y0) == "numpy" and problem.y0.size <= SMALL
    robust = by_lsoda if small or problem.is_plain else by_stepping
    sequential = robust if robust is by_lsoda else partial(by_dop853, robust)
    start: Starter = partial(over_breaks, sequential, problem.breaks, rhs, **options)
    if guess is not None:
        start = FromGuess(guess, start)
    if mesh is not None:
        start = OnMesh(mesh, start)
    exact = {"rtol": problem.rtol * TIGHTER, "atol": problem.atol * TIGHTER, "max_step": problem.max_step}
    follows = None if mesh is not None else partial(over_breaks, partial(follow, robust), problem.breaks, rhs, **exact)
    breaks = union(problem.breaks, mesh)
    at_nodes = mesh is not None and not between and (times is None or are_nodes(times, mesh))
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


def _loosened(problem: Problem, coarse: float) -> Array:
    """Absolute tolerance of the start: in proportion, but neither zero nor as large as the states."""
    xp = array_namespace(problem.y0)
    useful = coarse * xp.max(xp.abs(problem.y0))
    loosened = xp.minimum(problem.atol * (coarse / problem.rtol), xp.maximum(problem.atol, useful))
    return xp.where(loosened > 0, loosened, NOTHING * xp.where(useful > 0, useful, xp.ones_like(useful)))
