"""Solves a trajectory anew, from one crossing of a threshold of the state to the next."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from ..._arrays.namespace import Array, quiet
from ..core.mesh import Mesh, union
from ..core.polynomial import PiecewisePolynomial, joined
from ..core.tableaux import radau
from ..methods.collocation import Collocation
from .converge_fully import polished
from .crossing import REMEDY, Crossing, NoDerivativeError
from .crossings import crossings, narrowed
from .fixed_modes import Fixed, fixed_along
from .jumping import SHARES, Jumping, guards_at, largest_sizes
from .saltation import by_components, rounding_of
from .trajectory import Trajectory, node_at

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
        far = xp.abs(guards_at(found, times, states, modes))[:, one.before != one.after]
    return bool(xp.all(far[0, :] <= found.touch * xp.max(far, axis=0)))


class BetweenCrossings:
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
            return narrowed(are_before, low, high)

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
        near = old.solution
        for _ in range(ROUNDS):
            if not old.solution.direction * (end - begin) > 0:
                break
            mesh = self._mesh(begin, end, is_first=number == 0, is_last=is_last)
            given = replace(near.resampled(mesh, self._method.output).starting_at(state), breaks=mesh.breaks)
            near = part = polished(rhs, self._method, given).solution  # from another start it would differ by rounding
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
            first_after = narrowed(are_before, xp.asarray([low]), xp.asarray([high]))
        return float(first_after[0])

    def _actual(self, times: Array, states: Array) -> Array:
        """The modes themselves, of those that are fixed."""
        return self._found.at(times, states)[:, self._flags]

    def _check(self, fixed: Fixed, whole: PiecewisePolynomial) -> None:
        """
        Raise where the modes along the solution are not those that are fixed, or the equations do not hold.

        Right beside a crossing, in intervals as short as rounding, the mode is either one.
        """
        xp = whole.xp
        times = xp.reshape(whole.times(xp.asarray(SHARES)), (-1,))
        beside = xp.zeros_like(times) > 0
        for crossing in fixed.times:
            beside = beside | (xp.abs(times - crossing) <= rounding_of(whole))
        with quiet():
            states = whole.evaluate(times)
            off = ~beside & xp.any(self._actual(times, states) != fixed.rows(times), axis=1)
            values, slopes = fixed.values(times, states), whole.derivative(times)
            loose = ~(xp.abs(values - slopes) <= LOOSE * largest_sizes(values))
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
