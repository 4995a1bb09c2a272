"""Stretches of time, one after the other: the methods in turn, then the sequential loop for what they left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ._arrays import Array, array_namespace
from ._newton import Ending, Outcome, Rules, solve
from ._tolerance import Tolerance
from .systems._system import System

GROWTH = 8
"""How much longer the next stretch is after one that converged."""


@dataclass(frozen=True)
class Stage:
    """One method of a solve.

    Parameters
    ----------
    name : str
        As the user knows it.
    system : callable
        `system(begin, end)`: what the method makes of these steps.
    rules : Rules
        How long it goes on.
    length : int
        Steps per segment.
    pilot : int or None
        Segments to begin with; as long as the method converges, the next stretch is `GROWTH` times as long.
    largest : int or None
        Segments solved at once, at most.
    seconds_per_step : float
        Time that the method may take.
    """

    name: str
    system: Callable[[int, int], System]
    rules: Rules
    length: int
    pilot: int | None = None
    largest: int | None = None
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
    nodes: Array | None = None
    for stage in plan.stages:
        begin, nodes, ending = _run_stage(problem, stage, plan.tolerance, begin, end, nodes, record, report)
        if ending in (Ending.CONVERGED, Ending.NOT_FINITE, Ending.RAISED):
            break
    return begin, problem.state(begin) if nodes is None else nodes[0, ...]


def _run_stage(
    problem: Problem,
    stage: Stage,
    tolerance: Tolerance,
    begin: int,
    end: int,
    nodes: Array | None,
    record: Record,
    report: Callable[[int], None] | None,
) -> tuple[int, Array | None, Ending]:
    """Solve stretch by stretch until one fails; returns how far, and the guess of the nodes from there on."""
    count = -(-(end - begin) // stage.length)
    size = min(stage.pilot or count, stage.largest or count)
    ending = Ending.CONVERGED
    while begin < end and ending is Ending.CONVERGED:
        stop = min(begin + size * stage.length, end)
        system = stage.system(begin, stop)
        guess = system.guess(problem.state(begin)) if nodes is None else nodes[: system.nodes, ...]
        rules = replace(stage.rules, max_seconds=stage.seconds_per_step * (stop - begin))
        outcome = solve(system, guess, tolerance, rules, _in_steps(report, system))
        record.outcomes.append((stage.name, outcome))
        ending, begin = outcome.ending, system.time_of(outcome.first)
        nodes = _remaining(problem, outcome, system, begin, nodes)
        size = min(GROWTH * size, stage.largest or count)
    return begin, nodes, ending


def _remaining(problem: Problem, outcome: Outcome, system: System, begin: int, nodes: Array | None) -> Array | None:
    """Guess of the nodes from step `begin` on; None if there is none beyond the stretch just solved."""
    later = None if nodes is None else nodes[system.nodes :, ...]
    if outcome.first < system.nodes:
        xp = array_namespace(outcome.z)
        kept = outcome.z[outcome.first :, ...]
        return kept if later is None else xp.concat([kept, later])
    if later is None or later.shape[0] == 0:
        return None
    xp = array_namespace(later)
    return xp.concat([problem.state(begin)[None, ...], later[1:, ...]])


def _in_steps(report: Callable[[int], None] | None, system: System) -> Callable[[int], None] | None:
    """The same report, told nodes instead of steps."""
    return None if report is None else lambda node: report(system.time_of(node))
