"""One window: a mesh on the span of a coarse solution, and better meshes until the errors are small enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from ..._arrays.memory import nodes_that_fit
from ..._arrays.namespace import Array, array_namespace
from ..._functions.right_hand_side import RightHandSide
from ..coarse.steps import CoarseSolution
from ..core.mesh import Mesh
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..core.watched import Reached
from ..methods.defect import DEFECT_LIMIT, overlooked, samples_of
from ..methods.discretisation import Discretisation, Linear
from ..methods.newton import Iterated, iterate
from .discontinuities import find
from .global_error import FIXED, Grown, accurate_propagators, grown
from .refine import Assessed

FIRST_TOLERANCE = 1e-4
"""Relative tolerance of Newton's corrections on the first mesh: it will be replaced anyway."""

ROUGHLY_ENOUGH = 30.0
"""Size of a correction, in tolerances, below which a superlinear method stops on the first mesh: the next correction
would be about its square."""

MESHES = 10
"""Meshes in a window, at most."""

FEW = 60
"""A first mesh of at most this many numbers is solved to the user's tolerance at once, on shorter intervals.

On small arrays a further mesh takes longer than intervals that are shorter than necessary. This is for the first
window only: a problem that needs a second one is not easy.
"""

FEW_STEPS = ((1e-5, 3), (1e-9, 2), (0.0, 1))
"""Relative tolerances, and coarse steps in an interval of such a mesh: the first row applies whose tolerance is at most
the user's."""

ITERATIONS = 10
"""Newton iterations on a mesh, at most."""

WARM_ITERATIONS = 6
"""Newton iterations on the mesh of a warm start, at most: a start that needs more is too far from the solution."""

ACCEPTED = 2.0
"""Largest error of an interval, in tolerances, with which a mesh is accepted."""

DISAPPOINTING = (100.0, 10.0, ACCEPTED)
"""Errors, in tolerances, of the first mesh, the second and later ones, above which kinks and jumps are searched for.

Where the right-hand side is smooth, second meshes have errors of up to 10, and a fourth mesh is hardly ever needed.
"""

OF_INTEREST = 0.03
"""Error, in tolerances, above which an interval is searched: were it longer, a discontinuity in it would show."""

LARGEST_GROWTH, LARGE = 16, 1000
"""A mesh may have this many times the intervals of the first one, and always `LARGE` of them. A mesh that would
grow further (near a pole, say) is truncated; the next window starts closer to the difficulty."""

LOOKS = 3
"""How often a mesh is divided as errors grow along the solution, at most."""

SHORTER = 2
"""Divisor of the first mesh's length after a mesh whose first interval did not converge."""


@dataclass(frozen=True)
class Task:
    """A problem on a mesh, and how to solve it.

    `start(span, y0)` makes a coarse solution, and `follow(span, y0, most=)` an accurate one of about `most` steps.
    `window` is the largest number of intervals at once, `longest` the largest length of one. `breaks` are the
    breakpoints, all of which are nodes of every mesh. `fixed`: the mesh is the user's and is kept. `at_nodes`: the user
    wants the states at its nodes only.
    """

    rhs: RightHandSide
    method: Discretisation
    scale: Scale
    start: Callable[[tuple[float, float], Array], CoarseSolution]
    follow: Callable[..., CoarseSolution] | None = None
    window: int | None = None
    longest: float = float("inf")
    breaks: Array | None = None
    fixed: bool = False
    at_nodes: bool = False

    def most_intervals(self, intervals: int, y0: Array) -> int:
        """Number of these intervals to solve at once: limited by the user's `window` and by memory."""
        return self.that_fit(intervals if self.window is None else min(intervals, self.window), y0)

    def that_fit(self, intervals: int, y0: Array) -> int:
        """Number of these intervals that fit into memory."""
        return nodes_that_fit(intervals, y0, self.method.matrices * y0.shape[-1] ** 2)


@dataclass
class Log:
    """The work of a solve: corrections, meshes, windows."""

    history: list[float] = field(default_factory=list)
    meshes: list[int] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    """Number of iterations on each mesh."""
    windows: list[int] = field(default_factory=list)
    """Number of the window that each mesh belongs to, counted from 0."""
    jacobian: Array | None = None
    """Jacobian of the last solved interval and the first member of the batch, if the method has Jacobians."""
    front: float = 0.0
    """Time at which the window begins."""
    reached: Reached | None = None

    def report(self, intervals: int, iterations: int, correction: float | None) -> None:
        """Report iterations on the present mesh; those on earlier meshes are added."""
        if self.reached is not None:
            self.reached(self.front, intervals, len(self.history) + iterations, correction)

    def add(self, found: Iterated, intervals: int, *, begins_window: bool) -> None:
        """Add the iterations on one mesh."""
        self.history += found.history
        self.meshes.append(intervals)
        self.iterations.append(len(found.history))
        self.windows.append(self.windows[-1] + begins_window if self.windows else 0)
        jacobians = None if found.linear is None else found.linear.jacobians
        if jacobians is not None and jacobians.size:
            last = jacobians[max(found.solved - 1, 0), ...]
            self.jacobian = array_namespace(last).reshape(last, (-1, *last.shape[-2:]))[0, ...]


@dataclass(frozen=True)
class Piece:
    """An accepted trial.

    `whole`: it covers the whole span of its window. `error` `(N,)` is the estimated error of each interval, in
    tolerances, and `grown` those of the nodes, without what has grown before; `propagators` carry that on. `followed`:
    it consists of the steps of a sequential solver, whose errors are NaN.
    """

    trial: PiecewisePolynomial
    whole: bool
    error: Array
    followed: bool = False
    grown: Grown | None = None
    propagators: Array | None = None

    @property
    def excess(self) -> float:
        """Factor by which the errors of the nodes are too large; 1 if they are small enough, or not known."""
        return 1.0 if self.grown is None else self.grown.excess


