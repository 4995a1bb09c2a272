"""The decisions of `auto`, as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._arrays.cached import cached_property
from .._recorded.budget import COMPILING
from .code import AS_RECORDED, BY_NUMBA, Code, Compiler
from .compiled_segments import CompiledSegments
from .compiled_tangents import TangentCode
from .cost import Cost, Stopwatch, best_length, sweeps

FEW_STEPS = 64
"""With fewer steps than this, measurements do not pay."""

SHORT = 128
"""Sweeps over fewer steps than this take about as long as the loop: each of the shortest segments is marched until the
start is forgotten."""

BRIEF = 3e-3
"""Seconds of a loop that are too few for attempts: those that fail would take longer than the loop."""

WORTHWHILE = 0.4
"""Jacobi sweeps are tried if they are expected to take at most this share of the loop's time."""

JACOBI_SHARE = 0.5
"""Share of the loop's time that Jacobi sweeps after the first may take."""

COMPILED_SWEEPS = 4
"""Largest number of Jacobi sweeps by machine code. The second one is short if the recurrence forgets."""

SURELY = 4.0
"""The second measurement is omitted if sweeps are expected to be this many times faster than required."""

HOPED = 2.0
"""Sweeps must be expected to be this many times faster than the compiled loop: they may take longer than expected."""

NEWTON_SHARE = 0.5
"""Share of the loop's time that Newton's method may take."""

FEWEST_ITERATIONS = 4
"""Number of Newton iterations that must fit into this time."""

FEWEST_SEGMENTS = 8
"""Least number of segments in a window of Newton's method."""

PILOT_SHARE = 8
"""The first window of Newton's method is this part of the steps: one eighth."""


@dataclass
class Budget:
    """Time that a process may spend on loops because the compiled scans are not loaded.

    `limit` is about the time of loading them. Once the loops have taken that long, the scans are loaded: the total time
    is then at most twice the optimum (the ski-rental rule).

    Parameters
    ----------
    limit : float
        Seconds.
    spent : float
        Seconds that such loops have taken so far.
    """

    limit: float = 1.0
    spent: float = 0.0

    def allows(self, seconds: float) -> bool:
        """Whether a further loop of this length stays within the limit."""
        return self.spent + seconds < self.limit

    def charge(self, seconds: float) -> None:
        """Add the time of a loop."""
        self.spent += seconds


