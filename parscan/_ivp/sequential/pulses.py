"""Pulses of `fun` that the steps of a solver passed over: values between the nodes show them, and it stops there."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from math import inf
from typing import TypeAlias

import numpy as np

from ..._arrays.namespace import Array, quiet
from ..._engine.termination import Failure, Termination
from ..._functions.evaluators import STACKED
from ..._functions.reads import reads_first
from ..core.evaluation import Evaluation
from ..core.problem import Problem
from .checked import add_counts, apart
from .course import Course

EVERYWHERE, SAMPLES = 4096, 400
"""
Values of `fun` along the whole solution where it takes many times at once, and where it takes one: pulses that are
longer than such a part of the span are met. One by one, those that are suspicious are looked at again, with so many
values in all at most, or as many as the solve had.
"""

FINE = 16
"""Least number of parts of a step in which a smooth function is told from a pulse."""

DEGREE = 6
"""Degree of the polynomial that stands for a smooth function: what is left beside it is a pulse."""

NUMBERS = 1 << 18
"""Largest number of entries in all values."""

ENTRIES = 1 << 23
"""Largest number of entries where the function takes one time: more than 10 000 components have fewer samples."""

EDGE = 1e-6
"""Share of a step from either end within which none are taken: `fun` may jump at nodes."""

SUDDEN, SHARE = 100.0, 1e-3
"""
What is left of the values of a step, times the step, in tolerances, and as a share of what they are beyond a straight
line, if it is a pulse.
"""

ALIKE = 0.5
"""Share of the largest one in its step from which on a place counts as well."""

TINY = float(np.finfo(float).tiny)
"""Least tolerance."""

MOST, LOOKS = 512, 8
"""Largest number of places at which a solver stops, and how often they are looked for: some are behind others."""

DEAR, FEW = 2, 50_000
"""
Calls of further solves, in those of the first one, and in all, after which no more places are looked for: where `fun`
has kinks everywhere, each solve passes over others.
"""

CALM, CALMS = 1.0, 2
"""So many solves in a row whose stops changed so few tolerances: what they passed over is no pulse of the solution."""

MISSED = 100.0
"""Changes of the state, in tolerances, that are missed if pulses are passed over in spite of all stops."""


PASSED_OVER = Failure(Termination.INACCURATE, "the steps passed over a pulse of `fun`")


@dataclass
class Look:
    """
    A look at the pulses that a solve passed over.

    Parameters
    ----------
    problem : Problem
        With breaks at the pulses that were found.
    evaluation : Evaluation
        How `fun` is called.
    fun : callable
        It for one time, as the solvers call it.
    """

    problem: Problem
    evaluation: Evaluation
    fun: Callable[[float, Array], Array]
    calls: int = 0
    missed: float = 0.0
    """What the state would change by, in tolerances, without those pulses."""
    changed: float = inf
    """What the last stops changed, in tolerances; infinite if more is missed with them."""
    _stacks: bool | None = field(default=None, repr=False)

    def stopping(self, course: Course, solve: Callable[[Problem, int], Course]) -> Course:
        """
        The same solve, or one that stops at the pulses that it passed over, which the problem then has as breaks.

        `solve` solves once more, a problem with so many stops. What is passed over even then is told by `missed`.
        """
        first, calms, self.changed, self.missed = course.nfev, 0, inf, inf
        for number in range(LOOKS + 1):
            before_it, breaks, places = self.missed, self.problem.breaks, self.places(course)
            self.changed = inf if self.missed > before_it else self.changed
            calms = calms + 1 if self.changed <= CALM else 0
            is_dear = course.nfev - first > max(DEAR * first, FEW)
            if not places.size or number == LOOKS or calms == CALMS or is_dear:
                break
            known = places if breaks is None else np.union1d(places, breaks)
            self.problem = replace(self.problem, breaks=known)
            before, course = course, solve(self.problem, known.size)
            self.changed = apart(self.problem, course, before)
            add_counts(course, before)
            if course.ending is not before.ending:
                break
        return course

    @property
    def failure(self) -> Failure | None:
        """Why it is no success, as pulses are passed over in spite of all stops and these change the solution."""
        if self.missed <= MISSED or self.changed <= MISSED:
            return None
        if self.changed == inf:
            return PASSED_OVER
        return replace(PASSED_OVER, words=f"{PASSED_OVER}, and stops changed the end by {self.changed:.2g} tolerances")

    def places(self, course: Course) -> Array:
        """Times at which a solver is to stop, ascending; none where `fun` does not read the time."""
        self.missed = 0.0
        if not reads_first(self.problem.fun) or len(course.nodes) < 2:
            return np.empty(0)
        try:
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._places(course)
        except Exception:  # these times and states are no solution, and `fun` need not be defined there
            return np.empty(0)

    def _places(self, course: Course) -> Array:
        steps = _Steps(self.problem, np.asarray(course.nodes), np.asarray(course.states))
        if self._stacks is None:
            self._stacks = self.evaluation.stacks
        if self._stacks:
            return self._sharp(steps, self._values(steps, *steps.chosen(EVERYWHERE, FINE, NUMBERS // steps.size)))
        most = ENTRIES // steps.size
        groups = self._values(steps, *steps.chosen(SAMPLES, 2, min(NUMBERS, most)))
        again, sizes = [np.zeros(0, int)], [np.zeros(0)]
        for numbers, t, values in groups:
            largest = np.max(np.abs(_beyond_line(values)) * steps.factors(numbers), axis=(0, 2))
            some = (largest > SUDDEN) & (t.shape[0] <= FINE)
            again.append(numbers[some])
            sizes.append(largest[some])
        suspicious = np.concatenate(again)[np.argsort(-np.concatenate(sizes), kind="stable")]
        parts = np.full(suspicious.shape, FINE)
        further = self._values(steps, *steps.first(suspicious, parts, min(max(SAMPLES, course.nfev), most)))
        return self._sharp(steps, [*(group for group in groups if group[1].shape[0] > FINE), *further])

    def _sharp(self, steps: _Steps, groups: list[_Group]) -> Array:
        """Times of pulses in some steps, and beside them: a pulse may end between two values."""
        times, heights = [np.empty((0, 3))], [np.empty(0)]
        for numbers, t, values in groups:
            found = _sizes(values, steps.factors(numbers))
            which = np.max(found, axis=0) > SUDDEN
            if not which.any():
                continue
            some = numbers[which]
            others = self._along(t[:, which], steps.between(some, t.shape[0]))
            sure = np.minimum(found[:, which], _sizes(others, steps.factors(some)))
            row, step = _peaks(sure)
            self.missed += float(np.sum(np.mean(sure, axis=0)))
            heights.append(sure[row, step])
            beside = np.clip(row + np.array([-1, 0, 1])[:, None], 0, t.shape[0] - 1)
            times.append(t[:, which][beside, step].T)
        first = np.argsort(-np.concatenate(heights), kind="stable")[:MOST]
        return np.unique(np.concatenate(times)[first])

    def _values(self, steps: _Steps, some: Array, parts: Array) -> list[_Group]:
        """
        Numbers of steps, times `(m + 1, k)` and values `(m + 1, k, n)` there, for each number of parts.

        The state is kept from the begin of a step: what changes within it is what `fun` does by itself, and not the
        error of a state between the nodes, which stiff components would make large.
        """
        if not some.size:
            return []
        groups = [(some[parts == number], int(number)) for number in np.unique(parts)]
        times = [steps.times(each, number) for each, number in groups]
        states = [np.tile(steps.states[each], (number + 1, 1)) for each, number in groups]
        values = self._along(np.concatenate([t.reshape(-1) for t in times]), np.concatenate(states))
        parted = np.split(values, np.cumsum([t.size for t in times])[:-1])
        return [(each, t, v.reshape(*t.shape, -1)) for (each, _), t, v in zip(groups, times, parted, strict=True)]

    def _along(self, times: Array, states: Array) -> Array:
        """Values of `fun` for many times and states, in the shape of the states."""
        t, y = times.reshape(-1), states.reshape(-1, states.shape[-1])
        if self._stacks:
            self.calls += 1
            values = self.problem.right_hand_side(STACKED)(t, y)
        else:
            self.calls += t.size
            values = np.asarray([self.fun(one, state) for one, state in zip(t.tolist(), y, strict=True)])
        return values.reshape(states.shape)


_Group: TypeAlias = tuple[Array, Array, Array]


class _Steps:
    """The steps of a solve."""

    def __init__(self, problem: Problem, nodes: Array, states: Array) -> None:
        self.nodes, self.states, self.lengths, self.size = nodes, states, np.diff(nodes), states.shape[1]
        sizes = np.maximum(np.abs(states[:-1]), np.abs(states[1:]))
        self._tolerances = np.maximum(problem.atol + problem.rtols * sizes, TINY)

    def parts(self, count: int) -> Array:
        """Parts of each step, a power of two, of which there are `count` or more in the whole span."""
        whole = float(np.abs(self.nodes[-1] - self.nodes[0]))
        wanted = np.abs(self.lengths) / whole * count if whole else np.zeros(self.lengths.shape)
        return 2 ** np.ceil(np.log2(np.maximum(wanted, 1))).astype(int)

    def chosen(self, count: int, least: int, most: float) -> tuple[Array, Array]:
        """Steps that are long enough to pass over a pulse, the longest first, and their parts."""
        parts = self.parts(count)
        some = np.argsort(-np.abs(self.lengths), kind="stable")
        some = some[parts[some] > 1]
        return self.first(some, np.maximum(least, parts[some]), most)

    def first(self, some: Array, parts: Array, most: float) -> tuple[Array, Array]:
        """The first of some steps, with no more values in all than that."""
        fits = np.cumsum(parts + 1) <= most
        return some[fits], parts[fits]

    def times(self, some: Array, parts: int) -> Array:
        """Times `(parts + 1, k)` in some steps."""
        shares = np.clip(np.arange(parts + 1) / parts, EDGE, 1 - EDGE)
        return self.nodes[some] + shares[:, None] * self.lengths[some]

    def between(self, some: Array, count: int) -> Array:
        """States `(count, k, n)` on straight lines between the ends of some steps, which vary as the solution does."""
        shares = np.linspace(0, 1, count)[:, None, None]
        return self.states[some] + shares * (self.states[some + 1] - self.states[some])

    def factors(self, some: Array) -> Array:
        """What values of some steps are multiplied with, `(k, n)`: the length in tolerances."""
        return np.abs(self.lengths[some])[:, None] / self._tolerances[some]


def _left(values: Array) -> Array:
    """What is left of values `(m + 1, k, n)` beside polynomials."""
    basis, columns = _basis(values.shape[0]), values.reshape(values.shape[0], -1)
    found: Array = np.abs(columns - basis @ (basis.T @ columns)).reshape(values.shape)
    return found


def _sizes(values: Array, factors: Array) -> Array:
    """What is left of them in tolerances, `(m + 1, k)`: that of the largest component; zero where it is none."""
    left = _left(values) * factors
    if np.max(left, initial=0.0) <= SUDDEN:
        return np.zeros(left.shape[:2])
    beyond = np.max(np.abs(_beyond_line(values)) * factors, axis=0)
    found: Array = np.max(np.where((left > SHARE * beyond) & np.isfinite(left), left, 0.0), axis=2)
    return np.where(np.max(found, axis=0) > SUDDEN, found, 0.0)


def _peaks(found: Array) -> tuple[Array, Array]:
    """Places where sizes `(m + 1, k)` are largest."""
    peaks = found > np.maximum(SUDDEN, ALIKE * np.max(found, axis=0))
    peaks[1:] &= found[1:] >= found[:-1]
    peaks[:-1] &= found[:-1] > found[1:]
    row, step = np.nonzero(peaks)
    return row, step


def _beyond_line(values: Array) -> Array:
    """Values `(m + 1, k, n)` beyond the straight lines between the first and the last ones."""
    shares = np.linspace(0, 1, values.shape[0])[:, None, None]
    return values - values[:1] - shares * (values[-1:] - values[:1])


@cache
def _basis(count: int) -> Array:
    """Orthonormal polynomials at evenly spaced places, `(count, DEGREE + 1)`."""
    return np.linalg.qr(np.polynomial.legendre.legvander(np.linspace(-1, 1, count), DEGREE))[0]
