"""The right-hand side with its modes: the results of comparisons and other jumps, and the guards that change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from ..._functions.at_points import AtPoints
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import agree
from ..._recorded.budget import NoCodeError
from ..core.polynomial import PiecewisePolynomial
from .jacobian_check import UNLIKE
from .recorded_gradient import FIRST, as_point, as_states, entering, given_of, recording_of

if TYPE_CHECKING:
    from ..._recorded.modes import Modes
    from ..._recorded.record import Recording

SHARES = tuple((2 * k + 1) / 16 for k in range(8))
"""Places in an interval at which modes are looked at."""

LARGEST = 1 << 24
"""Modes of all guards at all places, at most."""

TOUCH, ERRORS, SMALLEST = 1e-6, 100.0, 1e-8
"""A guard is at its level where its distance is about the error of the solution, as a share of the largest one: the
first number; where tolerances are tighter, so many of these, but no less than the last number."""

COMPARED = 32
"""Times at which the record is compared with the function."""


@dataclass(frozen=True, eq=False)
class Jumping:
    """The right-hand side, recorded with the numbers in some arguments as arguments, and its modes."""

    rhs: RightHandSide
    keys: tuple[int, ...]
    recording: Recording
    modes: Modes
    kept: Array | None = None
    """Flags of these modes among all of the function; None: these are all."""
    touch: float = TOUCH
    """Distance from its level at which a guard may be there, as a share of the largest one."""

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


def touch_of(rtol: float) -> float:
    """Share of a guard's largest distance from its level that is about the error of a solution of some tolerance."""
    return min(TOUCH, max(ERRORS * rtol, SMALLEST))


def jumping(
    rhs: RightHandSide, keys: Sequence[int], solution: PiecewisePolynomial, touch: float = TOUCH
) -> Jumping | None:
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
    found = _few_enough(Jumping(rhs, keys, recording, recording.notes["modes"], touch=touch), solution)
    xp = solution.xp
    times, states = sampled(solution)
    with quiet():
        values, share = found.values(times, states, found.at(times, states)), machine_epsilon(states.dtype) ** 0.5
        if not agree(values, rhs(times, states), share, times, states, rhs):
            raise NoCodeError(UNLIKE)
    return found if bool(xp.any(found.matters)) else None


def _few_enough(found: Jumping, solution: PiecewisePolynomial) -> Jumping:
    """The modes, without those of kinks where all would be too many; raises if there are too many jumps, or none."""
    most = LARGEST // (solution.intervals * len(SHARES))
    if found.matters.shape[0] <= most:
        return found
    jumps = ~found.modes.kinks
    if int(found.xp.sum(jumps)) > most:
        raise NoCodeError("has too many thresholds")
    if not bool(found.xp.any(jumps)):
        raise NoCodeError("has too many kinks")
    return replace(found, modes=found.some(jumps), kept=jumps)


def sampled(solution: PiecewisePolynomial) -> tuple[Array, Array]:
    """A few times, equidistant, since nodes may crowd at jumps, and the states there."""
    xp, begin, end = solution.xp, solution.t[0], solution.t[-1]
    times = begin + (end - begin) * (xp.arange(COMPARED, dtype=solution.t.dtype) + 0.4375) / COMPARED
    return times, solution.evaluate(times)


def guards_at(found: Jumping, times: Array, states: Array, modes: Array) -> Array:
    """Guards `(m, k)`, with fixed modes."""
    evaluated = found.evaluated("guards themselves", found.modes.values, FIRST + 1)
    values: Array = evaluated(*as_point(times, states), modes, *found.given)[0]
    return values


def largest_sizes(values: Array) -> Array:
    """Largest sizes of components `(*batch, n)`."""
    xp, size = array_namespace(values), array_namespace(values).abs(values)
    return xp.max(xp.where(xp.isfinite(size), size, xp.zeros_like(size)), axis=0)
