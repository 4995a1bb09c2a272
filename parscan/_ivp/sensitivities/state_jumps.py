"""Jumps of the right-hand side that the state triggers. Their times move with the solution, which derivatives neglect.

In each interval, the right-hand side is evaluated on the chord between the nodes. Second differences of a function that
is smooth or has a kink shrink with the distance of the points; those of a jump do not. By bisection, the half with the
larger second difference is divided again. The state triggers the jump if a small change of the state leads across.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

from ..._arrays.memory import at_once
from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, random_signs
from ..._functions.right_hand_side import RightHandSide
from ...warnings import StateJumpWarning
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale

LARGE = 0.5
"""Smallest jump, as a share of the largest value of its component: ε to this power."""

STAYS = 0.35
"""Least ratio of second differences when a stretch with a jump is halved; for smooth functions the ratio is 1/4."""

NARROW = 0.8
"""Length of the stretch to which a jump is narrowed down, as a share of the interval: ε to this power."""

CANDIDATES = 256
"""Largest number of stretches that are bisected."""

CHANGES = (3 / 8, 7 / 16)
"""Relative changes of the state, each of which must lead across a jump: ε to these powers."""

ACROSS, BESIDE = 0.5, 0.25
"""Shares of a jump: least effect of a change that leads across it, largest effect of one that leads away."""


MISSED = 1e4
"""Distance of a solution from that with all crossings, in tolerances, at which it has missed some."""


@dataclass(frozen=True)
class Jumps:
    """Jumps that the state triggers: their times `(k,)`, and their sizes for every component, `(k, B, n)`."""

    times: Array
    sizes: Array

    def warn_of_changed(self, mesh: Array, nodes: Array) -> None:
        """Warn if changes of the nodes `(N + 1, B, k, n)`, in any component, move one of the jumps."""
        xp = array_namespace(nodes)
        self._warn(mesh, xp.any(xp.reshape(nodes, (*nodes.shape[:2], -1)) != 0, axis=-1, keepdims=True), 0.0)

    def warn_of_felt(self, mesh: Array, nodes: Array) -> None:
        """Warn if a loss with the gradient `(N + 1, B, n)` with respect to nodes depends on one of the jumps."""
        xp = array_namespace(nodes)
        weights = xp.abs(nodes)
        self._warn(mesh, weights, machine_epsilon(nodes.dtype) * float(xp.max(weights)))

    def _warn(self, mesh: Array, weights: Array, least: float) -> None:
        """Warn of the first jump in a component whose weight at a node beside the jump exceeds `least`."""
        xp = array_namespace(mesh)
        direction = -1.0 if bool(mesh[-1] < mesh[0]) else 1.0
        after = xp.clip(xp.searchsorted(direction * mesh, direction * self.times), 1, mesh.shape[0] - 1)
        for k in range(self.times.shape[0]):
            beside = weights[int(after[k]) - 1 : int(after[k]) + 1, ...]
            if bool(xp.any((beside > least) & (self.sizes[k, ...] > 0))):
                warnings.warn(_message(float(self.times[k])), StateJumpWarning, stacklevel=5)
                return


def _message(time: float) -> str:
    """The time of a jump, and a remedy."""
    return (
        f"`fun` jumps at t = {time:.6g}, where the state crosses a threshold. The time at which it does moves with the "
        "initial state and the parameters, which this derivative leaves out: it is wrong. Make the jump smooth "
        "(np.tanh), or take differences of whole solutions."
    )


def warn_of_missed(given: PiecewisePolynomial, solution: PiecewisePolynomial, scale: Scale) -> None:
    """Warn if a solution with all crossings of thresholds is far from the one that was given: it missed some."""
    if given is solution or not given.y.size:
        return
    xp = given.xp
    with quiet():
        change = xp.abs(solution.evaluate(given.t) - given.y) / (scale.atol + scale.rtol * xp.abs(given.y))
        apart = xp.max(xp.reshape(change, (change.shape[0], -1)), axis=1)
    rows = xp.nonzero(apart > MISSED)[0]
    if rows.shape[0]:
        warnings.warn(
            f"the solution seems to miss a threshold of `fun` that it passes to and fro within a step, before t = "
            f"{float(given.t[int(rows[0])]):.6g}: it is off by {float(xp.max(apart)):.2g} tolerances. Derivatives are "
            "those with all thresholds; solve by 'auto', or limit `max_step`.",
            StateJumpWarning,
            stacklevel=5,
        )


@dataclass(frozen=True)
class Stretches:
    """Stretches of intervals, each sampled at p points: times `(k, p)`, states `(k, p, *batch, n)`, values `(k, p, C)`.

    `columns` `(k,)` are the components of the values, among all C, in which a jump is searched.
    """

    columns: Array
    t: Array
    y: Array
    values: Array

    def some(self, flags: Array) -> Stretches:
        """The stretches with a flag."""
        rows = array_namespace(flags).nonzero(flags)[0]
        return self.rows(rows)

    def rows(self, rows: Array) -> Stretches:
        """The stretches with these indices."""
        take = array_namespace(rows).take
        return Stretches(*(take(each, rows, axis=0) for each in vars(self).values()))

    def own(self, values: Array) -> Array:
        """The column of each stretch among values `(k, …, C)`."""
        xp = array_namespace(values)
        shape = (-1, *(1,) * (values.ndim - 2), values.shape[-1])
        chosen = xp.reshape(self.columns[:, None] == xp.arange(values.shape[-1])[None, :], shape)
        return xp.sum(xp.where(chosen, values, xp.zeros_like(values)), axis=-1)


def state_jumps(rhs: RightHandSide, solution: PiecewisePolynomial) -> Jumps | None:
    """Jumps along a trajectory that its state triggers; None if none are found."""
    xp, shape = solution.xp, solution.y.shape[1:]
    if math.prod(solution.y.shape) == 0:
        return None
    try:
        with quiet():
            scale = _scale(rhs(solution.t, solution.y))
            least = scale * machine_epsilon(solution.y.dtype) ** LARGE
            group = at_once(5 * math.prod(shape))
            parts = [
                _candidates(rhs, solution, range(first, min(first + group, solution.intervals)), least)
                for first in range(0, solution.intervals, group)
            ]
            joined = zip(*(vars(part).values() for part in parts), strict=True)
            found = Stretches(*(xp.concat(list(each)) for each in joined))
            count = found.t.shape[0]
            found = found.rows(xp.arange(0, count, max(1, -(-count // CANDIDATES))))
            found = _closed_in(rhs, found, xp.take(least, found.columns))
            found = found.some(_triggered(rhs, found, solution.y)) if found.t.shape[0] else found
            if found.t.shape[0] == 0:
                return None
            sizes = xp.abs(found.values[:, 2, :] - found.values[:, 0, :])
            sizes = xp.where(sizes > least, sizes, xp.zeros_like(sizes))
            return Jumps(found.t[:, 1], xp.reshape(sizes, (sizes.shape[0], -1, shape[-1])))
    except Exception:  # `fun` may reject states beside the solution: then there is nothing to compare
        return None


def _scale(values: Array) -> Array:
    """Largest size of each component of each member, `(C,)`."""
    xp = array_namespace(values)
    size = xp.abs(xp.reshape(values, (values.shape[0], -1)))
    return xp.max(xp.where(xp.isfinite(size), size, xp.zeros_like(size)), axis=0)


def _evaluated(rhs: RightHandSide, t: Array, y: Array) -> Array:
    """Values `(k, p, C)`."""
    xp, (k, p) = array_namespace(y), t.shape
    return xp.reshape(rhs(xp.reshape(t, (-1,)), xp.reshape(y, (k * p, *y.shape[2:]))), (k, p, -1))


def _between(begin: Array, end: Array, parts: int) -> Array:
    """Equidistant numbers from `begin` to `end` `(k, …)`, along a second axis of `parts + 1`."""
    xp = array_namespace(begin)
    return xp.stack([begin + (end - begin) * (part / parts) for part in range(parts)] + [end], axis=1)


def _bends(values: Array) -> tuple[Array, Array]:
    """Second differences of both halves of five neighbours along the second axis."""
    size = array_namespace(values).abs
    return (
        size(values[:, 0, ...] - 2 * values[:, 1, ...] + values[:, 2, ...]),
        size(values[:, 2, ...] - 2 * values[:, 3, ...] + values[:, 4, ...]),
    )


def _candidates(rhs: RightHandSide, solution: PiecewisePolynomial, some: range, least: Array) -> Stretches:
    """Halves of intervals with second differences that hardly shrink, each for the worst component of a member."""
    xp, n, part = solution.xp, solution.y.shape[-1], slice(some.start, some.stop)
    nodes = slice(some.start, some.stop + 1)
    t = _between(solution.begins[part], solution.ends[part], 4)
    y = _between(solution.y[nodes, ...][:-1, ...], solution.y[nodes, ...][1:, ...], 4)
    values = _evaluated(rhs, t, y)
    bend = xp.maximum(*_bends(values))
    whole = xp.abs(values[:, 0, :] - 2 * values[:, 2, :] + values[:, 4, :])
    seen = xp.isfinite(bend) & (bend > least) & (bend > STAYS * whole)
    weight = xp.where(seen, bend / xp.where(least > 0, least, xp.ones_like(least)), xp.zeros_like(bend))
    weight = xp.reshape(weight, (len(some), -1, n))
    component, members = xp.argmax(weight, axis=-1), weight.shape[1]
    rows, member = xp.nonzero(xp.max(weight, axis=-1) > 0)
    columns = member * n + xp.take(xp.reshape(component, (-1,)), rows * members + member)
    chosen = [xp.take(each, rows, axis=0) for each in (t, y, values)]
    return _larger_half(Stretches(columns, *chosen))


def _larger_half(stretches: Stretches) -> Stretches:
    """Three of five neighbours: the half with the larger second difference."""
    xp = array_namespace(stretches.t)
    left, right = _bends(stretches.own(stretches.values))
    first = left >= right

    def half(values: Array) -> Array:
        flags = xp.reshape(first, (-1, *(1,) * (values.ndim - 1)))
        return xp.where(flags, values[:, :3, ...], values[:, 2:, ...])

    halves = (half(each) for each in (stretches.t, stretches.y, stretches.values))
    return Stretches(stretches.columns, *halves)


def _closed_in(rhs: RightHandSide, stretches: Stretches, least: Array) -> Stretches:
    """The stretches that contain a jump, narrowed down by bisection."""
    xp = array_namespace(stretches.t)
    for _ in range(math.ceil(-NARROW * math.log2(machine_epsilon(stretches.y.dtype)))):
        if stretches.t.shape[0] == 0:
            return stretches
        t, y, values = stretches.t, stretches.y, stretches.values
        own = stretches.own(values)
        before = xp.abs(own[:, 0] - 2 * own[:, 1] + own[:, 2])
        new_t, new_y = ((each[:, :2, ...] + each[:, 1:, ...]) / 2 for each in (t, y))
        new = _evaluated(rhs, new_t, new_y)
        five = [
            xp.stack([old[:, 0, ...], mid[:, 0, ...], old[:, 1, ...], mid[:, 1, ...], old[:, 2, ...]], axis=1)
            for old, mid in ((t, new_t), (y, new_y), (values, new))
        ]
        stretches = Stretches(stretches.columns, *five)
        bend = xp.maximum(*_bends(stretches.own(stretches.values)))
        stays = (bend > STAYS * before) & (bend > least)
        stretches, least = _larger_half(stretches).some(stays), least[stays]
    return stretches


def _triggered(rhs: RightHandSide, stretches: Stretches, states: Array) -> Array:
    """Flags of the jumps that the state triggers: from one end, a small change leads across, its opposite does not."""
    xp, epsilon = array_namespace(states), machine_epsilon(states.dtype)
    largest = xp.max(xp.abs(states), axis=tuple(range(states.ndim - 1)))
    direction = random_signs(tuple(states.shape[1:]), states, seed=3) * largest
    values = stretches.own(stretches.values)
    size = xp.abs(values[:, 2] - values[:, 0])
    flags = size > 0
    for power in CHANGES:
        change = direction * epsilon**power
        across = xp.zeros_like(flags)
        for end in (0, 2):
            t, y = stretches.t[:, end : end + 1], stretches.y[:, end : end + 1, ...]
            here = values[:, end]
            up, down = (xp.abs(stretches.own(_evaluated(rhs, t, y + s * change))[:, 0] - here) for s in (1, -1))
            far, near = xp.maximum(up, down), xp.minimum(up, down)
            across = across | ((far > ACROSS * size) & (near < BESIDE * size))
        flags = flags & across
    return flags
