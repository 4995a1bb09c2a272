"""Results of sequential solvers: their steps, and the coarse solution, from which Newton's method starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import nan

from ..._arrays.namespace import Array, Namespace, array_namespace
from ..._engine.termination import Failure, Termination
from ..core.mesh import Mesh
from ..core.polynomial import PiecewisePolynomial
from ..core.tableaux import Tableau


@dataclass(frozen=True)
class Steps:
    """The steps of any sequential solver.

    Parameters
    ----------
    t : array, shape (m,)
        Begin of the first step and ends of all steps, in float64.
    y : array, shape (m, *batch, n)
        States at these times; the last one alone, `m = 1`, if the states at other times were wanted.
    slopes : array, shape (m, *batch, n), or None
        Values of the right-hand side there, if the solver has them.
    failure : Failure, optional
        Why the steps end early.
    failed_at : float, optional
        The first time that is known to be bad.
    error : float
        Largest estimated error of a step in tolerances; NaN if the solver does not say.
    """

    t: Array
    y: Array
    slopes: Array | None = None
    failure: Failure | None = None
    failed_at: float | None = None
    error: float = nan

    @property
    def xp(self) -> Namespace:
        """The array library."""
        return array_namespace(self.y)

    @property
    def termination(self) -> Termination:
        """Why the steps end."""
        return Termination.FINISHED if self.failure is None else self.failure.termination

    @property
    def count(self) -> int:
        """Number of steps."""
        return int(self.t.shape[0]) - 1

    def polynomial(self, tableau: Tableau, breaks: Array | None = None) -> PiecewisePolynomial:
        """Polynomials between the states. Their slopes are zero until a method computes them in `assess`."""
        xp = self.xp
        shape = (self.count, tableau.stages, *self.y.shape[1:])
        stages = xp.broadcast_to(xp.zeros((1,) * len(shape), dtype=self.y.dtype), shape)
        return PiecewisePolynomial(tableau, self.t, self.y, stages, breaks)


def followed(parts: Sequence[Steps]) -> Steps:
    """Several parts as one, without slopes; each part begins where the previous one ends."""
    xp = parts[0].xp
    t = xp.concat([parts[0].t, *(part.t[1:] for part in parts[1:])])
    y = xp.concat([parts[0].y, *(part.y[1:, ...] for part in parts[1:])])
    return replace(parts[-1], t=t, y=y, slopes=None, error=max(part.error for part in parts))


@dataclass(frozen=True)
class CoarseSolution:
    """A coarse solution, from which Newton's method starts: nodes `t` `(m,)`, and states `(k, *batch, n)` at any times.

    `failure` and `failed_at` are those of its steps. `warm`: it is the solution of a nearby problem, and its mesh is
    tried first as it is. `fixed`: its mesh is the user's and is kept. Otherwise, `group` steps become one interval of
    the first mesh.
    """

    t: Array
    states: Callable[[Array], Array]
    failure: Failure | None = None
    failed_at: float | None = None
    warm: bool = False
    fixed: bool = False
    group: int = 3

    @property
    def xp(self) -> Namespace:
        """The array library."""
        return array_namespace(self.t)

    def polynomial(self, tableau: Tableau, mesh: Mesh, y0: Array) -> PiecewisePolynomial:
        """Polynomials on the mesh through the states at the nodes of the tableau; the first state is `y0`.

        Their slopes are those of the polynomials, not values of the right-hand side, which may be arbitrarily large at
        states that are only roughly right if the problem is stiff.
        """
        xp, t = mesh.xp, mesh.t
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
        return PiecewisePolynomial(tableau, t, y, xp.reshape(stages, (*times.shape, *y.shape[1:])), mesh.breaks)

    def after(self, time: float) -> CoarseSolution | None:
        """The coarse solution from a time on; None if it does not reach beyond."""
        xp = self.xp
        later = self.t > time if bool(self.t[-1] > self.t[0]) else self.t < time
        if not bool(later[-1]):
            return None
        return replace(self, t=xp.concat([xp.asarray([time], dtype=self.t.dtype), self.t[later]]))

    def first_mesh(self, breaks: Array | None, most: int | None = None) -> Mesh:
        """The first mesh: the nodes of a given mesh, or intervals of `group` steps, or of `most` if that is fewer.

        Breakpoints within it are nodes, too.
        """
        mesh = Mesh(self.t, breaks)
        if self.fixed:
            return mesh
        if self.warm:
            return mesh.with_breaks()
        return mesh.thinned(self.group if most is None else min(self.group, most)).with_breaks()
