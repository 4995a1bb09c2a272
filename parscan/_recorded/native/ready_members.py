"""Two marches of all members of a batch, with memory that is filled in advance: a solve writes few arrays, and judges.

The first march of each member has the tolerances, the second one looser ones; of both, only the ends are wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np

from .ensemble import Ends, form_of, threads_of, to_the_end, widest
from .integrate import MOST_STEPS, WORDS, Run, Solver
from .members import Form
from .rounds import Limits, Rounds
from .status import Status

MARCHES = 2

OF_MEMBER = 10
"""Numbers of a march besides its states and parameters, about."""

DOUBLE = np.dtype(np.float64)


def form_of_ends(shared: tuple[bool, ...], members: int) -> Form:
    """The form of solvers of a batch in doubles of which the ends are wanted."""
    lanes = widest(DOUBLE)
    return form_of(lanes if MARCHES * members >= lanes else 1, shared, False, False, False)


def may_be_ready(solver: Solver, members: int) -> bool:
    """Whether `ReadyMembers` takes a solver: it is one in doubles, and the memory of so many members may be kept."""
    sizes = [prod(one.shape) for one in solver.parameters]
    numbers = MARCHES * members * (3 * solver.n + sum(sizes) + OF_MEMBER)
    return solver.dtype == DOUBLE and all(one.dtype == DOUBLE for one in solver.parameters) and numbers <= WORDS


class ReadyMembers:
    """
    Marches of members, to be made again and again; by one thread at a time.

    Parameters
    ----------
    solver : Solver
        One for which `may_be_ready` is true, of the form that `form_of_ends` gives.
    count : int
        Of members.

    Attributes
    ----------
    y, rates : arrays, shape (count, n)
        States at the ends of the first marches, and values of the right-hand side there; None of few members.
    plan, shares : object
        Whatever was prepared for, and shares of the tolerances that were taken: notes of who wrote that.
    threads : int
        That march.
    is_as_wanted : bool
        Whether the last marches were made by as many threads as are to be had.
    rounds : Rounds
        What follows from the marches.
    """

    def __init__(self, solver: Solver, count: int) -> None:
        lanes, every = solver.form.lanes, MARCHES * count
        self.threads, self._lanes, self._every = threads_of(every, lanes), lanes, every
        self._run = run = Run(solver, every, [False, False, False, True, True], self.threads)
        run.hire()
        self._starts = run.starts.reshape(MARCHES, count, solver.n)
        self._parameters = [np.empty((MARCHES, count, *one.shape)) for one in solver.parameters]
        self._ends = Ends(run.y, run.t, run.counts, np.zeros(every, np.int64), np.empty(every), None, run.rates)
        self.y = run.y[:count]
        self.rates = None if run.rates is None else run.rates[:count]
        self.is_as_wanted = True
        self.plan: Any = None
        self.shares: Any = None
        self.rounds: Rounds | None = None
        self._given: tuple[Any, ...] = ()

    def prepare(self, span: tuple[float, float], rtol: float, atol: float, longest: float, limits: Limits) -> None:
        """
        Take what solves have in common.

        `longest` is the longest step of a march by the tolerances; the longest step of another one is that times the
        eighth root of its share of them.
        """
        self.plan = self.shares = self.rounds = None
        self._given = limits, rtol, atol, longest
        given = [one.reshape(-1, *one.shape[2:]) for one in self._parameters]
        self._run.begin(*span, 0.0, rtol=rtol, atol=atol, parameters=given, most=MOST_STEPS)
        self._run.keep()
        self._ends.since[...] = span[0]

    def take(self, shares: Any, order: int) -> None:
        """Take shares of the tolerances, shape (count,), for the first marches, of a method of an order."""
        self.shares = None  # in case that it is not written
        limits, _, _, longest = self._given
        both = np.concatenate([shares, limits.looser * shares])
        self._run.tightness[...], self._run.longest[...] = 1 / both, longest * both ** (1 / order)
        self.shares = shares

    def begin(self, starts: Any, parameters: Any) -> None:
        """Write initial states `(count, n)`, and parameters `(count, ...)` of members."""
        self._starts[...] = starts
        for target, given in zip(self._parameters, parameters, strict=True):
            target[...] = given

    def march(self, meanwhile: Callable[[], object]) -> None:
        """Make all marches; `meanwhile` is called while they go on."""
        self._run.repeat()
        to_the_end(self._run, None, partial(self._aside, meanwhile))

    def _aside(self, meanwhile: Callable[[], object]) -> None:
        meanwhile()
        self.is_as_wanted = self.threads == threads_of(self._every, self._lanes)

    def judge(self, expected: Any) -> Rounds:
        """Errors of the first marches, and who is to march again; errors `(count,)` of a share of 1 are expected."""
        rounds = self.rounds
        if rounds is not None:
            rounds.repeat(self.shares, expected)
            return rounds
        limits, rtol, atol, _ = self._given
        rounds = Rounds(
            limits, self._starts[0], rtol, atol, may_be_exact=not atol > 0, marches=MARCHES, shares=self.shares,
            expected=expected,
        )  # fmt: skip
        rounds.first(self._ends)
        self.rounds = rounds
        return rounds

    def hand_over(self) -> tuple[Ends, Rounds]:
        """What was found, for whoever goes on; `rounds` are then theirs. Ends are as they are until the next march."""
        assert self.rounds is not None
        rounds, self.rounds = self.rounds, None
        return self._ends, rounds

    @property
    def has_stiff(self) -> bool:
        """Whether another method has to go on with a march."""
        return bool((self._ends.counts[:, 0] == int(Status.STIFF)).any())
