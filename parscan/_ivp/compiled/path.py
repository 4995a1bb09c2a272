"""The solution that compiled solvers found: their steps, with polynomials between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace
from ..._kernels.generic.legendre import legendre_series
from ..core.polynomial import PiecewisePolynomial
from ..core.tableaux import gauss

NODES = 7
"""Slopes that determine a polynomial: those of DOP853 have the degree 7."""


@dataclass(frozen=True)
class Path:
    """
    Steps, one after the other.

    Parameters
    ----------
    t : array, shape (k + 1,)
        Begin of the first step, and ends of all.
    y : array, shape (k + 1, n)
        States there.
    stages : array, shape (k, NODES, n), or None
        Slopes of the polynomials at Gauss's nodes.
    breaks : array or None
        Breakpoints; see `PiecewisePolynomial`.
    """

    t: Array
    y: Array
    stages: Array | None = None
    breaks: Array | None = None

    @property
    def steps(self) -> int:
        """Number of steps."""
        return int(self.t.shape[0]) - 1

    @cached_property
    def polynomial(self) -> PiecewisePolynomial:
        """The steps with their polynomials."""
        return PiecewisePolynomial(gauss(NODES), self.t, self.y, self.stages, self.breaks)

    def head(self, steps: int) -> Path:
        """The first steps."""
        stages = None if self.stages is None else self.stages[:steps, ...]
        return Path(self.t[: steps + 1], self.y[: steps + 1, :], stages, self.breaks)


def divided(t: Array, y: Array, slopes: Array) -> tuple[Array, Array, Array]:
    """
    Times `(k + 1,)`, states `(k + 1, n)` and slopes `(k, m NODES, n)` of steps, each in `m` parts of the same length.

    Slopes are given at Gauss's nodes of each part.
    """
    xp, parts = array_namespace(y), slopes.shape[1] // NODES
    if parts <= 1:
        return t, y, slopes
    steps, _, n = slopes.shape
    slopes = xp.reshape(slopes, (steps, parts, NODES, n))
    lengths = (t[1:] - t[:-1]) / parts
    weights = xp.asarray(gauss(NODES).b)
    growth = xp.cumulative_sum(lengths[:, None, None] * (weights @ slopes), axis=1)
    ends = xp.concat([y[:-1, None, :] + growth[:, :-1, :], y[1:, None, :]], axis=1)
    numbers = xp.astype(xp.arange(1, parts), t.dtype)
    times = xp.concat([t[:-1, None] + numbers * lengths[:, None], t[1:, None]], axis=1)
    return (
        xp.concat([t[:1], xp.reshape(times, (-1,))]), xp.concat([y[:1, :], xp.reshape(ends, (-1, n))]),
        xp.reshape(slopes, (-1, NODES, n)),
    )  # fmt: skip


def at_nodes(stages: Array) -> Array:
    """Slopes `(k, NODES, n)` of polynomials that are given by those at fewer of Gauss's nodes; of parts as they are."""
    given = stages.shape[1]
    return stages if given % NODES == 0 else _weights(given) @ stages


@cache
def _weights(given: int) -> Array:
    """Weights of the slopes at so many nodes in those at `NODES` nodes."""
    return legendre_series(gauss(NODES).c, gauss(given).lagrange)


def followed(parts: Sequence[Path]) -> Path:
    """Paths that follow each other as one."""
    first, *rest = parts
    if not rest:
        return first
    xp = array_namespace(first.y)
    stages = [part.stages for part in parts]
    return Path(
        xp.concat([first.t, *(part.t[1:] for part in rest)]),
        xp.concat([first.y, *(part.y[1:, ...] for part in rest)]),
        None if any(one is None for one in stages) else xp.concat(stages),
        first.breaks,
    )
