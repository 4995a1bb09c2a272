"""Jumps of the right-hand side that move: their times depend on the state or on parameters, and so does the solution.

At the time τ at which a guard h(t, y, θ) of the recorded function passes its level, f₋ changes to f₊. A change of the
solution right before, δ₋, and one of the parameters move τ by

    dτ = -(∂h/∂y δ₋ + ∂h/∂θ dθ) / (∂h/∂t + ∂h/∂y f₋),    and    δ₊ = δ₋ + (f₋ - f₊) dτ

is the change right after (the saltation of Aizerman and Gantmakher 1958; Leine and Nijmeijer 2004, chapter 7). It holds
where the solution crosses one threshold at a time, at an angle. Elsewhere there is no derivative, and an exception says
so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from ..._functions.at_points import AtPoints
from ..._functions.code import Code
from ..._functions.parameters import Tree
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import agree
from ..._recorded.budget import NoCodeError
from ..core.mesh import Mesh, among, union
from ..core.polynomial import PiecewisePolynomial, joined
from ..core.tableaux import radau
from ..methods.collocation import Collocation
from .converge_fully import polished
from .jacobian_check import UNLIKE
from .recorded_gradient import (
    FIRST,
    ByParameters,
    as_part,
    as_point,
    as_states,
    entering,
    given_of,
    recording_of,
)
from .trajectory import Trajectory, node_at

ZERO, WHOLE = 0, 1
"""Levels of guards, as in `_recorded.switches`, which is slow to import."""

if TYPE_CHECKING:
    from ..._recorded.modes import Modes
    from ..._recorded.record import Recording

SHARES = tuple((2 * k + 1) / 16 for k in range(8))
"""Places in an interval at which modes are looked at."""

LARGEST = 1 << 24
"""Modes of all guards at all places, at most."""

PARTS, ROUNDS_OF_PARTS = 16, 14
"""Into how many parts stretches are divided to find a crossing, and how often: to the spacing of the numbers, about."""

SAME = 1e-9
"""Times as near as this, as a share of their interval, are one time."""

LEAST = 1e-9
"""Smallest jump that counts, as a share of the largest value of its component: others are kinks, and rounding."""

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

SPLIT = 256
"""Largest number of times that stretches between places are split, since a mode changes again within them."""

NOISE = 8
"""Number of splits after which kinks of functions whose signs are noise are not looked for any more."""

MOST = 1000
"""Crossings of thresholds of the state, at most; there are more where a solution slides along one."""

NEAR, SECTIONS, TOUCH = 0.5, 60, 1e-6
"""A guard is looked at more closely where a parabola comes nearer to its level than this share of its distance; so many
golden sections are made. It touches if the distance is this share of the largest one."""

ROUNDS, SETTLED = 6, 1e-13
"""Largest number of times that a stretch up to a crossing is solved, and change of its end at which that ends."""

GROWTH, CROWDED = 2, 1e-6
"""Steps before a crossing are joined while the next one is longer by this factor: they were made to find it. After a
crossing, they are joined if they are shorter by the second one."""

ABOUT, SETTLED_AT_ONCE = (1e-9, 1e-6, 1e-3, 1 / 8, 1 / 2, 1.0), 1e-11
"""Where crossings are looked for about nodes, in steps, and the change of their times, as a share of the span, that is
accepted after some rounds: each moves the crossings after it."""

REACH, BACK = (1 / 8, 1 / 2, 1.0, 2.0, 4.0), 16
"""Where a crossing is looked for about the end of a stretch, in steps, and the number of steps before."""

STAGES = 5
"""Those of Radau, which takes the place of methods that are no collocation."""

LOOSE = 0.1
"""Share of the right-hand side by which slopes may differ from it: if they do by more, nothing was solved."""

COMPARED = 32
"""Times at which the record is compared with the function."""

APART = "Differentiate solutions of fewer members."

REMEDY = "Make the jump smooth (np.tanh), or take differences of whole solutions."

ALONE = 2
"""Axes of the states of a solution without a batch."""

TOGETHER = 50_000
"""Crossings times members of a batch, at most: at each, all members get a node."""

Rates = tuple[Array, Array]
"""Derivatives of a crossing's time by the state right before, in a row, and by parameters."""


class NoDerivativeError(RuntimeError):
    """There is no derivative."""

    def __init__(self, time: float, what: str) -> None:
        super().__init__(f"at t = {time:.6g}, {what}: there the derivative does not exist. {REMEDY}")


@dataclass(frozen=True, eq=False)
class Crossing:
    """
    A time at which modes change: before and after `(k,)`.

    `moves` are what the change of a time adds to the state, `(*batch, n)`, with the time's rates. The flags of the
    guards that `count` are of those which jump at a time that depends on the state. `in_time`: none that changes
    depends on the state.
    """

    time: float
    before: Array
    after: Array
    moves: tuple[tuple[Array, Rates], ...]
    counts: Array
    in_time: bool


