"""From a loose start to a mesh that meets the tolerance, and on from where it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite

from .._arrays import Array, array_namespace, machine_epsilon
from .._memory import nodes_that_fit
from ._discretisation import Discretisation, Linear
from ._function import RightHandSide
from ._iterate import iterate
from ._mesh import divide, equidistribute, refine
from ._sensitivity import excess
from ._start import Start
from ._trial import Scale, Trial

FIRST_TOLERANCE = 1e-4
"""Newton's corrections on the first mesh need not be smaller: it is going to be replaced."""

MESHES = 10
"""Meshes in a window, at most."""

ITERATIONS = 10
"""Newton iterations on a mesh, at most."""

ACCEPTED = 2.0
"""Largest error of an interval, in tolerances, with which a mesh is accepted."""

FURTHER = 4.0
"""How far the next start reaches, in lengths of the stretch that was solved."""

WARM_ITERATIONS = 6
"""Newton iterations on the mesh of a warm start, at most: if it is near enough, they are fewer."""

SHORTER = 2
"""Part of the first mesh that is tried next when the very first interval of one did not converge."""


@dataclass(frozen=True)
class Task:
    """What is to be solved, and how: `start(span, y0)` makes a rough trajectory."""

    rhs: RightHandSide
    method: Discretisation
    scale: Scale
    start: Callable[[tuple[float, float], Array], Start]

    def enough(self, scale: Scale) -> float:
        """Corrections that Newton may leave, in units of the scale, as in SciPy's Radau."""
        epsilon = machine_epsilon(scale.atol.dtype)
        return max(10 * epsilon / scale.rtol, min(0.03, scale.rtol**0.5))


@dataclass
class Progress:
    """What has been solved, piece by piece, and what it took."""

    pieces: list[Trial] = field(default_factory=list)
    history: list[float] = field(default_factory=list)
    meshes: list[int] = field(default_factory=list)
    windows: int = 0
    failure: str = ""
    jacobian: Array | None = None
    """Of the last interval and the first member, where the method has one."""

    def look_at(self, linear: Linear | None) -> None:
        """Keep a Jacobian."""
        if linear is not None and linear.jacobians is not None and linear.jacobians.shape[0]:
            n = linear.jacobians.shape[-1]
            self.jacobian = array_namespace(linear.jacobians).reshape(linear.jacobians[-1, ...], (-1, n, n))[0, ...]


def solve(
    task: Task, span: tuple[float, float], y0: Array, window: int | None, report: Callable[[float], None]
) -> Progress:
    """Windows of at most so many intervals from the start of the span to its end, or to where the solution ends.

    `report` is told the time that is reached.
    """
    progress = Progress()
    front, state, end, limit = span[0], y0, span[1], ""
    start: Start | None = None
    reach = end
    while front != end:
        progress.windows += 1
        fresh = start is None
        start = task.start((front, reach), state) if start is None else start
        if start.failure:  # no later start may go beyond: an implicit method could step over a pole
            reach = end = float(start.t[-1])
            limit = start.failure
        piece = _solve_window(task, start, state, progress, window) if start.t.shape[0] > 1 else None
        if piece is None and (start.warm or not fresh):  # not so near after all: the next start is one from scratch
            start = None
            continue
        if piece is None:
            progress.failure = limit or _trouble(progress)
            return progress
        progress.pieces.append(piece.trial)
        length = float(piece.trial.t[-1]) - front
        front, state = float(piece.trial.t[-1]), piece.trial.y[-1, ...]
        start = start.after(front) if piece.whole else None
        if start is None:  # no use in going on to where the solution is not followed anyway
            reach = _limited(front + FURTHER * length, front, end)
        report(front)
    progress.failure = limit
    return progress


def _limited(time: float, front: float, end: float) -> float:
    """The time, or the end if that is nearer."""
    return end if abs(time - front) >= abs(end - front) else time


def _trouble(progress: Progress) -> str:
    """What stood in the way."""
    if progress.history and isfinite(progress.history[-1]):
        return f"Newton's iteration did not converge, its corrections stay at {progress.history[-1]:.2g} tolerances"
    return "Newton's iteration left the finite numbers"


@dataclass(frozen=True)
class _Piece:
    """An accepted trial, and whether it is all of what its window was meant to be."""

    trial: Trial
    whole: bool


def _solve_window(task: Task, start: Start, y0: Array, progress: Progress, window: int | None) -> _Piece | None:
    """Meshes until the errors are small enough: the accepted trial, perhaps of the window's beginning only."""
    xp = array_namespace(y0)
    t = start.first_mesh()
    t = t[: _most_intervals(task.method, t.shape[0] - 1, y0, window) + 1]
    as_it_is = start.warm or start.fixed
    trial = start.trial(task.method.output, t, y0)
    rough, whole, checked = task.scale.loosened(FIRST_TOLERANCE), True, False
    for mesh in range(MESHES):
        scale = rough if mesh == 0 and not as_it_is else task.scale
        most = WARM_ITERATIONS if mesh == 0 and start.warm else ITERATIONS
        found = iterate(task.method, task.rhs, trial, scale, task.enough(scale), most)
        progress.history += found.history
        progress.meshes.append(trial.intervals)
        progress.look_at(found.linear)
        whole = whole and found.solved == trial.intervals
        if not found.solved or found.linear is None:
            count = t.shape[0] // SHORTER
            if start.warm or count < 2:
                return None
            t = t[:count]
            trial = start.trial(task.method.output, t, y0)
            continue
        trial, error = task.method.assess(task.rhs, found.trial.head(found.solved), found.linear, task.scale)
        if start.fixed:
            return _Piece(trial, whole)
        if (mesh > 0 or start.warm) and float(xp.max(error)) <= ACCEPTED:
            factor = 1.0 if checked else excess(task.method, task.rhs, trial, found.linear.propagators, task.scale)
            if factor == 1.0:
                return _Piece(trial, whole)
            better, checked = divide(task.method, trial, factor), True
        elif mesh == 0:
            better = equidistribute(task.method, trial, error)
        else:
            better = refine(task.method, trial, error, ACCEPTED)
        trial = better.starting_at(y0).head(_most_intervals(task.method, better.intervals, y0, window))
    return None


def _most_intervals(method: Discretisation, intervals: int, y0: Array, window: int | None) -> int:
    """So many of the intervals as the user wants at once, and as memory holds."""
    wanted = intervals if window is None else min(intervals, window)
    return nodes_that_fit(wanted, y0, method.matrices * y0.shape[-1] ** 2)


def percentage(span: tuple[float, float], show: Callable[[int], None]) -> Callable[[float], None]:
    """Report a time as the share of the span that has passed."""
    return lambda time: show(int(100 * (time - span[0]) / (span[1] - span[0])))
