"""Windows from the start of a span to its end: each begins where the converged intervals of the previous one end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf, isfinite, nan

from ..._arrays.namespace import Array, all_finite, machine_epsilon, quiet
from ..._engine.termination import Failure, Termination
from ..coarse.steps import CoarseSolution
from ..coarse.warm_start import from_guess
from ..core.failures import NOT_FINITE
from ..core.mesh import Mesh
from ..core.pace import OF_JUMPS, chatters
from ..core.polynomial import PiecewisePolynomial, joined
from ..core.watched import Reached
from .global_error import BAD, Grown, above, is_unexplained
from .truncate import cut_at_bad_value
from .window import Log, Piece, Task, solve_window

FURTHER, NEARER = 4.0, 0.25
"""The next coarse solution spans FURTHER times the length just solved from the one before, perhaps in several windows,
and at least NEARER times the length of that one."""

FOLLOWED, MOST_FOLLOWED = 8, 1024
"""Number of sequential steps that replace the first window that Newton's method cannot solve, at a jump for example;
the number doubles with each such window, up to the second one."""

FAR, REPEATS, LEAST, MOST, TIGHTEST = 10.0, 3, 1e-3, 0.1, 3e-14
"""
Error of the last state, in tolerances, from which on the span is solved again, as errors grow from window to window:
number of such solves, factors on the tolerances from one to the next, and their smallest relative tolerance.
"""

LARGE, SATURATED, LOCAL, SPARE, FARTHEST = 0.01, 100.0, 1e-3, 0.1, 1e-7
"""
Where errors are more than the first share of the solution, and rounding grows so far that they would have grown to so
many times the estimated ones, these are as large as the solution can be, and say little: the growth of rounding tells
the tolerances that are needed. Such errors of intervals are about the next share of the tolerances. A tenth of what is
needed is tried, and no smaller factor on the tolerances than the last one.
"""

TRUSTED, OF_SPACINGS, DEAREST = 1e-12, 100.0, 32.0
"""
Largest relative tolerance of a solve that can confirm the growth of rounding; its least value, in spacings of the
numbers; and how many times the intervals such a solve may need. On a rough solution, small changes may grow that
would shrink on the exact one, as at each pericentre of a narrow orbit: rounding then seemed to explain the errors of
the mesh.
"""

STUCK_WINDOWS, STUCK_SHARE = 12, 1e-4
"""Number of windows in a row, each shorter than this share of the remaining span, after which the solve ends as stuck.
That happens where the right-hand side chatters."""

CREEPING, HARDLY = 32, 0.05
"""
Number of windows in a row, half of which at least ended early, and share of the remaining span that they have to pass:
the rest would take hundreds of them.
"""

STUCK_STEPS = 256
"""A followed piece of n sequential steps counts as stuck below a share of STUCK_SHARE * max(1, n / STUCK_STEPS)."""


@dataclass
class Record:
    """The solved pieces, the work, and the reason and time of the failure, if there is one."""

    pieces: list[PiecewisePolynomial] = field(default_factory=list)
    errors: list[Array] = field(default_factory=list)
    sizes: list[Array] = field(default_factory=list)
    """Estimated errors of the nodes after the intervals, in tolerances, since the begin; NaN where not known."""
    floors: list[Array] = field(default_factory=list)
    """What rounding may change there."""
    grown: Grown | None = None
    """Both after the last piece that tells them."""
    cut_short: list[float] = field(default_factory=list)
    """Times at which a window ended early, or from which sequential steps replaced it."""
    followed_from: list[float] = field(default_factory=list)
    """Times from which sequential steps replaced a window."""
    log: Log = field(default_factory=Log)
    fronts: list[float] = field(default_factory=list)
    """Times at which the windows begin."""
    windows: int = 0
    share: float = 1.0
    """Factor on the tolerances with which it was solved."""
    is_trusted: bool = False
    """Whether the solution is accurate enough for large errors to be explained by rounding."""
    followed: int = 0
    stuck: int = 0
    failure: Failure | None = None
    failed_at: float | None = None
    remark: str = ""
    """What else is to be said of the solution, as a sentence that begins with a space."""

    def add(self, piece: Piece) -> None:
        """Add an accepted piece."""
        self.pieces.append(piece.trial)
        unknown = piece.trial.xp.full_like(piece.error, nan)
        sizes, floors = unknown, unknown
        if piece.grown is not None:
            self.grown = piece.grown.after(self.grown, piece.propagators)
            sizes, floors = self.grown.sizes if self.grown.is_known else unknown, self.grown.floors
        self.errors.append(self.share * piece.error)
        self.sizes.append(self.share * sizes)
        self.floors.append(self.share * floors)

    @property
    def is_excused(self) -> bool:
        """Whether the error of the last state is too large for a success, but rounding seems to explain it."""
        error, floor = (float(some[-1][-1]) for some in (self.sizes, self.floors)) if self.sizes else (nan, nan)
        return error > BAD and not is_unexplained(error, floor)

    @property
    def excess(self) -> float:
        """Factor by which the error of the last state is too large, by all windows together; 1 if it is not."""
        error, floor = (float(some[-1][-1]) for some in (self.sizes, self.floors)) if self.sizes else (nan, nan)
        return above(error, floor, FAR)

    def creeps(self, front: float, end: float) -> bool:
        """Whether windows from time to time end early, and hardly pass the rest of the span."""
        since = self.fronts[-CREEPING] if len(self.fronts) >= CREEPING else front
        early = sum(abs(time - end) <= abs(since - end) for time in self.cut_short)
        return since != front and 2 * early >= CREEPING and abs(front - since) < HARDLY * abs(end - since)

    def needed(self, tightest: float) -> float:
        """
        Factor on the tolerances, of which that is the smallest relative one, with which the error would not be large.

        Infinite where the estimated error tells that better.
        """
        if not self.sizes or self.grown is None or self.grown.share_of_state < LARGE:
            return inf
        error, floor = (float(some[-1][-1]) / self.share for some in (self.sizes, self.floors))
        supposed = LOCAL * floor * tightest / machine_epsilon("float64")
        return FAR / supposed if self.share * supposed > SATURATED * error else inf

    @property
    def chatters(self) -> bool:
        """Whether it failed because the right-hand side jumps to and fro."""
        return self.failure is not None and self.failure.termination is Termination.STUCK


def solve(
    task: Task, span: tuple[float, float], y0: Array, reached: Reached | None = None, share: float = 1.0
) -> Record:  # fmt: skip
    """
    Windows from the start of the span to its end, or to where the solution ends, with a share of the tolerances.

    If the errors of several windows grow to large ones, the span is solved again with tighter tolerances.
    """
    first = Record(log=Log(front=span[0], reached=reached), share=share)
    record = _solved(task if share == 1 else replace(task, scale=task.scale.scaled(share)), span, y0, first)
    for number in range(REPEATS):
        factor = 1.0 if task.fixed or record.failure else record.excess
        needed = record.needed(task.scale.tightest)
        is_divided = not number and needed == inf
        share = record.share if is_divided else record.share * max(LEAST, min(MOST, 1 / factor))
        share = share if needed == inf else min(share, max(SPARE * needed, FARTHEST))
        if factor == 1.0 or needed < FARTHEST or share * task.scale.tightest < TIGHTEST:
            break
        further = Record(log=record.log, windows=record.windows, share=share)
        further.log.front, start = span[0], task.start
        if is_divided:  # perhaps they are one window, whose nodes have small errors
            found = joined(record.pieces)
            start = from_guess(found.resampled(found.mesh.divided(factor, task.method.order)), task.start)
        _solved(replace(task, start=start, scale=task.scale.scaled(share)), span, y0, further)
        if further.failure:
            break
        record = further
        if needed < inf:
            break
    return _confirmed(task, span, y0, record)


def _confirmed(task: Task, span: tuple[float, float], y0: Array, record: Record) -> Record:
    """The record; where rounding seems to cause a large error, that of a solve tight enough to confirm it."""
    if task.fixed or record.failure or not record.is_excused:
        return record
    tolerance = max(TRUSTED, OF_SPACINGS * machine_epsilon(y0.dtype))
    share = min(record.share, tolerance / task.scale.tightest)
    if share == record.share:
        record.is_trusted = True
        return record
    if (record.share / share) ** (1 / task.method.error_power) > DEAREST:
        return record
    further = Record(log=record.log, windows=record.windows, share=share, is_trusted=True)
    further.log.front = span[0]
    _solved(replace(task, scale=task.scale.scaled(share)), span, y0, further)
    return record if further.failure else further


def _solved(task: Task, span: tuple[float, float], y0: Array, record: Record) -> Record:
    """The record with the windows."""
    _solve_windows(task, span, y0, record)
    if record.failure == NOT_FINITE and record.pieces:
        last, failed_at = cut_at_bad_value(task.rhs, record.pieces.pop())
        record.pieces += [last] if last else []
        record.failed_at = record.failed_at if failed_at is None else failed_at
    return record


def _solve_windows(task: Task, span: tuple[float, float], y0: Array, record: Record) -> None:
    """Window after window."""
    front, state, end, reach = span[0], y0, span[1], span[1]
    begun = front  # where the coarse solution begins
    start: CoarseSolution | None = None
    while front != end:
        if record.stuck >= STUCK_WINDOWS or record.creeps(front, end):
            count = STUCK_WINDOWS if record.stuck >= STUCK_WINDOWS else CREEPING
            words = f"{count} windows in a row made hardly any progress, `fun` may jump to and fro: {OF_JUMPS}"
            record.failure = Failure(Termination.STUCK, words)
            return
        record.windows += 1
        fresh = start is None
        begun = front if start is None else begun
        start = task.start((front, reach), state) if start is None else start
        if start.failure:  # no later start may go beyond: an implicit method could step over a pole
            reach = end = float(start.t[-1])
            record.failure, record.failed_at = start.failure, start.failed_at
        with quiet():  # states close to the largest number overflow between the nodes
            piece = solve_window(task, start, state, record.log) if start.t.shape[0] > 1 else None
        if piece is None and (start.warm or not fresh):  # this start is too far from the solution: compute a new one
            start = None
            continue
        piece = _follow(task, (front, reach), state, record) if piece is None else piece
        if piece is None:
            record.failure = record.failure or Failure(Termination.FAILED, _trouble(record))
            return
        length, reached = float(piece.trial.t[-1]) - front, reach - front
        record.stuck = record.stuck + 1 if _is_stuck(piece, length / (span[1] - front)) else 0
        if not piece.whole:
            record.cut_short.append(front if piece.followed else float(piece.trial.t[-1]))
        record.add(piece)
        if piece.followed and chatters(task.rhs, piece.trial, span[1], task.scale):
            words = f"`fun` jumps to and fro, steps of {abs(length) / piece.trial.intervals:.2g} follow it: {OF_JUMPS}"
            record.failure = Failure(Termination.STUCK, words)
            return
        record.fronts.append(front)
        front, state = float(piece.trial.t[-1]), piece.trial.y[-1, ...]
        start = start.after(front) if piece.whole else None
        if start is None:  # a coarse solution far beyond a difficulty would be wasted
            nearer = 0.0 if record.stuck > 1 else NEARER * reached
            reach = _limited(front + max(FURTHER * (front - begun), nearer, key=abs), front, end)
        record.log.front = front
        record.log.report(piece.trial.intervals, 0, record.log.history[-1] if record.log.history else None)


def _follow(task: Task, span: tuple[float, float], y0: Array, record: Record) -> Piece | None:
    """A few steps of a sequential solver at the user's tolerance, instead of a window that Newton cannot solve."""
    if task.follow is None or span[0] == span[1] or not _worth_following(record):
        return None
    most = task.that_fit(min(FOLLOWED * 2**record.followed, MOST_FOLLOWED), y0)
    start = task.follow(span, y0, most=most)
    t = start.t[: min(most + 1, start.t.shape[0])]
    if t.shape[0] < 2:
        if start.failure:
            record.failure, record.failed_at = start.failure, start.failed_at
        return None
    record.followed += 1
    record.followed_from.append(span[0])
    unknown = start.xp.full_like(t[1:], nan)
    return Piece(start.polynomial(task.method.output, Mesh(t, task.breaks), y0), False, unknown, followed=True)


def _is_stuck(piece: Piece, share: float) -> bool:
    """Whether the piece, that share of the remaining span, is too short for the solve to reach the end."""
    steps = piece.trial.intervals if piece.followed else 0
    return not piece.whole and share < STUCK_SHARE * max(1.0, steps / STUCK_STEPS)


def _worth_following(record: Record) -> bool:
    """Whether sequential steps may help: not if Newton failed because the Jacobian is not finite."""
    return record.log.jacobian is None or all_finite(record.log.jacobian)


def _limited(time: float, front: float, end: float) -> float:
    """The time, or the end if the end is nearer."""
    return end if abs(time - front) >= abs(end - front) else time


def _trouble(record: Record) -> str:
    """The reason for a failure, in words."""
    if not _worth_following(record):
        return "`jac` or differences of `fun` gave values that are not finite"
    history = record.log.history
    if history and isfinite(history[-1]):
        return f"Newton's iteration did not converge, its corrections stay at {history[-1]:.2g} tolerances"
    return "Newton's iteration left the range of the numbers"
