"""
Whether derivatives of a recorded right-hand side change with time within steps, though the solution does not.

`sin(200 t) y` is zero along `y = 0`, whatever the steps are. Where steps are longer than the waves, their adjoint is
wrong, and no other check notices. For many solves in a row, the check is made once: it holds for all solutions that
differ little from the one that was checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, random_signs
from ..._functions.at_points import AtPoints
from ..core.polynomial import PiecewisePolynomial
from ..core.tableaux import gauss
from ..sensitivities.looks import POWER, Look, allowed, moved, sizes_of
from ..sensitivities.resolved import Places
from .recorded import FIRST, STATE, TIME

if TYPE_CHECKING:
    from ..._recorded.record import Recording

ALIKE, LONGER = 0.05, 1.5
"""Share of itself by which a number may have changed since the last look, and how many times as long steps may be."""


class Looked(NamedTuple):
    """
    The solution that was looked at.

    Attributes
    ----------
    numbers : tuple of arrays
        Parameters, the start, and both ends in time.
    nodes : array, shape (m,)
    rtol : float
    """

    numbers: tuple[Array, ...]
    nodes: Array
    rtol: float

    def stands_for(self, other: Looked) -> bool:
        """Whether another solution differs little from this one, and its steps are hardly longer."""
        xp = array_namespace(self.nodes)
        if other.rtol < self.rtol or len(other.numbers) != len(self.numbers):
            return False
        for old, new in zip(self.numbers, other.numbers, strict=True):
            if old.shape != new.shape or bool(xp.any(~(xp.abs(new - old) <= ALIKE * xp.abs(old)))):
                return False
        way = 1.0 if self.nodes[-1] > self.nodes[0] else -1.0
        lengths = way * (self.nodes[1:] - self.nodes[:-1])
        ends = xp.concat([lengths[:1], lengths, lengths[-1:]])
        lengths = xp.maximum(xp.maximum(ends[:-2], ends[1:-1]), ends[2:])  # output divides some of them
        middles = way * (other.nodes[1:] + other.nodes[:-1]) / 2
        places = xp.clip(xp.searchsorted(way * self.nodes, middles) - 1, 0, lengths.shape[0] - 1)
        return bool(xp.all(way * (other.nodes[1:] - other.nodes[:-1]) <= LONGER * xp.take(lengths, places)))


def misses_waves(
    recording: Recording, parameters: tuple[Any, ...], numbers: tuple[int, ...],
    solution: tuple[Array, Array], rtol: float,
) -> bool:  # fmt: skip
    """
    Whether derivatives change with time within steps, between nodes `(m,)` with states `(m, n)`.

    The derivatives are those by the states, and by the arguments of the recording with these `numbers`.
    """
    if not _depend_on_time(recording, numbers):
        return False
    nodes, states = solution
    xp, notes = array_namespace(states), recording.notes
    given = [xp.asarray(one) for one in parameters]
    own = (*(xp.asarray(one, copy=True) for one in given), states[0, :], nodes[:1], nodes[-1:])
    now, before = Looked(own, nodes, rtol), notes.get(("looked", numbers))
    if before is not None and before.stands_for(now):
        return False
    if "values" not in notes:
        notes["values"] = AtPoints(recording.program, tuple(range(FIRST, FIRST + len(parameters))))
    slopes = (states[1:, :] - states[:-1, :]) / (nodes[1:] - nodes[:-1])[:, None]
    places = Places(PiecewisePolynomial(gauss(1), nodes, states, slopes[:, None, :]), stacks=True)
    looks = _looks(notes["values"], given, numbers, places.solution)
    if any(places.needed(look, allowed(rtol), allowed(rtol)) for look in looks):
        return True
    notes["looked", numbers] = now
    return False


def _depend_on_time(recording: Recording, numbers: tuple[int, ...]) -> bool:
    """Whether the derivatives depend on time, by the record: those of `g(t) + f(y)` by `y` do not."""
    notes, key = recording.notes, ("depend on time", numbers)
    if key not in notes:
        from ..._recorded.pullbacks import pulled_back  # noqa: PLC0415 - slow to import

        notes[key] = recording.program.reads(TIME) and pulled_back(recording, [STATE, *numbers]).reads(TIME)
    found: bool = notes[key]
    return found


def _looks(values: AtPoints, given: list[Array], numbers: tuple[int, ...], solution: PiecewisePolynomial) -> list[Look]:
    """Effects of a change of all states, and of one of all parameters whose gradient is wanted; there are no kinks."""
    small = machine_epsilon(solution.y.dtype) ** POWER
    change = small * sizes_of(solution.y) * random_signs(solution.y.shape[1:], solution.y, seed=4)
    changed = [moved(one, 1.0) if FIRST + number in numbers else one for number, one in enumerate(given)]

    def by_states(t: Array, states: Array) -> tuple[Array, Array]:
        base = values(t, states, *given)[0]
        return values(t, states + change, *given)[0] - base, base

    def by_parameters(t: Array, states: Array) -> tuple[Array, Array]:
        base = values(t, states, *given)[0]
        return values(t, states, *changed)[0] - base, base

    return [Look(by_states, solution.xp.abs(change)), *([Look(by_parameters)] if numbers else [])]