def solve_window(task: Task, start: CoarseSolution, y0: Array, log: Log) -> Piece | None:
    """The accepted trial, possibly of the first intervals only; None if not even one interval can be solved."""
    first, rough = _first_mesh(task, start, y0, begins=not log.meshes)
    first = first.head(task.most_intervals(first.intervals, y0))
    most = max(LARGEST_GROWTH * first.intervals, LARGE)
    trial: PiecewisePolynomial | None = None
    before: Assessed | None = None
    whole, looks = True, 0
    for number in range(MESHES):
        rough = rough and number == 0
        trial = start.polynomial(task.method.output, first, y0) if trial is None else trial
        found = _iterate(task, trial, start, log, rough=rough)
        log.add(found, trial.intervals, begins_window=number == 0)
        whole = whole and found.solved == trial.intervals
        if not found.solved or found.linear is None:
            nodes = (first.intervals + 1) // SHORTER
            if start.warm or nodes < 2:
                return None
            trial, first = None, first.head(nodes - 1)
            continue
        trial, error = task.method.assess(task.rhs, found.trial, found.linear, task.scale)
        if start.fixed:
            error = _on_fixed(task, trial, found.linear, error)
            return _accepted(task, trial, error, found.linear, whole=whole)
        error = error if rough else _with_overlooked(task, trial, found.linear, error)
        assessed = Assessed(trial.mesh, error, task.method.error_power)
        if rough:
            mesh = assessed.equidistributed()
        elif float(trial.xp.max(error)) > ACCEPTED:
            mesh = _better(task, trial, assessed, before, DISAPPOINTING[min(number, 2)])
        else:
            piece, looks = _accepted(task, trial, error, found.linear, whole=whole), looks + 1
            if piece.excess == 1.0 or looks > LOOKS:
                return piece
            mesh = trial.mesh.divided(piece.excess, task.method.order)
        before, better = assessed, trial.resampled(mesh)
        if (shorter := mesh.shortened(task.longest)) is not mesh:
            better = better.resampled(shorter)
        whole, better = whole and better.intervals <= most, better.head(most)
        trial = better.starting_at(y0).head(task.most_intervals(better.intervals, y0))
    return None


def _accepted(task: Task, trial: PiecewisePolynomial, error: Array, linear: Linear, *, whole: bool) -> Piece:
    """A solved trial with the errors of its intervals, and with those of its nodes."""
    reliance = FIXED if task.fixed else task.method.reliance
    about = task.method, task.rhs, trial, linear.propagators
    errors = grown(*about, error, task.scale, reliance)
    propagators = accurate_propagators(*about, errors, task.scale.tightest)
    errors = errors if propagators is linear.propagators else errors.along(propagators, trial)
    return Piece(trial, whole, error, grown=errors, propagators=propagators)


def _first_mesh(task: Task, start: CoarseSolution, y0: Array, *, begins: bool) -> tuple[Mesh, bool]:
    """The first mesh, and whether it is rough: then a better one follows whatever the errors are."""
    mesh = start.first_mesh(task.breaks)
    rough = not start.warm and not start.fixed
    if begins and rough and y0.size * mesh.intervals <= FEW:
        tightest = task.scale.tightest
        steps = next(steps for least, steps in FEW_STEPS if tightest >= least)
        mesh, rough = start.first_mesh(task.breaks, steps), False
    return mesh if start.fixed else mesh.shortened(task.longest), rough


def _better(
    task: Task, trial: PiecewisePolynomial, assessed: Assessed, before: Assessed | None, disappointing: float
) -> Mesh:
    """A mesh that is finer where errors are too large, and has nodes at kinks and jumps."""
    error, known = assessed.error, trial.breaks is not task.breaks
    if float(trial.xp.max(error)) > disappointing:
        breaks = find(task.rhs, trial, task.scale, error > OF_INTEREST, error > ACCEPTED)
        if breaks is not None:
            assessed = assessed.broken_at(breaks)
            if not known:
                return assessed.equidistributed()
    return assessed.refined(ACCEPTED, before)


def _on_fixed(task: Task, trial: PiecewisePolynomial, linear: Linear, error: Array) -> Array:
    """The errors on a mesh that is kept: those of the nodes if only these are wanted and the method can assess them."""
    of_nodes = task.method.assess_nodes(task.rhs, trial, task.scale) if task.at_nodes else None
    return _with_overlooked(task, trial, linear, error) if of_nodes is None else of_nodes


def _with_overlooked(task: Task, trial: PiecewisePolynomial, linear: Linear, error: Array) -> Array:
    """The errors; if all are small enough, intervals whose defect between the stages is too large get its error."""
    xp = trial.xp
    if float(xp.max(error)) > ACCEPTED:
        return error
    places = task.method.output.evenly(ceil(samples_of(task.rhs) / trial.intervals))
    found = overlooked(task.rhs, places, trial, task.scale, linear.jacobians)
    return xp.where(found > 1, DEFECT_LIMIT * found, error)


def _iterate(task: Task, trial: PiecewisePolynomial, start: CoarseSolution, log: Log, *, rough: bool) -> Iterated:
    """Newton's loop, to the accuracy that this mesh needs."""
    scale = task.scale.loosened(FIRST_TOLERANCE) if rough else task.scale
    most = WARM_ITERATIONS if start.warm else ITERATIONS
    enough = ROUGHLY_ENOUGH if rough and task.method.is_superlinear else scale.enough
    return iterate(task.method, task.rhs, trial, scale, enough, most, log.report)
