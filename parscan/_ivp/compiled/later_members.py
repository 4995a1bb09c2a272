"""Fields of the result of a repeated solve of a batch that are rarely used, and so are made at their first use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple

from ..._arrays.namespace import Array, array_namespace, copy
from ..core.evaluation import Evaluation
from ..core.problem import Problem
from ..result.result import IvpStatus
from .derived import recorded_code
from .ensemble import done, kept_for_later
from .found import Found
from .members import Members, Origin


class SolvedBatch(NamedTuple):
    """
    A solve of a batch of which only the ends were wanted, and what it found.

    Attributes
    ----------
    fun, args, span, y0, rtol, atol
        The problem, with initial states `(n, *batch)`.
    like : Members
        The members of another such problem.
    last : array, shape (members, n)
        States at the ends.
    shares, steps : arrays, shape (members,)
        Shares of the tolerances, and numbers of steps.
    error : float
        The largest one at the end, in tolerances.
    snapshot : sequence
        Of the arguments at the time of the solve.
    """

    fun: Any
    args: tuple[Any, ...]
    span: tuple[float, float]
    y0: Array
    rtol: float
    atol: float
    like: Members
    last: Array
    shares: Array
    steps: Array
    error: float
    snapshot: Sequence[Any]

    @property
    def problem(self) -> Problem:
        """The problem."""
        xp = array_namespace(self.y0)
        state = xp.permute_dims(self.y0, (*range(1, self.y0.ndim), 0))
        return problem_of(self.fun, self.args, self.span, state, self.rtol, self.atol)

    @property
    def mesh(self) -> Array:
        """Begin and end."""
        return array_namespace(self.y0).asarray(self.span)

    @property
    def message(self) -> str:
        """What is told of the solve."""
        xp = array_namespace(self.y0)
        found = Found(self.last, self.last, self.shares, self.steps, xp.zeros_like(self.steps))
        return f"{IvpStatus.FINISHED.text} {done(found, 0, self.error, None)}"

    def kept(self, name: str) -> Any:
        """A field for derivatives or for a continuous solution."""
        problem, origin = self.problem, self.like.origin
        assert origin is not None
        xp, methods = problem.xp, problem.xp.zeros_like(self.steps)
        members = members_as(self.like, origin, problem)
        last = xp.reshape(self.last, problem.y0.shape)
        return kept_for_later(
            problem, 0.0, members, self.shares, methods, lambda: Evaluation(problem, None), self.mesh,
            lambda: xp.stack([problem.y0, last]), snapshot=self.snapshot,
        )[name]  # fmt: skip


FIELDS: dict[str, Callable[[SolvedBatch], Any]] = {
    "mesh": lambda solve: copy(solve.mesh),
    "message": lambda solve: solve.message,
    "_errors": lambda solve: None,
    "_polynomial": lambda solve: solve.kept("_polynomial"),
    "_solution": lambda solve: solve.kept("_solution"),
}
"""How fields of results are made of a solve."""


def field(solve: SolvedBatch, name: str) -> Any:
    """A field of a result."""
    return FIELDS[name](solve)


def problem_of(
    fun: Any, args: tuple[Any, ...], span: tuple[float, float], y0: Array, rtol: float, atol: float
) -> Problem:
    """The problem with the usual options, from initial states `(*batch, n)`."""
    return Problem(fun, None, args, span, y0, rtol, rtol, array_namespace(y0).asarray(atol), inf, record=recorded_code)


def members_as(like: Members, origin: Origin, problem: Problem) -> Members:
    """The members of another problem of the same function; raises `NoCodeError` if its arguments are of other kinds."""
    return Members(like.program, origin.own(problem), like.notes, origin)
