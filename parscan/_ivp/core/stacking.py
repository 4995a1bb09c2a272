"""What is known of the user's functions: whether they take many times at once, and whether `jac` fits `fun`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from ..._arrays.namespace import Array
from ..._functions.raised import Raised
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import is_far_too_large, is_transposed, share_of
from .check_function import OTHERWISE, jacobians_stack, obstacle_of_fun, trajectory_stacks
from .check_jacobian import fits_trajectory
from .near_start import Sample, sample
from .polynomial import PiecewisePolynomial
from .problem import Problem

BY_CHOICE = "is called for one time after the other, as `vectorized` says"

TRANSPOSED = (
    "`jac` is transposed: entry [i, j] must be the derivative of component i of `fun` by component j of `y`, and "
    "differences of `fun` say that it is the other way round."
)


class Stacking:
    """What is known of them; found out when it is first asked, or from a solve with the same `fun` `before`."""

    def __init__(
        self, problem: Problem, vectorized: bool | None, before: Callable[[Array, Array], Array] | None = None
    ) -> None:
        self.problem = problem
        self._vectorized = vectorized
        self._before = before
        self.raised = Raised()

    @property
    def fun(self) -> bool:
        """Whether `fun` can be called for many times at once."""
        return not self.obstacle

    @cached_property
    def obstacle(self) -> str:
        """Why `fun` cannot be called so, as what follows its name in a sentence; "" if it can."""
        if self._vectorized is False:
            return BY_CHOICE
        if (
            isinstance(self._before, RightHandSide)
            and self._before.stacks
            and self._before.function is self.problem.fun
        ):
            return ""  # the end of the solve tells if it is another one with other arguments
        return obstacle_of_fun(self._make(True, True), self._alone, self._sample, self._share)

    @cached_property
    def jac(self) -> bool:
        """Whether `jac` can be called so."""
        if not callable(self.problem.jac):
            return True
        if self._vectorized is False:
            return False
        return jacobians_stack(self._make(True, True), self._alone, self._sample, self._matrices, self._share)

    @cached_property
    def jac_fits(self) -> bool:
        """Whether `jac` can be the Jacobian of `fun`, or there is none. Raises if it is transposed."""
        if self.problem.jac is None:
            return True
        some, second = self._sample, slice(1, 2)  # no component is zero there, unless `fun` takes it only so
        there = some.t[second], some.states[second, ...], some.values[second, ...], self._matrices[second, ...]
        if is_transposed(self._alone.differences, *there):
            raise ValueError(TRANSPOSED)
        return not is_far_too_large(self._alone, *there, self.problem.span)

    def right_hand_side(self) -> RightHandSide:
        """The functions, called as they can be; what they raise is kept in `raised`, and counts as NaN."""
        made = self._make(self.fun, self.jac, self.raised)
        return made if self.jac_fits else made.without_jacobian()

    def revised(self, rhs: RightHandSide, pieces: list[PiecewisePolynomial]) -> Stacking | None:
        """What is known after a solve with this right-hand side, if its trajectory shows what was hidden before."""
        some = [pieces[k] for k in sorted({0, len(pieces) // 2, len(pieces) - 1})] if pieces else []
        if rhs.stacks:
            alone = self._make(False, False, self.raised)
            if not all(trajectory_stacks(rhs, alone, piece.t, piece.y, self._share) for piece in some):
                return self._with(obstacle=f"{OTHERWISE} on the solution", jac=False)
        if rhs.has_jacobian and not all(fits_trajectory(rhs, piece.t, piece.y, self.problem.span) for piece in some):
            return self._with(jac_fits=False)
        return None

    def _with(self, **known: str | bool) -> Stacking:
        """The same, of which that is known."""
        other = Stacking(self.problem, self._vectorized)
        other.__dict__.update(self.__dict__, **known)
        return other

    def _make(self, stacks: bool, jac_stacks: bool, raised: Raised | None = None) -> RightHandSide:
        problem = self.problem
        return RightHandSide(
            problem.fun, problem.jac, problem.args, problem.y0, stacks=stacks, jac_stacks=jac_stacks, raised=raised
        )

    @cached_property
    def _alone(self) -> RightHandSide:
        """The functions, called for one time after the other."""
        return self._make(False, False)

    @cached_property
    def _sample(self) -> Sample:
        """States near the initial one. What a call on that raises is the user's to see."""
        return sample(self._alone, self.problem.span, self.problem.y0, self.problem.atol)

    @cached_property
    def _matrices(self) -> Array:
        """The user's Jacobians there."""
        return self._alone.jacobian(self._sample.t, self._sample.states, self._sample.values)

    @property
    def _share(self) -> float:
        """The relative difference that is always granted."""
        return share_of(self.problem.rtol, self.problem.y0)
