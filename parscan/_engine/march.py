"""The march over windows of time: methods are tried in turn, and the sequential loop is run where all of them fail."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from .._arrays.namespace import Array
from .._reporting.progress import Report
from .convergence import Outcome, StoppingRules, solve
from .system import System
from .termination import Termination
from .tolerance import Tolerance
from .window import Window

BACK_OFF = 4
"""Exponential back-off: after k failures in a row the loop runs BACK_OFF**k smallest windows before a new attempt."""


@dataclass(frozen=True)
class PlannedMethod:
    """One method of a solve.

    Parameters
    ----------
    name : str
        The name that users call it by.
    system : callable
        `system(begin, end, warm)`: the method's system for these steps. `warm`: the trajectory already holds a guess
        there.
    rules : StoppingRules
        When its iteration ends.
    window : Window
        Steps solved at once.
    seconds_per_step : float
        Largest time that the method may take for each step.
    """

    name: str
    system: Callable[[int, int, bool], System]
    rules: StoppingRules
    window: Window
    seconds_per_step: float = float("inf")


class Problem(ABC):
    """A trajectory that systems solve window by window, and that a sequential loop can solve, too."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Number of time steps."""

    @abstractmethod
    def state(self, time: int) -> Array:
        """State from which the step `time` starts."""

    @abstractmethod
    def loop(self, state: Array, begin: int, end: int, report: Callable[[int], None] | None = None) -> int:
        """Evaluate the steps one by one; returns the first one whose state is not finite, or `end`.

        `report` receives the number of solved steps from time to time.
        """

    @abstractmethod
    def first_not_finite(self, begin: int, end: int) -> int:
        """First of these steps whose state is not finite, or `end`."""


@dataclass(frozen=True)
class Plan:
    """Methods in the order in which they are tried, and the tolerance. Without methods, only the loop is run."""

    methods: tuple[PlannedMethod, ...]
    tolerance: Tolerance


@dataclass(frozen=True)
class Solve:
    """An attempt of a method on the steps `begin` to `end`: why it ended, and the step that it reached.

    `history` are its corrections, `note` is a remark on its end.
    """

    method: str
    begin: int
    end: int
    reached: int
    termination: Termination
    history: tuple[float, ...]
    note: str = ""


@dataclass
class Record:
    """The attempts of the methods, and the number of steps of the loop."""

    solves: list[Solve] = field(default_factory=list)
    """The attempts of the methods, in order."""
    looped: int = 0
    """Steps evaluated by the sequential loop."""
    reached: int = 0
    """First step whose state is not finite, or the number of steps."""

    @property
    def history(self) -> tuple[float, ...]:
        """Corrections of all iterations."""
        return tuple(size for attempt in self.solves for size in attempt.history)


def march(problem: Problem, plan: Plan, start: int, report: Report | None = None) -> Record:
    """Solve the steps from `start` on, window by window; `report` is called after every iteration."""
    if not plan.methods:
        return looped(problem, start, report)
    run = _March(problem, plan, start, report)
    while run.continues():
        run.step()
    return run.record


def looped(problem: Problem, start: int, report: Report | None, begun: Record | None = None) -> Record:
    """
    All steps by the loop: a short one takes hardly longer than what `_March` prepares.

    `begun` is the record of the steps before `start`; if none are left, it is that of all.
    """
    steps, before = problem.steps, begun or Record(reached=start)
    on = None if report is None else partial(report, method="sequential", window=1, iterations=0, correction=None)
    if begun and on and begun.reached == start:
        on(start)
    if start >= steps:
        return before
    reached = problem.loop(problem.state(start), start, steps, on)
    return Record(looped=before.looped + reached - start, reached=reached)


class _March:
    """The state of a march: the time reached, the method in use, and the size of its next window."""

    def __init__(self, problem: Problem, plan: Plan, start: int, report: Report | None) -> None:
        self.record = Record(reached=start)
        self._problem = problem
        self._plan = plan
        self._report = report
        self._finite = True
        self._index = 0
        self._size = plan.methods[0].window.first
        self._failures = 0  # in a row, of the last method in its smallest window
        self._failed = False  # whether the method in use has failed: then its windows grow more slowly
        self._warm_until = 0  # up to this step, the trajectory holds the states of an earlier sweep
        self._iterations = 0  # of all earlier solves

    def continues(self) -> bool:
        """Whether steps are left, and the last state is finite."""
        return self._finite and self.record.reached < self._problem.steps

    def step(self) -> None:
        """Solve one window by the method in use."""
        begin = self.record.reached
        method = self._plan.methods[self._index]
        end = min(begin + self._size, self._problem.steps)
        outcome, are_finite = self._solve(method, begin, end)
        reached = self.record.solves[-1].reached
        self.record.reached = reached if are_finite else self._problem.first_not_finite(begin, reached)
        if self.record.reached < reached:  # the loop determines the first state that is not finite
            self._loop(self.record.reached, end)
        elif outcome.ending is Termination.CONVERGED:
            self._size = method.window.after(end - begin, outcome, careful=self._failed)
            self._failures = 0
            self._report_on(end, method.name, end - begin, outcome.history[-1])
        else:
            self._fall_back(method, begin, end, outcome)

    def _solve(self, method: PlannedMethod, begin: int, end: int) -> tuple[Outcome, bool]:
        """Try a method on a window; also returned is whether all states are known to be finite."""
        system = method.system(begin, end, end <= self._warm_until)
        share = (end - begin) / self._problem.steps
        rules = replace(method.rules, max_seconds=method.seconds_per_step * (end - begin), share=share)

        def report(node: int, iterations: int, correction: float) -> None:
            self._report_on(system.time_of(node), method.name, end - begin, correction, iterations)

        outcome = solve(system, system.guess(self._problem.state(begin)), self._plan.tolerance, rules, report)
        reached, ending = system.time_of(outcome.first), outcome.ending
        # The nodes of the outcome are not kept: those of all windows would take the memory of another trajectory.
        self.record.solves.append(Solve(method.name, begin, end, reached, ending, outcome.history, outcome.note))
        self._iterations += len(outcome.history)
        return outcome, system.are_finite

    def _fall_back(self, method: PlannedMethod, begin: int, end: int, outcome: Outcome) -> None:
        """After a failure: a smaller window, then the next method, then the loop, for more steps each time."""
        self._size = method.window.after(end - begin, outcome, careful=True)
        self._failed = True
        self._warm_until = 0
        if self._size >= method.window.smallest:
            return
        if self._index + 1 < len(self._plan.methods):
            self._index += 1
            self._size = self._plan.methods[self._index].window.first
            self._failed = False
            self._warm_until = end if outcome.ending is Termination.STALLED else 0
            return
        self._size = method.window.smallest
        self._failures += 1
        stretch = self._size * BACK_OFF**self._failures
        end = self.record.reached + stretch
        self._loop(self.record.reached, end if end + stretch < self._problem.steps else self._problem.steps)

    def _loop(self, begin: int, end: int) -> None:
        """Evaluate steps one by one."""
        self.record.reached = self._problem.loop(self._problem.state(begin), begin, end, self._report_on)
        self.record.looped += self.record.reached - begin
        self._finite = self.record.reached == end

    def _report_on(
        self,
        solved: int,
        method: str = "sequential",
        window: int = 1,
        correction: float | None = None,
        iterations: int = 0,
    ) -> None:
        """Report the number of solved steps; `iterations` are added to those of earlier solves."""
        if self._report is not None:
            done = self._iterations + iterations
            self._report(solved, method=method, window=window, iterations=done, correction=correction)
