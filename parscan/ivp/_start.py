"""The loose sequential solve that Newton starts from."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Array, array_namespace
from ._function import RightHandSide
from ._tableaux import Tableau
from ._trial import Trial

MOST_STEPS = 200_000
"""Steps of a start, at most."""

SMALLEST = 10 * float(np.finfo(float).eps)
"""Steps that are smaller than this share of the time are the end of a solution, a pole for example."""


@dataclass(frozen=True)
class Start:
    """A rough trajectory: its own steps `t`, and its states `(m, *batch, n)` at any times between them.

    `failure` says why it ends before it should, if it does. A `warm` start is a solution of a nearby problem, whose
    mesh may do as it is; a `fixed` mesh is to be kept.
    """

    t: Array
    states: Callable[[Array], Array]
    failure: str = ""
    warm: bool = False
    fixed: bool = False

    def trial(self, tableau: Tableau, t: Array, y0: Array) -> Trial:
        """States on the mesh `t`, from the given first one, and the stages of the polynomials through its states.

        Not those of the right-hand side: where the problem is stiff, its values at rough states are of any size.
        """
        xp = array_namespace(y0)
        steps = t[1:] - t[:-1]
        times = t[:-1, None] + steps[:, None] * xp.asarray(tableau.c, dtype=t.dtype)[None, :]
        y = xp.astype(self.states(t), y0.dtype, copy=False)
        states = xp.astype(self.states(xp.reshape(times, (-1,))), y0.dtype, copy=False)
        states = xp.reshape(states, (*times.shape, *y.shape[1:]))
        lengths = xp.astype(xp.reshape(steps, (-1, *(1,) * y.ndim)), y.dtype)
        rises = (states - y[:-1, None, ...]) / lengths
        slopes = xp.asarray(np.linalg.inv(tableau.A), dtype=y.dtype)
        stages = xp.moveaxis(xp.tensordot(slopes, rises, axes=((1,), (1,))), 0, 1)
        return Trial(t, y, stages).starting_at(y0)

    def first_mesh(self, group: int) -> Array:
        """Every so many of its steps make an interval of the first mesh; all, where the mesh is meant as it is."""
        if self.warm or self.fixed:
            return self.t
        xp = array_namespace(self.t)
        t = self.t[::group]
        return t if bool(t[-1] == self.t[-1]) else xp.concat([t, self.t[-1:]])


def by_scipy(
    rhs: RightHandSide, span: tuple[float, float], y0: Array, rtol: float, atol: Array, max_step: float
) -> Start:
    """SciPy's LSODA, on one state after the other."""
    from scipy.integrate import LSODA, OdeSolution  # noqa: PLC0415 - slow to import

    times, pieces, failure = [span[0]], [], ""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what LSODA has to say of its steps is of no interest: Newton follows
        solver = LSODA(rhs.single, span[0], y0, span[1], rtol=rtol, atol=atol, max_step=max_step)
        while solver.status == "running" and not failure:
            told = solver.step()
            failure = _trouble(solver, told, len(times))
            if not failure:
                times.append(solver.t)
                pieces.append(solver.dense_output())
    if not pieces:
        return Start(np.asarray(times), lambda t: np.broadcast_to(y0, (len(t), *y0.shape)), failure)
    solution = OdeSolution(times, pieces)
    return Start(np.asarray(times), lambda t: solution(t).T, failure)


def _trouble(solver: Any, told: str | None, steps: int) -> str:
    """Why a sequential solver must not go on, if it must not: LSODA itself would go on for ever at a pole."""
    if solver.status == "failed":
        return f"LSODA failed: {told}"
    if not np.isfinite(solver.y).all():
        return "the right-hand side gave values that are not finite"
    if abs(solver.t - solver.t_old) <= SMALLEST * abs(solver.t):
        return "the steps became smaller than the spacing of the numbers"
    return "LSODA took too many steps" if steps >= MOST_STEPS else ""
