"""Windows of time, one after the other: the methods in turn, and the sequential loop where all of them fail."""

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
"""Exponential back-off: after k failures in a row the loop runs BACK_OFF**k smallest windows before a new attempt."""


@dataclass(frozen=True)
class PlannedMethod:
    """One method of a solve.

    Parameters
    ----------
    name : str
        The user's name for it.
    system : callable
        `system(begin, end, warm)`: these steps as the method's system; `warm` if the rows of the trajectory there are
        a guess.
    rules : StoppingRules
        How long it iterates.
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

        `report` receives the number of solved steps from time to time.
        """

    @abstractmethod
    def first_not_finite(self, begin: int, end: int) -> int:
        """First of these steps whose state is not finite, or `end`."""


@dataclass(frozen=True)
class Plan:
    """Methods in the order of their trial, none for the loop alone, and when a correction is small enough."""

    methods: tuple[PlannedMethod, ...]
    tolerance: Tolerance


@dataclass(frozen=True)
class Solve:
    """An attempt of a method on the steps `begin` to `end`: how it ended, and the step that it reached.

    `history` are its corrections, `note` is a remark on its ending.
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
    """The attempts and the steps of the loop."""

    solves: list[Solve] = field(default_factory=list)
    """The methods' attempts, in order."""
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
        self._size = plan.methods[0].window.first if plan.methods else problem.steps
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
        if not self._plan.methods:
            self._loop(begin, self._problem.steps)
            return
        method = self._plan.methods[self._index]
        end = min(begin + self._size, self._problem.steps)
        outcome = self._solve(method, begin, end)
        reached = self.record.solves[-1].reached
        self.record.reached = self._problem.first_not_finite(begin, reached)
        if self.record.reached < reached:  # the loop decides which state is the first that is not finite
            self._loop(self.record.reached, end)
        elif outcome.ending is Termination.CONVERGED:
            self._size = method.window.after(end - begin, outcome, careful=self._failed)
            self._failures = 0
            self._tell(end, method.name, end - begin, outcome.history[-1])
        else:
            self._give_way(method, begin, end, outcome)

    def _solve(self, method: PlannedMethod, begin: int, end: int) -> Outcome:
        """Try a method on a window."""
        system = method.system(begin, end, end <= self._warm_until)
        share = (end - begin) / self._problem.steps
        rules = replace(method.rules, max_seconds=method.seconds_per_step * (end - begin), share=share)

        def report(node: int, iterations: int, correction: float) -> None:
            self._tell(system.time_of(node), method.name, end - begin, correction, iterations)

        outcome = solve(system, system.guess(self._problem.state(begin)), self._plan.tolerance, rules, report)
        reached, ending = system.time_of(outcome.first), outcome.ending
        # Without the nodes of the outcome: those of all windows would take the memory of a further trajectory.
        self.record.solves.append(Solve(method.name, begin, end, reached, ending, outcome.history, outcome.note))
        self._iterations += len(outcome.history)
        return outcome

    def _give_way(self, method: PlannedMethod, begin: int, end: int, outcome: Outcome) -> None:
        """After a failure: a smaller window, then the next method, then the loop, longer each time."""
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
        """Report the number of solved steps; the `iterations` of the solves before are added."""
        if self._report is not None:
            done = self._iterations + iterations
            self._report(solved, method=method, window=window, iterations=done, correction=correction)
