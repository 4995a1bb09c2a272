"""Derivatives of the right-hand side at breakpoints, where it may have a kink: extrapolated from the same side of it.

A difference at a kink is the mean of both sides. The values a little aside, at three places along the solution, are
those of one side alone; the parabola through them is continued to where they are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial

STEP = 1 / 256
"""Distance of the places from each other and from the kink, as a share of the interval."""

WEIGHTS = (3.0, -3.0, 1.0)
"""Of the places, from the nearest on."""

NEAR = 1 / 1024
"""Points nearer to a breakpoint than this share of the interval are moved: changes of differences lead across."""

Along = Callable[[Array, Array], Array]
"""A function of times `(m,)` and states `(m, *batch, n)`, whose values have `m` rows."""


@dataclass(frozen=True, eq=False)
class Aside:
    """The surroundings of the breakpoints of a solution."""

    solution: PiecewisePolynomial

    @cached_property
    def _nodes(self) -> Array:
        """Numbers of the inner nodes that are breakpoints."""
        xp, flags = self.solution.xp, self.solution.mesh.at_breaks
        places = xp.nonzero(flags)[0]
        return places[(places > 0) & (places < flags.shape[0] - 1)]

    def of(self, function: Along) -> Along:
        """The function, extrapolated beside breakpoints from the side at which the time lies."""

        def extrapolated(t: Array, states: Array) -> Array:
            found, rows = function(t, states), self._beside(t)
            if not rows.shape[0]:
                return found
            xp, m = array_namespace(found), found.shape[0]
            total = sum(weight * function(*moved) for weight, moved in self._moved(t, states, rows))
            every = xp.arange(m)
            after = xp.clip(xp.searchsorted(rows, every), 0, rows.shape[0] - 1)
            places = xp.where(xp.take(rows, after) == every, m + after, every)
            return xp.take(xp.concat([found, xp.astype(total, found.dtype, copy=False)]), places, axis=0)

        return extrapolated

    def spread(self, t: Array, states: Array, weights: Array) -> tuple[Array, Array, Array]:
        """Points, those near breakpoints moved aside, with weights `(m, …)` whose sums of products are extrapolated."""
        rows = self._beside(t)
        if not rows.shape[0]:
            return t, states, weights
        xp, every = array_namespace(states), array_namespace(states).arange(t.shape[0])
        after = xp.clip(xp.searchsorted(rows, every), 0, rows.shape[0] - 1)
        rest = xp.nonzero(xp.take(rows, after) != every)[0]
        own = xp.take(weights, rows, axis=0)
        parts = [(xp.take(t, rest), xp.take(states, rest, axis=0), xp.take(weights, rest, axis=0))]
        parts += [(*moved, weight * own) for weight, moved in self._moved(t, states, rows)]
        joined = [xp.concat(list(column)) for column in zip(*parts, strict=True)]
        return joined[0], joined[1], joined[2]

    def _near(self, t: Array) -> tuple[Array, Array, Array]:
        """The nearest breakpoint of each time, the interval on its side, and the distance."""
        xp, solution = self.solution.xp, self.solution
        nodes, way = self._nodes, solution.direction
        kinks = xp.take(solution.t, nodes)
        after = xp.searchsorted(way * kinks, way * t)
        one, other = (xp.clip(after - k, 0, nodes.shape[0] - 1) for k in (0, 1))
        distances = [xp.abs(t - xp.take(kinks, each)) for each in (one, other)]
        node = xp.take(nodes, xp.where(distances[0] <= distances[1], one, other))
        is_after = way * (t - xp.take(solution.t, node)) > 0
        return node, xp.where(is_after, node, node - 1), xp.minimum(*distances)

    def _beside(self, t: Array) -> Array:
        """Numbers of the times that are near breakpoints."""
        xp = self.solution.xp
        if not self._nodes.shape[0]:
            return xp.arange(0)
        _, interval, distance = self._near(t)
        return xp.nonzero(distance <= NEAR * xp.abs(xp.take(self.solution.steps, interval)))[0]

    def _moved(self, t: Array, states: Array, rows: Array) -> Iterator[tuple[float, tuple[Array, Array]]]:
        """Weights, times and states of the places for some of the points."""
        xp, solution = self.solution.xp, self.solution
        times, own = xp.take(t, rows), xp.take(states, rows, axis=0)
        node, interval, _ = self._near(times)
        is_after = interval == node
        begin = xp.where(is_after, xp.zeros_like(solution.t[:1]), xp.ones_like(solution.t[:1]))
        step = xp.where(is_after, STEP + 0 * begin, -STEP + 0 * begin)
        here = xp.take(solution.y, node, axis=0)
        for k, weight in enumerate(WEIGHTS, start=1):
            moved = times + k * step * xp.take(solution.steps, interval)
            yield weight, (moved, own + (solution.state(interval, begin + k * step) - here))


@dataclass(frozen=True, eq=False)
class AsideCode:
    """The Jacobians of a right-hand side, extrapolated beside breakpoints, in the place of those of code."""

    rhs: RightHandSide
    aside: Aside

    @property
    def of_stages(self) -> None:
        """Meshes are corrected by arrays."""

    def within(self, low: float, high: float) -> AsideCode:
        """The same: it keeps to its side of breakpoints."""
        return self

    def values(self, t: Array, states: Array) -> Array:
        """Values `(m, *batch, n)`."""
        return self.rhs(t, states)

    def linearise(self, t: Array, states: Array) -> tuple[Array, Array]:
        """Values, and Jacobians `(m, *batch, n, n)`."""
        return self.rhs(t, states), self.aside.of(self.rhs.exact_jacobian)(t, states)

    def second(self, t: Array, states: Array) -> None:
        """They are not derived."""