@dataclass(frozen=True, eq=False)
class Jumping:
    """The right-hand side, recorded with the numbers in some arguments as arguments, and its modes."""

    rhs: RightHandSide
    keys: tuple[int, ...]
    recording: Recording
    modes: Modes
    kept: Array | None = None
    """Flags of these modes among all of the function; None: these are all."""

    @cached_property
    def given(self) -> list[Array]:
        """The parameters, as programs take them."""
        return given_of(self.rhs, self.keys)

    @property
    def xp(self) -> Any:
        """The array library."""
        return array_namespace(self.modes.by_state)

    @property
    def matters(self) -> Array:
        """Flags of the guards that depend on the state or on parameters."""
        return self.modes.by_state | self.modes.by_parameters

    def at(self, times: Array, states: Array) -> Array:
        """Modes `(m, k)`."""
        found: Array = self.evaluated("modes", self.modes.program, FIRST)(*as_point(times, states), *self.given)[0]
        return found

    def values(self, times: Array, states: Array, modes: Array) -> Array:
        """The right-hand side `(m, *batch, n)` with fixed modes `(m, k)`."""
        evaluated = self.evaluated("fixed modes", self.modes.fixed.program, FIRST + 1)
        return as_states(evaluated(*as_point(times, states), modes, *self.given)[0], states)

    def slopes(self, guards: tuple[int, ...], time: float, state: Array, modes: Array) -> dict[int, Array]:
        """Derivatives of guards by time, state and parameters, in a row, for each."""
        xp = array_namespace(state)

        def made() -> Any:
            with entering():
                program, *places = self.modes.slopes(list(guards))
            return AtPoints(program, tuple(range(FIRST + 1, FIRST + 1 + len(self.given)))), *places

        evaluated, rows, columns = self._noted(("slopes", guards), made)
        point = as_point(xp.asarray([time]), state[None, ...])
        found = xp.zeros((len(guards), self.modes.width))
        found[rows, columns] = evaluated(*point, modes[None, :], *self.given)[0][0, :]
        return dict(zip(guards, found, strict=True))

    def some(self, flags: Array) -> Modes:
        """Some of the modes alone."""
        from ..._recorded.modes import modes  # noqa: PLC0415 - slow to import

        def made() -> Any:
            chosen = flags
            if self.kept is not None:
                chosen = self.xp.asarray(self.kept, copy=True)
                chosen[self.kept] = flags
            with entering():
                return modes(self.recording, chosen)

        return self._noted(("modes", tuple(flags.tolist())), made)

    def evaluated(self, key: str, program: Any, first: int) -> AtPoints:
        shared = tuple(range(first, first + len(self.given)))
        return self._noted((key, "at points"), lambda: AtPoints(program, shared))

    def _noted(self, key: Any, make: Any) -> Any:
        notes = self.modes.fixed.notes
        if key not in notes:
            notes[key] = make()
        return notes[key]


def jumping(rhs: RightHandSide, keys: Sequence[int], solution: PiecewisePolynomial) -> Jumping | None:
    """
    The jumps of a right-hand side in time and state, with some arguments as parameters; None if it has none.

    Raises
    ------
    NoCodeError
        If the function cannot be recorded, or contradicts its record.
    """
    from ..._recorded.modes import modes  # noqa: PLC0415 - slow to import

    keys = tuple(sorted(set(keys)))
    recording = recording_of(rhs, keys)
    if "modes" not in recording.notes:
        with entering():
            recording.notes["modes"] = modes(recording)
    if recording.notes["modes"] is None:
        return None
    found = _few_enough(Jumping(rhs, keys, recording, recording.notes["modes"]), solution)
    if found is None:
        return None
    xp = solution.xp
    times, states = sampled(solution)
    with quiet():
        values, share = found.values(times, states, found.at(times, states)), machine_epsilon(states.dtype) ** 0.5
        if not agree(values, rhs(times, states), share, times, states, rhs):
            raise NoCodeError(UNLIKE)
    return found if bool(xp.any(found.matters)) else None


def _few_enough(found: Jumping, solution: PiecewisePolynomial) -> Jumping | None:
    """The modes, without those of kinks where all would be too many; None if none remain."""
    most = LARGEST // (solution.intervals * len(SHARES))
    if found.matters.shape[0] <= most:
        return found
    jumps = ~found.modes.kinks
    if int(found.xp.sum(jumps)) > most:
        raise NoCodeError("has too many thresholds")
    return replace(found, modes=found.some(jumps), kept=jumps) if bool(found.xp.any(jumps)) else None


def sampled(solution: PiecewisePolynomial) -> tuple[Array, Array]:
    """A few times, equidistant, since nodes may crowd at jumps, and the states there."""
    xp, begin, end = solution.xp, solution.t[0], solution.t[-1]
    times = begin + (end - begin) * (xp.arange(COMPARED, dtype=solution.t.dtype) + 0.4375) / COMPARED
    return times, solution.evaluate(times)


def crossings(found: Jumping, solution: PiecewisePolynomial) -> list[Crossing]:
    """Where modes that depend on the state or parameters change along a solution, and by how much this moves it."""
    xp = solution.xp
    times = xp.reshape(solution.times(xp.asarray(SHARES)), (-1,))
    times = xp.concat([solution.begins[:1], times, solution.ends[-1:]])
    with quiet():
        times = _with_touches(found, solution, times)
        for split in range(SPLIT):
            states = solution.evaluate(times)
            modes = found.at(times, states)
            rows, guards = xp.nonzero((modes[1:, :] != modes[:-1, :]) & found.matters[None, :])
            if not rows.shape[0]:
                return []
            if rows.shape[0] * PARTS * modes.shape[1] > LARGEST:
                return _too_many(found, times, states, modes, rows)
            at = _bisected(found, solution, times[rows], times[rows + 1], guards, modes[rows, guards])
            known = found.at(at, solution.evaluate(at))[xp.arange(guards.shape[0]), guards]
            counts = ~found.modes.kinks[guards] if split >= NOISE else True
            further = at[(known != modes[rows + 1, guards]) & counts]
            further = further[~among(further, xp.sort(times))]  # rounding may lead to a place again
            if not further.shape[0]:
                break
            times = solution.direction * xp.sort(solution.direction * xp.concat([times, further]))
        else:
            return _too_many(found, times, states, modes, rows)
        scale = _largest(found.values(times, states, modes))
        grouped = _grouped(solution, _snapped(solution, at), guards, modes, rows)
        return _assessed(found, solution, scale, *grouped) if grouped else []


