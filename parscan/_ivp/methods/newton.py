"""Newton's loop on a whole mesh: it knows no method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..._arrays.namespace import Array, array_namespace, to_numpy
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from .discretisation import Discretisation, Linear

STALL = 0.5
"""Share of a correction that, when an iteration leaves it, means that no more digits are to be had."""

FLOOR = 1.0
"""Corrections that stall below this many tolerances are rounding, and are accepted."""

LARGEST = 1.0
"""Corrections up to about the size of the solution tell how the next ones shrink."""

SAFETY = 10.0
"""How much larger than predicted by their squares corrections may be."""

TRUSTED = 0.1
"""Share of the correction before it, up to which a correction tells how much smaller the next one will be."""


@dataclass(frozen=True)
class Iterated:
    """What Newton made of a trial: the leading intervals that converged, and their linearisation."""

    trial: PiecewisePolynomial
    solved: int
    linear: Linear | None
    history: tuple[float, ...]


def iterate(
    method: Discretisation,
    rhs: RightHandSide,
    trial: PiecewisePolynomial,
    scale: Scale,
    enough: float,
    most: int,
    report: Callable[[int, int, float], None] | None = None,
) -> Iterated:
    """Correct the trial until what is left is below `enough`, in units of `scale`, at most `most` times.

    Intervals from the first one on at which the right-hand side, or a correction, is not finite are cut off. `report`
    is told the number of intervals, of iterations, and the last correction after every iteration.
    """
    history: list[float] = []
    solved = 0
    linear: Linear | None = None
    while len(history) < most and trial.intervals:
        corrected = method.correct(rhs, trial, scale)
        sizes = to_numpy(corrected.sizes)  # all that an iteration asks an accelerator for
        count = leading(sizes < float("inf"))
        trial, sizes, linear = corrected.trial.head(count), sizes[:count], corrected.linear
        history.append(float(array_namespace(sizes).max(sizes)) if count else float("inf"))
        if report is not None:
            report(trial.intervals, len(history), history[-1])
        left = 0.0 if _is_rounding(history) else _rate(history, scale, superlinear=method.is_superlinear)
        solved = leading(sizes * left <= enough)
        if solved == count:
            break
    return Iterated(trial, solved, linear if linear is None or not solved else linear.head(solved), tuple(history))


def _rate(history: list[float], scale: Scale, *, superlinear: bool) -> float:
    """Share of the last corrections that the next ones will be: that of the last to those before, or about its square.

    Corrections of Newton's method square: `c_{k+1} = C c_k²`, with C by the last two of them. Those that are larger
    than the solution itself tell nothing: they may have fallen by chance.
    """
    if len(history) < 2 or history[-1] > TRUSTED * history[-2] or history[-2] * scale.tightest > LARGEST:
        return 1.0
    rate = history[-1] / history[-2]
    return min(rate, SAFETY * rate**2) if superlinear else rate


def _is_rounding(history: list[float]) -> bool:
    """Whether the corrections are small and do not shrink any more."""
    return len(history) > 1 and STALL * history[-2] < history[-1] <= FLOOR


def leading(flags: Array) -> int:
    """Number of leading flags that are set."""
    xp = array_namespace(flags)
    if flags.shape[0] == 0 or bool(xp.all(flags)):
        return int(flags.shape[0])
    return int(xp.argmin(xp.astype(flags, xp.int64)))
