"""What is told of a compiled solve, and its solution between the ends of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan, nan
from typing import Any

from ..._arrays.counts import counted
from ..._arrays.namespace import Array
from ..core.failures import ROUNDING, UNEXPLAINED
from ..core.pace import OF_JUMPS
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from .accuracy import BETWEEN, FAR, GAIN, LOOSER, Solved
from .apart import differences
from .march import Course, March, Output
from .path import Path
from .solvers import EXPLICIT, METHODS

JUMPING = f": `fun` jumps to and fro, steps cross a switch that the state triggers again and again; {OF_JUMPS}"
"""Why a large error is left."""

STIFF, REASONS = "the problem is stiff", {METHODS[EXPLICIT]: "the Taylor series ends there"}
"""Why another method goes on, by its name."""


def between(march: March, share: float, end: float | None = None) -> PiecewisePolynomial:
    """The same steps with polynomials between their ends, up to the end of a march that was given up."""
    return rounded(_again(march, share, end).path.polynomial, march.problem.y0.dtype)


def _again(march: March, share: float, end: float | None = None) -> Course:
    """Another march, with polynomials between the ends of steps."""
    again = March(march.problem, march.recorded, Output(is_dense=True), march.first_step, None, first=march.first)
    found = again.run(share, end)
    again.end()
    return found


def errors(
    march: March, share: float, path: Path, t: Array, states: Array, end: float | None = None
) -> Array:  # fmt: skip
    """Estimated errors, in tolerances, of states `(m, n)` that a march with a share of the tolerances found."""
    return against(march.problem, _again(march, share * LOOSER, end), path, t, states)


def against(problem: Problem, other: Course, path: Path, t: Array, states: Array) -> Array:
    """Errors of states `(m, n)`, in tolerances, which another march with looser ones tells by its polynomials."""
    if other.failed:
        return problem.xp.full(t.shape, nan)
    return differences(problem, path, t, states, other.path.polynomial.at_few(t)) / GAIN


def along(slid: Sequence[float]) -> str:
    """What is told of times from which on the solution stayed on switches."""
    if not slid:
        return ""
    others = f", and {len(slid) - 1} times more" if len(slid) > 1 else ""
    return (
        f" From t = {slid[0]!r} on{others}, the slopes on both sides of a comparison lead back to it: the solution "
        "stays there, with the mean of both slopes that leads along it (Filippov)."
    )


def rounded(polynomial: PiecewisePolynomial, dtype: Any) -> PiecewisePolynomial:
    """A polynomial in some precision."""
    xp = polynomial.xp
    if polynomial.y.dtype == dtype:
        return polynomial
    return replace(polynomial, y=xp.astype(polynomial.y, dtype), stages=xp.astype(polynomial.stages, dtype))


def cause(found: Solved) -> str:
    """Why a large error is left, as the end of a sentence."""
    return JUMPING if found.is_jumping else ROUNDING if found.is_rough else UNEXPLAINED


def told(used: Sequence[tuple[str, float]], steps: int, error: float, worst: float = 0.0, why: str = "") -> str:
    """
    The methods, with the times from which on they were used, their steps, and errors in tolerances.

    `worst` is the largest one at times of the output; `why` is said of a large error.
    """
    done = ""
    for place, (method, begin) in enumerate(used):
        if not place:
            done = method
        elif method != used[place - 1][0]:
            done += f", from t = {begin!r} on {method}, because {REASONS.get(method, STIFF)}"
    done = f"By machine code of `fun`: {done}; {counted(steps, 'step')}."
    if isnan(error):
        return done
    before = f", and at most {worst:.2g} before" if worst > max(BETWEEN, error) else ""
    return f"{done} The estimated error at the end is {error:.2g} tolerances{before}{why if error > FAR else ''}."