def _too_many(found: Jumping, times: Array, states: Array, modes: Array, rows: Array) -> list[Crossing]:
    """None of many crossings, of fine stairs; raises if the right-hand side jumps there."""
    xp, scale = array_namespace(states), _largest(found.values(times, states, modes))
    some = rows[:: max(1, rows.shape[0] // COMPARED)]
    before, after = (found.values(times[some], states[some, ...], modes[some + step, :]) for step in (0, 1))
    if bool(xp.any(xp.abs(after - before) > KINK * scale)):
        raise NoDerivativeError(float(times[rows[0]]), "as at many others, a threshold is crossed")
    return []


def _with_touches(found: Jumping, solution: PiecewisePolynomial, times: Array) -> Array:
    """
    The times with those between them at which a guard comes nearest to a level, and passes it for a while.

    Raises
    ------
    NoDerivativeError
        If the right-hand side jumps there, and the solution only touches the threshold.
    """
    xp, states = solution.xp, solution.evaluate(times)
    modes = found.at(times, states)
    values = _guards(found, times, states, modes)
    far = _distances(found, values, values)
    left, here, right = far[:-2, :], far[1:-1, :], far[2:, :]
    stays = (modes[:-2, :] == modes[1:-1, :]) & (modes[1:-1, :] == modes[2:, :]) & found.matters[None, :]
    lowest = here - (right - left) ** 2 / (8 * (left - 2 * here + right))
    largest = xp.max(xp.where(xp.isfinite(far), far, xp.zeros_like(far)), axis=0)
    rows, guards = xp.nonzero(stays & (here <= left) & (here <= right) & (lowest < NEAR * xp.maximum(left, right)))
    if not rows.shape[0]:
        return times
    low, high, held, places = times[rows], times[rows + 2], modes[rows + 1, :], xp.arange(rows.shape[0])
    start = values[rows + 1, :]

    def distance(t: Array) -> Array:
        return _distances(found, _guards(found, t, solution.evaluate(t), held), start)[places, guards]

    for _ in range(SECTIONS):
        first, second = low + (high - low) * 0.382, high - (high - low) * 0.382
        falls = distance(first) > distance(second)
        low, high = xp.where(falls, first, low), xp.where(falls, high, second)
    middle = (low + high) / 2
    passed = found.at(middle, y := solution.evaluate(middle))[places, guards] != held[places, guards]
    touches = ~passed & (xp.abs(distance(middle)) <= TOUCH * largest[guards]) & ~found.modes.kinks[guards]
    scale = _largest(found.values(times, states, modes))
    for k in xp.nonzero(touches)[0].tolist():
        if _is_beside_crossing(modes[:, guards[k]], far[:, guards[k]] > TOUCH * largest[guards[k]], int(rows[k])):
            continue
        for other in _others(held[k, :], int(guards[k])):
            both = found.values(middle[[k, k]], y[[k, k], ...], xp.stack([held[k, :], other]))
            if bool(xp.any(xp.abs(both[1, ...] - both[0, ...]) > LEAST * scale)):
                raise NoDerivativeError(float(middle[k]), "the solution touches a threshold of `fun`")
    return solution.direction * xp.sort(solution.direction * xp.concat([times, middle[passed]]))


def _is_beside_crossing(modes: Array, is_far: Array, row: int) -> bool:
    """Whether the mode of a guard is another where it is far from its level on either side of a row."""
    xp = array_namespace(modes)
    places = xp.nonzero(is_far)[0]
    number = int(xp.searchsorted(places, row + 1))
    if not 0 < number < places.shape[0]:
        return False
    return bool(modes[places[number - 1]] != modes[places[number]])


def _others(modes: Array, guard: int) -> Iterator[Array]:
    """Modes in which one is another: what it may be on the other side of its level."""
    xp, own = array_namespace(modes), float(modes[guard])
    for value in {1 - own, -own, own + 1, own - 1} - {own}:
        found = xp.asarray(modes, copy=True)
        found[guard] = value
        yield found


def _guards(found: Jumping, times: Array, states: Array, modes: Array) -> Array:
    """Guards `(m, k)`, with fixed modes."""
    evaluated = found.evaluated("guards themselves", found.modes.values, FIRST + 1)
    values: Array = evaluated(*as_point(times, states), modes, *found.given)[0]
    return values


def _distances(found: Jumping, values: Array, start: Array) -> Array:
    """Distances of guards `(m, k)` from the levels beside the `start`, less than zero beyond."""
    xp, levels = array_namespace(values), found.modes.levels[None, :]
    cell = xp.floor(start)
    inside = xp.minimum(values - cell, cell + 1 - values)
    side = xp.where(start < 0, -values, values)
    return xp.where(levels == ZERO, side, xp.where(levels == WHOLE, inside, xp.full_like(values, xp.inf)))


def _bisected(
    found: Jumping, solution: PiecewisePolynomial, low: Array, high: Array, guards: Array, before: Array
) -> Array:
    """Times between `low` and `high` at which the modes of some guards change from those `before`."""
    xp = solution.xp

    def is_before(times: Array) -> Array:
        flat = xp.reshape(times, (-1,))
        modes = xp.reshape(found.at(flat, solution.evaluate(flat)), (*times.shape, -1))
        own = xp.take_along_axis(modes, xp.broadcast_to(guards[:, None, None], (*times.shape, 1)), axis=2)
        return own[..., 0] == before[:, None]

    return _narrowed(is_before, low, high)


def _narrowed(is_before: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """First times `(m,)` between `low` and `high` that are not before something, from flags of times `(m, k)`."""
    xp = array_namespace(low)
    shares = xp.arange(1, PARTS, dtype=low.dtype) / PARTS
    for _ in range(ROUNDS_OF_PARTS):
        times = low[:, None] + (high - low)[:, None] * shares
        every = xp.concat([low[:, None], times, high[:, None]], axis=1)
        flags = is_before(times)
        first = xp.where(xp.all(flags, axis=1), PARTS - 1, xp.argmin(flags, axis=1))[:, None]
        low, high = (xp.take_along_axis(every, first + one, axis=1)[:, 0] for one in (0, 1))
    return high


def _snapped(solution: PiecewisePolynomial, times: Array) -> Array:
    """Times, those that are as good as at a node at the node."""
    xp = solution.xp
    interval, theta = solution.locate(times)
    begin, end = xp.take(solution.t, interval), xp.take(solution.t, interval + 1)
    return xp.where(theta < SAME, begin, xp.where(theta > 1 - SAME, end, times))


def _largest(values: Array) -> Array:
    """Largest sizes of components `(*batch, n)`."""
    xp, size = array_namespace(values), array_namespace(values).abs(values)
    return xp.max(xp.where(xp.isfinite(size), size, xp.zeros_like(size)), axis=0)


def _grouped(
    solution: PiecewisePolynomial, at: Array, guards: Array, modes: Array, rows: Array
) -> tuple[Array, Array, Array] | None:
    """Times `(m,)` at which guards pass their levels, in their order, and the modes before and after `(m, k)`."""
    xp, way = solution.xp, solution.direction
    order = xp.argsort(way * at, stable=True).tolist()
    current, every = modes[0, :], at.tolist()
    last, _ = solution.locate(at)
    apart = (SAME * xp.abs(xp.take(solution.steps, last))).tolist()
    ends = float(solution.t[0]), float(solution.t[-1])
    places, values = guards.tolist(), modes[rows + 1, guards].tolist()
    found = list[tuple[float, Array, Array]]()
    place, count = 0, len(every)
    while place < count:
        time, first = every[order[place]], place
        after = xp.asarray(current, copy=True)
        while place < count and (place == first or abs(every[order[place]] - time) <= apart[order[first]]):
            after[places[order[place]]] = values[order[place]]
            place += 1
        if time not in ends:
            found.append((time, current, after))
        current = after
    if not found:
        return None
    times, before, later = zip(*found, strict=True)
    return xp.asarray(times, dtype=at.dtype), xp.stack(before), xp.stack(later)


def _assessed(
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
    later = at + SAME * solution.steps[min(interval, solution.intervals - 1)]
    evaluated = found.evaluated("own modes", found.modes.own, FIRST + 1)
    modes = evaluated(*as_point(later, solution.evaluate(later)), before[None, :], *found.given)[0][0, :]
    return [int(g) for g in xp.nonzero((modes == after) & (before != after))[0].tolist()]


def _rates(found: Jumping, time: float, slopes: Array, left: Array, right: Array) -> Rates:
    """How the time of a crossing changes with the state right before and with parameters."""
    xp, size = array_namespace(left), found.rhs.y0.size * (2 if left.dtype.kind == "c" else 1)
    by_time, by_state, by_parameters = slopes[0], slopes[1 : 1 + size], slopes[1 + size :]
    ends = [by_time + xp.sum(by_state * _row(each)) for each in (left, right)]
    terms = xp.abs(by_time) + xp.sum(xp.abs(by_state) * xp.maximum(xp.abs(_row(left)), xp.abs(_row(right))))
    moves = bool(xp.any(by_state != 0))
    if not all(float(xp.abs(end)) > (ANGLE * float(terms) if moves else 0.0) for end in ends):
        raise NoDerivativeError(time, "the solution touches a threshold of `fun`, which it may cross or not")
    if moves and float(ends[0] * ends[1]) < 0:
        raise NoDerivativeError(time, "the solution comes to a threshold of `fun` along which it slides")
    return -by_state / ends[0], -by_parameters / ends[0]


def _row(state: Array) -> Array:
    """A state `(*batch, n)` in the order of the elements of the recorded one."""
    xp = array_namespace(state)
    return xp.reshape(as_part(state[None, ...]), (-1,))


def _alike(one: Rates, other: Rates) -> bool:
    xp = array_namespace(one[0])
    a, b = xp.concat(list(one)), xp.concat(list(other))
    return bool(xp.all(xp.abs(a - b) <= ALIKE * xp.maximum(xp.abs(a), xp.abs(b))))


# Trajectories with nodes at crossings


def with_crossings(found: Jumping, trajectory: Trajectory) -> tuple[Trajectory, list[Crossing]]:
    """A trajectory with nodes at all crossings in time, and the crossings."""
    every, solution = crossings(found, trajectory.solution), trajectory.solution
    xp, known = solution.xp, set(solution.t.tolist())
    fresh = sorted({one.time for one in every if one.in_time} - known)
    if not fresh:
        return trajectory, every
    mesh = solution.mesh.broken_at(xp.asarray(fresh, dtype=solution.t.dtype)).with_breaks()
    refined = polished(trajectory.rhs, trajectory.method, solution.resampled(mesh)).solution
    return trajectory.on(refined), crossings(found, refined)


def followed(found: Jumping, trajectory: Trajectory) -> Trajectory:
    """The trajectory, solved anew from jump to jump with fixed modes, with kicks at these, and with nodes at kinks."""
    trajectory, every = with_crossings(found, trajectory)
    xp, solution = trajectory.solution.xp, trajectory.solution
    jumps, kinks = (_counting(found, [one for one in every if bool(one.moves) == is_jump]) for is_jump in (True, False))
    is_complex = solution.y.dtype.kind == "c"
    if bool(xp.any(jumps)):
        if is_complex:
            time = next(one.time for one in every if one.moves and bool(xp.any(one.counts)))
            raise NoDerivativeError(time, "the solution crosses a threshold of `fun`, and its states are complex")
        for flags in (jumps | kinks, jumps):
            if _are_few(solution, every, flags):
                return _March(trajectory, found, every, flags).followed()
        raise RuntimeError(f"members cross thresholds of `fun` at too many times for one mesh. {APART}")
    if is_complex or not bool(xp.any(kinks)) or not _are_few(solution, every, kinks):
        return trajectory  # a function that is complex differentiable has no kinks
    return _with_kinks(found, trajectory, every, kinks)


def _are_few(solution: PiecewisePolynomial, every: Sequence[Crossing], flags: Array) -> bool:
    """Whether the members of a batch can have nodes at all crossings of some guards."""
    members = prod(solution.y.shape[1:-1])
    return members == 1 or members * sum(bool((flags & (one.before != one.after)).any()) for one in every) <= TOGETHER


def _counting(found: Jumping, every: Sequence[Crossing]) -> Array:
    """Flags of the guards that count at some crossings."""
    flags = found.xp.zeros(found.matters.shape, dtype=found.xp.bool)
    for one in every:
        flags = flags | one.counts
    return flags


def _with_kinks(found: Jumping, trajectory: Trajectory, every: list[Crossing], flags: Array) -> Trajectory:
    """
    A trajectory with nodes at all kinks that depend on the state, between which modes are fixed.

    At a kink, the right-hand side is continuous. If a node is off by ε, so is the solution by ε²: all nodes are put
    where the solution has its kinks, at once, and again where the new one has them.
    """
    given, xp = trajectory.solution, trajectory.solution.xp
    rhs, solution, last = trajectory.rhs.without_jacobian(), given, None
    for _ in range(ROUNDS):
        events = [one for one in every if bool(xp.any(flags & (one.before != one.after)))]
        times = xp.asarray([one.time for one in events], dtype=given.t.dtype)
        settled = SETTLED * float(xp.abs(given.t[-1] - given.t[0]))
        if last is not None and (last.shape != times.shape or bool(xp.all(xp.abs(times - last) <= settled))):
            break
        mesh = given.mesh.broken_at(xp.sort(times)).with_breaks()
        fixed = fixed_along(found, events, flags, solution)
        solution = polished(rhs.by(fixed), trajectory.method, solution.resampled(mesh)).solution
        last, every = times, crossings(found, solution)
    return Trajectory(rhs.by(fixed), trajectory.method, solution, trajectory.on(solution).kicks)


@dataclass(frozen=True, eq=False)
class Fixed(Code):
    """The right-hand side by its record, with some modes fixed: those `table` `(s, k)` of stretches between `times`."""

    found: Jumping
    modes: Modes
    table: Array
    times: tuple[float, ...] = ()
    way: float = 1.0

    def within(self, low: float, high: float) -> Fixed:
        """The same: with fixed modes, there is no jump at the ends of a stretch."""
        return self

    def rows(self, t: Array) -> Array:
        """Modes `(m, k)` at times."""
        xp = array_namespace(self.table)
        ends = self.way * xp.asarray(self.times, dtype=t.dtype)
        return xp.take(self.table, xp.searchsorted(ends, self.way * t), axis=0)

    def values(self, t: Array, states: Array) -> Array:
        """Values `(m, *batch, n)`."""
        return self._run(self.modes.fixed.program, "values", t, states)[0]

    def linearise(self, t: Array, states: Array) -> tuple[Array, Array]:
        """Values, and Jacobians `(m, *batch, n, n)`."""
        from ..._recorded.linearised import values_and_entries  # noqa: PLC0415 - slow to import

        notes = self.modes.fixed.notes
        if "places" not in notes:
            with entering():
                notes["places"] = values_and_entries(self.modes.fixed)
        places, xp = notes["places"], array_namespace(states)
        values, entries = self._run(places.program, "Jacobians", t, states)
        m, *batch, n = states.shape
        members = prod(batch)
        if bool(xp.any(places.rows % members != places.columns % members)):
            raise NoDerivativeError(float(t[0]), "members of the batch depend on each other, and cross thresholds")
        matrices = xp.zeros((m, members, n, n), dtype=states.dtype)
        matrices[:, places.rows % members, places.rows // members, places.columns // members] = entries
        return values, xp.reshape(matrices, (m, *batch, n, n))

    def second(self, t: Array, states: Array) -> None:
        """They are not derived."""

    def _run(self, program: Any, key: str, t: Array, states: Array) -> list[Array]:
        notes, given = self.modes.fixed.notes, self.found.given
        if key not in notes:
            notes[key] = AtPoints(program, tuple(range(FIRST + 1, FIRST + 1 + len(given))))
        first, *rest = notes[key](*as_point(t, states), self.rows(t), *given)
        return [as_states(first, states), *rest]


def fixed_along(found: Jumping, events: Sequence[Crossing], flags: Array, solution: PiecewisePolynomial) -> Fixed:
    """The right-hand side with some modes, given by flags, fixed as they are along a solution with these events."""
    xp = solution.xp
    t = solution.times(SHARES[3])[:1]
    first = events[0].before if events else found.at(t, solution.evaluate(t))[0, :]
    table = [first[flags], *(one.after[flags] for one in events)]
    times = tuple(one.time for one in events)
    return Fixed(found, found.some(flags), xp.stack(table), times, solution.direction)


def _without_noise(found: Jumping, solution: PiecewisePolynomial, events: list[Crossing]) -> list[Crossing]:
    """
    Events without pairs that are as near as the errors of a solution that was not solved for nodes at jumps.

    Raises
    ------
    NoDerivativeError
        If a threshold is passed to and fro by no more than this.
    """
    xp, kept = solution.xp, list[Crossing]()
    gone: Crossing | None = None
    for one in events:
        last = kept[-1] if kept else None
        if last is None or bool(xp.any(last.before != one.after)) or not _is_near(found, solution, last, one):
            if gone is not None and not _is_near(found, solution, gone, one):
                break
            kept.append(one)
            gone = None
        else:
            gone = kept.pop()
    if gone is not None:
        raise NoDerivativeError(gone.time, "the solution touches a threshold of `fun`")
    return kept


def _is_near(found: Jumping, solution: PiecewisePolynomial, one: Crossing, other: Crossing) -> bool:
    """Whether guards hardly leave their levels between two crossings."""
    xp = solution.xp
    times = xp.asarray([(one.time + other.time) / 2, *solution.t.tolist()], dtype=solution.t.dtype)
    states = solution.evaluate(times)
    with quiet():
        modes = found.at(times, states)
        far = xp.abs(_guards(found, times, states, modes))[:, one.before != one.after]
    return bool(xp.all(far[0, :] <= TOUCH * xp.max(far, axis=0)))


class _March:
    """Solves a trajectory anew, from one crossing of a threshold of the state to the next."""

    def __init__(self, trajectory: Trajectory, found: Jumping, every: list[Crossing], flags: Array) -> None:
        xp = trajectory.solution.xp
        self._old, self._found, self._flags = trajectory, found, flags
        method = trajectory.method
        self._method = method if isinstance(method, Collocation) else Collocation(radau(STAGES), found.rhs.y0.shape[-1])
        some = [one for one in every if bool(xp.any(flags & (one.before != one.after)))]
        self._events = _without_noise(found, trajectory.solution, some)
        self._fixed = fixed_along(found, self._events, flags, trajectory.solution)

    def followed(self) -> Trajectory:
        """The trajectory; raises where it is not as it was expected."""
        try:
            return self._at_once()
        except NoDerivativeError:  # the nodes are not where they should be
            return self._one_by_one()

    def _at_once(self) -> Trajectory:
        """The trajectory, from nodes at all crossings, which are moved to where the solution before them leads."""
        old, xp = self._old.solution, self._old.solution.xp
        times, solution = xp.asarray([one.time for one in self._events], dtype=old.t.dtype), old
        for _ in range(ROUNDS):
            ends = [float(old.t[0]), *times.tolist(), float(old.t[-1])]
            parts = [
                self._mesh(*pair, is_first=k == 0, is_last=k == len(self._events)).t
                for k, pair in enumerate(pairwise(ends))
            ]
            mesh = Mesh(xp.concat([parts[0], *(part[1:] for part in parts[1:])]), union(old.breaks, xp.sort(times)))
            rhs = self._old.rhs.without_jacobian().by(replace(self._fixed, times=tuple(times.tolist())))
            given = replace(solution.resampled(mesh, self._method.output), breaks=mesh.breaks)
            solution, last = polished(rhs, self._method, given).solution, times
            times = self._relocated(solution, last)
            off = float(xp.max(xp.abs(times - last))) / abs(ends[-1] - ends[0])
            if off <= SETTLED:
                break
            if not bool(xp.all(old.direction * (times[1:] - times[:-1]) > 0)):
                raise NoDerivativeError(ends[1], "the solution crosses thresholds of `fun` in another order")
        if off > SETTLED_AT_ONCE:
            raise NoDerivativeError(ends[1], "the solution crosses a threshold of `fun` at an undetermined time")
        return self._checked(solution, last.tolist())

    def _relocated(self, solution: PiecewisePolynomial, times: Array) -> Array:
        """When the solutions of the stretches that end at some times, or their continuations, cross the thresholds."""
        xp, table = solution.xp, self._fixed.table
        before, changes = table[:-1, :], table[:-1, :] != table[1:, :]
        way = solution.direction
        intervals = xp.searchsorted(way * solution.t, way * times) - 1
        begins, lengths = xp.take(solution.t, intervals), xp.take(solution.steps, intervals)

        def are_before(t: Array) -> Array:
            theta = (t - begins[:, None]) / lengths[:, None]
            rows = xp.repeat(intervals, t.shape[1])
            modes = self._actual(xp.reshape(t, (-1,)), solution.state(rows, xp.reshape(theta, (-1,))))
            same = xp.reshape(modes, (*t.shape, -1)) == before[:, None, :]
            return xp.all(same | ~changes[:, None, :], axis=-1)

        with quiet():
            about = times[:, None] + lengths[:, None] * xp.asarray([*(-one for one in ABOUT[::-1]), *ABOUT])
            flags = are_before(about)
            crossed = flags[:, :-1] & ~flags[:, 1:]
            missed = ~xp.any(crossed, axis=1)
            if bool(xp.any(missed)):
                time = float(times[int(xp.argmax(missed))])
                raise NoDerivativeError(time, "the solution touches a threshold of `fun`, or hardly crosses it")
            away = xp.abs(xp.arange(crossed.shape[1]) - (len(ABOUT) - 1))
            first = xp.argmin(xp.where(crossed, away, 2 * len(ABOUT)), axis=1)[:, None]
            low, high = (xp.take_along_axis(about, first + one, axis=1)[:, 0] for one in (0, 1))
            return _narrowed(are_before, low, high)

    def _one_by_one(self) -> Trajectory:
        """The trajectory, of which each stretch is solved up to a crossing that is located on the way."""
        solution = self._old.solution
        parts, times = list[PiecewisePolynomial](), list[float]()
        state, begin = solution.y[0, ...], float(solution.t[0])
        for number in range(self._fixed.table.shape[0]):
            part = self._part(begin, number, state)
            parts.append(part)
            begin, state = float(part.t[-1]), part.y[-1, ...]
            times.append(begin)
        return self._checked(joined(parts), times[:-1])

    def _checked(self, solution: PiecewisePolynomial, times: list[float]) -> Trajectory:
        """The trajectory of a solution with crossings at some times; raises where it is not as it was expected."""
        xp = solution.xp
        breaks = union(self._old.solution.breaks, xp.sort(xp.asarray(times, dtype=solution.t.dtype)))
        whole, fixed = replace(solution, breaks=breaks), replace(self._fixed, times=tuple(times))
        self._check(fixed, whole)
        rhs = self._old.rhs.without_jacobian().by(fixed)
        return Trajectory(rhs, self._method, whole, self._kicks(whole))

    def _part(self, begin: float, number: int, state: Array) -> PiecewisePolynomial:
        """The solution of a stretch, up to a crossing that is located on the way."""
        old, table = self._old, self._fixed.table
        rhs = old.rhs.without_jacobian().by(replace(self._fixed, table=table[number : number + 1, :], times=()))
        is_last = number == len(self._events)
        end = float(old.solution.t[-1]) if is_last else self._events[number].time
        for _ in range(ROUNDS):
            if not old.solution.direction * (end - begin) > 0:
                break
            mesh = self._mesh(begin, end, is_first=number == 0, is_last=is_last)
            given = replace(old.solution.resampled(mesh, self._method.output).starting_at(state), breaks=mesh.breaks)
            part = polished(rhs, self._method, given).solution
            if is_last:
                return part
            found = self._located(part, table[number, :], table[number + 1, :])
            if abs(found - end) <= SETTLED * abs(end - begin):
                return part
            end = found
        raise NoDerivativeError(end, "the solution crosses a threshold of `fun` at a time that could not be determined")

    def _mesh(self, begin: float, end: float, *, is_first: bool, is_last: bool) -> Mesh:
        """Nodes of the old mesh, without those that crowd at a crossing."""
        solution, xp = self._old.solution, self._old.solution.xp
        way = solution.direction
        inner = solution.t[(way * solution.t > way * begin) & (way * solution.t < way * end)]
        nodes, fixed = [begin, *inner.tolist(), end], set()
        if solution.breaks is not None:
            fixed = set(solution.breaks.tolist())
        nodes = nodes if is_first else _thinned(nodes, fixed, 1 / CROWDED)
        nodes = nodes if is_last else _thinned(nodes[::-1], fixed, GROWTH)[::-1]
        ends = xp.asarray(sorted([begin, end]), dtype=solution.t.dtype)
        return Mesh(xp.asarray(nodes, dtype=solution.t.dtype), union(solution.breaks, ends))

    def _located(self, part: PiecewisePolynomial, modes: Array, after: Array) -> float:
        """When the solution of a stretch, or its continuation, crosses the threshold."""
        xp, first, last = part.xp, float(part.t[-2]), float(part.t[-1])
        places = xp.nonzero(modes != after)[0]

        def are_before(times: Array) -> Array:
            flat = xp.reshape(times, (-1,))
            flags = xp.all(self._actual(flat, part.evaluate(flat))[:, places] == modes[places], axis=1)
            return xp.reshape(flags, times.shape)

        def is_before(time: float) -> bool:
            return bool(are_before(xp.asarray([time], dtype=part.t.dtype))[0])

        with quiet():
            length, earlier = last - first, part.t[:-2].tolist()[::-1][:BACK]
            lows = (low for low in (*(last - share * length for share in REACH[:2]), first, *earlier) if is_before(low))
            highs = (high for high in (last + share * length for share in REACH) if not is_before(high))
            low, high = next(lows, None), next(highs, None)
            if low is None or high is None:
                raise NoDerivativeError(last, "the solution touches a threshold of `fun`, or hardly crosses it")
            first_after = _narrowed(are_before, xp.asarray([low]), xp.asarray([high]))
        return float(first_after[0])

    def _actual(self, times: Array, states: Array) -> Array:
        """The modes themselves, of those that are fixed."""
        return self._found.at(times, states)[:, self._flags]

    def _check(self, fixed: Fixed, whole: PiecewisePolynomial) -> None:
        """Raise where the modes along the solution are not those that are fixed, or the equations do not hold."""
        xp = whole.xp
        times = xp.reshape(whole.times(xp.asarray(SHARES)), (-1,))
        with quiet():
            states = whole.evaluate(times)
            off = xp.any(self._actual(times, states) != fixed.rows(times), axis=1)
            values, slopes = fixed.values(times, states), whole.derivative(times)
            loose = ~(xp.abs(values - slopes) <= LOOSE * _largest(values))
        if bool(xp.any(off)):
            time = float(times[int(xp.argmax(off))])
            raise NoDerivativeError(time, "the solution touches a threshold of `fun`, or slides along it")
        if bool(xp.any(loose)):
            raise RuntimeError(f"derivatives need a solution between crossings of thresholds; none was found. {REMEDY}")

    def _kicks(self, whole: PiecewisePolynomial) -> dict[int, Array]:
        """Derivatives of the states after crossings by those before, at their nodes."""
        xp, n = whole.xp, whole.y.shape[-1]
        found = {}
        for one in crossings(self._found, whole):
            if not bool(xp.any(one.counts)):
                continue
            kick = xp.zeros((*whole.y.shape[1:], n), dtype=whole.y.dtype) + xp.eye(n, dtype=whole.y.dtype)
            for leap, (by_state, _) in one.moves:
                rates = by_components(by_state, leap)
                outside = xp.any(rates != 0, axis=-1) != xp.any(leap != 0, axis=-1)
                if leap.ndim > 1 and bool(xp.any(outside & xp.any(leap != 0, axis=-1))):
                    raise NoDerivativeError(one.time, "a member of the batch crosses a threshold and others jump")
                kick = kick + leap[..., :, None] * rates[..., None, :]
            found[node_at(whole, one.time)] = xp.reshape(kick, (-1, n, n))
        return found


def _thinned(nodes: list[float], fixed: set[float], growth: float) -> list[float]:
    """Nodes without those after the first one up to which a step is shorter than the next one by more than a factor."""
    first, *rest = nodes
    while len(rest) > 1 and rest[0] not in fixed and abs(rest[1] - rest[0]) > growth * abs(rest[0] - first):
        rest = rest[1:]
    return [first, *rest]


def beside_crossings(trajectory: Trajectory, times: Array, states: Array) -> Array:
    """The states at which users' functions are called: a little aside of crossings, where they may be on any side."""
    solution, xp = trajectory.solution, trajectory.solution.xp
    found = states
    for node in trajectory.kicks:
        at, way = solution.t[node], solution.direction
        for side, interval in ((-1.0, node - 1), (1.0, node)):
            length = xp.abs(solution.steps[interval])
            near = (xp.abs(times - at) <= SAME * length) & (side * way * (times - at) >= 0)
            if bool(xp.any(near)):
                aside = solution.evaluate(xp.reshape(at + side * way * SAME * length, (1,)))
                found = xp.where(xp.reshape(near, (-1, *(1,) * (states.ndim - 1))), aside, found)
    return found


def reject_crossings(trajectory: Trajectory) -> None:
    """Raise if thresholds of the state are crossed, for parameters with which the function cannot be recorded."""
    for node in trajectory.kicks:
        raise RuntimeError(
            f"at t = {float(trajectory.solution.t[node]):.6g}, the solution crosses a threshold of `fun`, which cannot "
            f"be recorded with these parameters as variables: they may move the threshold. {REMEDY}"
        )


# Parameters


@dataclass(frozen=True, eq=False)
class Moving:
    """
    A trajectory with nodes at all crossings that depend on the state or parameters, and what parameters add there.

    `fixed` is the right-hand side with the modes that depend on them fixed; `shifts` are changes of the states right
    after nodes, `(*batch, n, p)`, by all numbers of the parameters in a row.
    """

    found: Jumping
    trajectory: Trajectory
    fixed: Fixed
    shifts: dict[int, Array]

    def gradient(self, times: Array, states: Array, adjoint: Array, after: Array) -> dict[int, Tree]:
        """
        The gradient by the arguments, from adjoint forcings at points and gradients `(N, B, n)` right after nodes.

        Raises
        ------
        NoCodeError
            If there are no derivatives.
        """
        recorded = self._recorded
        total = recorded.total(times, states, adjoint, self.fixed.rows)
        xp = array_namespace(after)
        for node, shift in self.shifts.items():
            bar = xp.reshape(after[node, ...], shift.shape[:-1])[..., None]
            terms = xp.real(xp.conj(bar) * shift) if shift.dtype.kind == "c" else bar * shift
            total = total + xp.sum(terms, axis=tuple(range(terms.ndim - 1)))
        return recorded.trees(total)

    @cached_property
    def _recorded(self) -> ByParameters:
        """The right-hand side with fixed modes; raises `NoCodeError` if differences contradict its derivatives."""
        rhs, keys = self.found.rhs, self.found.keys
        some, y = sampled(self.trajectory.solution)
        ByParameters(rhs, keys, self.found.recording).compare(some, y, 0 * y + 1)
        return ByParameters(rhs, keys, self.fixed.modes.fixed)

    def columns(self, times: Array, states: Array) -> Array:
        """Derivatives `(m, *batch, n, p)` of the right-hand side by all numbers; raises `NoCodeError`."""
        return self._recorded.columns(times, states, self.fixed.rows)

    @cached_property
    def places(self) -> dict[int, slice]:
        """Where the numbers of each argument are among all."""
        found, begin = dict[int, slice](), 0
        for key in self.found.keys:
            size = sum(one.size for one in given_of(self.found.rhs, (key,)))
            found[key], begin = slice(begin, begin + size), begin + size
        return found


def moving(found: Jumping, trajectory: Trajectory) -> Moving:
    """The trajectory with nodes where parameters move jumps or kinks, and by how much they move it there."""
    trajectory, every = with_crossings(found, trajectory)
    xp, shifts = trajectory.solution.xp, dict[int, Array]()
    for one in every:
        for leap, (_, by_parameters) in one.moves:
            node = node_at(trajectory.solution, one.time)
            shifts[node] = shifts.get(node, 0.0) + leap[..., None] * xp.astype(by_parameters, leap.dtype)
    fixed = fixed_along(found, every, found.matters, trajectory.solution)
    return Moving(found, trajectory, fixed, shifts)
