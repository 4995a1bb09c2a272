"""From a loose start to a mesh that meets the tolerance, and on from where it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .._arrays import Array, array_namespace, machine_epsilon
from ._discretisation import Discretisation
from ._function import RightHandSide
from ._iterate import iterate
from ._mesh import equidistribute, refine
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

GROUP = 3
"""Steps of the start that make an interval of the first mesh."""

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


def solve(task: Task, span: tuple[float, float], y0: Array) -> Progress:
    """Windows from the start of the span to its end, or to where the solution ends."""
    progress = Progress()
    front, state, end, limit = span[0], y0, span[1], ""
    while front != end:
        progress.windows += 1
        start = task.start((front, end), state)
        if start.failure:  # no later start may go beyond: an implicit method could step over a pole
            end, limit = float(start.t[-1]), start.failure
        piece = _solve_window(task, start, state, progress) if start.t.shape[0] > 1 else None
        if piece is None and start.warm:  # not so near after all: the next start is one from scratch
            continue
        if piece is None or not piece.intervals:
            progress.failure = limit or "Newton's iteration did not converge"
            return progress
        progress.pieces.append(piece)
        front, state = float(piece.t[-1]), piece.y[-1, ...]
    progress.failure = limit
    return progress


def _solve_window(task: Task, start: Start, y0: Array, progress: Progress) -> Trial | None:
    """Meshes until the errors are small enough: the accepted trial, perhaps of the window's beginning only."""
    xp = array_namespace(y0)
    t = start.first_mesh(GROUP)
    as_it_is = start.warm or start.fixed
    trial = start.trial(task.method.output, t, y0)
    rough = task.scale.loosened(FIRST_TOLERANCE)
    for mesh in range(MESHES):
        scale = rough if mesh == 0 and not as_it_is else task.scale
        found = iterate(task.method, task.rhs, trial, scale, task.enough(scale), ITERATIONS)
        progress.history += found.history
        progress.meshes.append(trial.intervals)
        if not found.solved:
            if start.warm:
                return None
            count = t.shape[0] // SHORTER
            if count < 2:
                return None
            t = t[:count]
            trial = start.trial(task.method.output, t, y0)
            continue
        trial, error = task.method.assess(task.rhs, found.trial.head(found.solved), found.linear, task.scale)
        if start.fixed or ((mesh > 0 or start.warm) and float(xp.max(error)) <= ACCEPTED):
            return trial
        better = equidistribute(task.method, trial, error) if mesh == 0 else refine(task.method, trial, error, ACCEPTED)
        trial = better.starting_at(y0)
    return None
