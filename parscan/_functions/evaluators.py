"""Ways of evaluating a user's function at many points, in order of preference.

1. `STACKED`: one call for all points.
2. `ONE_BY_ONE`: a call for each point, which defines the right values.

Machine code of a right-hand side is no evaluator: see `code`. Each evaluator but the last of a list is compared with
the last one on samples before it is used, and is withdrawn if a solution contradicts it. Calls are counted, and
returned values checked, by `RightHandSide` and `Step`, whichever evaluator is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

from .._arrays.namespace import Array


class Values(Protocol):
    """A function of stacked states, such as a `RightHandSide` or a `Step`.

    `points` are the times `(m,)` of a right-hand side, or the numbers of the time steps of a recurrence.
    """

    def together(self, points: Any, states: Array) -> Array:
        """Values at all of the stacked states by one call."""

    def each(self, points: Any, states: Array) -> Array:
        """Values by a call for each of the states."""


class Evaluator(Protocol):
    """One way of evaluating functions at many points."""

    @property
    def stacks(self) -> bool:
        """Whether many points are evaluated at once."""

    def values(self, function: Values, points: Any, states: Array) -> Array:
        """Values of the function at the stacked states."""


class Stacked:
    """One call for all points."""

    stacks = True

    def values(self, function: Values, points: Any, states: Array) -> Array:
        """One call of the function."""
        return function.together(points, states)


class OneByOne:
    """A call for each point."""

    stacks = False

    def values(self, function: Values, points: Any, states: Array) -> Array:
        """One call of the function for each point."""
        return function.each(points, states)


STACKED, ONE_BY_ONE = Stacked(), OneByOne()


class Postponed:
    """An evaluator that `find()` chooses when many points are evaluated for the first time."""

    def __init__(self, find: Callable[[], Evaluator]) -> None:
        self._found = cache(find)

    @property
    def stacks(self) -> bool:
        """Whether the evaluator evaluates many points at once."""
        return self._found().stacks

    def values(self, function: Values, points: Any, states: Array) -> Array:
        """Values by the evaluator."""
        return self._found().values(function, points, states)


class Evaluators:
    """Evaluators of one function, the preferred one first; the last one is always right.

    `verify(evaluator)` returns why an evaluator disagrees with the last one, or "" if it agrees. It is called once,
    when the evaluator is first needed.
    """

    def __init__(self, verify: Callable[[Evaluator], str], *evaluators: Evaluator) -> None:
        self._verify, self._evaluators = verify, evaluators
        self._obstacles: dict[Evaluator, str] = {}

    @property
    def best(self) -> Evaluator:
        """The first evaluator that is verified, or the last one."""
        *preferred, last = self._evaluators
        return next((evaluator for evaluator in preferred if not self.obstacle(evaluator)), last)

    def obstacle(self, evaluator: Evaluator) -> str:
        """Why an evaluator is not used, as the predicate of a sentence; "" if it may be used."""
        if evaluator not in self._obstacles:
            self._obstacles[evaluator] = self._verify(evaluator)
        return self._obstacles[evaluator]

    def withdraw(self, evaluator: Evaluator, obstacle: str) -> None:
        """Do not use an evaluator any more: a solution contradicted it."""
        self._obstacles[evaluator] = obstacle
