"""The loose sequential solve by SciPy's LSODA: states one after the other, all that is between them at once."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .._arrays import Array
from ._function import RightHandSide
from ._rough import as_start
from ._start import Start
from ._stepper import by_stepping

MOST_STEPS = 200_000
"""Steps of a start, at most."""

SMALLEST = 10 * float(np.finfo(float).eps)
"""Steps that are smaller than this share of the time are the end of a solution, a pole for example."""


class GaveUp(Exception):  # noqa: N818 - a signal within this file, no error
    """LSODA failed for a reason of its own, or went on with values that are not finite."""


def by_lsoda(
    rhs: RightHandSide, span: tuple[float, float], y0: Array, rtol: float, atol: Array, max_step: float
) -> Start:
    """Rough trajectory of a single problem from `y0` `(n,)`; it ends early, and says why, where it cannot be continued.

    Where LSODA gives up, the more robust and slower stepper takes its place.
    """
    try:
        return _rough(rhs, span, y0, rtol, atol, max_step)
    except GaveUp:
        return by_stepping(rhs, span, y0, rtol, atol, max_step)


def _rough(
    rhs: RightHandSide, span: tuple[float, float], y0: Array, rtol: float, atol: Array, max_step: float
) -> Start:
    """The states at LSODA's steps, with cubics between them."""
    from scipy.integrate import LSODA  # noqa: PLC0415 - slow to import

    times, states = [span[0]], [y0]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what LSODA has to say of its steps is of no interest: Newton follows
        solver = LSODA(rhs.sequential(), span[0], y0, span[1], rtol=rtol, atol=atol, max_step=max_step)
        try:
            failure = _march(solver, times, states)
        except GaveUp:
            raise
        except Exception as error:
            error.add_note(f"parscan called it for the time {times[-1]!r} and later.")
            raise
        finally:
            rhs.count(solver.nfev)
    t, y = np.asarray(times), np.asarray(states)
    if not np.isfinite(y).all():
        raise GaveUp
    return as_start(t, y, rhs(t, y), rtol, atol, failure)


def _march(solver: Any, times: list[float], states: list[Array]) -> str:
    """Step to the end; why not, if not: LSODA itself would go on for ever at a pole."""
    while solver.status == "running":
        told = solver.step()
        if solver.status == "failed":
            raise GaveUp(told)
        t = solver.t
        if abs(t - times[-1]) <= SMALLEST * abs(t):
            return "the steps became smaller than the spacing of the numbers"
        times.append(t)
        states.append(solver.y)
        if len(times) > MOST_STEPS:
            return "LSODA took too many steps"
    return ""
