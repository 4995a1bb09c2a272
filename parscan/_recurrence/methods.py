"""The methods: their propagators, their windows, and the methods that `auto` tries in turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from .._arrays.memory import nodes_that_fit
from .._engine.convergence import StoppingRules
from .._engine.march import PlannedMethod
from .._engine.system import System
from .._engine.window import GROWTH_LIMIT, Window
from .._functions.step import Step
from .._linalg.dense import Dense
from .._linalg.structure import Structure
from .compiled_segments import CompiledSegments
from .compiled_tangents import MOST, TangentCode
from .decide import COMPILED_SWEEPS, JACOBI_SHARE, NEWTON_SHARE, PILOT_SHARE, Decision, Workload
from .systems.damping import Damping, LevenbergMarquardt
from .systems.propagation import SegmentMarch, Shooting, States, Tangents
from .task import Task

AUTO_RATE = 0.1
"""With `auto`, Newton's method follows once a Jacobi sweep leaves more than this share of a correction."""

WINDOW_SEGMENTS = 32
"""When a window of a named method shrinks, its segments are shortened so that this many of them remain."""


@dataclass(frozen=True)
class Method:
    """A choice of propagators, with properties of the corrections for `StoppingRules`.

    Parameters
    ----------
    propagation : callable
        `propagation(step, n)` for steps on `n` components.
    kept : callable
        `kept(structure)`: structure of the propagators, from that of the step's Jacobian; None without propagators.
    propagates, superlinear : bool
        As in `StoppingRules`.
    damping : callable
        `damping()`: a new damping for a solve, or None: then the user's options decide.
    """

    propagation: Callable[[Step, int], SegmentMarch]
    kept: Callable[[Structure], Structure | None]
    propagates: bool = True
    superlinear: bool = False
    damping: Callable[[], Damping | None] = lambda: None


def _newton(step: Step, n: int) -> SegmentMarch:
    """The whole Jacobian: given, or by one perturbed copy per colour."""
    if step.has_jacobian:
        return Tangents(step, step.structure, lambda matrices: matrices)
    return Shooting(step, step.structure, step.structure, lambda matrices: matrices, n)


def _quasi_newton(step: Step, n: int) -> SegmentMarch:
    """The core of the Jacobian: given, or by one perturbed copy per component, since the step may couple all."""
    core = step.structure.core
    if step.has_jacobian:
        return Tangents(step, core, step.structure.to_core)
    return Shooting(step, Dense(), core, core.from_dense, n)


METHODS = {
    "newton": Method(_newton, lambda family: family, superlinear=True),
    "quasi-newton": Method(_quasi_newton, lambda family: family.core),
    "elk": Method(_newton, lambda family: family, propagates=False, damping=LevenbergMarquardt),
    "jacobi": Method(lambda step, _: States(step), lambda _: None, propagates=False),
}
"""Methods that iterate on the whole trajectory."""

BY_DIFFERENCES = "Newton's method takes derivatives by differences of `step`."


def by_differences(step: Step, names: Iterable[str]) -> tuple[str, ...]:
    """Whether methods on arrays that have run took propagators by differences, as a sentence."""
    propagates = any(METHODS[name].kept(step.structure) is not None for name in names)
    return (BY_DIFFERENCES,) if propagates and not step.has_jacobian else ()


NAMES = ("auto", *METHODS, "sequential")
"""All values of `method`."""

DAMPED = ("newton", "quasi-newton")
"""Methods with which the user may choose a `damping`."""


