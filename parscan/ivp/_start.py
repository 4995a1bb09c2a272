"""The loose sequential solve that Newton starts from."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._arrays import Array
from ._function import RightHandSide
from ._tableaux import Tableau
from ._trial import Trial


@dataclass(frozen=True)
class Start:
    """A rough trajectory: its own steps `t`, and its states `(m, *batch, n)` at any times between them.

    `failure` says why it ends before it should, if it does.
    """

    t: Array
    states: Callable[[Array], Array]
    failure: str = ""

    def trial(self, tableau: Tableau, t: Array, y0: Array) -> Trial:
        """States on the mesh `t`, from the given first one, and the stages of the polynomials through its states.

        Not those of the right-hand side: where the problem is stiff, its values at rough states are of any size.
        """
        steps = t[1:] - t[:-1]
        times = t[:-1, None] + steps[:, None] * tableau.c
        y = self.states(t)
        states = self.states(times.reshape(-1)).reshape((*times.shape, *y.shape[1:]))
        rises = (states - y[:-1, None]) / steps.reshape((-1, *(1,) * y.ndim))
        stages = np.moveaxis(np.tensordot(np.linalg.inv(tableau.A), rises, axes=((1,), (1,))), 0, 1)
        return Trial(t, y, stages).starting_at(y0)


def by_scipy(
    rhs: RightHandSide, span: tuple[float, float], y0: Array, rtol: float, atol: Array, method: str, max_step: float
) -> Start:
    """SciPy's sequential solver, on one state after the other."""
    from scipy.integrate import solve_ivp  # noqa: PLC0415 - slow to import

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what LSODA has to say of its steps is of no interest: Newton follows
        found = solve_ivp(
            rhs.single, span, y0, method=method, rtol=rtol, atol=atol, max_step=max_step, dense_output=True
        )
    finite = np.isfinite(found.y).all(axis=0)
    count = len(finite) if finite.all() else int(np.argmin(finite))
    failure = "" if found.status == 0 and count == len(finite) else found.message
    if count < len(finite):
        failure = "the right-hand side gave values that are not finite"
    return Start(found.t[:count], lambda t: found.sol(t).T, failure)