@dataclass(frozen=True)
class Workload:
    """The facts on which decisions depend.

    Parameters
    ----------
    steps : int
        Steps to solve.
    copies : int
        States that Newton marches per segment.
    stopwatch : Stopwatch
        Measures the cost of calls, when a decision needs it.
    fixed_length : int or None
        Steps per segment, if the user fixed them.
    scans_are_loaded : bool
        Whether the compiled scans that Newton needs are loaded already.
    budget : Budget
        Time for loops without them.
    compiler : Compiler or None
        Makes machine code of the step.
    window : int or None
        Steps that are solved at once, if the user fixed them.
    try_segments : callable
        `try_segments(code, steps)`: code for segments, if sweeps over them are faster than the loop.
    try_tangents : callable
        `try_tangents(code, steps)`: code for segments with derivatives, if Newton's method is faster than the loop.
    """

    steps: int
    copies: int
    stopwatch: Stopwatch
    fixed_length: int | None
    scans_are_loaded: bool
    budget: Budget
    compiler: Compiler | None = None
    window: int | None = None
    try_segments: Callable[[Code, int], CompiledSegments | None] = lambda _, __: None
    try_tangents: Callable[[Code, int], TangentCode | None] = lambda _, __: None

    @cached_property
    def code(self) -> Code | None:
        """Machine code of the step, if it can be recorded and compiling it takes less time than the loop."""
        return None if self.compiler is None else self.compiler.code(self.steps * self.stopwatch.looped)

    @cached_property
    def segments(self) -> CompiledSegments | None:
        """Machine code for segments, if they take less time than the compiled loop."""
        if self.code is None or self.fixed_length is not None:
            return None
        return self.try_segments(self.code, self._stretch)

    @cached_property
    def tangents(self) -> TangentCode | None:
        """Machine code for segments with derivatives, if Newton's method takes less time than the compiled loop."""
        if self.code is None or self.segments or self.fixed_length is not None or self.window is not None:
            return None
        return self.try_tangents(self.code, self.steps)

    @property
    def _stretch(self) -> int:
        """Steps that are solved at once."""
        return min(self.steps, self.window or self.steps)

    @property
    def code_is_fastest(self) -> bool:
        """Whether the compiled loop takes less time than sweeps of calls on stacked states."""
        if self.code is None:
            return False
        looped = self.steps * self.code.seconds
        return looped < COMPILING or looped < HOPED * sweeps(self.cost, self.steps, self.length)

    @property
    def numba_loops(self) -> bool:
        """Whether the code is of Numba."""
        return self.code is not None and self.code.program is None

    @property
    def cost(self) -> Cost:
        """Seconds of calls."""
        return self.stopwatch.cost

    @cached_property
    def length(self) -> int:
        """Steps per segment."""
        if self.segments is not None:
            return self.segments.length(self._stretch)
        if self.tangents is not None:
            return self.tangents.length(self.steps)
        return self.fixed_length or best_length(self.cost, self.steps)

    @property
    def few(self) -> bool:
        """Whether there is too little to gain for a measurement."""
        return self.steps < FEW_STEPS

    @property
    def short(self) -> bool:
        """Whether there are too few steps for sweeps; False if the user chose segments or windows."""
        return not self._is_guided and self.code is None and self.steps < SHORT

    @property
    def brief(self) -> bool:
        """Whether the loop takes too little time for attempts; False if the user chose segments or windows."""
        return not self._is_guided and self.code is None and self.steps * self.stopwatch.looped < BRIEF

    @property
    def _is_guided(self) -> bool:
        """Whether the user chose segments or windows."""
        return self.fixed_length is not None or self.window is not None

    @property
    def stacking_gains_little(self) -> bool:
        """Whether sweeps take as long as the loop; False if the user chose the segments."""
        if self.fixed_length is not None:
            return False
        worthwhile = WORTHWHILE * self.steps * self.cost.looped
        expected = sweeps(self.cost, self.steps, self.length)
        if not worthwhile / SURELY <= expected <= worthwhile:
            return expected > worthwhile
        return self.stopwatch.sweeps(self.length) > worthwhile

    @cached_property
    def newton_steps(self) -> float:
        """Fewest steps over which Newton's fewest iterations fit into their time; infinite if there are none."""
        budget = NEWTON_SHARE * self.cost.looped / FEWEST_ITERATIONS - self.copies * self.cost.state
        segments = self.cost.call / budget if budget > 0 else float("inf")
        return max(FEWEST_SEGMENTS, segments) * self.length

    @property
    def loading_costs_much(self) -> bool:
        """Whether loading the scans takes longer than this loop and the earlier loops in their place."""
        return not self.scans_are_loaded and self.budget.allows(self.steps * self.cost.looped)

    @property
    def newton_costs_much(self) -> bool:
        """Whether a few Newton iterations exceed their time, even with all segments together."""
        return self.newton_steps > self.steps


@dataclass(frozen=True)
class Decision:
    """Methods in the order of their trial, before the loop, and the reason that the message gives.

    `for_now`: the reason may lapse, as the scans may be loaded later; loop time is then charged to the budget.
    """

    applies: Callable[[Workload], bool]
    methods: tuple[str, ...]
    because: str
    for_now: bool = False


FEW = Decision(lambda facts: facts.few, (), f"there are fewer than {FEW_STEPS} steps")

LITTLE = Decision(lambda facts: facts.brief, (), "it takes little time")

TOO_SHORT = Decision(lambda facts: facts.short, (), f"sweeps do not pay over fewer than {SHORT} steps")

COMPILED_LOOP = Decision(lambda facts: facts.code_is_fastest, (), AS_RECORDED)

DECISIONS = (
    FEW,
    LITTLE,
    TOO_SHORT,
    Decision(
        lambda facts: facts.segments is not None, ("jacobi",), "segments of the recorded step run as machine code"
    ),
    Decision(
        lambda facts: facts.tangents is not None,
        ("newton",),
        "segments of the recorded step and its derivative run as machine code",
    ),
    Decision(lambda facts: facts.code_is_fastest and facts.numba_loops, (), BY_NUMBA),
    COMPILED_LOOP,
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
"""All decisions; the first one that applies is made."""


def decide(facts: Workload) -> Decision:
    """The first decision that applies."""
    return next(decision for decision in DECISIONS if decision.applies(facts))
