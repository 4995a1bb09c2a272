"""The recorded step at the points of a solution: its values, which are compared with the step's, and its Jacobians."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from ..._arrays.elementwise import is_complex
from ..._arrays.namespace import Array, array_namespace, quiet
from ..._functions.at_points import AtPoints, pairs
from ..._functions.verify import apart, unlike_step
from ..._linalg.dense import Dense
from ..._linalg.structure import Structure
from ..._recorded.budget import NoCodeError
from ..checks.contradiction import WELL_OFF
from ..systems.recorded_step import record_step
from .solution import SAMPLE, Solution

if TYPE_CHECKING:
    from ..._recorded.linearised import Linearised
    from ..._recorded.record import Recording

MOST = 1_000_000
"""Operations of a step with its derivatives, at most: beyond, differences take less memory and time."""

MOST_TOGETHER = 2048
"""Components of members that depend on each other, all in one matrix for each step."""

UNLIKE = "gives other values than its recorded operations"
SEVERAL = "couples the members of the batch"

_lock = threading.Lock()
"""Held by whoever enters operations into a graph."""


@dataclass(frozen=True)
class RecordedJacobians:
    """
    Exact Jacobians of the step along a solution.

    Parameters
    ----------
    solution : Solution
    structure : Structure
        Family that they belong to.
    shape : tuple of int
        Of the states: that of all members, or of one vector of them if they depend on each other.
    code : AtPoints
        The program `(y, *x) -> (value, entries)`.
    sources, targets : arrays of int
        Entries, and where they stand in the matrices of all members, in the structure's layout.
    """

    solution: Solution
    structure: Structure
    shape: tuple[int, ...]
    code: AtPoints
    sources: Array
    targets: Array

    def of_steps(self, begin: int, end: int) -> Array:
        """Jacobians of the steps `begin` to `end`."""
        y0, (*batch, n) = self.solution.y0, self.shape
        xp, layout = array_namespace(y0), self.structure.shape(n)
        found = self.code(*arguments(self.solution, self.solution.before(begin, end), slice(begin, end)))[1]
        size = prod(batch) * prod(layout)
        if is_complex(y0):
            real, imaginary = found[:, self.sources[0]], found[:, self.sources[1]]
            known = self.sources >= 0
            entries = xp.where(known[0], real, 0.0) + 1j * xp.where(known[1], imaginary, 0.0)
            entries = xp.astype(entries, y0.dtype, copy=False)
        else:
            entries = found if _is_all(self.sources, found.shape[1]) else found[:, self.sources[0]]
        if not _is_all(self.targets[None, ...], size):
            matrices = xp.zeros((end - begin, size), dtype=y0.dtype)
            matrices[:, self.targets] = entries
            entries = matrices
        return xp.reshape(entries, (end - begin, *batch, *layout))


def _is_all(places: Array, count: int) -> bool:
    """Whether places are `0, 1, ..., count - 1`."""
    return bool(places.shape[-1] == count and (places == array_namespace(places).arange(count)).all())


def arguments(solution: Solution, states: Array, times: slice) -> list[Array]:
    """Arguments of programs at some steps, before which there are these states."""
    x = solution.step.inputs(times)
    given = () if x is None else x if isinstance(x, tuple) else (x,)
    return [pairs(states), *map(pairs, given)]


def limits(solution: Solution) -> Array:
    """Distances of a step from the trajectory that say nothing: an absolute one, and one in units of the states."""
    tolerance, like = solution.tolerance, pairs(solution.y0)
    return array_namespace(like).asarray([WELL_OFF * tolerance.atol, WELL_OFF * tolerance.rtol], dtype=like.dtype)


def recording_of(solution: Solution) -> Recording:
    """The recording of the step, compared with the step on a sample of the solution; raises `NoCodeError`."""
    if solution.compiles is False:
        raise NoCodeError("is not recorded, as `compile=False` asks")
    recording = record_step(solution.step, solution.y0[None, ...])
    values = noted(recording.notes, "at points", lambda: AtPoints(recording.program))
    values.prepare(SAMPLE)
    compare(solution, lambda states, times: values(*arguments(solution, states, times))[0])
    return recording


def compare(solution: Solution, values: Callable[[Array, slice], Array]) -> None:
    """Compare recorded values with those of the step on a sample of the solution; raises `NoCodeError`."""
    step, xp = solution.step, array_namespace(solution.y0)
    for times, states in solution.sample():
        with quiet():
            expected = step(xp.asarray(states, copy=True), times)
            found = as_states(values(states, times), states)
            off = apart(xp, found, expected)
            rows = range(*times.indices(solution.steps))
            if bool(xp.any(off)) and unlike_step(step, states, rows, found - expected, off):
                raise NoCodeError(UNLIKE)


def as_states(found: Array, like: Array) -> Array:
    """Values of a program in the shape and dtype of states."""
    xp = array_namespace(like)
    if is_complex(like):
        found = xp.ascontiguousarray(found).view(like.dtype)
    return xp.reshape(found, like.shape)


def noted(notes: dict[Any, Any], key: Any, make: Callable[[], Any]) -> Any:
    """What is kept with a recording, made once."""
    if key not in notes:
        notes[key] = make()
    return notes[key]


def recorded_jacobians(solution: Solution) -> RecordedJacobians:
    """Exact Jacobians along a solution; raises `NoCodeError` with the reason why there are none."""
    if not solution.steps:
        raise NoCodeError("has not been evaluated")
    recording = recording_of(solution)
    places, code = noted(recording.notes, "jacobians at points", lambda: _derived(recording))
    wanted, shape = solution.step.structure, solution.y0.shape
    fitting = _fit(solution, wanted, places, shape)
    if fitting is None:
        wanted, shape = Dense(), (prod(shape),)
        if prod(shape) > MOST_TOGETHER:
            raise NoCodeError(SEVERAL)
        fitting = _fit(solution, wanted, places, shape)
    if fitting is None:
        raise NoCodeError(SEVERAL)
    sources, targets, rest = fitting
    structure = wanted
    if rest.shape[0] and _matter(solution, code, rest):
        structure = Dense()
        sources, targets, _ = _fit(solution, structure, places, shape) or fitting
    code.prepare(solution.steps)
    return RecordedJacobians(solution, structure, shape, code, sources, targets)


def _derived(recording: Recording) -> tuple[Linearised, AtPoints]:
    """The derivative of a recorded step by its state."""
    from ..._recorded.linearised import values_and_entries  # noqa: PLC0415 - slow to import

    found = entered(lambda: values_and_entries(recording, 0))
    if found.program.operations > MOST:
        raise NoCodeError(f"has {found.program.operations} operations with its derivatives")
    return found, AtPoints(found.program)


def _fit(
    solution: Solution, structure: Structure, places: Linearised, shape: tuple[int, ...]
) -> tuple[Array, Array, Array] | None:
    """
    Entries that belong to a family, and where they stand in its layout; and those that do not belong to it.

    For complex states these are entries of the real parts, and of the imaginary ones, by the real parts; -1 for those
    that are zero. None if members of a batch depend on each other.
    """
    y0 = solution.y0
    xp, n, numbers = array_namespace(y0), shape[-1], 1 + is_complex(y0)
    rows, columns = xp.asarray(places.rows) // numbers, xp.asarray(places.columns) // numbers
    parts = xp.asarray(places.rows) % numbers
    if bool(xp.any(rows // n != columns // n)):
        return None
    layout = xp.reshape(structure.from_dense(xp.reshape(xp.arange(n * n), (n, n))), (-1,))
    where = xp.full((n * n,), -1)
    where[layout] = xp.arange(layout.shape[0])
    place = where[rows % n * n + columns % n]
    target = rows // n * layout.shape[0] + place
    by_real = xp.asarray(places.columns) % numbers == 0
    rest = xp.nonzero(place < 0)[0]
    targets = xp.sort(xp.unique_values(target[(place >= 0) & by_real]))
    sources = xp.full((numbers, targets.shape[0]), -1)
    for part in range(numbers):
        some = xp.nonzero((place >= 0) & by_real & (parts == part))[0]
        sources[part, xp.searchsorted(targets, target[some])] = some
    return sources, targets, rest


def _matter(solution: Solution, code: AtPoints, rest: Array) -> bool:
    """Whether entries differ from zero on a sample of the solution."""
    return any(
        bool((code(*arguments(solution, states, times))[1][:, rest] != 0).any()) for times, states in solution.sample()
    )


def entered(derive: Callable[[], Any]) -> Any:
    """Derivatives, entered into a graph; raises `NoCodeError`."""
    from ..._recorded.graph import TooLarge  # noqa: PLC0415
    from ..._recorded.refusal import Refused  # noqa: PLC0415 - slow to import

    try:
        with _lock:
            return derive()
    except Refused as error:
        raise NoCodeError(str(error)) from error
    except TooLarge as error:
        raise NoCodeError("has too many operations with its derivatives") from error
