"""Newton's method on a whole mesh: which intervals have converged, and which are cut off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..._arrays.namespace import Array, array_namespace, to_numpy
from ..._engine.newton import Ending, Iteration
from ..._engine.newton import iterate as iterate_on
from ..._engine.termination import Termination
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from .discretisation import Discretisation, Linear

STALL = 0.5
"""Corrections stall if one is larger than this share of the previous one."""

FLOOR = 1.0
"""Corrections that stall below this many tolerances are rounding, and are accepted."""

LARGEST = 1.0
"""Corrections predict later ones only if they are at most this large, relative to the solution."""

SAFETY = 10.0
"""Safety factor on the prediction that the ratio of successive corrections squares."""

TRUSTED = 0.1
"""A correction predicts the next one only if it is at most this share of the previous one."""


@dataclass(frozen=True)
class Iterated:
    """The leading intervals that converged in Newton's loop, their number, and their linearisation."""

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
    """Correct the trial until the expected next correction is below `enough` in units of `scale`, `most` times at most.

    Intervals from the first one on at which the right-hand side, or a correction, is not finite are cut off. `report`
    receives the number of intervals, that of iterations, and the last correction after every iteration.
    """
    if not trial.intervals:
        return Iterated(trial, 0, None, ())
    run = _OnMesh(method, rhs, trial, scale, enough, most)
    _, history = iterate_on(run, report)
    # If nothing converged, the Jacobians of all intervals show whether those that are not finite are the reason.
    linear = run.linear.head(run.solved) if run.linear is not None and run.solved else run.linear
    return Iterated(run.trial.head(run.solved), run.solved, linear, history)


class _OnMesh(Iteration):
    """A trial under correction."""

    def __init__(
        self,
        method: Discretisation,
        rhs: RightHandSide,
        trial: PiecewisePolynomial,
        scale: Scale,
        enough: float,
        most: int,
    ) -> None:
        self.trial = trial
        self.solved = 0
        self.linear: Linear | None = None
        self._method, self._rhs, self._scale, self._enough, self._most = method, rhs, scale, enough, most
        self._sizes: Array = ()

    def correct(self) -> tuple[int, float]:
        """All intervals, up to the first whose correction is not finite."""
        corrected = self._method.correct(self._rhs, self.trial, self._scale)
        sizes = to_numpy(corrected.sizes)  # the only transfer from an accelerator in an iteration
        count = leading(sizes < float("inf"))
        self.trial, self._sizes, self.linear = corrected.trial.head(count), sizes[:count], corrected.linear
        return count, float(self._sizes.max()) if count else float("inf")

    def terminate(self, history: list[float]) -> Ending | None:
        """Converged once the next corrections of all intervals that are left are expected to be small."""
        left = 0.0 if _is_rounding(history) else _rate(history, self._scale, superlinear=self._method.is_superlinear)
        self.solved = leading(self._sizes * left <= self._enough)
        if self.solved == len(self._sizes):
            return Ending(Termination.CONVERGED if self.solved else Termination.NOT_FINITE)
        return Ending(Termination.EXHAUSTED) if len(history) >= self._most else None


def _rate(history: list[float], scale: Scale, *, superlinear: bool) -> float:
    """Expected ratio of the next correction to the last one: the previous ratio, or about its square if superlinear.

    Newton's method gives `c_{k+1} = C c_k²`, with C from the last two corrections. Corrections that are larger than the
    solution itself predict nothing: they may have fallen by chance.
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
