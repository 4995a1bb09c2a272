"""Windows of time, one after the other: the methods in turn, and the sequential loop where none of them gets on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .._arrays.namespace import Array
from .._reporting.progress import Report
from .convergence import Outcome, StoppingRules, solve
from .system import System
from .termination import Termination
from .tolerance import Tolerance
from .window import Window

BACK_OFF = 4
"""How much longer, in smallest windows, the loop goes on after each failure in a row before a method is tried again."""


@dataclass(frozen=True)
class Stage:
    """One method of a solve.

    Parameters
    ----------
    name : str
        As the user knows it.
    system : callable
        `system(begin, end, warm)`: what the method makes of these steps; `warm` if the rows of the trajectory there
        are a guess.
    rules : StoppingRules
        How long it goes on.
    window : Window
        Steps solved at once.
    seconds_per_step : float
        Time that the method may take.
    """

    name: str
    system: Callable[[int, int, bool], System]
    rules: StoppingRules
    window: Window
    seconds_per_step: float = float("inf")


class Problem(ABC):
    """A trajectory that systems write, stretch by stretch, and that a loop can finish."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Number of time steps."""

    @abstractmethod
    def state(self, time: int) -> Array:
        """State that step `time` starts from."""

    @abstractmethod
    def loop(self, state: Array, begin: int, end: int, report: Callable[[int], None]) -> int:
        """Evaluate the steps one by one; returns the first one whose state is not finite, or `end`.

        `report` is told every now and then how many are done.
        """

    @abstractmethod
    def first_not_finite(self, begin: int, end: int) -> int:
        """First of these steps whose state is not finite, or `end`."""


@dataclass(frozen=True)
class Plan:
    """Methods in the order of their trial, none for the loop alone, and when a correction is small enough."""

    stages: tuple[Stage, ...]
    tolerance: Tolerance


@dataclass(frozen=True)
class Solve:
    """What a method made of the steps `begin` to `end`: how it ended, and how far it got."""

    method: str
    begin: int
    end: int
    reached: int
    outcome: Outcome


@dataclass
class Record:
    """What happened on the march."""

    solves: list[Solve] = field(default_factory=list)
    """The methods' attempts, in order."""
    looped: int = 0
    """Steps evaluated by the sequential loop."""
    reached: int = 0
    """First step whose state is not finite, or the number of steps."""

    @property
    def history(self) -> tuple[float, ...]:
        """Corrections of all iterations."""
        return tuple(size for attempt in self.solves for size in attempt.outcome.history)


def march(problem: Problem, plan: Plan, start: int, report: Report | None = None) -> Record:
    """Solve the steps from `start` on, window by window; `report` is told after every iteration."""
    walk = _Walk(problem, plan, start, report)
    while walk.goes_on():
        walk.step()
    return walk.record


class _Walk:
    """Where the march is: the time reached, the method in use, and the size of its next window."""

    def __init__(self, problem: Problem, plan: Plan, start: int, report: Report | None) -> None:
        self.record = Record(reached=start)
        self._problem = problem
        self._plan = plan
        self._report = report
        self._finite = True
        self._index = 0
        self._size = plan.stages[0].window.first if plan.stages else problem.steps
        self._failures = 0  # in a row, of the last method in its smallest window
        self._failed = False  # whether the method in use ever did: then its windows grow with care
        self._warm_until = 0  # the rows ahead, up to there, are those of an earlier sweep
        self._iterations = 0  # of all solves before

    def goes_on(self) -> bool:
        """Whether steps are left, and the last state is finite."""
        return self._finite and self.record.reached < self._problem.steps

    def step(self) -> None:
        """Solve one window, or loop."""
        begin = self.record.reached
        if not self._plan.stages:
            self._loop(begin, self._problem.steps)
            return
        stage = self._plan.stages[self._index]
        end = min(begin + self._size, self._problem.steps)
        outcome = self._solve(stage, begin, end)
        reached = self.record.solves[-1].reached
        self.record.reached = self._problem.first_not_finite(begin, reached)
        if self.record.reached < reached:  # the loop has the last word on what is not finite
            self._loop(self.record.reached, end)
        elif outcome.ending is Termination.CONVERGED:
            self._size = stage.window.after(end - begin, outcome, careful=self._failed)
            self._failures = 0
            self._tell(end, stage.name, end - begin, outcome.history[-1])
        else:
            self._give_way(stage, begin, end, outcome)

    def _solve(self, stage: Stage, begin: int, end: int) -> Outcome:
        """Try a method on a window."""
        system = stage.system(begin, end, end <= self._warm_until)
        share = (end - begin) / self._problem.steps
        rules = replace(stage.rules, max_seconds=stage.seconds_per_step * (end - begin), share=share)

        def report(node: int, iterations: int, correction: float) -> None:
            self._tell(system.time_of(node), stage.name, end - begin, correction, iterations)

        outcome = solve(system, system.guess(self._problem.state(begin)), self._plan.tolerance, rules, report)
        self.record.solves.append(Solve(stage.name, begin, end, system.time_of(outcome.first), outcome))
        self._iterations += len(outcome.history)
        return outcome

    def _give_way(self, stage: Stage, begin: int, end: int, outcome: Outcome) -> None:
        """After a failure: a smaller window, then the next method, then the loop, longer each time."""
        self._size = stage.window.after(end - begin, outcome, careful=True)
        self._failed = True
        self._warm_until = 0
        if self._size >= stage.window.smallest:
            return
        if self._index + 1 < len(self._plan.stages):
            self._index += 1
            self._size = self._plan.stages[self._index].window.first
            self._failed = False
            self._warm_until = end if outcome.ending is Termination.STALLED else 0
            return
        self._size = stage.window.smallest
        self._failures += 1
        stretch = self._size * BACK_OFF**self._failures
        end = self.record.reached + stretch
        self._loop(self.record.reached, end if end + stretch < self._problem.steps else self._problem.steps)

    def _loop(self, begin: int, end: int) -> None:
        """Evaluate steps one by one."""
        self.record.reached = self._problem.loop(self._problem.state(begin), begin, end, self._tell)
        self.record.looped += self.record.reached - begin
        self._finite = self.record.reached == end

    def _tell(
        self,
        solved: int,
        method: str = "sequential",
        window: int = 1,
        correction: float | None = None,
        iterations: int = 0,
    ) -> None:
        """Report that so many steps are solved, by iterations beside those of the solves before."""
        if self._report is not None:
            done = self._iterations + iterations
            self._report(solved, method=method, window=window, iterations=done, correction=correction)
