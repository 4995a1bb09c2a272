"""Jumps of the right-hand side that move: their times depend on the state or on parameters, and so does the solution.

At the time τ at which a guard h(t, y, θ) of the recorded function passes its level, f₋ changes to f₊. A change of the
solution right before, δ₋, and one of the parameters move τ by

    dτ = -(∂h/∂y δ₋ + ∂h/∂θ dθ) / (∂h/∂t + ∂h/∂y f₋),    and    δ₊ = δ₋ + (f₋ - f₊) dτ

is the change right after (the saltation of Aizerman and Gantmakher 1958; Leine and Nijmeijer 2004, chapter 7). It holds
where the solution crosses one threshold at a time, at an angle. Elsewhere there is no derivative, and an exception says
so.
"""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace, machine_epsilon
from ..core.polynomial import PiecewisePolynomial
from .crossing import Crossing, NoDerivativeError, Rates
from .jumping import Jumping
from .recorded_gradient import FIRST, as_part, as_point
from .touches import LEAST

ALIKE = 1e-7
"""Relative difference of derivatives of two guards that pass their levels together and are one threshold."""

ANGLE = 1e-6
"""Smallest angle at which a threshold is crossed: rate of the guard, as a share of its largest term."""

ASIDE = 0.01
"""Distance at which kinks show, in intervals."""

BESIDE = 2
"""Intervals on either side of a kink, of which the longest one is taken for that distance."""

KINK = 1e-3
"""Smallest jump that counts where there are many, as a share of the largest value: others are those of fine stairs."""

MOST = 1000
"""Crossings of thresholds of the state, at most; there are more where a solution slides along one."""

ALONE = 2
"""Axes of the states of a solution without a batch."""

SAME, SPACINGS = 1e-9, 4
"""Times as near as this, as a share of their interval, or in spacings of the numbers, are one time."""


def assessed(
    found: Jumping, solution: PiecewisePolynomial, scale: Array, times: Array, before: Array, after: Array
) -> list[Crossing]:
    """Crossings: those at which the right-hand side jumps, with what they add; and those at which it has a kink."""
    xp, least = solution.xp, LEAST * scale
    states = solution.evaluate(times)
    leaps = xp.abs(found.values(times, states, before) - found.values(times, states, after))
    rest = tuple(range(1, leaps.ndim))
    jumps = xp.any(leaps > least, axis=rest)
    changed = (before != after) & found.matters[None, :]
    by_state = changed & found.modes.by_state[None, :]
    if int(xp.sum(jumps & xp.any(by_state, axis=1))) > MOST:
        if bool(xp.any(leaps > KINK * scale)):
            raise NoDerivativeError(float(times[0]), f"as at more than {MOST} others, a threshold is crossed")
        return []
    some = xp.any(changed[jumps, :], axis=0) if solution.y.ndim > ALONE else xp.zeros(changed.shape[1], dtype=xp.bool)
    together = tuple(xp.nonzero(some)[0].tolist())  # members of a batch have guards of one kind, which are derived once
    bends = _bends(found, solution, times, before, after, least)
    none, every = xp.zeros(before.shape[1], dtype=xp.bool), list[Crossing]()
    for k, time in enumerate(times.tolist()):
        if bool(jumps[k]):
            every.append(_crossing(found, solution, scale, time, before[k, :], after[k, :], together))
        else:
            counts = by_state[k, :] if bool(bends[k]) else none
            every.append(Crossing(time, before[k, :], after[k, :], (), counts, not bool(xp.any(by_state[k, :]))))
    return every


def _crossing(
    found: Jumping,
    solution: PiecewisePolynomial,
    scale: Array,
    time: float,
    before: Array,
    after: Array,
    together: tuple[int, ...],
) -> Crossing:
    """A crossing at which the right-hand side jumps, with what it adds to changes of the solution."""
    xp = solution.xp
    t = xp.asarray([time, time])
    state = solution.evaluate(t[:1])
    states = xp.concat([state, state])
    guards = xp.nonzero((before != after) & found.matters)[0].tolist()
    left, right = found.values(t, states, xp.stack([before, after]))
    none = xp.zeros(before.shape, dtype=xp.bool)
    in_time = not bool(xp.any(found.modes.by_state[guards]))
    leap, least = left - right, LEAST * scale

    def flipped(some: list[int], modes: Array, by: Array) -> Array:
        own = xp.asarray(modes, copy=True)
        own[some] = by[some]
        return found.values(t[:1], state, own[None, :])[0, ...]

    passing = guards
    if len(guards) > 1:  # some follow from others, or change nothing
        passing = guards = [g for g in guards if g in _leading(found, solution, time, before, after)]
        alone = {g: left - flipped([g], before, after) for g in guards}
        others = {g: flipped([g], after, before) - right for g in guards}
        changing = [g for g in guards if any(bool(xp.any(xp.abs(one[g]) > least)) for one in (alone, others))]
        guards = changing or guards
    slopes = dict[int, Array]()
    for some in [together] if together else [(g,) for g in guards]:
        slopes |= found.slopes(some, time, state[0, ...], before)
    rates = [_rates(found, time, slopes[g], left, right) for g in guards]
    counts = xp.asarray(none, copy=True)
    counts[passing] = found.modes.by_state[passing]  # those that change nothing have kinks there
    if rates and all(_alike(rates[0], other) for other in rates[1:]):
        return Crossing(time, before, after, ((leap, rates[0]),), counts, in_time)
    if not in_time:
        return Crossing(time, before, after, _by_members(time, leap, rates, least), counts, in_time)
    leaps = [alone[g] for g in guards]
    if bool(xp.any(xp.abs(sum(leaps, 0 * leap) - leap) > least)):
        raise NoDerivativeError(time, "several jumps of `fun` that depend on parameters meet")
    return Crossing(time, before, after, tuple(zip(leaps, rates, strict=True)), counts, in_time)


