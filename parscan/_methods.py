"""The methods: what each propagates, and the order in which `auto` tries them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ._arrays import Array
from ._cost import Cost
from ._march import Stage
from ._newton import Rules
from ._problem import RecurrenceProblem
from .jacobians import Diagonal, Structure
from .systems import Propagation, Shooting, States, Step, Tangents

AUTO_RATE = 0.1
"""Share of a correction that a sweep of `auto` may leave before Newton takes over from Jacobi."""

NEWTON_SHARE = 0.5
"""Share of the loop's time that `auto` gives to Newton."""

FEWEST_NEWTON = 4
"""Newton iterations that must fit into this time before `auto` tries them."""

PILOT_SHARE = 8
"""`auto` tries Newton on one such part of the segments first."""

FEWEST_SEGMENTS = 8
"""Segments that make a pilot."""

MATRIX_BYTES = 2**29
"""Propagators that `auto` keeps at a time."""


@dataclass(frozen=True)
class Method:
    """A choice of propagators for steps on `n` components, and how its corrections are to be trusted: see `Rules`."""

    propagation: Callable[[Step, int], Propagation[Any]]
    propagates: bool = True
    superlinear: bool = False


def _newton(step: Step, n: int) -> Propagation[Any]:
    return _derivative(step, n, step.structure, lambda matrices: matrices)


def _quasi_newton(step: Step, n: int) -> Propagation[Any]:
    return _derivative(step, n, Diagonal(), step.structure.diagonal)


def _derivative(step: Step, n: int, reduced: Structure, reduce: Callable[[Array], Array]) -> Propagation[Any]:
    """Products of the given Jacobians, or shooting where there are none."""
    if step.has_jacobian:
        return Tangents(step, reduced, reduce)
    return Shooting(step, step.structure, reduced, reduce, n)


METHODS = {
    "newton": Method(_newton, superlinear=True),
    "quasi-newton": Method(_quasi_newton),
    "picard": Method(lambda step, _: States(step, identity=True)),
    "jacobi": Method(lambda step, _: States(step), propagates=False),
}
"""Methods that iterate on the whole trajectory."""

NAMES = ("auto", *METHODS, "sequential")
"""All that `method` may be."""


@dataclass(frozen=True)
class Workshop:
    """Makes stages for one problem: its step on `n` components, segments of `length` steps."""

    problem: RecurrenceProblem
    step: Step
    n: int
    length: int
    max_iterations: int

    def stage(self, name: str, required_rate: float = float("inf"), **more: Any) -> Stage:
        """The stage of a named method; `more` are fields of `Stage`."""
        method = METHODS[name]
        propagation = method.propagation(self.step, self.n)
        rules = Rules(self.max_iterations, method.propagates, method.superlinear, required_rate)
        system = partial(self.problem.system, propagation, self.length)
        return Stage(name, system, rules, self.length, **more)

    def auto(self, cost: Cost, steps: int) -> tuple[Stage, ...]:
        """Jacobi as long as it gains a factor of ten per sweep, then Newton for part of the time of the loop."""
        jacobi = self.stage("jacobi", required_rate=AUTO_RATE)
        colours = self.step.structure.colours(self.n)
        seconds = NEWTON_SHARE * cost.looped
        if FEWEST_NEWTON * cost.stacked(self.length, steps * (1 + colours)) > seconds * steps:
            return (jacobi,)
        segments = -(-steps // self.length)
        largest = max(1, MATRIX_BYTES // (8 * self.problem.width * colours))
        pilot = max(FEWEST_SEGMENTS, segments // PILOT_SHARE)
        return jacobi, self.stage("newton", pilot=pilot, largest=largest, seconds_per_step=seconds)
