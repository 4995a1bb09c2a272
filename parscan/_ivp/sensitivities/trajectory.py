"""A solved trajectory, with its tangents for forcings and its adjoints for gradients of a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..._arrays.memory import nodes_that_fit
from ..._arrays.namespace import Array, array_namespace, conjugate, itemsize, quiet
from ..._functions.right_hand_side import RightHandSide
from ..._kernels.dispatch import affine_scan
from ..core.polynomial import PiecewisePolynomial
from ..methods.discretisation import Discretisation
from ..methods.tangent_linear import TangentLinear
from ..output.observation import Observation
from .aside import Aside

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
    after: Array | None = None
    """Gradient by a change right after each node but the last, which leaves what is observed at it, `(N, B, n)`."""


Kicks = Mapping[int, Array]
"""For some nodes, the derivative `(B, n, n)` of the change after the node by that before it."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A solution of the equations of a method, and its tangent linear models, which are made window by window.

    If one window holds all intervals, its model is kept, unless that is too large. Where the right-hand side jumps at
    a time that moves with the state, changes are kicked at the node.
    """

    rhs: RightHandSide
    method: Discretisation
    solution: PiecewisePolynomial
    kicks: Kicks = field(default_factory=dict)
    aside: Aside | None = None
    """How derivatives by parameters are taken at breakpoints, where there is no record."""
    _kept: list[TangentLinear] = field(default_factory=list)

    def on(self, solution: PiecewisePolynomial) -> Trajectory:
        """The same on another mesh that has all nodes at which changes are kicked."""
        kicks = {node_at(solution, float(self.solution.t[node])): kick for node, kick in self.kicks.items()}
        return Trajectory(self.rhs, self.method, solution, kicks, self.aside)

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

    def propagators(self, window: slice) -> Array:
        """Derivatives `(N, B, n, n)` of the right nodes of a window by the left ones."""
        return self._kicked(self.model(window, inside=False), window)[0]

    def tangent(
        self, forced: Forced | None, start: Array, *, inside: bool, shifts: Kicks | None = None
    ) -> tuple[Array, Array, Array]:
        """
        Changes of the nodes, `(N + 1, B, k, n)`, right after the left nodes, `(N, B, k, n)`, and of slopes.

        Those of the slopes are `(N, q, B, k, n)`, with q = 0 unless `inside`. Right after a node, a kick and a shift
        are contained that the node itself does not have yet. They are due to k forcings, to changes `start` of the
        first node, `(B, k, n)`, or `(B, 1, n)` for all k, and to `shifts` right after some nodes, `(B, k, n)`.
        """
        xp = array_namespace(start)
        nodes: list[Array] = []
        begins: list[Array] = []
        slopes: list[Array] = []
        for window in self.windows():
            model = self.model(window, inside=inside)
            with quiet():
                ends, responses = _responses(model, forced, start)
                ends, responses = _shifted(model, window, shifts, ends, responses)
                start = xp.broadcast_to(start, ends.shape[1:])
                nodes += [] if nodes else [start[None, ...]]
                propagators, by_slopes = self._kicked(model, window)
                found = affine_scan(propagators[..., None, :, :], ends, start)
                before = xp.concat([start[None, ...], found[:-1, ...]])
                begins.append(self._right_after(before, window, shifts))
                before = xp.matrix_transpose(before)
                slopes.append(xp.matrix_transpose(by_slopes @ before[:, None, ...] + responses))
            nodes.append(found)
            start = found[-1, ...]
        return xp.concat(nodes), xp.concat(begins), xp.concat(slopes)

    def adjoint(self, observed: Observation, gradient: Array, *, forcings: bool) -> AdjointSolution:
        """The adjoint solution for the gradient `(m, B, n)` with respect to the output."""
        xp, inside = array_namespace(gradient), observed.inside
        given = observed.at_nodes(gradient)
        starts, slopes = (observed.at_starts(gradient), observed.at_slopes(gradient)) if inside else (None, None)
        nodes, points, after = [given[-1:, ...]], [], []
        for window in reversed(self.windows()):
            model = self.model(window, inside=inside)
            with quiet():
                between = xp.zeros_like(given[window, ...])
                if starts is not None and slopes is not None:
                    turned = xp.matrix_transpose(conjugate(model.slopes)) @ slopes[window, ..., None]
                    between = starts[window, ...] + xp.sum(turned[..., 0], axis=1)
                propagators, _ = self._kicked(model, window)
                kicked = self._pulled(between, window)
                transposed = xp.matrix_transpose(conjugate(propagators))
                found = affine_scan(transposed, given[window, ...] + kicked, nodes[-1][0, ...], reverse=True)
            ends = xp.concat([found[1:, ...], nodes[-1][:1, ...]])
            if forcings:
                pulled = model.pull_back(ends, None if slopes is None else slopes[window, ...])
                points.append((model.times, model.states, xp.reshape(pulled, model.states.shape)))
                back = xp.matrix_transpose(conjugate(model.propagators)) @ ends[..., None]
                after.append(between + back[..., 0])
            nodes.append(found)
        states = xp.concat(nodes[::-1])
        joined = tuple(map(xp.concat, zip(*points[::-1], strict=True)))
        return AdjointSolution(states, joined, xp.concat(after[::-1]) if after else None)

    def _kicked(self, model: TangentLinear, window: slice) -> tuple[Array, Array]:
        """Derivatives of right nodes and slopes by the changes before left nodes."""
        propagators, slopes = model.propagators, model.slopes
        here = {node - window.start: kick for node, kick in self.kicks.items() if window.start <= node < window.stop}
        if not here:
            return propagators, slopes
        xp = array_namespace(propagators)
        propagators, slopes = xp.asarray(propagators, copy=True), xp.asarray(slopes, copy=True)
        for place, kick in here.items():
            propagators[place, ...] = propagators[place, ...] @ kick
            slopes[place, ...] = slopes[place, ...] @ kick
        return propagators, slopes

    def _right_after(self, before: Array, window: slice, shifts: Kicks | None) -> Array:
        """Changes `(N, B, k, n)` right after the left nodes of a window, from those before them."""
        xp, found = array_namespace(before), before
        for node in sorted({*self.kicks, *(shifts or {})}):
            if window.start <= node < window.stop:
                found = xp.asarray(before, copy=True) if found is before else found
                place = node - window.start
                if node in self.kicks:
                    found[place, ...] = before[place, ...] @ xp.matrix_transpose(self.kicks[node])
                if shifts and node in shifts:
                    found[place, ...] = found[place, ...] + shifts[node]
        return found

    def _pulled(self, after: Array, window: slice) -> Array:
        """Gradients by changes before the left nodes of a window, from those after them."""
        here = {node - window.start: kick for node, kick in self.kicks.items() if window.start <= node < window.stop}
        if not here:
            return after
        xp = array_namespace(after)
        found = xp.asarray(after, copy=True)
        for place, kick in here.items():
            found[place, ...] = (xp.matrix_transpose(conjugate(kick)) @ after[place, ..., None])[..., 0]
        return found


def node_at(solution: PiecewisePolynomial, time: float) -> int:
    """The node nearest to a time."""
    xp = solution.xp
    return int(xp.argmin(xp.abs(solution.t - time)))


def _shifted(
    model: TangentLinear, window: slice, shifts: Kicks | None, ends: Array, responses: Array
) -> tuple[Array, Array]:
    """Responses of right nodes `(N, B, k, n)` and slopes `(N, q, B, n, k)`, with those to shifts right after nodes."""
    here = {node - window.start: shift for node, shift in (shifts or {}).items() if window.start <= node < window.stop}
    if not here:
        return ends, responses
    xp = array_namespace(ends)
    shape = (*model.slopes.shape[:-1], ends.shape[2])
    ends, responses = xp.asarray(ends, copy=True), xp.asarray(xp.broadcast_to(responses, shape), copy=True)
    for place, shift in here.items():
        turned = xp.matrix_transpose(shift)
        ends[place, ...] = ends[place, ...] + xp.matrix_transpose(model.propagators[place, ...] @ turned)
        responses[place, ...] = responses[place, ...] + model.slopes[place, ...] @ turned
    return ends, responses


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
