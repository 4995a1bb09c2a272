"""Exact Jacobians of a step along its trajectory, one stretch of time after the other."""

from __future__ import annotations

import math

from ..._arrays.cached import cached_property
from ..._arrays.elementwise import is_complex, rows_of
from ..._arrays.namespace import Array, array_namespace, copy, quiet, random_signs
from ..._functions.coupling import couples_members
from ..._functions.differences import POWER, central, step_sizes
from ..._functions.points import stretches
from ..._functions.verify import has_no_derivative, misses_change
from ..._linalg.dense import Dense
from ..._recorded.budget import NoCodeError
from .recorded import RecordedJacobians, recorded_jacobians
from .solution import Solution

BY_JAC, EXACT, BY_DIFFERENCES = "by `jac`", "exact, by the recorded operations of the step", "by differences"
"""Where Jacobians come from."""

COUPLED = (
    "derivatives do not exist member by member: in the step, members of the batch depend on each other. Make one state "
    "of all of them, with no axes of a batch; or write the step so that it can be recorded, see `derivatives`."
)


class Jacobians:
    """The Jacobians `∂step/∂y` at the states of a solution, evaluated anew, not taken from an iteration.

    They have the step's structure if that contains the whole derivative. Quasi-Newton methods also solve steps that
    couple components which are uncoupled in the structure; the Jacobians of such steps are full matrices, by
    differences.
    """

    def __init__(self, solution: Solution) -> None:
        step = solution.step
        self._solution = solution
        self._recorded: RecordedJacobians | None = None
        self.source, self.structure = BY_JAC, step.structure
        self.shape: tuple[int, ...] = solution.y0.shape
        """Of the states of a step, or of one vector of all members if these depend on each other."""
        self.ndim = solution.y0.ndim
        if step.has_jacobian and _holds_all(solution, self._typical):
            return
        try:
            self._recorded = recorded_jacobians(solution)
            self.source, self.structure, self.shape = EXACT, self._recorded.structure, self._recorded.shape
        except NoCodeError as refusal:
            self.source = f"{BY_DIFFERENCES}: the step {refusal}"
            if _couples(solution):
                raise RuntimeError(COUPLED) from refusal
            if step.has_jacobian or not _holds_all(solution, self._typical):
                self.structure = Dense()

    @property
    def are_together(self) -> bool:
        """Whether members of the batch depend on each other, so that matrices are of all components."""
        return self.shape != self._solution.y0.shape

    @cached_property
    def _typical(self) -> Array:
        """States that give the typical sizes of the components, so that differences do not depend on the stretches."""
        solution = self._solution
        return array_namespace(solution.y0).concat([states for _, states in solution.sample()])

    def of_steps(self, begin: int, end: int) -> Array:
        """Jacobians of the steps `begin` to `end` by the states before them."""
        if self._recorded is not None:
            return self._recorded.of_steps(begin, end)
        step, states, times = self._solution.step, self._solution.before(begin, end), slice(begin, end)
        with quiet():
            if self.source == BY_JAC:
                return step.jacobian(states, times)
            after = self._solution.after[times, ...]
            return central(lambda y: copy(step(copy(y), times)), states, self.structure, self._typical, after)

    def stretches(self, steps: int, vectors: int) -> list[tuple[int, int]]:
        """Stretches of the first `steps` steps, in order, whose matrices and `vectors` fit into memory."""
        shape = self.shape
        numbers = math.prod(self.structure.shape(shape[-1])) + vectors * shape[-1]
        stacks = self._recorded is not None or self._solution.stacks
        return stretches(self._solution.y0, steps, math.prod(shape[:-1]) * numbers, stacks=stacks)


def _couples(solution: Solution) -> bool:
    """Whether members of the batch depend on each other, at a sample of steps."""
    return any(
        couples_members(lambda y: solution.step(y, times), states)  # noqa: B023 - called at once
        for times, states in solution.sample()
    )


def is_not_differentiable(solution: Solution) -> bool:
    """Whether a step of complex states has no complex derivative, at a part of a sample of steps."""
    if not is_complex(solution.y0):
        return False
    off, count = 0, 0
    for times, states in solution.sample():
        change = random_signs(states.shape, states, seed=0) * step_sizes(states, power=POWER)
        try:
            with quiet():
                flags = has_no_derivative(lambda y: copy(solution.step(copy(y), times)), states, change)  # noqa: B023
        except Exception:  # a step may reject states beside its trajectory; then no comparison is possible
            return False
        off, count = off + len(rows_of(solution.step.xp, flags)), count + states.shape[0]
    return 4 * off > count


def _holds_all(solution: Solution, typical: Array) -> bool:
    """Whether the step's structure contains its whole derivative at most states of a sample.

    Components for which it does not at a few states may have a kink there.
    """
    family, shape = solution.step.structure, solution.y0.shape
    if family.is_full(shape[-1]) and not solution.step.has_jacobian:
        return True
    xp, off, count = array_namespace(solution.y0), 0, 0
    for times, states in solution.sample():
        try:
            with quiet():
                missed = _missed(solution, typical, states, times)
        except Exception:  # a step may reject states beside its trajectory; then no comparison is possible
            continue
        off = off + xp.sum(xp.astype(xp.reshape(missed, (-1, shape[-1])), xp.int64), axis=0)
        count += math.prod(missed.shape[:-1])
    return count == 0 or 4 * int(xp.max(off)) <= count


def _missed(solution: Solution, typical: Array, states: Array, times: slice) -> Array:
    """Flags of the next states whose change, when all components change, the structure's matrices do not predict."""
    step, family = solution.step, solution.step.structure

    def values(y: Array) -> Array:
        return copy(step(copy(y), times))

    def largest(values: Array) -> Array:
        xp = array_namespace(values)
        return xp.max(xp.abs(values), axis=-1, keepdims=True)

    matrices = step.jacobian(copy(states), times) if step.has_jacobian else central(values, states, family, typical)
    sizes = step_sizes(states, power=POWER, among=typical, least=0.0)
    change = random_signs(states.shape, states, seed=0) * sizes
    return misses_change(values, family, matrices, states, change, largest)
