"""The right-hand side with its modes fixed between given times: it is smooth from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, array_namespace
from ..._functions.at_points import AtPoints
from ..._functions.code import Code
from ..core.polynomial import PiecewisePolynomial
from .crossing import Crossing, NoDerivativeError
from .jumping import SHARES, Jumping
from .recorded_gradient import FIRST, as_point, as_states, entering

if TYPE_CHECKING:
    from ..._recorded.modes import Modes


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
