"""A solved trajectory, with its tangents for forcings and its adjoints for gradients of a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..._arrays.memory import nodes_that_fit
from ..._arrays.namespace import Array, array_namespace, conjugate, itemsize, quiet
from ..._functions.right_hand_side import RightHandSide
from ..._kernels.dispatch import affine_scan
from ..core.polynomial import PiecewisePolynomial
from ..methods.discretisation import Discretisation
from ..methods.tangent_linear import TangentLinear
from ..output.observation import Observation

KEPT = 2**28
"""Largest size in bytes of a tangent linear model that is kept for the next derivative."""

Forced = Callable[[Array, Array], Array]
"""Forcings `(m, *batch, n, k)` at the times `(m,)` and states `(m, *batch, n)`."""


@dataclass(frozen=True, eq=False)
class AdjointSolution:
    """Gradient with respect to the state at every node, `(N + 1, B, n)`.

    `points`, if forcings were asked for: times `(m,)` and states of the model's points, and the gradient with respect
    to forcings there, `(m, *batch, n)`.
    """

    nodes: Array
    points: tuple[Array, ...] = ()


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A solution of the equations of a method, and its tangent linear models, which are made window by window.

    If one window holds all intervals, its model is kept, unless that is too large.
    """

    rhs: RightHandSide
    method: Discretisation
    solution: PiecewisePolynomial
    _kept: list[TangentLinear] = field(default_factory=list)

    def windows(self) -> list[slice]:
        """Groups of neighbouring intervals whose matrices fit into memory at once."""
        y, count = self.solution.y, self.solution.intervals
        n = y.shape[-1]
        size = nodes_that_fit(count, y[0, ...], self.method.tangent_matrices(n) * n**2)
        return [slice(first, min(first + size, count)) for first in range(0, count, size)]

    def part(self, window: slice) -> PiecewisePolynomial:
        """Some intervals."""
        return self.solution.part(window)

    def model(self, window: slice, *, inside: bool) -> TangentLinear:
        """The tangent linear model of a window."""
        if self._kept and not (inside and self._kept[0].slopes.shape[1] == 0):
            return self._kept[0]
        model = self.method.tangent_linear(self.rhs, self.part(window), inside=inside)
        y = self.solution.y
        size = y.size * y.shape[-1] * self.method.tangent_matrices(y.shape[-1]) * itemsize(y.dtype)
        if window == slice(0, self.solution.intervals) and size <= KEPT:
            self._kept[:] = [model]
        return model

    def tangent(self, forced: Forced | None, start: Array, *, inside: bool) -> tuple[Array, Array]:
        """Changes of the nodes, `(N + 1, B, k, n)`, and of the slopes, `(N, q, B, k, n)`, with q = 0 unless `inside`.

        They are due to k forcings, and to changes `start` of the first node, `(B, k, n)`, or `(B, 1, n)` for all k.
        """
        xp = array_namespace(start)
        nodes: list[Array] = []
        slopes: list[Array] = []
        for window in self.windows():
            model = self.model(window, inside=inside)
            with quiet():
                ends, responses = _responses(model, forced, start)
                start = xp.broadcast_to(start, ends.shape[1:])
                nodes += [] if nodes else [start[None, ...]]
                found = affine_scan(model.propagators[..., None, :, :], ends, start)
                before = xp.matrix_transpose(xp.concat([start[None, ...], found[:-1, ...]]))
                slopes.append(xp.matrix_transpose(model.slopes @ before[:, None, ...] + responses))
            nodes.append(found)
            start = found[-1, ...]
        return xp.concat(nodes), xp.concat(slopes)

    def adjoint(self, observed: Observation, gradient: Array, *, forcings: bool) -> AdjointSolution:
        """The adjoint solution for the gradient `(m, B, n)` with respect to the output."""
        xp, inside = array_namespace(gradient), observed.inside
        given = observed.at_nodes(gradient)
        starts, slopes = (observed.at_starts(gradient), observed.at_slopes(gradient)) if inside else (None, None)
        nodes, points = [given[-1:, ...]], []
        for window in reversed(self.windows()):
            model = self.model(window, inside=inside)
            sources = given[window, ...]
            with quiet():
                if starts is not None and slopes is not None:
                    turned = xp.matrix_transpose(conjugate(model.slopes)) @ slopes[window, ..., None]
                    sources = sources + starts[window, ...] + xp.sum(turned[..., 0], axis=1)
                transposed = xp.matrix_transpose(conjugate(model.propagators))
                found = affine_scan(transposed, sources, nodes[-1][0, ...], reverse=True)
            if forcings:
                ends = xp.concat([found[1:, ...], nodes[-1][:1, ...]])
                pulled = model.pull_back(ends, None if slopes is None else slopes[window, ...])
                points.append((model.times, model.states, xp.reshape(pulled, model.states.shape)))
            nodes.append(found)
        states = xp.concat(nodes[::-1])
        return AdjointSolution(states, tuple(map(xp.concat, zip(*points[::-1], strict=True))))


def _responses(model: TangentLinear, forced: Forced | None, start: Array) -> tuple[Array, Array]:
    """Changes due to forcings: of the ends of the intervals, `(N, B, k, n)`, and of the slopes, `(N, q, B, n, k)`."""
    xp = array_namespace(start)
    B, k, n = start.shape
    N, q = model.slopes.shape[:2]
    if forced is None:
        return xp.zeros((N, B, k, n), dtype=start.dtype), xp.zeros((N, q, 1, n, 1), dtype=start.dtype)
    forcing = forced(model.times, model.states)
    if forcing.shape[-1] == 0:  # no parameters
        return xp.zeros((N, B, 0, n), dtype=start.dtype), xp.zeros((N, q, B, n, 0), dtype=start.dtype)
    ends, slopes = model.respond(xp.reshape(forcing, (forcing.shape[0], B, n, -1)))
    return xp.matrix_transpose(ends), slopes
