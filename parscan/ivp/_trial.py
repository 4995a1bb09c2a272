"""A trajectory under way: mesh, states at its nodes, and stage derivatives in its intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from .._arrays import Array, array_namespace, machine_epsilon

NUMBERS = 1 << 21
"""Numbers in the states that are looked at at once."""


@dataclass(frozen=True)
class Trial:
    """Mesh `t` `(N + 1,)`, states `y` `(N + 1, *batch, n)`, stage derivatives `stages` `(N, s, *batch, n)`."""

    t: Array
    y: Array
    stages: Array

    @property
    def intervals(self) -> int:
        """Number of intervals."""
        return int(self.stages.shape[0])

    @cached_property
    def steps(self) -> Array:
        """Signed lengths of the intervals, `(N,)`, in the precision of the states."""
        xp = array_namespace(self.y)
        return xp.astype(self.t[1:] - self.t[:-1], xp.abs(self.y[:1, ...]).dtype, copy=False)

    def head(self, intervals: int) -> Trial:
        """The leading intervals."""
        return self if intervals >= self.intervals else self.part(slice(0, intervals))

    def part(self, some: slice) -> Trial:
        """Some neighbouring intervals."""
        nodes = slice(some.start, some.stop + 1)
        return Trial(self.t[nodes], self.y[nodes, ...], self.stages[some, ...])

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
