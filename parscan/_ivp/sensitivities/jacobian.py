"""Derivatives of the right-hand side by parameters, column by column: exact ones, or differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, array_namespace, contiguous, machine_epsilon, quiet
from ..._functions.at_points import AtPoints
from ..._functions.columns import sizes
from ..._functions.differences import POWER
from ..._functions.moved_jumps import warn_of_moved_jumps
from ..._functions.parameters import START, Chosen, Leaf, leaves, like, noting_integers
from ..._functions.right_hand_side import RightHandSide
from ..._recorded.budget import NoCodeError
from .gradient import points_of
from .recorded_gradient import FIRST, ByParameters, as_point, as_states, entering
from .recorded_gradient import by_parameters as of_recorded

if TYPE_CHECKING:
    from ..._recorded.record import Recording


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
                continue
            found = self._recorded(int(key), times, states)
            parts.append(self._differences(int(key), times, states) if found is None else found)
        return xp.concat(parts, axis=-1)

    def start(self, states: Array) -> Array:
        """Changes `(B, k, n)` of the start, like which `states` `(…, *batch, n)` are."""
        (*batch, n), xp = self.rhs.y0.shape, array_namespace(states)
        widths = sizes(self.chosen, self.rhs.args, n)
        rows = [
            (xp.eye(n, dtype=states.dtype) if key == START else xp.zeros((width, n), dtype=states.dtype))
            for key, width in zip(self.chosen.keys, widths, strict=True)
        ]
        joined = xp.concat(rows)
        return xp.broadcast_to(joined, (prod(batch), *joined.shape))

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

    def _recorded(self, key: int, times: Array, states: Array) -> Array | None:
        """By the function recorded with the argument; None if that cannot be done."""
        if key not in self._exact:
            self._exact[key] = None
            with suppress(NoCodeError):
                recorded = of_recorded(self.rhs, [key])
                recorded.compare(times, states, array_namespace(states).ones_like(states))
                self._exact[key] = recorded
        found = self._exact[key]
        if found is not None:
            with suppress(NoCodeError):
                return columns(found, times, states)
        return None

    def _differences(self, key: int, times: Array, states: Array) -> Array:
        """By central differences, entry by entry."""
        xp, tree = array_namespace(states), self.rhs.args[key]
        own = list(leaves(f"args[{key}]", tree).values())
        found = []
        with quiet(), noting_integers(f"args[{key}]", tree):
            for position, leaf in enumerate(own):
                for size, changed in _changed(leaf, machine_epsilon(states.dtype)):
                    ahead, behind = (
                        self._with(key, [*own[:position], changed(sign), *own[position + 1 :]])(times, states)
                        for sign in (1.0, -1.0)
                    )
                    found.append((ahead - behind) / (2 * size))
        return xp.stack(found, axis=-1) if found else xp.zeros((*states.shape, 0), dtype=states.dtype)

    def _with(self, key: int, own: list[Leaf]) -> RightHandSide:
        args = list(self.rhs.args)
        args[key] = like(args[key], iter(own))
        return self.rhs.with_args(tuple(args))


def _changed(leaf: Leaf, epsilon: float) -> Iterator[tuple[float, Callable[[float], Leaf]]]:
    """For each entry of a leaf, the size of a change, and the leaf changed by it, times a sign."""
    if isinstance(leaf, float):
        size = epsilon**POWER * (abs(leaf) or 1.0)
        yield size, lambda sign: leaf + sign * size
        return
    xp = array_namespace(leaf)
    flat = xp.reshape(leaf, (-1,))
    largest = float(xp.max(xp.abs(flat))) if flat.shape[0] else 0.0
    for k in range(flat.shape[0]):
        size = epsilon**POWER * (abs(float(flat[k])) or largest or 1.0)
        unit = xp.astype(xp.arange(flat.shape[0]) == k, leaf.dtype)

        def changed(sign: float, unit: Array = unit, size: float = size) -> Leaf:
            return xp.reshape(flat + sign * size * unit, leaf.shape)

        yield size, changed


def columns(recorded: ByParameters, times: Array, states: Array) -> Array:
    """Derivatives `(m, *batch, n, k)` by the recorded arguments; raises `NoCodeError`."""
    notes, given = recorded.recording.notes, recorded.given
    if "columns" not in notes:
        notes["columns"] = _columns(recorded.recording, range(FIRST, FIRST + len(given)))
    code, places = notes["columns"]
    code.prepare(times.shape[0])
    found = code(*as_point(times, states), *given)
    xp, m, parts = array_namespace(states), times.shape[0], []
    for entries, (rows, which), one in zip(found, places, given, strict=True):
        whole = xp.zeros((m, recorded.recording.result.size, one.size), dtype=entries.dtype)
        whole[:, rows, which] = entries
        parts += [whole[..., k] for k in range(one.size)]
    shaped = [as_states(contiguous(part), states) for part in parts]
    return xp.stack(shaped, axis=-1) if shaped else xp.zeros((*states.shape, 0), dtype=states.dtype)


def _columns(recording: Recording, numbers: range) -> tuple[AtPoints, list[tuple[Any, Any]]]:
    """The program of the entries of the Jacobians by some arguments, and their rows and columns."""
    with entering():
        from ..._recorded.differentiate import jacobian  # noqa: PLC0415 - slow to import

        flat = recording.result.with_ids(recording.result.ids.reshape(-1))
        found = [jacobian(recording.graph, flat, recording.arguments[number]) for number in numbers]
        program = recording.extract(*(one[2] for one in found))
        return AtPoints(program, tuple(numbers)), [(rows, which) for rows, which, _ in found]