def _by_members(time: float, leap: Array, rates: list[Rates], least: Array) -> tuple[tuple[Array, Rates], ...]:
    """The parts of a jump that thresholds of several members of a batch add at one time, one for each of them."""
    xp = array_namespace(leap)
    moves, rest = dict[int, tuple[Array, Rates]](), leap
    for each in rates:
        own = xp.any(by_components(each[0], leap) != 0, axis=-1)
        members = xp.nonzero(xp.reshape(own, (-1,)))[0].tolist()
        known = moves.get(members[0]) if len(members) == 1 else None
        if len(members) != 1 or leap.ndim == 1 or (known is not None and not _alike(known[1], each)):
            raise NoDerivativeError(time, "the solution crosses several thresholds of `fun` at once")
        part = xp.where(own[..., None], leap, xp.zeros_like(leap))
        rest = rest if known is not None else rest - part
        moves[members[0]] = part, each
    if bool(xp.any(xp.abs(rest) > least)):
        raise NoDerivativeError(time, "the solution crosses several thresholds of `fun` at once")
    return tuple(moves.values())


def by_components(row: Array, like: Array) -> Array:
    """Derivatives by the elements of the recorded state, in a row, in the shape of a state `(*batch, n)`."""
    xp = array_namespace(like)
    return xp.moveaxis(xp.reshape(row, (like.shape[-1], *like.shape[:-1])), 0, -1)


def _bends(
    found: Jumping, solution: PiecewisePolynomial, times: Array, before: Array, after: Array, least: Array
) -> Array:
    """Flags of crossings at which the right-hand side has a kink: beside them, it is another one on either side."""
    xp = solution.xp
    intervals = xp.clip(xp.searchsorted(solution.direction * solution.t, solution.direction * times), 1, None) - 1
    near = (xp.clip(intervals + k, 0, solution.intervals - 1) for k in range(-BESIDE, BESIDE + 1))
    steps = [xp.abs(xp.take(solution.steps, k)) for k in near]  # some may be as good as empty
    aside, flags = ASIDE * xp.max(xp.stack(steps), axis=0), xp.zeros(times.shape, dtype=xp.bool)
    for t in (times + aside, times - aside):
        states = solution.evaluate(t)
        differ = xp.abs(found.values(t, states, before) - found.values(t, states, after)) > least
        flags = flags | xp.any(differ, axis=tuple(range(1, differ.ndim)))
    return flags


def _leading(found: Jumping, solution: PiecewisePolynomial, time: float, before: Array, after: Array) -> list[int]:
    """Guards that pass their levels at a crossing even if all others stay: the modes of the rest follow from these."""
    xp = solution.xp
    at = xp.asarray([time], dtype=solution.t.dtype)
    interval = int(xp.searchsorted(solution.direction * solution.t, solution.direction * at, side="right")[0]) - 1
    ahead = max(SAME * abs(float(solution.steps[min(interval, solution.intervals - 1)])), rounding_of(solution))
    later = at + solution.direction * ahead
    evaluated = found.evaluated("own modes", found.modes.own, FIRST + 1)
    modes = evaluated(*as_point(later, solution.evaluate(later)), before[None, :], *found.given)[0][0, :]
    return [int(g) for g in xp.nonzero((modes == after) & (before != after))[0].tolist()]


def rounding_of(solution: PiecewisePolynomial) -> float:
    """The distance of times that are one but for rounding: intervals may be as short as that."""
    ends = max(abs(float(solution.t[0])), abs(float(solution.t[-1])))
    return SPACINGS * machine_epsilon(solution.t.dtype) * ends


def _rates(found: Jumping, time: float, slopes: Array, left: Array, right: Array) -> Rates:
    """How the time of a crossing changes with the state right before and with parameters."""
    xp, size = array_namespace(left), found.rhs.y0.size * (2 if left.dtype.kind == "c" else 1)
    by_time, by_state, by_parameters = slopes[0], slopes[1 : 1 + size], slopes[1 + size :]
    ends = rates_of(found, slopes, left, right)
    terms = xp.abs(by_time) + xp.sum(xp.abs(by_state) * xp.maximum(xp.abs(_row(left)), xp.abs(_row(right))))
    moves = bool(xp.any(by_state != 0))
    if not all(float(xp.abs(end)) > (ANGLE * float(terms) if moves else 0.0) for end in ends):
        raise NoDerivativeError(time, "the solution touches a threshold of `fun`, which it may cross or not")
    if moves and float(ends[0] * ends[1]) < 0:
        raise NoDerivativeError(time, "the solution comes to a threshold of `fun` along which it slides")
    return -by_state / ends[0], -by_parameters / ends[0]


def rates_of(found: Jumping, slopes: Array, left: Array, right: Array) -> tuple[Array, Array]:
    """How fast a guard changes in time before a jump of the right-hand side, and after it."""
    xp, size = array_namespace(left), found.rhs.y0.size * (2 if left.dtype.kind == "c" else 1)
    before, after = (slopes[0] + xp.sum(slopes[1 : 1 + size] * _row(each)) for each in (left, right))
    return before, after


def _row(state: Array) -> Array:
    """A state `(*batch, n)` in the order of the elements of the recorded one."""
    xp = array_namespace(state)
    return xp.reshape(as_part(state[None, ...]), (-1,))


def _alike(one: Rates, other: Rates) -> bool:
    xp = array_namespace(one[0])
    a, b = xp.concat(list(one)), xp.concat(list(other))
    return bool(xp.all(xp.abs(a - b) <= ALIKE * xp.maximum(xp.abs(a), xp.abs(b))))