@dataclass(frozen=True)
class Planner:
    """Plans methods for the last `steps` steps of a task in segments of `length`.

    `covered`: the structure holds all of the Jacobian.
    """

    task: Task
    steps: int
    length: int
    covered: bool

    def named(self, march: SegmentMarch | None = None) -> PlannedMethod:
        """The method that the user named; `march` replaces its own."""
        options = self.task.options
        most = self._most(options.method)
        fewest = WINDOW_SEGMENTS * (options.segment_length or 1)
        window = Window(most, min(most, fewest), most)
        growth = math.inf if self._guessed else GROWTH_LIMIT  # a guess may be so good that growth does not matter
        if options.window is not None:
            window, growth = Window.fixed(options.window), math.inf
        return self._planned(
            options.method, window, growth, fewest=0 if options.segment_length else WINDOW_SEGMENTS, march=march
        )

    def auto(self, decision: Decision, facts: Workload) -> tuple[PlannedMethod, ...]:
        """The methods of a decision."""
        make = {"jacobi": self._auto_jacobi, "newton": self._auto_newton}
        return tuple(make[name](facts) for name in decision.methods)

    def _auto_jacobi(self, facts: Workload) -> PlannedMethod:
        """Jacobi, as long as it gains a factor of ten per sweep."""
        if facts.segments is not None:
            return self.compiled_jacobi(facts.segments)
        march = States(self.task.step, must_gain=True)
        return self._jacobi(march, self.task.options.max_iterations, JACOBI_SHARE * facts.cost.looped)

    def compiled_jacobi(self, segments: CompiledSegments) -> PlannedMethod:
        """The same by machine code; its sweeps are counted, not timed, because their cost is known."""
        return self._jacobi(segments.states(must_gain=True), min(self.task.options.max_iterations, COMPILED_SWEEPS))

    def _jacobi(self, march: SegmentMarch, iterations: int, seconds: float = math.inf) -> PlannedMethod:
        window, method = Window.fixed(self.task.options.window or self._most("jacobi")), METHODS["jacobi"]
        rules = StoppingRules(iterations, method.propagates, method.superlinear, AUTO_RATE)
        return PlannedMethod("jacobi", partial(self._system, method, march, 0), rules, window, seconds)

    def _auto_newton(self, facts: Workload) -> PlannedMethod:
        """Newton, in windows so long that they save time."""
        if facts.tangents is not None:
            return self._compiled_newton(facts.tangents)
        most = self._most("newton")
        fewest = min(math.ceil(facts.newton_steps), most)
        window = Window(min(max(fewest, self.steps // PILOT_SHARE), most), fewest, most)
        if self.task.options.window is not None:
            window = Window.fixed(self.task.options.window)
        seconds = NEWTON_SHARE * facts.cost.looped
        return self._planned("newton", window, math.inf if self._guessed else GROWTH_LIMIT, seconds=seconds)

    def _compiled_newton(self, tangents: TangentCode) -> PlannedMethod:
        """Newton by machine code: after a pilot, unless it is proven, all the rest; where either fails, the loop."""
        most = self._most("newton")
        pilot = most if tangents.is_proven else max(1, self.steps // PILOT_SHARE)
        window = Window(min(pilot, most), most, most)
        planned = self._planned("newton", window, math.inf if self._guessed else GROWTH_LIMIT,
                                fewest=tangents.count(self.steps), march=tangents.march())  # fmt: skip
        return replace(planned, rules=replace(planned.rules, max_iterations=min(MOST, planned.rules.max_iterations)))

    def newton_on_device(self, march: SegmentMarch) -> PlannedMethod:
        """Newton by kernels of a device: after a pilot, all the rest; where either fails, the loop."""
        most = self._most("newton")
        window = Window(min(max(1, self.steps // PILOT_SHARE), most), most, most)
        planned = self._planned("newton", window, math.inf if self._guessed else GROWTH_LIMIT, fewest=1, march=march)
        return replace(planned, rules=replace(planned.rules, max_iterations=min(MOST, planned.rules.max_iterations)))

    def _planned(
        self, name: str, window: Window, largest_growth: float, *, fewest: int = 0, seconds: float = math.inf,
        march: SegmentMarch | None = None,
    ) -> PlannedMethod:  # fmt: skip
        """A method with its rules and windows; `fewest` segments, if they shrink with them; `march`: another march."""
        method = METHODS[name]
        propagation = march or method.propagation(self.task.step, self.task.arrays.n)
        undamped = self.task.options.damping is None  # damped corrections underestimate the error
        rules = StoppingRules(
            self.task.options.max_iterations,
            method.propagates and undamped,
            method.superlinear and undamped and self.covered,
            largest_growth=largest_growth,
        )
        return PlannedMethod(name, partial(self._system, method, propagation, fewest), rules, window, seconds)

    def _system(
        self, method: Method, propagation: SegmentMarch, fewest: int, begin: int, end: int, warm: bool
    ) -> System:
        """The steps `begin` to `end` as a system of the method."""
        length = min(self.length, max(1, (end - begin) // fewest)) if fewest else self.length
        damping = method.damping() or self.task.options.damping
        return self.task.system(propagation, damping, length, begin, end, warm=warm)

    @property
    def _guessed(self) -> bool:
        """Whether the user gave a trajectory to start from."""
        return self.task.arrays.guess is not None

    def _most(self, name: str) -> int:
        """Steps of a window that memory allows."""
        kept = METHODS[name].kept(self.task.step.structure)
        numbers = 0 if kept is None else math.prod(kept.shape(self.task.arrays.n))
        segments = -(-self.steps // self.length)
        fitting = nodes_that_fit(segments, self.task.arrays.y0, numbers)
        return self.steps if fitting == segments else self.length * fitting
