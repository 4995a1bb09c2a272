"""Derivatives of the right-hand side by parameters along a trajectory, column by column: exact ones, or differences."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from math import prod

from ..._arrays.namespace import Array, array_namespace, contiguous
from ..._functions.columns import ByRecord, by_differences, sizes, starts
from ..._functions.moved_jumps import warn_of_moved_jumps
from ..._functions.parameters import START, Chosen
from ..._functions.right_hand_side import RightHandSide
from ..._recorded.budget import NoCodeError
from .gradient import points_of
from .recorded_gradient import FIRST, ByParameters, as_point, as_states, entering
from .recorded_gradient import by_parameters as of_recorded


@dataclass(frozen=True)
class Forcings:
    """
    The derivatives `∂f/∂θ` along a trajectory, one after the other for all chosen parameters; zero for the start.

    Parameters
    ----------
    rhs : RightHandSide
    chosen : Chosen
    """

    rhs: RightHandSide
    chosen: Chosen
    _seen: list[tuple[Array, Array]] = field(default_factory=list)
    _exact: dict[int, ByParameters | None] = field(default_factory=dict)

    def __call__(self, times: Array, states: Array) -> Array:
        """Forcings `(m, *batch, n, k)` at the times `(m,)` and states `(m, *batch, n)`."""
        xp, parts = array_namespace(states), []
        self._seen.append((times, states))
        for key, size in zip(self.chosen.keys, sizes(self.chosen, self.rhs.args, states.shape[-1]), strict=True):
            if key == START:
                parts.append(xp.zeros((*states.shape, size), dtype=states.dtype))
            else:
                parts.append(self._by(int(key), times, states))
        return xp.concat(parts, axis=-1)

    def start(self, states: Array) -> Array:
        """Changes `(B, k, n)` of the start, like which states `(…, n)` are."""
        rows = starts(self.chosen, self.rhs.args, states)
        return array_namespace(states).broadcast_to(rows, (prod(self.rhs.y0.shape[:-1]), *rows.shape))

    def warn_of_moved_jumps(self) -> None:
        """Warn of parameters that move a jump of the function."""
        if not self._seen or not self._seen[0][1].size:
            return
        xp = array_namespace(self._seen[0][1])
        times, states = (xp.concat(list(column)) for column in zip(*self._seen, strict=True))
        checked = tuple(key for key in self.chosen.keys if key != START and self._may_move(int(key)))
        points = points_of(self.rhs, times, states)
        chosen = Chosen(checked, self.chosen.alone, self.chosen.own)
        warn_of_moved_jumps(points, xp.ones_like(states), chosen, in_time=True)

    def _may_move(self, key: int) -> bool:
        found = self._exact.get(key)
        return found is None or found.moves_jumps(key)

    def _by(self, key: int, times: Array, states: Array) -> Array:
        """By an argument: the function recorded with it, or differences where that cannot be done."""
        if key not in self._exact:
            self._exact[key] = None
            with suppress(NoCodeError):
                recorded = of_recorded(self.rhs, [key])
                recorded.compare(times, states, array_namespace(states).ones_like(states))
                self._exact[key] = recorded
        found = self._exact[key]
        if found is not None:
            with suppress(NoCodeError):
                return _columns(found, times, states)
        return by_differences(points_of(self.rhs, times, states), key, states)


def _columns(recorded: ByParameters, times: Array, states: Array) -> Array:
    """Derivatives `(m, *batch, n, k)` by the recorded arguments; raises `NoCodeError`."""
    notes, given = recorded.recording.notes, recorded.given
    if "columns" not in notes:
        with entering():
            notes["columns"] = ByRecord(recorded.recording, range(FIRST, FIRST + len(given)))
    derived: ByRecord = notes["columns"]
    derived.code.prepare(times.shape[0])
    xp, found = array_namespace(states), derived(*as_point(times, states), *given)
    parts = [as_states(contiguous(part), states) for part in found]
    return xp.stack(parts, axis=-1) if parts else xp.zeros((*states.shape, 0), dtype=states.dtype)
