"""Derivatives of the right-hand side by parameters along a trajectory, column by column: exact ones, or differences."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from math import prod

from ..._arrays.namespace import Array, array_namespace
from ..._functions.columns import by_differences, sizes, starts
from ..._functions.moved_jumps import warn_of_moved_jumps
from ..._functions.parameters import START, Chosen
from ..._functions.right_hand_side import RightHandSide
from ..._recorded.budget import NoCodeError
from .gradient import points_of
from .moving import Moving
from .recorded_gradient import ByParameters
from .recorded_gradient import by_parameters as of_recorded


@dataclass(frozen=True)
class Forcings:
    """
    The derivatives `∂f/∂θ` along a trajectory, one after the other for all chosen parameters; zero for the start.

    Parameters
    ----------
    rhs : RightHandSide
    chosen : Chosen
    moving : Moving, optional
        Jumps that some of the parameters move.
    kinked : bool
        Whether the right-hand side is known to have kinks.
    """

    rhs: RightHandSide
    chosen: Chosen
    moving: Moving | None = None
    kinked: bool = False
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

    def shifts(self, n: int) -> dict[int, Array] | None:
        """Changes `(B, k, n)` right after the nodes at which jumps move."""
        if self.moving is None:
            return None
        moving, found = self.moving, dict[int, Array]()
        for node, shift in moving.shifts.items():
            xp, parts, places = array_namespace(shift), [], moving.places
            for key, size in zip(self.chosen.keys, sizes(self.chosen, self.rhs.args, n), strict=True):
                none = xp.zeros((*shift.shape[:-1], size), dtype=shift.dtype)
                parts.append(shift[..., places[int(key)]] if key != START and int(key) in places else none)
            rows = xp.concat(parts, axis=-1)
            found[node] = xp.matrix_transpose(xp.reshape(rows, (-1, *rows.shape[-2:])))
        return found

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
        known = set() if self.moving is None else set(self.moving.places)
        keys = (int(key) for key in self.chosen.keys if key != START)
        checked = tuple(key for key in keys if key not in known and self._may_move(key))
        points = points_of(self.rhs, times, states)
        chosen = Chosen(checked, self.chosen.alone, self.chosen.own)
        warn_of_moved_jumps(points, xp.ones_like(states), chosen, in_time=True)

    def _may_move(self, key: int) -> bool:
        found = self._exact.get(key)
        return found is None or found.moves_jumps(key)

    def _by(self, key: int, times: Array, states: Array) -> Array:
        """By an argument: the function recorded with it, or differences where that cannot be done."""
        if self.moving is not None and key in self.moving.places:
            with suppress(NoCodeError):
                return self.moving.columns(times, states)[..., self.moving.places[key]]
        if key not in self._exact:
            self._exact[key] = None
            with suppress(NoCodeError):
                recorded = of_recorded(self.rhs, [key])
                recorded.compare(times, states, array_namespace(states).ones_like(states))
                self._exact[key] = recorded
        found = self._exact[key]
        if found is not None:
            with suppress(NoCodeError):
                return found.columns(times, states)
        return by_differences(points_of(self.rhs, times, states), key, states, kinked=self.kinked)
