"""
Jumps of the right-hand side, triggered by the state, that a solution on a mesh misses.

A quantity that the function compares with a threshold may pass it and come back between two places of a mesh: in a
short range of the state, the function has another value. And where the quantity passes the threshold slowly, small
errors of the state move the time of the jump far. The record of the function shows both, however short the range is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, quiet, random_signs
from ..._functions.right_hand_side import RightHandSide
from ..._recorded.budget import NoCodeError
from ..core.mesh import among
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from .crossings import bisected
from .jumping import SHARES, Jumping, guards_at, jumping
from .turns import turns

EFFECT = 10.0
"""Change of the state by such a range, in tolerances, from which on it is looked at."""

MOST = 1000
"""Largest number of changes of comparisons between places: of more, as where a solution slides, none is looked at."""


UNLIKE = 3.0
"""Factor on what the slope of the solution misses there, so that it is no less than a jump that it has not seen."""

ASIDE = 1e-7
"""Distance in time, as a share of the span, by which the slope of what is compared is told."""


@dataclass(frozen=True)
class Missed:
    """
    What a solution misses.

    Attributes
    ----------
    times : array, shape (k,)
        At which it enters ranges of the state that it passed over, and leaves them, ascending.
    moved : float
        Largest change of the state, in tolerances, where an error of the state moves the time of a jump, or decides
        whether there is one.
    """

    times: Array
    moved: float = 0.0


def missed(rhs: RightHandSide, solution: PiecewisePolynomial, scale: Scale, share: float) -> Missed:
    """
    The jumps that the solution misses, as far as that is known.

    None are known where the function cannot be recorded, or no record is wanted.

    The errors of the solution are about this share of the tolerances.
    """
    nothing = Missed(solution.t[:0])
    if solution.y.ndim != 2:  # members of a batch have times of their own
        return nothing
    try:
        found = jumping(rhs, (), solution)
    except NoCodeError:
        return nothing
    if found is None or not bool(solution.xp.any(found.modes.by_state)):
        return nothing
    with quiet():
        return _Compared(found, solution, scale).missed(share)


@dataclass(frozen=True, eq=False)
class _Compared:
    """What a recorded function compares, along a solution."""

    found: Jumping
    solution: PiecewisePolynomial
    scale: Scale

    @cached_property
    def places(self) -> Array:
        """Times at which the mesh sees what the function is."""
        xp, solution = self.solution.xp, self.solution
        inner = xp.reshape(solution.times(xp.asarray(SHARES)), (-1,))
        return xp.concat([solution.t[:1], inner, solution.t[-1:]])

    @cached_property
    def crossings(self) -> tuple[Array, Array, Array, Array] | None:
        """Times, guards, and modes before and after; None if there are none, or too many."""
        xp, way, found, solution = self.solution.xp, self.solution.direction, self.found, self.solution
        further, _ = turns(found, solution, self.places, self._modes(self.places))
        further = further[~among(further, xp.sort(self.places))]
        times = way * xp.sort(way * xp.concat([self.places, further]))
        modes = self._modes(times)
        rows, guards = xp.nonzero((modes[1:, :] != modes[:-1, :]) & found.modes.by_state[None, :])
        if not 0 < rows.shape[0] <= MOST:
            return None
        at = bisected(found, solution, times[rows], times[rows + 1], guards, modes[rows, guards])
        return at, guards, modes[rows, :], modes[rows + 1, :]

    def missed(self, share: float) -> Missed:
        """See `missed`."""
        modes, moved = self.found.modes, 0.0
        if bool(self.solution.xp.all(modes.kinks | ~modes.by_state)):  # nothing jumps
            return Missed(self._hidden())
        for sign in (1.0, -1.0):
            other = self._aside(sign * share)
            moved = max(moved, self._unlike(other), other._unlike(self))
        return Missed(self._hidden(), max(moved, share * self._moved()))

    def _modes(self, times: Array) -> Array:
        return self.found.at(times, self.solution.evaluate(times))

    def _values(self, times: Array, modes: Array) -> Array:
        return self.found.values(times, self.solution.evaluate(times), modes)

    @property
    def _tolerances(self) -> Array:
        """Of the largest sizes of components."""
        return self.scale.atol + self.scale.rtol * self.solution.xp.max(self.solution.xp.abs(self.solution.y), axis=0)

    def _aside(self, share: float) -> _Compared:
        """The same along the solution with an error of so many tolerances."""
        y = self.solution.y
        signs = random_signs(tuple(y[0, :].shape), y, seed=0)
        return replace(self, solution=replace(self.solution, y=y + share * self._tolerances * signs))

    def _stretches(self) -> tuple[Array, Array]:
        """Times between which comparisons do not change."""
        xp, way = self.solution.xp, self.solution.direction
        at = self.places[:0] if self.crossings is None else way * xp.sort(way * self.crossings[0])
        differ = at[1:] != at[:-1]
        return at[:-1][differ], at[1:][differ]

    def _changes(self, begins: Array, ends: Array, others: Array) -> Array:
        """Changes of the state in stretches, in tolerances `(m, n)`, if other modes were right in their middle."""
        middles = begins + (ends - begins) / 2
        return self._sizes(begins, ends, self._values(middles, self._modes(middles)) - self._values(middles, others))

    def _sizes(self, begins: Array, ends: Array, slopes: Array) -> Array:
        """What slopes of stretches, added to that of the solution, change the state by, in tolerances."""
        xp = self.solution.xp
        return xp.abs((ends - begins)[:, None] * slopes) / self._tolerances

    def _unlike(self, other: _Compared) -> float:
        """The largest effect of a stretch in whose middle another solution has other modes."""
        begins, ends = self._stretches()
        if not begins.shape[0]:
            return 0.0
        return float(self.solution.xp.max(self._changes(begins, ends, other._modes(begins + (ends - begins) / 2))))

    def _hidden(self) -> Array:
        """Ends of stretches where the function differs from that on either side, and from the slope of the solution."""
        xp, way = self.solution.xp, self.solution.direction
        begins, ends = self._stretches()
        if not begins.shape[0]:
            return begins
        first, last = (xp.searchsorted(way * self.places, way * one, side="left") for one in (begins, ends))
        held, most = self._modes(self.places), self.places.shape[0] - 1
        before, behind = (self._changes(begins, ends, held[xp.clip(one, 0, most), :]) for one in (first - 1, last))
        middles = begins + (ends - begins) / 2
        slopes = self._values(middles, self._modes(middles)) - self.solution.derivative(middles)
        unlike = xp.minimum(xp.minimum(before, behind), UNLIKE * self._sizes(begins, ends, slopes))
        counts = xp.max(unlike, axis=1) > EFFECT
        return xp.unique_values(xp.concat([begins[counts], ends[counts]]))

    def _moved(self) -> float:
        """Largest change of the state, in tolerances, where an error of one tolerance moves the time of a jump."""
        if self.crossings is None:
            return 0.0
        xp, solution, (at, guards, before, after) = self.solution.xp, self.solution, self.crossings
        y, slopes, row = solution.evaluate(at), solution.derivative(at), xp.arange(at.shape[0])
        aside = ASIDE * (solution.t[-1] - solution.t[0])

        def compared(times: Array, states: Array) -> Array:
            return guards_at(self.found, times, states, before)[row, guards]

        signs = random_signs(tuple(y.shape), y, seed=0)
        errors = xp.abs(compared(at, y + self._tolerances * signs) - compared(at, y))
        ahead, behind = (compared(at + sign * aside, y + sign * aside * slopes) for sign in (1, -1))
        jumps = xp.max(xp.abs(self._values(at, after) - self._values(at, before)) / self._tolerances, axis=1)
        changes = jumps * errors * xp.abs(2 * aside) / xp.abs(ahead - behind)
        return float(xp.max(xp.where(xp.isfinite(changes), changes, xp.zeros_like(changes))))
