"""What Newton starts from: a rough trajectory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..._arrays.namespace import Array, array_namespace
from ..._engine.termination import Failure
from ..._functions.breaks import thinned, with_breaks
from ..core.polynomial import PiecewisePolynomial
from ..core.tableaux import Tableau


@dataclass(frozen=True)
class CoarseSolution:
    """A rough trajectory: its own steps `t`, and its states `(m, *batch, n)` at any times between them.

    `failure` says why it ends before it should, if it does, and `failed_at` is the first time that is known to be bad,
    if one is. A `warm` start is a solution of a nearby problem, whose mesh may do as it is; a `fixed` mesh is to be
    kept. `group` of its steps make an interval of a first mesh.
    """

    t: Array
    states: Callable[[Array], Array]
    failure: Failure | None = None
    failed_at: float | None = None
    warm: bool = False
    fixed: bool = False
    group: int = 3

    def trial(self, tableau: Tableau, t: Array, y0: Array, breaks: Array | None = None) -> PiecewisePolynomial:
        """States on the mesh `t`, from the given first one, and the stages of the polynomials through its states.

        Not those of the right-hand side: where the problem is stiff, its values at rough states are of any size.
        """
        xp = array_namespace(y0)
        steps = t[1:] - t[:-1]
        times = t[:-1, None] + steps[:, None] * xp.asarray(tableau.c, dtype=t.dtype)[None, :]
        states = xp.astype(self.states(xp.concat([t, xp.reshape(times, (-1,))])), y0.dtype, copy=False)
        y = xp.concat([y0[None, ...], states[1 : t.shape[0], ...]])
        rises = xp.reshape(states[t.shape[0] :, ...], (*times.shape, -1)) - xp.reshape(
            states[: steps.shape[0], ...], (steps.shape[0], 1, -1)
        )
        slopes = xp.asarray(tableau.inverse, dtype=y.dtype)
        lengths = xp.astype(xp.reshape(steps, (-1, 1, 1)), y.dtype)
        stages = slopes @ (rises / lengths)
        return PiecewisePolynomial(tableau, t, y, xp.reshape(stages, (*times.shape, *y.shape[1:])), breaks)

    def after(self, time: float) -> CoarseSolution | None:
        """What is left of it from a time on, if there is more than an end."""
        xp = array_namespace(self.t)
        later = self.t > time if bool(self.t[-1] > self.t[0]) else self.t < time
        if not bool(xp.any(later)):
            return None
        return replace(self, t=xp.concat([xp.asarray([time], dtype=self.t.dtype), self.t[later]]))

    def first_mesh(self, most: int | None = None, breaks: Array | None = None) -> Array:
        """Nodes of the first mesh: `group` steps an interval, or `most` if that is fewer; all nodes of a given mesh.

        Breakpoints within it are nodes, too.
        """
        if self.fixed:
            return self.t
        if self.warm:
            return with_breaks(self.t, breaks)
        return with_breaks(thinned(self.t, self.group if most is None else min(self.group, most), breaks), breaks)
