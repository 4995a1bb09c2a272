"""Runs SciPy's solvers step by step, one after the other, and collects the solution."""

from __future__ import annotations

from cmath import isfinite as is_finite_number
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from math import ceil, inf, isfinite, ulp
from typing import Any

import numpy as np

from ..._arrays.namespace import Array, all_finite
from ..._engine.termination import Failure, Termination
from ..coarse.steps import Steps
from ..core.choice import Choice
from ..core.failures import NOT_FINITE, PATIENCE, TOO_SMALL, is_no_step, surely_a_step
from ..core.pace import LAST, STEPS, Pace
from ..core.watched import Reached
from ..output.events import SAMPLES, SUBSAMPLES, Watch, with_beginning
from .solved import UNSOLVED

OF_ENDLESS = 32
"""If the span has no end, events are evaluated at the ends of this many parts of each step."""

SHORT = 16
"""Where times are far from zero, only the end of a step of at least this many spacings of the numbers is a node."""

CLOSE = 0.5
"""The time of a node is rounded. If the rounding is at most this share of the tolerance times the step, the state is
corrected by the mean slope of the step; otherwise the polynomial of the step is evaluated."""

MOST_SHORT = 1000
"""Number of shorter steps in a row after which to give up."""

FEW = 32
"""Number of components up to which Python's arithmetic is faster than NumPy's."""


@dataclass(frozen=True)
class Reading:
    """How to read and when to stop a solver.

    `state(y)` is the problem's state, `piece(solver)` the polynomial of the last step. The solver's time is the time
    since `origin`. `is_solved` tells whether the last step solves its equations. `starts_anew`: the solver ends where
    its steps stay short, and one of the same kind begins there.
    """

    pace: Pace
    state: Callable[[Array], Array]
    piece: Callable[[Any], Any]
    is_stiff: Callable[[Any], bool] | None = None
    is_solved: Callable[[Any], bool] | None = None
    most_steps: float = inf
    origin: float = 0.0
    rtol: float = 0.0
    starts_anew: bool = False


