"""Whether the user's functions can be called for many times at once."""

from __future__ import annotations

from functools import cached_property

from ._agreement import share_of
from ._arguments import Problem
from ._check_function import OTHERWISE, functions_stack, trajectory_stacks
from ._function import RightHandSide
from ._raised import Raised
from ._trial import Trial


class Stacking:
    """What is known of it; found out when it is first asked, unless `vectorized` is False."""

    def __init__(self, problem: Problem, vectorized: bool | None) -> None:
        self.problem = problem
        self._vectorized = vectorized
        self.raised = Raised()

    @property
    def fun(self) -> bool:
        """Whether `fun` can be called so."""
        return not self._both[0]

    @property
    def obstacle(self) -> str:
        """Why `fun` cannot be called so, as what follows its name in a sentence; "" if it can."""
        return self._both[0]

    @property
    def jac(self) -> bool:
        """Whether `jac` can be called so."""
        return self._both[1]

    def right_hand_side(self) -> RightHandSide:
        """The functions, called as they can be; what they raise is kept in `raised`, and counts as NaN."""
        return self._make(self.fun, self.jac, self.raised)

    def holds_for(self, rhs: RightHandSide, pieces: list[Trial]) -> bool:
        """Whether a trajectory shows nothing that was hidden at its begin."""
        if not rhs.stacks or not pieces:
            return True
        some = {0, len(pieces) // 2, len(pieces) - 1}
        alone = self._make(False, False, self.raised)
        return all(trajectory_stacks(rhs, alone, pieces[k].t, pieces[k].y, self._share) for k in some)

    def withdrawn(self) -> Stacking:
        """The same, with nothing to be called so."""
        other = Stacking(self.problem, None)
        other.raised = self.raised
        other.__dict__["_both"] = f"{OTHERWISE} on the solution", False
        return other

    def _make(self, stacks: bool, jac_stacks: bool, raised: Raised | None = None) -> RightHandSide:
        problem = self.problem
        return RightHandSide(
            problem.fun, problem.jac, problem.args, problem.y0, stacks=stacks, jac_stacks=jac_stacks, raised=raised
        )

    @property
    def _share(self) -> float:
        """The relative difference that is always granted."""
        return share_of(self.problem.rtol, self.problem.y0)

    @cached_property
    def _both(self) -> tuple[str, bool]:
        if self._vectorized is False:
            return "is called for one time after the other, as `vectorized` says", False
        return functions_stack(self._make, self.problem, self._share)
