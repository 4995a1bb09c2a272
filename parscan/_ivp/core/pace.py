"""Whether steps get on: solvers that meet jumps over and over again go on with tiny steps, in effect for ever."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import inf, isfinite

from ..._arrays.namespace import Array, array_namespace, copy, quiet
from ..._functions.jumps import jumps_along
from ..._functions.right_hand_side import RightHandSide
from .polynomial import PiecewisePolynomial
from .scale import Scale

STEPS = 4096
"""Steps after which the pace is judged, again and again."""

LAST = 8
"""Steps, the last of those, within which jumps are looked for."""

CALLS = 1_000_000
"""Calls of `fun` that are still to come, at this pace, up to which nobody minds jumps."""

FOLLOWED, CALLS_A_STEP = 256, 50
"""Steps of DOP853 that take the place of windows from which on they tell the pace, and what each takes, in calls: it is
looked at between its ends, too."""

MOST_CALLS = 1_000_000_000
"""The same where there are no jumps: hours, even for the cheapest function."""

GROWTH = 2.0
"""Growth of the pace from which on it says nothing of the steps to come, as in a transient."""

SEEN = 0.01
"""Error in tolerances that a jump has to make in a step: what is less is rounding."""

OF_JUMPS = (
    "let an event at the switch end the solve, make the switch smooth (np.tanh(v / width) for np.sign(v)), or loosen "
    "the tolerances; where the times are known, give them as `jumps`"
)
"""What to try where `fun` jumps."""

OF_STEPS = "name an implicit method if the problem is stiff, shorten the span, or loosen the tolerances"
"""What to try where steps are short for other reasons."""


class Pace:
    """Judges the steps over a span, again and again; `fun(t, y)` is the right-hand side of one state.

    The tolerances are those of a step.
    """

    def __init__(
        self, fun: Callable[[float, Array], Array], span: tuple[float, float], rtol: float | Array, atol: Array | float
    ) -> None:
        self._fun, self._span = fun, span
        self._rtol, self._atol = rtol, atol
        self._before, self.is_slow = 0.0, False
        self._begin: tuple[float, int] = (span[0], 0)

    def is_stuck(self, last: list[tuple[float, Array]], calls: int) -> str:
        """Why there is no use in going on after `STEPS` more steps.

        The `last` of them are nodes with states `(n,)`; `calls` are those of all steps. Whether steps stay short though
        nothing is in the way, so that the same solver may do better from the start, is `is_slow` then.
        """
        t = last[-1][0]
        reason = self._judge(t, last, calls)
        self._before = abs(t - self._begin[0])
        self._begin = t, calls
        return reason

    def _judge(self, t: float, last: list[tuple[float, Array]], calls: int) -> str:
        """The same at the time of the last step."""
        passed = abs(t - self._begin[0])
        rest = abs(self._span[1] - t) if isfinite(self._span[1]) else abs(t - self._span[0])
        self.is_slow = False
        needed = (calls - self._begin[1]) * (rest / passed) if passed else inf
        if needed <= CALLS:
            return ""
        told = f"the last {STEPS} steps were of {passed / STEPS:.2g} each, {passed / rest:.2g} of what is left"
        with quiet():
            jumps = jumps_within(self._fun, last, self._rtol, self._atol)
        if 2 * sum(jumps) > len(jumps):
            return f"`fun` jumps to and fro: {told}; {OF_JUMPS}"
        self.is_slow = passed <= GROWTH * self._before
        return f"{told}; {OF_STEPS}" if needed > MOST_CALLS and self.is_slow else ""


def chatters(rhs: RightHandSide, trial: PiecewisePolynomial, end: float, scale: Scale) -> bool:
    """Whether there is no use in going on to the end as in a trial, whose steps were followed one by one."""
    xp = array_namespace(trial.y)
    t, y = trial.t, xp.moveaxis(trial.y[-LAST:, ...], -1, 1)
    passed, rest = abs(float(t[-1] - t[0])), abs(end - float(t[-1]))
    if trial.intervals < FOLLOWED or trial.intervals * CALLS_A_STEP * (rest / passed) <= CALLS:
        return False
    column = (-1, *(1,) * (trial.y.ndim - 2))
    rtol, atol = (xp.reshape(xp.asarray(part, dtype=scale.atol.dtype), column) for part in (scale.rtol, scale.atol))
    nodes = [(float(t[k - y.shape[0]]), y[k, ...]) for k in range(y.shape[0])]
    with quiet():
        jumps = jumps_within(lambda t, y: rhs.at(t, copy(y)), nodes, rtol, atol)
    return 2 * sum(jumps) > len(jumps)


def jumps_within(
    fun: Callable[[float, Array], Array], nodes: list[tuple[float, Array]], rtol: float | Array, atol: Array | float
) -> list[bool]:
    """Whether `fun` jumps along each of some steps, with as much beyond its end, or along its first slope."""
    longest = max((abs(end[0] - begin[0]) for begin, end in pairwise(nodes)), default=0.0)
    found = []
    for (t, y), (t_end, y_end) in pairwise(nodes):
        h, bound = t_end - t, SEEN * (atol + rtol * array_namespace(y).abs(y)) / longest
        ways = (y_end - y, h * fun(t, y))
        lines = (partial(_along, fun, (t, y), (2 * h, 2 * way)) for way in ways)
        found.append(any(jumps_along(line, bound) for line in lines))
    return found


def _along(
    fun: Callable[[float, Array], Array], begin: tuple[float, Array], way: tuple[float, Array], share: float
) -> Array:
    """The function at a share of a way."""
    return fun(begin[0] + share * way[0], begin[1] + share * way[1])
