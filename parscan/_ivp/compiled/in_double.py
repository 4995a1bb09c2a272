"""Members that march in single precision, and again in double precision where its rounding makes errors too large."""

from __future__ import annotations

from dataclasses import replace

from ..._arrays.namespace import Array
from ..core.problem import Problem
from .accuracy import LeftError
from .all_members import ENOUGH, AllMembers
from .alone import GivenUpError
from .found import Found
from .members import Members

MANY = 0.5
"""Share of members in double precision from which on solves with such tolerances begin with it."""


def pays(problem: Problem, members: Members) -> bool:
    """Whether single precision was enough for most members, as far as is known."""
    return _key(problem) not in members.notes


def again_in_double(problem: Problem, members: Members, first_step: float, found: Found, times: Array) -> None:
    """
    Solve those members in double precision whose errors are too large, and enter what is found.

    It raises `LeftError` if that cannot be done for these alone.
    """
    xp, states = problem.xp, problem.xp.reshape(problem.y0, (-1, problem.y0.shape[-1]))
    some = xp.nonzero(~(found.errors <= ENOUGH))[0]
    if not some.shape[0]:
        return
    if some.shape[0] > MANY * states.shape[0]:
        members.notes[_key(problem)] = True
    few = replace(problem, y0=states[some, :])
    try:
        one = AllMembers(few, members.in_double(some), first_step).solved(times, lambda share: None)
    except GivenUpError as error:  # by its number among these
        raise LeftError(str(error)) from error
    one.bad, one.slid = [int(some[k]) for k in one.bad], {int(some[k]): t for k, t in one.slid.items()}
    found.enter(some, one)
    found.values[some, ...] = one.values
    found.doubles = int(some.shape[0])


def _key(problem: Problem) -> tuple[str, str]:
    return "needs double precision", f"{problem.rtol:.0e}"
