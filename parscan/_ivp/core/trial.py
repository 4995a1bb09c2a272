"""A trajectory under way: mesh, states at its nodes, and stage derivatives in its intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from ..._arrays.namespace import Array, array_namespace, machine_epsilon
from ..._functions.breaks import are_breaks, inside

NUMBERS = 1 << 21
"""Numbers in the states that are looked at at once."""


@dataclass(frozen=True)
class Ends:
    """Points `t` `(m,)`, `y` `(m, *batch, n)` at which the ends of all intervals are evaluated, and which are which.

    They are the nodes; where there are breakpoints, the left ends of all intervals and then the right ones.
    """

    t: Array
    y: Array
    left: slice
    right: slice


@dataclass(frozen=True)
class Trial:
    """Mesh `t` `(N + 1,)`, states `y` `(N + 1, *batch, n)`, stage derivatives `stages` `(N, s, *batch, n)`.

    Where nodes are among the `breaks`, the right-hand side may jump: it is evaluated a little inside the intervals.
    """

    t: Array
    y: Array
    stages: Array
    breaks: Array | None = None

    @property
    def intervals(self) -> int:
        """Number of intervals."""
        return int(self.stages.shape[0])

    @cached_property
    def steps(self) -> Array:
        """Signed lengths of the intervals, `(N,)`, in the precision of the states."""
        xp = array_namespace(self.y)
        return xp.astype(self.t[1:] - self.t[:-1], xp.abs(self.y[:1, ...]).dtype, copy=False)

    @cached_property
    def begins(self) -> Array:
        """Times `(N,)` at which the right-hand side is evaluated for the begins of the intervals."""
        return self._inner[0]

    @cached_property
    def ends(self) -> Array:
        """The same for their ends."""
        return self._inner[1]

    @cached_property
    def both_ends(self) -> Ends:
        """Both ends of all intervals."""
        N, xp = self.intervals, array_namespace(self.t)
        if self.breaks is None:
            return Ends(self.t, self.y, slice(0, N), slice(1, N + 1))
        states = xp.concat([self.y[:-1, ...], self.y[1:, ...]])
        return Ends(xp.concat([self.begins, self.ends]), states, slice(0, N), slice(N, 2 * N))

    def times(self, theta: Array | float) -> Array:
        """Times at which the right-hand side is evaluated for a share of the intervals, `(N,)`, or for k, `(N, k)`."""
        xp = array_namespace(self.t)
        shape = (-1,) if isinstance(theta, float) else (-1, 1)
        shares = theta if isinstance(theta, float) else xp.asarray(theta, dtype=self.t.dtype)
        times = xp.reshape(self.t[:-1], shape) + xp.reshape(self.t[1:] - self.t[:-1], shape) * shares
        if self.breaks is None:
            return times
        low, high = xp.minimum(self.begins, self.ends), xp.maximum(self.begins, self.ends)
        return xp.minimum(xp.maximum(times, xp.reshape(low, shape)), xp.reshape(high, shape))

    @cached_property
    def _inner(self) -> tuple[Array, Array]:
        """Begins and ends of the intervals, from inside where they are breakpoints."""
        begin, end = self.t[:-1], self.t[1:]
        if self.breaks is None:
            return begin, end
        xp, flags = array_namespace(self.t), are_breaks(self.t, self.breaks)
        low, high = inside(begin, end)
        return xp.where(flags[:-1], low, begin), xp.where(flags[1:], high, end)

    def head(self, intervals: int) -> Trial:
        """The leading intervals."""
        return self if intervals >= self.intervals else self.part(slice(0, intervals))

    def part(self, some: slice) -> Trial:
        """Some neighbouring intervals."""
        nodes = slice(some.start, some.stop + 1)
        return Trial(self.t[nodes], self.y[nodes, ...], self.stages[some, ...], self.breaks)

    def groups(self, places: int) -> Iterator[slice]:
        """Neighbouring intervals, all of them in turn, whose states at so many places each are not too many at once."""
        group = max(1, NUMBERS // max(1, places * prod(self.y.shape[1:])))
        for first in range(0, self.intervals, group):
            yield slice(first, min(first + group, self.intervals))

    def starting_at(self, y0: Array) -> Trial:
        """The same with its first state replaced."""
        xp = array_namespace(y0)
        return replace(self, y=xp.concat([y0[None, ...], self.y[1:, ...]]))


def finite_rows(values: Array) -> Array:
    """Flags of the rows (first axis) without NaN or infinity."""
    xp = array_namespace(values)
    return xp.all(xp.reshape(xp.isfinite(values), (values.shape[0], -1)), axis=1)


def ratio(error: Array, bound: Array) -> Array:
    """The error in units of the bound; none is none, even where the bound is zero."""
    return array_namespace(error).where(error == 0, error, error / bound)


@dataclass(frozen=True)
class Scale:
    """What an error is measured by: `atol + rtol·|y|`, the root mean square over components, the worst of the batch.

    `rtol` is a number or an array `(n,)`, `atol` an array `()` or `(n,)`.
    """

    rtol: float | Array
    atol: Array

    @property
    def tightest(self) -> float:
        """Smallest relative tolerance."""
        return self.rtol if isinstance(self.rtol, float) else float(array_namespace(self.rtol).min(self.rtol))

    @property
    def enough(self) -> float:
        """Corrections that Newton may leave, in units of the tolerance, as in SciPy's Radau."""
        epsilon = machine_epsilon(self.atol.dtype)
        return max(10 * epsilon / self.tightest, min(0.03, self.tightest**0.5))

    def loosened(self, rtol: float) -> Scale:
        """The same with a relative tolerance of at least `rtol`."""
        factor = max(1.0, rtol / self.tightest)
        return Scale(self.rtol * factor, self.atol * factor)

    def relative(self, error: Array, trial: Trial) -> Array:
        """Error per interval, `(N,)`, of errors `(N, *batch, n)` or, in stages, `(N, s, *batch, n)`."""
        xp = array_namespace(error)
        size = xp.maximum(xp.abs(trial.y[:-1, ...]), xp.abs(trial.y[1:, ...]))
        bound = self.atol + self.rtol * size
        bound = bound if error.ndim == bound.ndim else bound[:, None, ...]
        squares = xp.abs(ratio(error, bound)) ** 2
        axes = (-1,) if error.ndim == size.ndim else (1, -1)
        mean = xp.sqrt(xp.mean(squares, axis=axes))
        worst = xp.max(xp.reshape(mean, (mean.shape[0], -1)), axis=1) if mean.ndim > 1 else mean
        return xp.where(xp.isnan(worst), xp.full_like(worst, float("inf")), worst)
