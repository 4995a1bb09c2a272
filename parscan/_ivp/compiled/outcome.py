"""What is told of a compiled solve, and its solution between the ends of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from typing import Any

from ..._arrays.counts import counted
from ..core.polynomial import PiecewisePolynomial
from .accuracy import FAR
from .march import March, Output


def between(march: March, share: float, end: float | None = None) -> PiecewisePolynomial:
    """The same steps with polynomials between their ends, up to the end of a march that was given up."""
    again = March(march.problem, march.recorded, Output(is_dense=True), march.first_step, None)
    found = again.run(share, end)
    again.end()
    return rounded(found.path.polynomial, march.problem.y0.dtype)


def rounded(polynomial: PiecewisePolynomial, dtype: Any) -> PiecewisePolynomial:
    """A polynomial in some precision."""
    xp = polynomial.xp
    if polynomial.y.dtype == dtype:
        return polynomial
    return replace(polynomial, y=xp.astype(polynomial.y, dtype), stages=xp.astype(polynomial.stages, dtype))


def told(used: Sequence[tuple[str, float]], steps: int, error: float) -> str:
    """The methods, with the times from which on they were used, their steps, and the error in tolerances."""
    done = ""
    for place, (method, begin) in enumerate(used):
        if not place:
            done = method
        elif method != used[place - 1][0]:
            done += f", from t = {begin!r} on {method}, because the problem is stiff"
    known = "" if isnan(error) else f" The estimated error at the end is {error:.2g} tolerances"
    far = (
        ", although tighter ones were tried: either small changes grow along the solution, as in chaos, or `fun` jumps "
        "at times that `jumps` should name"
        if error > FAR
        else ""
    )
    return f"By machine code of `fun`: {done}; {counted(steps, 'step')}.{known}{far}{known and '.'}"
