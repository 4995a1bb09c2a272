"""The pace of sequential steps: whether a solver is too slow to reach the end of the span.

A solver of a right-hand side that jumps again and again would otherwise take tiny steps for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import inf, isfinite

from ..._arrays.namespace import Array, array_namespace, copy, quiet
from ..._functions.jumps import ZOOMS, jumps_along
from ..._functions.right_hand_side import RightHandSide
from .polynomial import PiecewisePolynomial
from .scale import Scale
from .stiffness import are_limited

STEPS = 4096
"""Number of steps between judgements of the pace."""

LAST = 8
"""Number of nodes, the last ones, between which jumps are sought."""

CALLS = 1_000_000
"""Jumps are a reason to give up only if the rest of the span needs more calls of `fun` than this at the same pace."""

FOLLOWED, CALLS_A_STEP = 256, 50
"""For steps of DOP853 in place of a window: the least number of them that shows the pace, and the calls of `fun` for
one step and for sampling its defect."""

MOST_CALLS = 1_000_000_000
"""Largest number of calls of `fun` for the rest of the span, if there are no jumps: hours, even for the cheapest."""

STIFF_CALLS = 3_000_000
"""Largest number of calls for the rest of the span where stability limits the steps of an explicit method: a minute."""

STEEP = 3
"""Zooms after which most of a change within a step is left where `fun` is too steep for an explicit method: that step
is a hundred times as long as stability there permits."""

GROWTH = 2.0
"""If the pace grew by more than this factor, as in a transient, it does not predict later steps."""

SEEN = 0.01
"""Smallest error of a step, in tolerances, that a jump must cause to count; anything smaller is rounding."""

OF_JUMPS = (
    "let an event at the switch end the solve, make the switch smooth (np.tanh(v / width) for np.sign(v)), or loosen "
    "the tolerances; where the times are known, give them as `jumps`"
)
"""What to try where `fun` jumps."""

OF_STEPS = "name an implicit method if the problem is stiff, shorten the span, or loosen the tolerances"
"""What to try where steps are short for other reasons."""


OF_STIFFNESS = "the problem is stiff: name an implicit method, such as Radau, or leave out `method`"
"""What to try where stability limits the steps."""


class Pace:
    """Judges the steps over a span every `STEPS` steps; `fun(t, y)` is the right-hand side of one state.

    The tolerances are those of a step; `is_explicit` tells the kind of the method.
    """

    def __init__(
        self,
        fun: Callable[[float, Array], Array],
        span: tuple[float, float],
        rtol: float | Array,
        atol: Array | float,
        *,
        is_explicit: bool = False,
    ) -> None:
        self._fun, self._span, self._is_explicit = fun, span, is_explicit
        self._rtol, self._atol = rtol, atol
        self._before, self.is_slow = 0.0, False
        self._begin: tuple[float, int] = (span[0], 0)

    def is_stuck(self, last: list[tuple[float, Array]], calls: int) -> str:
        """The reason to give up after `STEPS` more steps; empty if there is none.

        `last` are the last nodes, with states `(n,)`; `calls` is the number of calls in all steps so far. Sets
        `is_slow`: whether steps stay short without a jump, in which case it may help to restart the same solver.
        """
        t = last[-1][0]
        reason = self._judge(t, last, calls)
        self._before = abs(t - self._begin[0])
        self._begin = t, calls
        return reason

    def _judge(self, t: float, last: list[tuple[float, Array]], calls: int) -> str:
        """The reason to give up at `t`, the end of the last step."""
        passed = abs(t - self._begin[0])
        rest = abs(self._span[1] - t) if isfinite(self._span[1]) else abs(t - self._span[0])
        self.is_slow = False
        needed = (calls - self._begin[1]) * (rest / passed) if passed else inf
        if needed <= CALLS:
            return ""
        pace = f"the last {STEPS} steps were of {passed / STEPS:.2g} each, {passed / rest:.2g} of the remaining span"
        with quiet():
            jumps = jumps_within(self._fun, last, self._rtol, self._atol)
        if 2 * sum(jumps) > len(jumps):
            return f"`fun` jumps to and fro: {pace}; {OF_JUMPS}"
        self.is_slow = passed <= GROWTH * self._before
        if not self.is_slow:
            return ""
        if self._is_explicit and needed > STIFF_CALLS and self._is_stiff(last):
            return f"stability limits the steps: {pace}; {OF_STIFFNESS}"
        return f"{pace}; {OF_STEPS}" if needed > MOST_CALLS else ""

    def _is_stiff(self, last: list[tuple[float, Array]]) -> bool:
        """Whether stability limits most of the last steps, everywhere or at a steep place that they pass to and fro."""
        about = self._fun, last, self._rtol, self._atol
        with quiet():
            steep = jumps_within(*about, zooms=STEEP)
        return 2 * sum(steep) > len(steep) or are_limited(*about)


def chatters(rhs: RightHandSide, polynomial: PiecewisePolynomial, end: float, scale: Scale) -> bool:
    """Whether sequential steps in place of a window meet jump after jump, so slowly that the solve should end."""
    xp = polynomial.xp
    t, y = polynomial.t, xp.moveaxis(polynomial.y[-LAST:, ...], -1, 1)
    passed, rest = abs(float(t[-1] - t[0])), abs(end - float(t[-1]))
    if polynomial.intervals < FOLLOWED or polynomial.intervals * CALLS_A_STEP * (rest / passed) <= CALLS:
        return False
    column = (-1, *(1,) * (polynomial.y.ndim - 2))
    rtol, atol = (xp.reshape(xp.asarray(part, dtype=scale.atol.dtype), column) for part in (scale.rtol, scale.atol))
    nodes = [(float(t[k - y.shape[0]]), y[k, ...]) for k in range(y.shape[0])]
    with quiet():
        jumps = jumps_within(lambda t, y: rhs.at(t, copy(y)), nodes, rtol, atol)
    return 2 * sum(jumps) > len(jumps)


def jumps_within(
    fun: Callable[[float, Array], Array],
    nodes: list[tuple[float, Array]],
    rtol: float | Array,
    atol: Array | float,
    zooms: int = ZOOMS,
) -> list[bool]:
    """Whether `fun` jumps along each step: on the line through its ends, or on the tangent at its begin.

    Both lines are sampled to twice the length of the step. With fewer `zooms`, steep places count as well.
    """
    longest = max((abs(end[0] - begin[0]) for begin, end in pairwise(nodes)), default=0.0)
    found = []
    for (t, y), (t_end, y_end) in pairwise(nodes):
        h, bound = t_end - t, SEEN * (atol + rtol * array_namespace(y).abs(y)) / longest
        ways = (y_end - y, h * fun(t, y))
        lines = (partial(_along, fun, (t, y), (2 * h, 2 * way)) for way in ways)
        found.append(any(jumps_along(line, bound, zooms) for line in lines))
    return found


def _along(
    fun: Callable[[float, Array], Array], begin: tuple[float, Array], way: tuple[float, Array], share: float
) -> Array:
    """The function at a share of the line that leads from a time and state by the distances `way`."""
    return fun(begin[0] + share * way[0], begin[1] + share * way[1])
