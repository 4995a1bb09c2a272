"""How the user's functions are evaluated: for many times at once or one by one, and with the user's `jac` or without.

Each question is decided when the answer is first needed, by calls for states near the initial one. The answer is
checked again on the solution.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace
from ..._functions.differences import Evaluate
from ..._functions.evaluators import ONE_BY_ONE, STACKED, Evaluator, Evaluators, Postponed
from ..._functions.extremes import extreme_rows
from ..._functions.raised import Raised
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import agree, is_far_too_large, is_transposed, share_of
from .near_start import Sample, sample
from .polynomial import PiecewisePolynomial
from .problem import Problem

LATER = 5
"""States, spread over a solved trajectory, on which the functions are checked again, besides the extreme states."""

NUMBERS = 1 << 22
"""Largest number of entries in all Jacobians of such a check; one Jacobian is always checked."""

OTHERWISE = "gives something else for many times at once than for each alone"

TRANSPOSED = (
    "`jac` is transposed: entry [i, j] must be the derivative of component i of `fun` by component j of `y`, and "
    "differences of `fun` say that it is the other way round."
)


class Evaluation:
    """Evaluators of `fun` and `jac`, and whether `jac` fits `fun`.

    `vectorized` is the user's option: whether `fun` takes many times at once, or None. `before` is the right-hand side
    of the solution that the user gave as a guess; `fun` was verified for that solution. `slope` is the value of `fun`
    for the initial state, if it is known.
    """

    def __init__(
        self,
        problem: Problem,
        vectorized: bool | None,
        before: Callable[[Array, Array], Array] | None = None,
        slope: Array | None = None,
    ) -> None:
        self.problem = problem
        self.raised = Raised()
        self._before = before
        self.slope = slope
        self._jac_is_withdrawn = False
        ways = (ONE_BY_ONE,) if vectorized is False else (STACKED, ONE_BY_ONE)
        self.fun = Evaluators(self._obstacle_of_fun, *ways)
        self.jac = Evaluators(self._obstacle_of_jac, *ways)

    def with_breaks(self, breaks: Array | None) -> Evaluation:
        """The same for the problem with these breakpoints."""
        other = copy.copy(self)
        other.problem = replace(self.problem, breaks=breaks)
        return other

    @property
    def stacks(self) -> bool:
        """Whether `fun` can be called for many times at once."""
        return self.fun.best.stacks

    @property
    def obstacle(self) -> str:
        """Why `fun` cannot be called for many times at once, as the predicate of a sentence; "" if it can."""
        return self.fun.obstacle(STACKED)

    def right_hand_side(self) -> RightHandSide:
        """The functions with their best evaluators; their exceptions are kept in `raised`, and count as NaN."""
        made = self.problem.right_hand_side(self.fun.best, self.jac.best, self.raised)
        return made if self.jac_fits else made.without_jacobian()

    def right_hand_side_of_steps(self) -> RightHandSide:
        """The same for sequential solvers: its evaluators are chosen when it is called for many times, if ever."""
        fun, jac = (Postponed(partial(getattr, evaluators, "best")) for evaluators in (self.fun, self.jac))
        made = self.problem.right_hand_side(fun, jac, self.raised)
        return made if self.jac_fits else made.without_jacobian()

    @property
    def jac_fits(self) -> bool:
        """Whether there is no `jac`, or it can be the Jacobian of `fun`. Raises if `jac` is transposed."""
        return self._jac_fits_at_start and not self._jac_is_withdrawn

    @cached_property
    def _jac_fits_at_start(self) -> bool:
        """Whether `jac` fits `fun` near the initial state."""
        if self.problem.jac is None:
            return True
        some, second = self.near_start, slice(1, 2)  # its components are not zero, unless `fun` accepts zero only
        there = some.t[second], some.states[second, ...], some.values[second, ...], self._matrices[second, ...]
        if is_transposed(self._alone.differences, *there):
            raise ValueError(TRANSPOSED)
        return not is_far_too_large(self._alone, *there, self.problem.span)

    def withdraw_contradicted(self, rhs: RightHandSide, pieces: list[PiecewisePolynomial]) -> bool:
        """Withdraw an evaluator, or `jac`, that a solution with this right-hand side contradicts.

        True if one was withdrawn: then the problem has to be solved again.
        """
        some = _some_of(pieces)
        if rhs.stacks:
            alone = self.problem.right_hand_side(raised=self.raised)
            if not all(self._stacks_on(rhs, alone, piece.t, piece.y) for piece in some):
                self.fun.withdraw(rhs.evaluator, f"{OTHERWISE} on the solution")
                self.jac.withdraw(rhs.jac_evaluator, f"{OTHERWISE} on the solution")
                return True
        return self.withdraws_jacobian(rhs, pieces)

    def withdraws_jacobian(self, rhs: RightHandSide, pieces: list[PiecewisePolynomial]) -> bool:
        """Withdraw `jac` if a solution with this right-hand side contradicts it; True if it was withdrawn."""
        if rhs.has_jacobian and not all(self._jac_fits_on(rhs, one.t, one.y) for one in _some_of(pieces)):
            self._jac_is_withdrawn = True
            return True
        return False

    def _obstacle_of_fun(self, evaluator: Evaluator) -> str:
        """Why `fun` cannot be evaluated by this evaluator, as the predicate of a sentence."""
        before = self._before
        if isinstance(before, RightHandSide) and before.stacks and before.function is self.problem.fun:
            return ""  # `args` may differ from the earlier ones: the check on the solution covers them
        some = self.near_start
        if some.refused is not None:
            return f"takes no other state near `y0`: it {_what_was_raised(some.refused)}"
        together = self.problem.right_hand_side(evaluator)
        return self._obstacle(together, self._alone, some.t, some.states, some.values)

    def _obstacle_of_jac(self, evaluator: Evaluator) -> str:
        """Why `jac` cannot be evaluated by this evaluator."""
        if not callable(self.problem.jac):
            return ""
        some, together = self.near_start, self.problem.right_hand_side(jac=evaluator)
        many, one = (partial(_jacobian, rhs) for rhs in (together, self._alone))
        return self._obstacle(many, one, some.t, some.states, self._matrices)

    def _stacks_on(self, rhs: RightHandSide, alone: RightHandSide, t: Array, states: Array) -> bool:
        """Whether `fun`, called for all states of a solved trajectory, agrees with single calls for some of them.

        It did near the start. A branch of `fun` on its times or states may be reached only later, and is most likely
        reached at the extreme states.
        """
        xp, count = array_namespace(states), t.shape[0]
        some = xp.asarray(sorted({*(k * (count - 1) // (LATER - 1) for k in range(LATER)), *extreme_rows(states)}))
        found = xp.take(rhs(t, states), some, axis=0)
        times, places = xp.take(t, some), xp.take(states, some, axis=0)
        return agree(found, alone(times, places), self._share, times, places, alone)

    def _jac_fits_on(self, rhs: RightHandSide, t: Array, states: Array) -> bool:
        """Whether the Jacobian is not far too large at some states of a solved trajectory either."""
        xp, (count, *_, n) = array_namespace(states), states.shape
        wanted = min(LATER, max(1, NUMBERS // max(1, n * states[0, ...].size)))
        some = xp.asarray(sorted({(2 * k + 1) * count // (2 * wanted) for k in range(wanted)}))
        times, places = xp.take(t, some), xp.take(states, some, axis=0)
        values = rhs(times, places)
        matrices = rhs.jacobian(times, places, values)
        return not is_far_too_large(rhs, times, places, values, matrices, self.problem.span)

    def _obstacle(self, together: Evaluate, alone: Evaluate, t: Array, states: Array, expected: Array) -> str:
        """Why one call for all states cannot replace single calls, which gave the expected values; "" if it can."""
        try:
            found = together(t, states)
        except Exception as error:  # a function that was written for one state may do anything with many
            return f"{_what_was_raised(error)} when it was called for many times at once"
        return "" if agree(found, expected, self._share, t, states, alone) else OTHERWISE

    @cached_property
    def _alone(self) -> RightHandSide:
        """The functions, called for one time after the other."""
        return self.problem.right_hand_side()

    @cached_property
    def near_start(self) -> Sample:
        """States near the initial one. An exception for the initial state reaches the user."""
        return sample(self._alone, self.problem.span, self.problem.y0, self.problem.atol, self.slope)

    @cached_property
    def _matrices(self) -> Array:
        """The user's Jacobians for the states of the sample."""
        return _jacobian(self._alone, self.near_start.t, self.near_start.states)

    @property
    def _share(self) -> float:
        """The relative difference that is always accepted."""
        return share_of(self.problem.rtol, self.problem.y0)


def _some_of(pieces: list[PiecewisePolynomial]) -> list[PiecewisePolynomial]:
    """The first piece, one in the middle and the last one."""
    return [pieces[k] for k in sorted({0, len(pieces) // 2, len(pieces) - 1})] if pieces else []


def _jacobian(rhs: RightHandSide, t: Array, states: Array) -> Array:
    """The user's Jacobians, which do not depend on the values of the right-hand side."""
    return rhs.jacobian(t, states, states)


def _what_was_raised(error: Exception) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"raised {type(error).__name__}: {text}" if text else f"raised {type(error).__name__}"
