"""The solution on a mesh: its states at the nodes, and one polynomial in each interval between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from math import prod
from typing import Any

from ..._arrays.cached import cached_property
from ..._arrays.memory import at_once
from ..._arrays.namespace import Array, Namespace, array_namespace, quiet
from ..._kernels.dispatch import combine_stages
from ..._kernels.generic.legendre import legendre_series
from .mesh import Mesh, among, union
from .powers import Powers
from .tableaux import Tableau

OF_MESH = ("mesh", "steps", "lengths", "stage_times")
"""Cached properties of a polynomial that depend on its mesh only."""

LARGE = 1 << 16
"""Slopes of the intervals of so many times as are gathered at once."""

PLAIN = 2
"""Axes of the states without a batch."""


@dataclass(frozen=True)
class Ends:
    """Times `t` `(m,)` and states `y` `(m, *batch, n)` at which the right-hand side is evaluated for interval ends.

    `left` and `right` select the left and the right ends. Without breakpoints, the times are the nodes, and `left` and
    `right` overlap; with breakpoints, the times are the left ends of all intervals and then all right ends.
    """

    t: Array
    y: Array
    left: slice
    right: slice


@dataclass(frozen=True, eq=False)
class PiecewisePolynomial:
    """A polynomial on each interval of a mesh; Newton's method works on it, and a solution consists of it.

    Parameters
    ----------
    tableau : Tableau
        Its `s` nodes in an interval are the shares of the interval at which the slopes are given.
    t : array, shape (N + 1,)
        Mesh, ascending or descending, or twice the same time.
    y : array, shape (N + 1, *batch, n)
        States at the nodes of the mesh.
    stages : array, shape (N, s, *batch, n)
        Slopes of the polynomials at the nodes of the tableau.
    breaks : array, shape (k,), or None
        Breakpoints: times, ascending, at which the right-hand side may jump. At those that are nodes of the mesh, it is
        evaluated a little inside the intervals on both sides.

    Notes
    -----
    On the interval p, `y(t_p + θ h) = y_p + h Σ_j (∫_0^θ ℓ_j) K_pj + θ r_p`. The remainder `r_p` is the difference
    between `y_{p+1}` and the value at the end that the slopes give; it is not zero, as an iteration stops at its
    tolerance. Spread over the interval, the remainder keeps the solution continuous and exact at the nodes. It is
    computed when it is first needed: most iterates are never evaluated between their nodes.
    """

    tableau: Tableau
    t: Array
    y: Array
    stages: Array
    breaks: Array | None = None

    @property
    def xp(self) -> Namespace:
        """The array library."""
        return array_namespace(self.y)

    def __getstate__(self) -> dict[str, Any]:
        """The fields, without properties that are cached: a module cannot be pickled."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def intervals(self) -> int:
        """Number of intervals."""
        return int(self.stages.shape[0])

    @cached_property
    def mesh(self) -> Mesh:
        """Its nodes and breakpoints."""
        return Mesh(self.t, self.breaks)

    @property
    def direction(self) -> float:
        """1 forwards in time, -1 backwards."""
        return self.mesh.direction

    @cached_property
    def steps(self) -> Array:
        """Signed lengths of the intervals, `(N,)`, in the precision of the states."""
        xp = self.xp
        return xp.astype(self.t[1:] - self.t[:-1], xp.abs(self.y[:1, ...]).dtype, copy=False)

    @cached_property
    def lengths(self) -> Array:
        """The steps in a shape that broadcasts against states, `(N, 1, …)`."""
        return self.xp.reshape(self.steps, (-1, *(1,) * (self.y.ndim - 1)))

    @property
    def begins(self) -> Array:
        """Times `(N,)` at which the right-hand side is evaluated for the left ends of the intervals."""
        return self.mesh.inner_ends[0]

    @property
    def ends(self) -> Array:
        """Times `(N,)` at which the right-hand side is evaluated for the right ends of the intervals."""
        return self.mesh.inner_ends[1]

    @cached_property
    def stage_times(self) -> Array:
        """Times for the right-hand side at the nodes of the tableau, `(N, s)`."""
        return self.times(self.tableau.c)

    @cached_property
    def both_ends(self) -> Ends:
        """Both ends of all intervals."""
        N, xp = self.intervals, self.xp
        if self.breaks is None:
            return Ends(self.t, self.y, slice(0, N), slice(1, N + 1))
        states = xp.concat([self.y[:-1, ...], self.y[1:, ...]])
        return Ends(xp.concat([self.begins, self.ends]), states, slice(0, N), slice(N, 2 * N))

    def times(self, theta: Array | float) -> Array:
        """Times for the right-hand side at the share θ of every interval, `(N,)`; at k shares, `(N, k)`."""
        xp = self.xp
        some = slice(None) if isinstance(theta, float) else (slice(None), None)
        shares = theta if isinstance(theta, float) else xp.asarray(theta, dtype=self.t.dtype)
        times = self.t[:-1][some] + (self.t[1:] - self.t[:-1])[some] * shares
        if self.breaks is None:
            return times
        low, high = xp.minimum(self.begins, self.ends), xp.maximum(self.begins, self.ends)
        return xp.minimum(xp.maximum(times, low[some]), high[some])

    def corrected(self, y: Array, stages: Array) -> PiecewisePolynomial:
        """The polynomial with other states and slopes; it shares the properties of the mesh that are known."""
        new = PiecewisePolynomial(self.tableau, self.t, y, stages, self.breaks)
        vars(new).update({name: known for name in OF_MESH if (known := vars(self).get(name)) is not None})
        return new

    def head(self, intervals: int) -> PiecewisePolynomial:
        """The leading intervals."""
        return self if intervals >= self.intervals else self.part(slice(0, intervals))

    def part(self, some: slice) -> PiecewisePolynomial:
        """Some neighbouring intervals."""
        if some == slice(0, self.intervals):
            return self
        nodes = slice(some.start, some.stop + 1)
        return replace(self, t=self.t[nodes], y=self.y[nodes, ...], stages=self.stages[some, ...])

    def groups(self, places: int) -> Iterator[tuple[slice, PiecewisePolynomial]]:
        """Groups of neighbouring intervals, in order, for each of which `places` states an interval fit into memory."""
        group = at_once(places * prod(self.y.shape[1:]))
        for first in range(0, self.intervals, group):
            some = slice(first, min(first + group, self.intervals))
            yield some, self.part(some)

    def starting_at(self, y0: Array) -> PiecewisePolynomial:
        """The polynomial with its first state replaced."""
        xp = self.xp
        return replace(self, y=xp.concat([y0[None, ...], self.y[1:, ...]]))

    def resampled(self, mesh: Mesh, tableau: Tableau | None = None) -> PiecewisePolynomial:
        """The polynomial on another mesh, with the nodes of another tableau if one is given.

        The new mesh must have all breakpoints that are nodes of the present mesh as nodes.
        """
        xp, tableau = self.xp, tableau or self.tableau
        y = self.evaluate(mesh.t)
        none = xp.zeros((mesh.intervals, 0, *y.shape[1:]), dtype=y.dtype)
        new = PiecewisePolynomial(tableau, mesh.t, y, none, mesh.breaks)
        times = new.times(tableau.c)
        slopes = self.derivative(xp.reshape(times, (-1,)))
        return replace(new, stages=xp.reshape(slopes, (*times.shape, *y.shape[1:])))

    def without_breaks(self, times: Array | None) -> PiecewisePolynomial:
        """The same, in which these times are nodes like others."""
        if times is None or self.breaks is None:
            return self
        return replace(self, breaks=union(self.breaks[~among(self.breaks, times)]))

    def restrict(self, t_end: float) -> PiecewisePolynomial:
        """The polynomial up to `t_end`, a node of the mesh or a time between nodes."""
        first, last = sorted((self.t[0], self.t[-1]))
        if not first <= t_end <= last:
            raise ValueError(f"`t_end` is {t_end}; the solution reaches from {first} to {last}.")
        xp = self.xp
        end = xp.asarray([t_end], dtype=self.t.dtype)
        interval, theta = self.locate(end)
        before = int(interval[0])
        weights = legendre_series(theta * xp.asarray(self.tableau.c, dtype=theta.dtype), self.tableau.lagrange)
        last = self.stages[before, ...]
        last_slopes = xp.reshape(xp.astype(weights, last.dtype) @ xp.reshape(last, (last.shape[0], -1)), last.shape)
        return replace(
            self,
            t=xp.concat([self.t[: before + 1], end]),
            y=xp.concat(
                [
                    self.y[: before + 1, ...],
                    self.at_few(end) if self.y.ndim == 2 else self.state(interval, theta),
                ]
            ),
            stages=xp.concat([self.stages[:before, ...], last_slopes[None, ...]]),
        )

    def evaluate(self, t: Array) -> Array:
        """States at the times `t` `(m,)`, `(m, *batch, n)`."""
        return self.state(*self.locate(t))

    def components(self, t: Array) -> Array:
        """States at the times `t` `(m,)` with the components first, `(n, m, *batch)`, as users have them."""
        return self.xp.moveaxis(self.evaluate(t), -1, 0)

    @property
    def nodes(self) -> Array:
        """States at the nodes with the components first, `(n, N + 1, *batch)`."""
        return self.xp.moveaxis(self.y, -1, 0)

    def derivative(self, t: Array) -> Array:
        """Slopes Σ_j ℓ_j(θ) K_j of the polynomials at the times `t` `(m,)`, `(m, *batch, n)`."""
        return self._slope(*self.locate(t))

    def state(self, intervals: Array, theta: Array) -> Array:
        """States at the share θ of each of the intervals, `(m, *batch, n)`."""
        remainder = self.xp.take(self._remainder, intervals, axis=0)
        return self._by_slopes(intervals, theta) + self._column(theta) * remainder

    def samples(self) -> tuple[Array, Array]:
        """Times at the nodes of all polynomials, and the lengths of their intervals, `(m,)` both."""
        xp, times = self.xp, self.times(self.tableau.c)
        steps = xp.broadcast_to((self.t[1:] - self.t[:-1])[:, None], times.shape)
        return xp.reshape(times, (-1,)), xp.reshape(steps, (-1,))

    @cached_property
    def powers(self) -> Powers:
        """The polynomials as sums of powers; only without a batch."""
        return Powers(self.tableau, self.y, self.stages, self.lengths)

    def at_few(self, t: Array) -> Array:
        """States `(m, n)` at the times `t` `(m,)`, without a batch: quicker than `evaluate` if they are few numbers."""
        if t.shape[0] * self.stages[0, ...].size > LARGE:
            return self.evaluate(t)
        return self.powers.state(*self.locate(t))

    def near(self, time: float) -> Callable[[float], Array]:
        """
        The polynomial of the interval that contains `time`, as a function of single times, without a batch: states.

        Quicker than `evaluate` at one time after the other: the interval is located once.
        """
        mark = self.xp.asarray([self.direction * time], dtype=self.t.dtype)
        p = min(max(int(self.xp.searchsorted(self._ascending, mark, side="left")[0]) - 1, 0), self.intervals - 1)
        begin, length, state = float(self.t[p]), float(self.t[p + 1] - self.t[p]), self.powers.of(p)
        return lambda t: state((t - begin) / length if length else 0.0)

    @cached_property
    def _remainder(self) -> Array:
        """The `r_p` of all intervals: see the notes above."""
        xp = self.xp
        with quiet():
            ends = self._by_slopes(xp.arange(self.intervals), xp.ones_like(self.t[1:]))
            return self.y[1:, ...] - ends

    @cached_property
    def _ascending(self) -> Array:
        """The mesh, with its sign changed if it descends."""
        return self.direction * self.t

    def locate(self, t: Array) -> tuple[Array, Array]:
        """Interval of each time, and the share θ of it before the time; a node belongs to the interval that it ends."""
        xp = self.xp
        intervals = xp.searchsorted(self._ascending, self.direction * t, side="left") - 1
        intervals = xp.clip(intervals, 0, self.intervals - 1)
        begin = xp.take(self.t, intervals)
        length = xp.take(self.t, intervals + 1) - begin
        return intervals, (t - begin) / xp.where(length == 0, xp.ones_like(length), length)

    def _by_slopes(self, intervals: Array, theta: Array) -> Array:
        """States that the slopes alone give, without the remainder."""
        xp = self.xp
        passed = theta * (xp.take(self.t, intervals + 1) - xp.take(self.t, intervals))
        means = self._combined(theta, intervals, self.tableau.means)
        return xp.take(self.y, intervals, axis=0) + self._column(passed) * means

    def _slope(self, intervals: Array, theta: Array) -> Array:
        """Slopes at the share θ of each of the intervals."""
        return self._combined(theta, intervals, self.tableau.lagrange)

    def _combined(self, theta: Array, intervals: Array, coefficients: Array) -> Array:
        """Sums of the stages of the intervals, weighted by series with these Legendre coefficients."""
        xp, shape = self.xp, self.stages.shape
        flat = xp.reshape(self.stages, (*shape[:2], -1))
        return xp.reshape(combine_stages(theta, intervals, coefficients, flat), (theta.shape[0], *shape[2:]))

    def _column(self, numbers: Array) -> Array:
        """Numbers `(m,)`, one per state, in the dtype of the states and with as many axes."""
        xp = self.xp
        return xp.astype(xp.reshape(numbers, (-1,) + (1,) * (self.y.ndim - 1)), self.y.dtype, copy=False)


def joined(parts: Sequence[PiecewisePolynomial]) -> PiecewisePolynomial:
    """One polynomial of several parts, each of which begins where the previous one ends."""
    first, *rest = parts
    if not rest:
        return first
    xp = first.xp
    return replace(
        first,
        t=xp.concat([first.t, *(part.t[1:] for part in rest)]),
        y=xp.concat([first.y, *(part.y[1:, ...] for part in rest)]),
        stages=xp.concat([part.stages for part in parts]),
        breaks=union(*(part.breaks for part in parts)),
    )
