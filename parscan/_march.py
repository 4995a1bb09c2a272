"""Stretches of time, one after the other: the methods in turn, then the sequential loop for what they left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from ._arrays import Array
from ._newton import Ending, Outcome, Rules, solve
from ._tolerance import Tolerance
from .systems._system import System


@dataclass(frozen=True)
class Stage:
    """One method of a solve: the system that it makes of the steps `begin` to `end`, and how long it goes on."""

    name: str
    system: Callable[[int, int], System]
    rules: Rules


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
    def loop(self, state: Array, begin: int, end: int, report: Callable[[int], None] | None) -> int:
        """Evaluate the steps one by one; returns the first one whose state is not finite, or `end`."""

    @abstractmethod
    def first_not_finite(self, begin: int, end: int) -> int:
        """First of these steps whose state is not finite, or `end`."""


@dataclass(frozen=True)
class Plan:
    """How a trajectory is to be solved.

    Parameters
    ----------
    stages : tuple of Stage
        Methods in the order of their trial; none for the loop alone.
    window : int
        Steps solved at once.
    tolerance : Tolerance
        When a correction is small enough.
    """

    stages: tuple[Stage, ...]
    window: int
    tolerance: Tolerance


@dataclass
class Record:
    """What happened on the march."""

    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)
    """Stages by name, and how each ended."""
    looped: int = 0
    """Steps evaluated by the sequential loop."""
    reached: int = 0
    """First step whose state is not finite, or the number of steps."""

    @property
    def history(self) -> tuple[float, ...]:
        """Corrections of all iterations."""
        return tuple(size for _, outcome in self.outcomes for size in outcome.history)

    @property
    def residual(self) -> float:
        """Largest defect left at a joint."""
        converged = (outcome.residual for _, outcome in self.outcomes if outcome.ending is Ending.CONVERGED)
        return max(converged, default=0.0)


def march(problem: Problem, plan: Plan, start: int, report: Callable[[int], None] | None = None) -> Record:
    """Solve the steps from `start` on, window by window; `report` is told how many are solved."""
    record = Record(reached=start)
    for begin in range(start, problem.steps, plan.window):
        end = min(begin + plan.window, problem.steps)
        solved, state = _solve_window(problem, plan, begin, end, record, report)
        record.reached = bad = problem.first_not_finite(begin, solved)
        if bad < solved:
            solved, state = bad, problem.state(bad)  # the loop has the last word on what is not finite
        if solved < end:
            record.reached = problem.loop(state, solved, end, report)
            record.looped += record.reached - solved
        if record.reached < end:
            break
        if report is not None:
            report(end)
    return record


def _solve_window(
    problem: Problem, plan: Plan, begin: int, end: int, record: Record, report: Callable[[int], None] | None
) -> tuple[int, Array]:
    """Try the plan's stages on a window; returns how far it is solved, and the state to go on from."""
    z = problem.state(begin)[None, ...]
    fresh = True
    for stage in plan.stages:
        system = stage.system(begin, end)
        z = system.guess(z[0, ...]) if fresh else z
        fresh = False
        outcome = solve(system, z, plan.tolerance, stage.rules, _in_steps(report, system))
        record.outcomes.append((stage.name, outcome))
        begin = system.time_of(outcome.first)
        if begin == end:
            break
        z = outcome.z[outcome.first :, ...]
        if outcome.ending in (Ending.NOT_FINITE, Ending.RAISED):
            break
    return begin, z[0, ...]


def _in_steps(report: Callable[[int], None] | None, system: System) -> Callable[[int], None] | None:
    """The same report, told nodes instead of steps."""
    return None if report is None else lambda node: report(system.time_of(node))