@dataclass
class Course:
    """The solution so far: nodes with their states `(n,)`, polynomials between them if wanted, output at `times`.

    `span` is the span of the whole problem. `used` are the solvers, with the times at which they began. After some more
    than `most_calls` of the right-hand side it ends.
    """

    span: tuple[float, float]
    nodes: list[float]
    states: list[Array]
    times: Array | None
    is_dense: bool
    watch: Watch
    reached: Reached | None = None
    most_calls: float = inf
    pieces: list[Any] = field(default_factory=list)
    output: list[Array] = field(default_factory=list)
    given: int = 0
    _next: float | None = None
    """The next of the output times, if it is known."""
    still: int = 0
    used: list[tuple[Choice, float]] = field(default_factory=list)
    nfev: int = 0
    njev: int = 0
    nlu: int = 0
    ending: Termination = Termination.FINISHED
    failure: Failure | None = None
    _last: Any = None
    """The polynomial of the step to the last node, where times are far from zero."""
    _short: list[Any] = field(default_factory=list)
    """Polynomials of the short steps since then, whose ends are no nodes."""
    _passed_over: int = 0
    """Number of such short steps in a row."""
    _away: list[float] = field(default_factory=list)
    """Rounding of the times of the nodes."""

    @property
    def is_read(self) -> bool:
        """Whether states between the nodes are needed."""
        return self.is_dense or bool(self.watch.monitors) or self.times is not None

    def steps(self, dtype: Any) -> Steps:
        """The nodes and their states."""
        return Steps(np.asarray(self.nodes), np.asarray(self.states, dtype=dtype))

    def follow(self, solver: Any, reading: Reading) -> None:
        """Let a solver step from the last node to the end of its own span, or until it fails."""
        self.failure = None
        self._last, self._short, self._passed_over, self._away = None, [], 0, []
        begin = len(self.nodes) - 1
        self.ending = self._step(solver, reading)
        self.nfev, self.njev, self.nlu = self.nfev + solver.nfev, self.njev + solver.njev, self.nlu + solver.nlu
        if self._away:
            nodes, states = np.asarray(self.nodes[begin:]), np.asarray(self.states[begin:])
            lengths = np.where(nodes[1:] != nodes[:-1], nodes[1:] - nodes[:-1], np.inf)
            states[1:] += (np.asarray(self._away) / lengths)[:, None] * (states[1:] - states[:-1])
            self.states[begin + 1 :] = list(states[1:])
            if (
                len(self.nodes) > begin + 2 and self.nodes[-1] == self.nodes[-2]
            ):  # an earlier step was rounded to the end
                del self.nodes[-2], self.states[-2]

    def _step(self, solver: Any, reading: Reading) -> Termination:
        """Step; states at nodes may be those at the solver's unrounded times until `follow` corrects them."""
        slope = getattr(solver, "f", None)
        if slope is not None and not all_finite(slope):  # SciPy's Runge-Kutta methods would seek a first step for ever
            return self._ended(NOT_FINITE)
        step, nodes, states, origin = solver.step, self.nodes, self.states, reading.origin
        reached = self.reached or _untold
        watched = (
            reading.is_stiff is not None
            or reading.is_solved is not None
            or min(reading.most_steps, self.most_calls) < inf
        )
        shortest = SHORT * ulp(reading.origin + solver.t_bound) if reading.origin else 0.0
        long = surely_a_step(nodes[-1], reading.origin + solver.t_bound)
        taken = 0
        while True:
            message, taken = step(), taken + 1
            t, y, status = origin + float(solver.t), solver.y, solver.status
            if not (abs(t - nodes[-1]) > long and status == "running" and _is_finite(y)):
                ending = self._gave_up(str(message), solver) if status == "failed" else self._no_step(solver)
                if ending is not None:
                    return ending
            else:
                self.still = 0
            if (t == nodes[-1] or (origin and abs(solver.t - solver.t_old) < shortest)) and status == "running":
                if (ending := self._pass_over(solver, reading)) is not None:
                    return ending
                continue
            if self.is_read:
                if self._passes(t, solver, reading):
                    return Termination.EVENT
            else:
                nodes.append(t)
                states.append(reading.state(y) if not origin else self._rounded(t, solver, reading))
                reached(t)
            if watched or taken % STEPS == 0 or status == "finished":
                ending = self._no_headway(solver, reading, status, taken)
                if ending is not None:
                    return ending

    def _gave_up(self, message: str, solver: Any) -> Termination:
        """The ending of a solver that failed by itself: if its last steps were too short, they are the reason."""
        known: Failure | None = getattr(solver, "failure", None)
        if known is not None:
            return self._ended(known)
        return self._ended(TOO_SMALL) if self.still else self._failed(message, Termination.FAILED)

    def _no_step(self, solver: Any) -> Termination | None:
        """The reason to end if the last step is too short or not finite; None if there is none."""
        y = solver.y
        if not all_finite(y):  # LSODA continues with NaN
            return self._ended(NOT_FINITE)
        is_none = is_no_step(float(solver.t_old), float(solver.t)) and solver.status == "running"
        self.still = self.still + 1 if is_none else 0
        if self.still >= PATIENCE:
            return self._ended(TOO_SMALL)
        return None

    def _no_headway(self, solver: Any, reading: Reading, status: str, taken: int) -> Termination | None:
        """The reason to end after `taken` steps, if the solver has finished, is wrong or makes no headway."""
        if reading.is_solved is not None and not reading.is_solved(solver):
            return self._ended(UNSOLVED)
        if status == "finished":
            return Termination.FINISHED
        if taken >= reading.most_steps or self.nfev + solver.nfev > self.most_calls:
            return self._failed(f"{taken} steps did not suffice", Termination.LONG)
        if reading.is_stiff is not None and reading.is_stiff(solver):
            return Termination.STIFF
        last = list(zip(self.nodes[-LAST:], self.states[-LAST:], strict=True)) if taken % STEPS == 0 else []
        reason = reading.pace.is_stuck(last, solver.nfev) if last else ""
        if reason:
            return self._failed(reason, Termination.STUCK)
        return (
            self._failed("steps stay short", Termination.SLOW) if reading.starts_anew and reading.pace.is_slow else None
        )

    def _ended(self, failure: Failure) -> Termination:
        """End with a failure."""
        self.failure = failure
        return failure.termination

    def _failed(self, words: str, ending: Termination) -> Termination:
        """End with a failure in these words."""
        return self._ended(Failure(ending, words))

    def _passes(self, t: float, solver: Any, reading: Reading) -> bool:
        """Add a step to the time `t`; return whether an event within the step ends the integration."""
        t_old, y = self.nodes[-1], reading.state(solver.y)
        piece: Any = reading.piece(solver) if self.is_dense or self.watch.monitors else None
        if reading.origin:
            piece = reading.piece(solver) if piece is None else piece
            y, piece, self._passed_over = piece.at_end(t), self._joined(piece), 0
        stop = self._watched(t_old, t, y, piece) if piece is not None and self.watch.monitors else None
        if stop is not None and piece is not None:
            t, y = stop, piece(stop)
        if self.times is not None:
            self._give(t, piece, lambda: reading.piece(solver))
        if len(self.nodes) > 1 and t == t_old and reading.origin:  # an earlier step was rounded to the end
            self.states[-1] = y
            if self.is_dense:
                self.pieces[-1] = self.pieces[-1].then(piece)
        elif not (self.is_dense and len(self.nodes) > 1 and t == t_old):
            self.nodes.append(t)
            self.states.append(y)
            if self.is_dense:
                self.pieces.append(piece)
        if self.reached is not None:
            self.reached(t)
        return stop is not None

    def _pass_over(self, solver: Any, reading: Reading) -> Termination | None:
        """Take a step of hardly more than a spacing without making a node; the reason to end if there are too many."""
        if not reading.origin:
            return None
        self._passed_over += 1
        if self.is_read:
            self._short.append(reading.piece(solver))
        return self._ended(TOO_SMALL) if self._passed_over > MOST_SHORT else None

    def _rounded(self, t: float, solver: Any, reading: Reading) -> Array:
        """The state at a node whose time is rounded, or at the solver's time if `follow` corrects it: see `CLOSE`."""
        y, self._passed_over = reading.state(solver.y), 0
        away = t - reading.origin - solver.t
        if abs(away) > CLOSE * reading.rtol * abs(solver.t - solver.t_old):
            y, away = reading.piece(solver).at_end(t), 0.0
        self._away.append(away)
        return y

    def _joined(self, piece: Any) -> Any:
        """One polynomial of the step to the last node, the short steps since then, and the present step."""
        steps = [*([] if self._last is None else [self._last]), *self._short, piece]
        self._last, self._short = piece, []
        return reduce(type(piece).then, steps)

    def _watched(self, t_old: float, t: float, y: Array, piece: Callable[[Any], Array]) -> float | None:
        """The time at which an event within a step ends the integration; None if none does."""
        share = abs((t - t_old) / (self.span[1] - self.span[0])) if isfinite(self.span[1]) else OF_ENDLESS / SAMPLES
        times = t_old + (t - t_old) * _shares(max(SUBSAMPLES + 1, ceil(SAMPLES * share)))
        times[-1] = t
        if abs(t - t_old) < times.shape[0] * surely_a_step(t_old, t):  # some may be equal
            times = times[np.concatenate([[True], times[1:] != times[:-1]])]
        times = with_beginning(times) if len(self.nodes) == 1 else times
        samples = piece(times)
        samples[:, 0], samples[:, -1] = self.states[-1], y
        return self.watch.see(times, samples, lambda _: piece, is_step=True)

    def _give(self, t: float, piece: Callable[[Any], Array] | None, make: Callable[[], Callable[[Any], Array]]) -> None:
        """Add the output at the times up to `t`."""
        assert self.times is not None
        direction = 1.0 if self.span[1] > self.span[0] else -1.0
        if self._next is None:
            self._next = float(self.times[self.given]) if self.given < len(self.times) else direction * inf
        if direction * self._next > direction * t:
            return
        last = int(np.searchsorted(direction * self.times, direction * t, side="right"))
        self.output.append((make() if piece is None else piece)(self.times[self.given : last]))
        self.given, self._next = last, None


def _untold(time: float) -> None:
    """Report to nobody."""


def _is_finite(y: Array) -> bool:
    """Whether all components are finite; for a few components, Python's arithmetic is several times faster."""
    return all(map(is_finite_number, y.tolist())) if y.shape[0] <= FEW else np.count_nonzero(np.isfinite(y)) == y.size


@lru_cache(maxsize=SAMPLES)
def _shares(count: int) -> Array:
    """Shares of a step at which events are evaluated, including its ends."""
    return np.arange(count + 1) / count
