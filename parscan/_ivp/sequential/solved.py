"""Whether steps of SciPy's implicit solvers solve their equations, and not only those with a wrong Jacobian.

Newton's method ends when its corrections are small. Differences across a jump of `fun` give a Jacobian of the jump by a
tiny change: with it all corrections are small, whatever `fun` is. So slopes of the solution are compared with those of
`fun` at states nearby, as for solutions in the sense of A. F. Filippov, Differential Equations with Discontinuous
Righthand Sides, 1988.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._arrays.namespace import Array, quiet, random_signs
from ..._engine.termination import Failure, Termination
from ..core.pace import OF_JUMPS

UNSOLVED = Failure(
    Termination.FAILED,
    "the slopes of the solution are not those of `fun`, as Newton's method had a wrong Jacobian: `fun` seems to jump "
    f"there; {OF_JUMPS}",
)

EVERY = 32
"""Every so many steps is looked at, and the first one with each Jacobian, and the last one."""

STIFF = 1000.0
"""
Least product of a step and the Jacobian, in tolerances: corrections of Newton's method, which are a small part of the
tolerance at the end, leave at most so many times as much of the equations.
"""

APART = 100.0
"""Slopes that are apart by no more tolerances in a step are the same."""

NEAR = 10.0
"""Slopes of the solution are to be among those of `fun` at states that are away by so many tolerances."""

NOISE = 100 * float(np.finfo(float).eps)
"""Rounding of a state, as a share of it."""

SLOPE = 137 / 60, -5, 5, -10 / 3, 5 / 4, -1 / 5
"""What states that are a fifth of a step apart, the last one first, contribute to the slope at its end, for a fifth of
a step: that of polynomials up to the degree 5, of which those of the solvers are."""


class Solved:
    """Tells after each step of a solver, as far as it looks at it, whether it solves its equations."""

    def __init__(self) -> None:
        self._jacobian: Any = None
        self._steps = 0

    def __call__(self, solver: Any) -> bool:
        """Whether it does; True for steps that are not looked at."""
        self._steps += 1
        is_new = solver.J is not self._jacobian
        if not (is_new or self._steps >= EVERY or solver.status == "finished"):
            return True
        self._jacobian, self._steps = solver.J, 0
        try:
            with quiet():
                return _Equations(solver).are_solved()
        except Exception:  # states nearby are no solution, and `fun` need not be defined there
            return True


class _Equations:
    """The equations of the last step: the slope of its polynomial at its end is to be `fun`."""

    def __init__(self, solver: Any) -> None:
        self.solver, self.t, self.y, self.h = solver, float(solver.t), solver.y, float(solver.t - solver.t_old)
        self.tolerances = solver.atol + solver.rtol * np.abs(self.y)

    def are_solved(self) -> bool:
        """Whether the slope is that of `fun`, or among those at states nearby."""
        if not self._effects(self.tolerances).max() > STIFF:
            return True
        here = self._fun(self.y)
        apart = np.abs(here - self._slope())
        bound = APART * self.tolerances + self._effects(NOISE * np.abs(self.y)) * self.tolerances
        if not np.isfinite(apart).all() or np.all(apart <= bound):
            return True
        near = NEAR * self.tolerances
        bound = np.fmax(bound, np.abs(self._fun(self.y + near * random_signs(near.shape, near, seed=0)) - here))
        return bool(np.all(apart <= bound) or np.all(apart <= np.fmax(bound, self._changes(near, here))))

    def _changes(self, near: Array, here: Array) -> Array:
        """Changes of `fun`, times the step, by changes of components up and down, added up."""
        found = np.zeros_like(near)
        for k in range(near.size):
            way = np.zeros_like(near)
            way[k] = near[k]
            up, down = (np.abs(self._fun(self.y + sign * way) - here) for sign in (1, -1))
            found += np.fmax(up, down)
        return found

    def _effects(self, changes: Array) -> Array:
        """Largest effects of changes of the state in a step, in tolerances."""
        found: Array = abs(self.h) * (abs(self.solver.J) @ changes) / self.tolerances
        return found

    def _fun(self, y: Array) -> Array:
        """The slope at a state, times the step."""
        found: Array = self.h * self.solver.fun(self.t, y)
        return found

    def _slope(self) -> Array:
        """That of the polynomial of the step at its end, from six of its states."""
        states = self.solver.dense_output()(self.t - self.h / 5 * np.arange(6))
        found: Array = 5 * (states @ np.array(SLOPE))
        return found
