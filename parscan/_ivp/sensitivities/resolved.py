"""
Trajectories with further nodes where derivatives of the right-hand side change, and the solution does not.

Steps of a solver follow the solution. Where a term is zero along it, as `g(t) y` is at `y = 0`, they do not see g, but
changes of the solution do. So the right-hand side is looked at beside the solution, with all states changed by a
little, and with all parameters: what that changes is to be nearly a polynomial in each interval, or the interval is
halved, again and again. A jump of g is enclosed in this way by intervals so short that they add no error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb, prod

from ..._arrays.elementwise import as_reals, is_complex
from ..._arrays.memory import at_once
from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, to_numpy
from ..._functions.differences import ROUNDINGS
from ..._recorded.budget import NoCodeError
from ..core.polynomial import PiecewisePolynomial
from .converge_fully import polished, with_nodes
from .crossing import warn_of_changes
from .looks import POWER, Look, allowed, at_parameters, at_states, sizes_of
from .recorded_gradient import recording_of
from .trajectory import Forced, Trajectory

LIKE_THE_SOLUTION = 10.0
"""Errors that count are larger by this factor than those of the right-hand side along the solution."""

LEFT = 0.1
"""Errors that are left in parts of such an interval, in relative tolerances: there may be many parts."""

DEGREE, PARTS = 6, 24
"""Degree of the polynomials, and least number of parts of an interval between which values are looked at."""

EVERYWHERE, SAMPLES = 4096, 512
"""Parts of the whole span where the function takes many times at once, and where it takes one: what lasts longer than
one of them is seen, however long the intervals are."""

ORDER, SURE = 8, 12.0
"""Of differences that tell noise, and by which it may be larger."""

EDGE = 1e-6
"""Share of an interval from either end within which no values are taken: the function may jump at nodes."""

HALVINGS, FURTHER = 50, 4096
"""How often an interval is halved at most, and how many nodes are added."""

NEAR = 1e-10
"""Distance up to which a breakpoint is the same one, as a share of the largest time, or of the span."""


def at_corners(trajectory: Trajectory, rtol: float) -> Trajectory:
    """The trajectory with nodes where its recorded right-hand side has corners or narrow pulses in time alone."""
    solution = trajectory.solution
    try:
        recording = recording_of(trajectory.rhs, ())
    except NoCodeError:
        return trajectory
    if "switches" not in recording.notes:
        from ..._recorded.switches import switches  # noqa: PLC0415 - slow to import

        recording.notes["switches"] = switches(recording.program)
    if recording.notes["switches"] is None or solution.intervals < 1:
        return trajectory
    from ..._recorded.ends_of_steps import ends_of_steps  # noqa: PLC0415 - slow to import

    found = ends_of_steps(recording.notes["switches"], (), *sorted((float(solution.t[0]), float(solution.t[-1]))))
    places = solution.mesh.at_breaks
    for node in trajectory.kicks:
        places = places | (solution.xp.arange(solution.t.shape[0]) == node)
    breaks = solution.t[places]
    corners, stops = (
        _others(given, known, solution) for given, known in ((found.strong(rtol), breaks), (found.stops, solution.t))
    )
    if stops.shape[0]:
        trajectory = with_nodes(trajectory, stops)
    if not corners.shape[0]:
        return trajectory
    mesh = trajectory.solution.mesh.broken_at(corners).with_breaks()
    refined = polished(trajectory.rhs, trajectory.method, trajectory.solution.resampled(mesh))
    return trajectory.on(refined.solution)


def _others(times: Array, known: Array, solution: PiecewisePolynomial) -> Array:
    """Times within a solution that are none of others, up to rounding."""
    xp, t = solution.xp, solution.t
    near = NEAR * xp.maximum(xp.max(xp.abs(t)), xp.abs(t[-1] - t[0]))
    for one in (t[:1], t[-1:], known):
        if one.shape[0] and times.shape[0]:
            times = times[xp.min(xp.abs(times[:, None] - one[None, :]), axis=1) > near]
    return times


def resolved(trajectory: Trajectory, rtol: float) -> Trajectory:
    """The trajectory with further nodes where derivatives by the states, or by parameters, need them."""
    rhs, solution = trajectory.rhs, trajectory.solution
    if not solution.y.size:
        return trajectory
    looks = at_states(rhs, solution), at_parameters(rhs, solution)
    return _with(trajectory, [look for look in looks if look is not None], rtol)


def resolving(trajectory: Trajectory, forcing: Forced, rtol: float) -> Trajectory:
    """The same for a forcing."""

    def along(t: Array, states: Array) -> tuple[Array, Array]:
        values = forcing(t, states)
        return values, array_namespace(values).zeros((values.shape[0], 1), dtype=values.dtype)

    return _with(trajectory, [Look(along)], rtol)


def _with(trajectory: Trajectory, looks: list[Look], rtol: float) -> Trajectory:
    """The trajectory with further nodes where looks need them."""
    solution = trajectory.solution
    if not solution.y.size or solution.intervals < 1:
        return trajectory
    xp, places = solution.xp, Places(solution, stacks=trajectory.rhs.stacks)
    nodes = [node for look in looks for node in places.needed(look, allowed(rtol), LEFT * rtol)]
    if not nodes:
        return trajectory
    return with_nodes(trajectory, xp.asarray(nodes, dtype=solution.t.dtype))


@dataclass(frozen=True)
class Places:
    """Where a solution is looked at."""

    solution: PiecewisePolynomial
    stacks: bool

    def needed(self, look: Look, most: float, wanted: float) -> list[float]:
        """Nodes in intervals with larger errors than `most`, so that the parts have errors as small as `wanted`."""
        xp, found = self.solution.xp, list[float]()
        begins, ends = self.solution.begins, self.solution.ends
        own, sizes = (None if one is None else self._columns(one) for one in (look.change, sizes_of(self.solution.y)))
        with quiet():
            if own is None:
                effects = [_effect(values, lengths) for _, lengths, values, _ in self._looked(look, begins, ends)]
                own = xp.sum(xp.concat(effects), axis=0)
            if not own.shape[0]:  # a forcing without columns
                return found
            for halving in range(HALVINGS):
                allowed = wanted if halving else most
                off = [
                    numbers[_missed(values, base, lengths, own, sizes) > allowed]
                    for numbers, lengths, values, base in self._looked(look, begins, ends)
                ]
                some = xp.sort(xp.concat(off)) if off else xp.zeros(0, dtype=xp.int64)
                if not some.shape[0]:
                    return found
                begins, ends = xp.take(begins, some), xp.take(ends, some)
                middles = begins + (ends - begins) / 2
                found += to_numpy(middles).tolist()
                if len(found) > FURTHER:
                    warn_of_changes(float(begins[0]))
                    return found
                begins, ends = xp.concat([begins, middles]), xp.concat([middles, ends])
        return found

    def _columns(self, sizes: Array) -> Array:
        """Sizes `(C,)` of all columns of states, from those of components `(*batch, n)`."""
        xp = self.solution.xp
        found = xp.reshape(sizes, (-1,))
        return xp.concat([found, found]) if is_complex(self.solution.y) else found

    def _looked(self, look: Look, begins: Array, ends: Array) -> Iterator[tuple[Array, Array, Array, Array]]:
        """Numbers `(k,)` of intervals, their lengths, and values `(m, k, C)` in them, in groups of few."""
        xp, solution = self.solution.xp, self.solution
        lengths, span = xp.abs(ends - begins), float(xp.abs(solution.t[-1] - solution.t[0]))
        wanted = lengths / (span or 1.0) * (EVERYWHERE if self.stacks else SAMPLES) / PARTS
        parts = PARTS * xp.astype(2 ** xp.ceil(xp.log2(xp.clip(wanted, 1.0, None))), xp.int64)
        for count in sorted(set(to_numpy(parts).tolist())):
            every = xp.nonzero(parts == count)[0]
            size = at_once((count + 1) * prod(solution.y.shape[1:]))
            for first in range(0, every.shape[0], size):
                some = every[first : min(first + size, every.shape[0])]
                shares = xp.clip(xp.arange(count + 1, dtype=solution.t.dtype) / count, EDGE, 1 - EDGE)
                low = xp.take(begins, some)
                times = low + shares[:, None] * (xp.take(ends, some) - low)
                flat = xp.reshape(times, (-1,))
                both = (_rows(one) for one in look.along(flat, solution.evaluate(flat)))
                values, base = (xp.reshape(one, (*times.shape, one.shape[-1])) for one in both)
                yield some, xp.take(lengths, some), values, base


def _missed(values: Array, base: Array, lengths: Array, own: Array, sizes: Array) -> Array:
    """
    Shares `(k,)` of a change that are missed if values `(m, k, C)` are taken for polynomials in their intervals.

    Less so many times as much as is missed of the right-hand side itself, which the solution stands, and but for
    rounding: that of the right-hand side, and of large terms in it that cancel.
    """
    xp, epsilon = array_namespace(values), machine_epsilon(base.dtype)
    carried = xp.max(xp.abs(base), axis=0) + xp.max(xp.abs(values), axis=0) / epsilon**POWER
    stood = LIKE_THE_SOLUTION * _share(xp.max(xp.abs(_left(base)), axis=0), base, lengths, sizes)
    left = xp.max(xp.abs(_left(values)), axis=0)
    left = xp.where(left > xp.maximum(ROUNDINGS * epsilon * carried, _noise(values)), left, xp.zeros_like(left))
    return _share(left, values, lengths, own) - stood


def _noise(values: Array) -> Array:
    """Noise `(k, C)` of values `(m, k, C)`, by high differences: a quartile, as a jump is in half of them at most."""
    left = values
    for _ in range(ORDER):
        left = left[1:, ...] - left[:-1, ...]
    xp, some = array_namespace(left), left.shape[0] // 4
    return SURE * xp.sort(xp.abs(left), axis=0)[some, ...] / comb(2 * ORDER, ORDER) ** 0.5


def _share(left: Array, values: Array, lengths: Array, own: Array) -> Array:
    """The largest share `(k,)` of any column that is left of values."""
    xp = array_namespace(values)
    left = lengths[:, None] * xp.where(xp.isfinite(left), left, xp.zeros_like(left))
    share = left / (own + _effect(values, lengths))
    return xp.max(xp.where(left > 0, share, xp.zeros_like(share)), axis=1)


def _effect(values: Array, lengths: Array) -> Array:
    """Effects `(k, C)` of values in intervals; zero of those that are not finite."""
    xp = array_namespace(values)
    size = xp.max(xp.abs(values), axis=0)
    return lengths[:, None] * xp.where(xp.isfinite(size), size, xp.zeros_like(size))


def _left(values: Array) -> Array:
    """What is left of values `(m, k, C)` at evenly spaced places beside polynomials."""
    xp, m = array_namespace(values), values.shape[0]
    places = 2 * xp.arange(m, dtype=values.dtype) / (m - 1) - 1
    basis = xp.linalg.qr(xp.stack([places**k for k in range(DEGREE + 1)], axis=1))[0]
    columns = xp.reshape(values, (m, -1))
    return xp.reshape(columns - basis @ (basis.T @ columns), values.shape)


def _rows(values: Array) -> Array:
    """Values `(m, …)` as real ones `(m, C)`."""
    xp = array_namespace(values)
    return as_reals(xp, xp.reshape(values, (values.shape[0], -1)))
