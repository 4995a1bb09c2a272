"""Parameters that move a jump of the function: derivatives of the function do not show their effect on the solution.

The time of a switch is such a parameter. The derivative of the function by this time is zero beside the jump and
infinite at the jump, so that a sum over points is wrong wherever the points are. Larger changes of the parameter reveal
the jump: it passes over points, whose values then jump as functions of the parameter. The change of a smooth function,
or of one with a kink, shrinks with the change of the parameter.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from .._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, random_signs
from ..warnings import DiscontinuousParameterWarning
from .differences import POWER
from .parameters import Chosen, Leaf, noting_integers
from .points import Points, Varied, stretches

WIDE, HALVINGS = 0.5, 14
"""Largest change of a parameter, as a share of its size, and how often it is halved: the change of a smooth function is
halved, too."""

AT_MOST = 2
"""Largest number of points that are examined for each change."""

BENT = 0.3
"""At a jump, halving the parameter's change leaves at least this share of the function's change in excess of one half;
so does each bisection."""

ROUNDS = 50
"""Largest number of bisections around a jump: they end at neighbouring numbers."""

CANDIDATES = 4
"""Largest number of points, for each parameter, at which a jump is located."""

SAME = 1e-6
"""Values of the parameter with at most this relative distance count as one."""


@dataclass(frozen=True)
class Line:
    """Values of one leaf of an argument along a direction: `leaf + share * direction`."""

    varied: Varied
    position: int
    direction: Leaf

    def values(self, share: float, begin: int, end: int) -> Array:
        """The function at the points from `begin` to `end`."""
        leaf = self.varied.leaves[self.position] + share * self.direction
        return self.varied.values(self.position, leaf, self.varied.points.before(begin, end), slice(begin, end))


@dataclass(frozen=True, order=True)
class Candidate:
    """A point whose value may jump as the parameter changes by up to `share` of its direction."""

    size: float
    effect: float
    share: float
    point: int


def warn_of_moved_jumps(points: Points, states: Array, chosen: Chosen, *, in_time: bool) -> set[str]:
    """Warn of parameters that move a jump on which the gradient with the adjoint `states` depends; return their names.

    In continuous time (`in_time`), a moving jump passes over points sooner or later. The derivative of a recurrence is
    right beside a jump; only differences across the jump are wrong.
    """
    moving: set[str] = set()
    if not states.size:
        return moving
    reach = WIDE if in_time else machine_epsilon(points.y0.dtype) ** POWER
    halvings = HALVINGS if in_time else 1
    for key, name in zip(chosen.keys, chosen.names, strict=True):
        if isinstance(key, str):
            continue
        varied = Varied(points, key)
        for position, leaf_name in enumerate(varied.names):
            line = Line(varied, position, _direction(varied.leaves[position]))
            with noting_integers(name, varied.tree):
                moves = _moves_a_jump(line, states, reach, halvings)
            if moves:
                moving.add(leaf_name)
                warnings.warn(_message(leaf_name, chosen.own_name(key)), DiscontinuousParameterWarning, 5)
    return moving


def _message(leaf: str, own: str) -> str:
    """The warning for a parameter, with advice."""
    named = f"`{leaf}` (`{own}`)" if own else f"`{leaf}`"
    return (
        f"{named} moves a jump of the function: the gradient with respect to it is wrong, since derivatives of the "
        "function do not show how a jump moves. Use differences of whole solutions for this parameter, or make the "
        "jump smooth (np.tanh); gradients with respect to other parameters are right."
    )


def _direction(leaf: Leaf) -> Leaf:
    """A change of every entry as large as the entry, with random signs."""
    if isinstance(leaf, float | complex):
        return abs(leaf) or 1.0
    xp = array_namespace(leaf)
    size = xp.abs(leaf)
    typical = xp.where(size > 0, size, xp.ones_like(size))
    return xp.astype(typical, leaf.dtype) * random_signs(tuple(leaf.shape), leaf, seed=1)


def _moves_a_jump(line: Line, states: Array, reach: float, halvings: int) -> bool:
    """Whether points jump at different values of the parameter: a jump of all points at one value moves over none."""
    nearest: dict[int, Candidate] = {}
    points = line.varied.points
    with quiet():
        for begin, end in stretches(points.y0, states.shape[0], prod(states.shape[1:]), stacks=points.stacks):
            for each in _candidates(line, states, begin, end, [reach * 0.5**k for k in range(halvings, -1, -1)]):
                nearest[each.point] = min(each, nearest.get(each.point, each))
        chosen = sorted(nearest.values())[:CANDIDATES]
        places = [place for each in chosen if (place := _jump(line, states, each)) is not None]
    return bool(places) and (len(places) == 1 or max(places) - min(places) > SAME * max(map(abs, places)))


def _candidates(line: Line, states: Array, begin: int, end: int, sizes: list[float]) -> Iterator[Candidate]:
    """Points at which the function's change is not halved with the parameter's change, for ascending `sizes`."""
    weights, base = _size(states[begin:end, ...]), line.varied.points.unchanged(begin, end)
    for sign in (1.0, -1.0):
        half: Array | None = None
        for size in sizes:
            try:
                change = line.values(sign * size, begin, end) - base
            except Exception:  # the function may reject other values
                break
            if half is not None:
                for point, effect in _largest(_effects(change, half, base, weights)):
                    yield Candidate(size, -effect, sign * size, begin + point)
            half = change


def _largest(effects: Array) -> Iterator[tuple[int, float]]:
    """The few points with the largest effects above zero."""
    xp = array_namespace(effects)
    if not bool(xp.any(effects > 0)):  # as for every smooth function: there is nothing to sort
        return
    order = xp.argsort(-effects)
    for place in range(min(AT_MOST, order.shape[0])):
        point = int(order[place])
        if float(effects[point]) > 0:
            yield point, float(effects[point])


def _effects(change: Array, half: Array, base: Array, weights: Array) -> Array:
    """Effects `(m,)` on the gradient of changes that are not halved; zero for other points."""
    xp = array_namespace(change)
    bent, whole = xp.abs(change - 2 * half), xp.maximum(xp.abs(change), xp.abs(half))
    least = machine_epsilon(base.dtype) ** 0.5 * xp.abs(base)
    counts = xp.isfinite(bent) & (bent > BENT * whole) & (whole > least)
    effects = xp.where(counts, weights * whole, xp.zeros_like(whole))
    return xp.max(xp.reshape(effects, (effects.shape[0], -1)), axis=1)


def _jump(line: Line, states: Array, candidate: Candidate) -> float | None:
    """The share of the direction at which the value of a point jumps; None if it does not."""
    point = candidate.point
    weights = _size(states[point : point + 1, ...])

    def apart(one: Array, other: Array) -> float:
        return float(array_namespace(one).max(weights * _size(one - other)))

    low, high = 0.0, candidate.share
    at_low, at_high = (line.values(share, point, point + 1) for share in (low, high))
    first = 0.0
    for k in range(ROUNDS):
        middle = (low + high) / 2
        at_middle = line.values(middle, point, point + 1)
        before, after = apart(at_low, at_middle), apart(at_middle, at_high)
        if before > after:
            high, at_high = middle, at_middle
        else:
            low, at_low = middle, at_middle
        first = first if k else max(before, after)
        if not max(before, after) > BENT * first:
            return None
    return (low + high) / 2


def _size(values: Array) -> Array:
    """Absolute values."""
    return array_namespace(values).abs(values)
