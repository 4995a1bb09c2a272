"""What the result of a repeated solve tells at its first use, because few results are asked for it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

from ..._arrays.namespace import Array, array_namespace, copy
from ..coarse.steps import Steps
from ..core.evaluation import Evaluation
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from ..core.scale import Scale
from ..result.result import IvpStatus
from ..sensitivities.derivatives import Derivatives
from .accuracy import GAIN
from .derived import recorded_code
from .march import March, Output
from .marched import traced
from .outcome import between, errors, told
from .path import Path
from .recorded import Recorded
from .solvers import EXPLICIT, METHODS, NONSTIFF, TAYLOR, parts_of
from .variational import Variational


class Solve(NamedTuple):
    """
    A solve of which only the ends of steps were wanted, and what it found.

    Attributes
    ----------
    fun, args, span, start, rtol, atol
        The problem; `start` is the initial state.
    recorded : Recorded
    method : int
        Number of the method.
    share : float
        Share of the tolerances that the march had.
    error : float
        At the end, in tolerances.
    t, y : arrays, shapes (m,) and (m, n)
    stop : float or None
        Time of an event that ended it.
    """

    fun: Any
    args: tuple[Any, ...]
    span: tuple[float, float]
    start: Any
    rtol: float
    atol: float
    recorded: Recorded
    method: int
    share: float
    error: float
    t: Array
    y: Array
    stop: float | None = None

    def problem(self) -> Problem:
        """The problem."""
        xp, rtol = array_namespace(self.t), self.rtol
        y0, atol = xp.asarray(self.start), xp.asarray(self.atol)
        return Problem(self.fun, None, self.args, self.span, y0, rtol, rtol, atol, inf, record=recorded_code)

    def message(self) -> str:
        """What is told of the solve."""
        done = told([(METHODS[self.method], 0.0)], self.t.shape[0] - 1, self.error)
        status = IvpStatus.FINISHED if self.stop is None else IvpStatus.EVENT
        return f"{status.text} {done}"

    def polynomial(self) -> PiecewisePolynomial:
        """The same steps with polynomials between their ends."""
        return between(self._march(), self.share, self.stop)

    def errors(self) -> Array:
        """Estimated errors at the ends of steps."""
        return errors(self._march(), self.share, Path(self.t, self.y), self.t, self.y, self.stop)

    def derivatives(self) -> Derivatives:
        """Derivatives of the solution."""
        problem, steps = self.problem(), Steps(self.t, self.y)
        scale, is_stiff = Scale(problem.rtols, problem.atol), self.method not in NONSTIFF
        parts = parts_of(self.method, problem.rtol)
        variational = Variational(problem, self.recorded, self.share, steps, is_stiff=is_stiff, parts=parts)
        return Derivatives(
            lambda: traced(
                Evaluation(problem, None),
                self._march(),
                self.share,
                self.stop,
                steps,
                variational.stands,
                is_stiff=is_stiff,
            ),
            scale,
            variational=variational,
        )

    def _march(self) -> March:
        first = TAYLOR if self.method == TAYLOR else EXPLICIT
        return March(self.problem(), self.recorded, Output(False), 0.0, None, first=first)


FIELDS: dict[str, Callable[[Solve], Any]] = {
    "t": lambda solve: copy(solve.t),
    "mesh": lambda solve: copy(solve.t),
    "message": Solve.message,
    "_errors": lambda solve: solve.errors,
    "_polynomial": lambda solve: solve.polynomial,
    "_solution": Solve.derivatives,
}
"""How fields of results are made of a solve."""


def solve_of(facts: tuple[Any, ...], kept: bytes, n: int) -> Solve:
    """
    A solve of `n` components that no event ended, by the numbers in `t` and `y`.

    The facts are its function, arguments and plan, and the fields from `recorded` to `error`.
    """
    from ..._recorded.native.ready import steps_of  # noqa: PLC0415 - slow to import

    fun, args, plan, recorded, method, share, error = facts
    t, y = steps_of(kept, n)
    return Solve(
        fun, args, plan.span, tuple(y[0, :].tolist()), plan.rtol, plan.atol, recorded, method, share, error, t, y
    )


def field(facts: tuple[Any, ...], kept: bytes, n: int, name: str) -> Any:
    """A field of a result of a solve, by what `solve_of` takes."""
    return FIELDS[name](solve_of(facts, kept, n))


def field_between(facts: tuple[Any, ...], kept: bytes, n: int, apart: bytes, name: str) -> Any:
    """The same of a solve with values at times, whose marches are so far apart there."""
    from ..._recorded.native.ready import numbers_in  # noqa: PLC0415 - slow to import

    return numbers_in(apart) / GAIN if name == "_errors" else field(facts, kept, n, name)
