"""What `auto` decides, as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from .cost import Cost, Stopwatch, best_length, sweeps

FEW_STEPS = 64
"""Steps that are not worth a measurement."""

WORTHWHILE = 0.4
"""Share of the loop's time that Jacobi's sweeps may be expected to take."""

JACOBI_SHARE = 0.5
"""Share of the loop's time that Jacobi's sweeps after the first may take."""

SURELY = 4.0
"""Factor by which sweeps must be expected to be faster than they need be to save the second measurement."""

NEWTON_SHARE = 0.5
"""Share of the loop's time that Newton may take."""

FEWEST_ITERATIONS = 4
"""Newton iterations that must fit into this time."""

LOADING_SECONDS = 1.0
"""Time that loading the compiled scans takes, about, once in a process."""

FEWEST_SEGMENTS = 8
"""Segments that a window of Newton has at least."""

PILOT_SHARE = 8
"""Newton's first window is one such part of the steps."""


class Workload:
    """What the decisions are made from.

    Parameters
    ----------
    steps : int
        Steps to solve.
    copies : int
        States that Newton marches per segment.
    stopwatch : Stopwatch
        Measures the cost of calls, when a decision needs it.
    length : int or None
        Steps per segment, if the user fixed them.
    scans_are_loaded : bool
        Whether the compiled scans that Newton needs are there already.
    looped : float
        Seconds that loops have taken in this process for want of them.
    """

    def __init__(
        self,
        steps: int,
        copies: int,
        stopwatch: Stopwatch,
        length: int | None,
        *,
        scans_are_loaded: bool,
        looped: float = 0.0,
    ) -> None:
        self.steps = steps
        self._copies = copies
        self._stopwatch = stopwatch
        self._length = length
        self._scans_are_loaded = scans_are_loaded
        self._looped = looped

    @property
    def cost(self) -> Cost:
        """Seconds of calls."""
        return self._stopwatch.cost

    @cached_property
    def length(self) -> int:
        """Steps per segment."""
        return self._length or best_length(self.cost, self.steps)

    @property
    def few(self) -> bool:
        """Whether there is too little to gain for a measurement."""
        return self.steps < FEW_STEPS

    @property
    def stacking_gains_little(self) -> bool:
        """Whether sweeps take as long as the loop; not asked where the user chose the segments."""
        if self._length is not None:
            return False
        worthwhile = WORTHWHILE * self.steps * self.cost.looped
        expected = sweeps(self.cost, self.steps, self.length)
        if not worthwhile / SURELY <= expected <= worthwhile:
            return expected > worthwhile
        return self._stopwatch.sweeps(self.length) > worthwhile

    @cached_property
    def newton_steps(self) -> float:
        """Fewest steps over which Newton's fewest iterations fit into their time; infinite if there are none."""
        budget = NEWTON_SHARE * self.cost.looped / FEWEST_ITERATIONS - self._copies * self.cost.state
        segments = self.cost.call / budget if budget > 0 else float("inf")
        return max(FEWEST_SEGMENTS, segments) * self.length

    @property
    def loading_costs_much(self) -> bool:
        """Whether this loop, and those before it that did without the scans, are as fast as loading them."""
        return not self._scans_are_loaded and self._looped + self.steps * self.cost.looped < LOADING_SECONDS

    @property
    def newton_costs_much(self) -> bool:
        """Whether a few Newton iterations take longer than they may, however many segments march together."""
        return self.newton_steps > self.steps


@dataclass(frozen=True)
class Decision:
    """Methods in the order of their trial, before the loop, and the reason that the message gives.

    `for_now` is one that another solve may not have: then the time of the loop is kept account of.
    """

    applies: Callable[[Workload], bool]
    methods: tuple[str, ...]
    because: str
    for_now: bool = False


@dataclass
class Account:
    """Seconds that loops have taken in this process for want of the compiled scans.

    Once they are as many as loading the scans takes, that is worth it: all in all, no more than twice the time is spent
    that would have been the least.
    """

    looped: float = 0.0


ACCOUNT = Account()
"""That of this process."""


DECISIONS = (
    Decision(lambda facts: facts.few, (), f"there are fewer than {FEW_STEPS} steps"),
    Decision(lambda facts: facts.stacking_gains_little, (), "calls on stacked states save too little time"),
    Decision(
        lambda facts: facts.loading_costs_much,
        ("jacobi",),
        "Newton's compiled scans would take longer to load",
        for_now=True,
    ),
    Decision(lambda facts: facts.newton_costs_much, ("jacobi",), "Newton's iterations would take longer than the loop"),
    Decision(lambda _: True, ("jacobi", "newton"), "calls on stacked states save time"),
)
"""The first that applies is taken."""


def decide(facts: Workload) -> Decision:
    """The first decision that applies."""
    return next(decision for decision in DECISIONS if decision.applies(facts))
