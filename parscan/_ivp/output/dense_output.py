"""The solution between the nodes of the mesh: one collocation polynomial per interval."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import array_api_compat

from ..._arrays.namespace import Array, array_namespace, as_array, quiet, shared_namespace
from ..._kernels.series import combine, legendre
from ..core.trial import Trial
from ..methods.tableaux import Tableau


class DenseOutput:
    """Continuous solution, called like SciPy's `OdeSolution`.

    Parameters
    ----------
    tableau : Tableau
        Collocation method with s stages.
    t : array, shape (N + 1,)
        Mesh, ascending or descending, or twice the same time.
    y : array, shape (N + 1, *batch, n)
        States at the nodes of the mesh.
    stages : array, shape (N, s, *batch, n)
        Derivatives at the collocation nodes of each interval.
    breaks : array, shape (k,), or None
        Breakpoints of the right-hand side: slopes jump at those that are nodes.

    Attributes
    ----------
    ts : array, shape (N + 1,)
        The mesh.
    t_min, t_max : scalar
        Its ends, the smaller one first.
    n_segments, interpolants : int, list of DenseOutput
        The polynomials, each as a solution of its own.

    Raises
    ------
    ValueError
        If the mesh is not strictly monotonic, or the shapes do not fit together.

    Notes
    -----
    On the interval p, `y(t_p + θ h) = y_p + h Σ_j (∫_0^θ ℓ_j) K_pj + θ r_p`. The remainder `r_p`, what is missing to
    `y_{p+1}`, is that of an iteration that stopped at its tolerance; spread over the interval, it keeps the solution
    continuous, and exactly that of the nodes.
    """

    def __init__(self, tableau: Tableau, t: Array, y: Array, stages: Array, breaks: Array | None = None) -> None:
        xp = array_namespace(y)
        intervals = t.shape[0] - 1
        if intervals < 1 or y.shape[0] != intervals + 1 or stages.shape != (intervals, tableau.stages, *y.shape[1:]):
            raise ValueError(f"mesh {t.shape}, states {y.shape} and {tableau.stages} stages {stages.shape} do not fit.")
        steps = t[1:] - t[:-1]
        if not bool(xp.all(steps > 0) | xp.all(steps < 0)) and not (intervals == 1 and bool(t[0] == t[1])):
            raise ValueError("`t` must be strictly increasing or decreasing.")
        self._tableau, self._y = tableau, y
        self._stages = stages
        self.breaks = breaks
        self._direction = -1 if bool(t[-1] < t[0]) else 1
        self._ascending = self._direction * t
        self.ts = t
        self.t_min, self.t_max = (t[0], t[-1]) if self._direction > 0 else (t[-1], t[0])
        with quiet():
            self._remainder = y[1:, ...] - self._polynomial(xp.arange(intervals), xp.ones_like(steps))

    @classmethod
    def of(cls, tableau: Tableau, trial: Trial) -> DenseOutput:
        """The solution that a trial is, with the polynomials of the tableau."""
        return cls(tableau, trial.t, trial.y, trial.stages, trial.breaks)

    @property
    def n_segments(self) -> int:
        """Number of polynomials."""
        return int(self.ts.shape[0]) - 1

    @cached_property
    def interpolants(self) -> list[DenseOutput]:
        """The polynomials one by one, as solutions over their own intervals."""
        return [
            DenseOutput(
                self._tableau, self.ts[p : p + 2], self._y[p : p + 2, ...], self._stages[p : p + 1, ...], self.breaks
            )
            for p in range(self.n_segments)
        ]

    @property
    def t_old(self) -> Array:
        """Where it begins, in the direction of the integration."""
        return self.ts[0]

    @property
    def t(self) -> Array:
        """Where it ends."""
        return self.ts[-1]

    def __call__(self, t: Any) -> Array:
        """Evaluate the solution, components first.

        Parameters
        ----------
        t : float or array_like, shape (m,)
            Times, in any order. Beyond the mesh, its first or last polynomial is continued.

        Returns
        -------
        array, shape (n, *batch) or (n, m, *batch)
            The states.

        Raises
        ------
        TypeError
            If `t` is an array of another library than the solution.
        ValueError
            If `t` has more than one axis.
        """
        xp = array_namespace(self._y)
        times = as_array("t", t)
        if times.ndim > 1:
            raise ValueError(f"`t` has shape {times.shape}; pass one time or a one-dimensional array of times.")
        if times.ndim and array_api_compat.is_array_api_obj(t):
            shared_namespace(t=times, solution=self._y)
            times = xp.astype(times, xp.result_type(times.dtype, self.ts.dtype))
        else:
            times = xp.asarray(times.tolist() if times.ndim else float(times), dtype=self.ts.dtype)
        y = self.evaluate(xp.reshape(times, (-1,)))
        components = xp.moveaxis(y, -1, 0)
        return components if times.ndim else components[:, 0, ...]

    @property
    def nodes(self) -> Array:
        """States at the mesh, components first."""
        return array_namespace(self._y).moveaxis(self._y, -1, 0)

    def near(self, time: float) -> Callable[[float], Array]:
        """The polynomial of the interval that `time` is in, as a function of single times: states `(n, *batch)`.

        It is quicker than a call of the whole solution: the interval is looked for once.
        """
        xp = array_namespace(self._y)
        p = int(self._locate(xp.asarray([time], dtype=self.ts.dtype))[0][0])
        begin, length = float(self.ts[p]), float(self.ts[p + 1] - self.ts[p])
        means = xp.asarray(self._tableau.means, dtype=self._y.dtype)
        K = means @ xp.reshape(self._stages[p, ...], (means.shape[1], -1))
        start, remainder = (xp.reshape(part[p, ...], (1, -1)) for part in (self._y, self._remainder))
        shape = self._y.shape[1:]

        def state(t: float) -> Array:
            theta = (t - begin) / length if length else 0.0
            weights = xp.asarray([legendre(theta, K.shape[0])], dtype=K.dtype)
            y = start + (theta * length) * (weights @ K) + theta * remainder
            return xp.moveaxis(xp.reshape(y, shape), -1, 0)

        return state

    def evaluate(self, t: Array) -> Array:
        """States at the times `t` (m,), in the layout (m, *batch, n)."""
        return self.state(*self._locate(t))

    def derivative(self, t: Array) -> Array:
        """Slopes Σ_j ℓ_j(θ) K_j of the polynomials at the times `t` (m,), in the layout (m, *batch, n)."""
        return self._slope(*self._locate(t))

    def parts(self) -> tuple[Array, Array, Array, Array | None]:
        """The mesh, the states at its nodes, the stages, and the breakpoints, as it was made of them."""
        return self.ts, self._y, self._stages, self.breaks

    def samples(self) -> tuple[Array, Array]:
        """Times at the nodes of all polynomials, and the lengths of their intervals, `(m,)` both."""
        xp = array_namespace(self.ts)
        steps = (self.ts[1:] - self.ts[:-1])[:, None]
        times = Trial(*self.parts()).times(self._tableau.c)
        return xp.reshape(times, (-1,)), xp.reshape(xp.broadcast_to(steps, times.shape), (-1,))

    def restrict(self, t_end: float) -> DenseOutput:
        """The same solution up to `t_end`, a time on the mesh or between its nodes."""
        if not self.t_min <= t_end <= self.t_max:
            raise ValueError(f"`t_end` is {t_end}; the solution reaches from {self.t_min} to {self.t_max}.")
        xp = array_namespace(self._y)
        end = xp.asarray([t_end], dtype=self.ts.dtype)
        interval, theta = self._locate(end)
        nodes = theta * xp.asarray(self._tableau.c, dtype=theta.dtype)
        last = self._slope(xp.broadcast_to(interval, nodes.shape), nodes)
        before = int(interval[0])
        return DenseOutput(
            self._tableau,
            xp.concat([self.ts[: before + 1], end]),
            xp.concat([self._y[: before + 1, ...], self.state(interval, theta)]),
            xp.concat([self._stages[:before, ...], last[None, ...]]),
            self.breaks,
        )

    def _locate(self, t: Array) -> tuple[Array, Array]:
        """Interval of each time, and the share θ of it that has passed; a node belongs to the interval that it ends."""
        xp = array_namespace(t)
        intervals = xp.searchsorted(self._ascending, self._direction * t, side="left") - 1
        intervals = xp.clip(intervals, 0, self.ts.shape[0] - 2)
        begin = xp.take(self.ts, intervals)
        length = xp.take(self.ts, intervals + 1) - begin
        return intervals, (t - begin) / xp.where(length == 0, xp.ones_like(length), length)

    def state(self, intervals: Array, theta: Array) -> Array:
        """States at the share θ of each of the intervals."""
        remainder = array_namespace(theta).take(self._remainder, intervals, axis=0)
        return self._polynomial(intervals, theta) + self._column(theta) * remainder

    def _polynomial(self, intervals: Array, theta: Array) -> Array:
        """What the stages make of the state at the start of each of the intervals."""
        xp = array_namespace(theta)
        passed = theta * (xp.take(self.ts, intervals + 1) - xp.take(self.ts, intervals))
        means = self._combined(theta, intervals, self._tableau.means)
        return xp.take(self._y, intervals, axis=0) + self._column(passed) * means

    def _slope(self, intervals: Array, theta: Array) -> Array:
        """Slopes at the share θ of each of the intervals."""
        return self._combined(theta, intervals, self._tableau.lagrange)

    def _combined(self, theta: Array, intervals: Array, coefficients: Array) -> Array:
        """Sums of the stages of the intervals, with weights of these Legendre coefficients."""
        xp, shape = array_namespace(theta), self._stages.shape
        flat = xp.reshape(self._stages, (*shape[:2], -1))
        return xp.reshape(combine(theta, intervals, coefficients, flat), (theta.shape[0], *shape[2:]))

    def _column(self, numbers: Array) -> Array:
        """Numbers (m,), one per state, in the states' dtype and with as many axes."""
        xp = array_namespace(numbers)
        return xp.astype(xp.reshape(numbers, (-1,) + (1,) * (self._y.ndim - 1)), self._y.dtype, copy=False)
