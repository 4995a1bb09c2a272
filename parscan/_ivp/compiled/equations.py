"""Implicit equations `F(t, y, y') = 0` as recorded operations: found again at later solves, and compared with `fun`."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import takewhile
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._arrays.namespace import Array, array_namespace, quiet
from ..._recorded.budget import NoCodeError
from ..implicit.problem import ImplicitProblem
from .recorded import EXAMPLE, LARGEST, MOST_NODES, STATE, is_parameter, recorder
from .solvers import FEW

if TYPE_CHECKING:
    from ..._recorded.implicit_equations import Pencil
    from ..._recorded.native.integrate import Solver
    from ..._recorded.program import Program
    from ..._recorded.record import Recording

SHARE = 2.0**-36
"""Difference of the equations' values from the user's that is rounding, as a share of the sizes of their terms."""

SAMPLES = 16
"""Largest number of places at which they are compared."""

MOVED = 1e-3
"""Share of a state by which it is moved where values are compared: on the solution, all values are zero."""

LINES = 10_000
"""Lines of a program of Jacobians that can be compiled within seconds."""

_lock = threading.Lock()


@dataclass(frozen=True)
class RecordedEquations:
    """
    The equations of a problem, recorded: programs of `(t, y, y', *parameters)`, in double precision.

    Parameters
    ----------
    recording : Recording
        It is kept for later solves, and so is what its `notes` hold.
    parameters : tuple of floats and arrays
        Numbers that are arguments of the programs; other numbers that the functions read are constants.
    """

    recording: Recording
    parameters: tuple[Any, ...]

    @property
    def notes(self) -> dict[Any, Any]:
        """What is kept for later solves."""
        return self.recording.notes

    @property
    def value(self) -> Program:
        """The equations as a program."""
        return self.recording.program

    @property
    def pencil(self) -> Pencil:
        """Their Jacobians; raises `NoCodeError`."""
        from ..._recorded.graph import TooLarge  # noqa: PLC0415 - slow to import
        from ..._recorded.implicit_equations import pencil  # noqa: PLC0415
        from ..._recorded.refusal import Refused  # noqa: PLC0415

        found: Pencil | None = self.notes.get("pencil")
        if found is None:
            try:
                with _lock:  # one thread at a time enters operations into the graph
                    found = self.notes["pencil"] = pencil(self.recording)
            except Refused as error:
                raise NoCodeError(str(error)) from error
            except TooLarge as error:
                raise NoCodeError(f"has more than {MOST_NODES} operations with its derivatives") from error
        return found

    @property
    def is_sparse(self) -> bool:
        """Whether systems are solved by their pattern."""
        from ..._recorded.native.stage_systems import work  # noqa: PLC0415 - slow to import

        n = self.value.arguments[STATE].shape[0]
        return n > FEW and work(self.pencil.rows, self.pencil.columns, n)[2]

    def solver(self, index: tuple[int, ...], *, by_pattern: bool = True) -> Solver:
        """
        The compiled solver for components of some index, which may solve systems by their pattern, without pivots.

        It raises `NoCodeError`.
        """
        from ..._recorded.native.members import DENSE, Form  # noqa: PLC0415 - slow to import
        from ..._recorded.native.radau_of_equations import radau_of_equations  # noqa: PLC0415
        from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415

        key = index, by_pattern
        found: Solver | None = self.notes.get(key)
        if found is None:
            if len(self.pencil.program.blocks) > LINES:
                raise NoCodeError(
                    f"has derivatives of {len(self.pencil.program.blocks)} lines of code, more than {LINES}"
                )
            form = Form(shared=(True,) * (1 + len(self.parameters)), log=DENSE)
            try:
                found = self.notes[key] = radau_of_equations(self.pencil, form, index, by_pattern=by_pattern)
            except UnsupportedError as error:
                raise NoCodeError(str(error)) from error
        return found

    def jacobians(self, t: Array, states: Array, slopes: Array) -> tuple[Array, Array]:
        """`∂F/∂y` and `∂F/∂y'`, `(m, n, n)` both, by NumPy; raises `NoCodeError` if there are no derivatives."""
        xp, pencil = array_namespace(states), self.pencil
        found = []
        for entries in self._evaluated(pencil.program, t, states, slopes):
            matrices = xp.zeros((*states.shape, states.shape[-1]))
            matrices[:, pencil.order[pencil.rows], pencil.columns] = entries
            found.append(matrices)
        return found[0], found[1]

    def residuals(self, t: Array, states: Array, slopes: Array) -> Array:
        """Values `(m, n)` at times `(m,)`, states and slopes `(m, n)`, by NumPy."""
        found = self._evaluated(self.value, t, states, slopes)[0]
        return array_namespace(states).reshape(found, states.shape)

    def _evaluated(self, program: Program, t: Array, states: Array, slopes: Array) -> Any:
        xp = array_namespace(states)
        numbers = map(xp.asarray, self.parameters)
        given = [xp.broadcast_to(number, (*t.shape, *number.shape)) for number in numbers]
        with quiet():
            return program(t, states, slopes, *given)

    def is_contradicted(self, problem: ImplicitProblem, t: Array, states: Array, slopes: Array) -> bool:
        """
        Whether the user's functions differ from the recorded operations at some of the times `(m,)` of a solution.

        They are compared on the solution, and at states and slopes beside it, where values are not all zero. Where the
        same problem was solved before, and all of them agreed, one of them is compared, at each solve another one. An
        exception of the functions contradicts, too: the usual way of solving will raise it.
        """
        before: Compared | None = self.notes.get("compared")
        if before is not None and before.agrees(problem, self.parameters):
            return False
        found = self._samples(t, states, slopes)
        if not all(one.agrees(problem) for one in found):
            return True
        self.notes["compared"] = Compared(problem, self.parameters, found)
        return False

    def _samples(self, t: Array, states: Array, slopes: Array) -> list[Sample]:
        """Values of the recorded operations at some of the times, and what may be rounding of them."""
        xp, found = array_namespace(states), list[Sample]()
        some = xp.unique_values(xp.astype(xp.linspace(0, t.shape[0] - 1, min(SAMPLES, t.shape[0])), xp.int64))
        t, states, slopes = t[some], states[some, :], slopes[some, :]
        for factor in (1.0, 1.0 + MOVED):
            y, yp = states * factor, slopes * (2.0 - factor)
            values = self.residuals(t, y, yp)
            by_state, by_slope = (abs(one) for one in self.jacobians(t, y, yp))
            sizes = (by_state @ abs(y)[..., None] + by_slope @ abs(yp)[..., None])[..., 0]
            found += map(Sample, t.tolist(), y, yp, values, sizes + abs(values))
        return found


class Sample(NamedTuple):
    """What the recorded operations give for a time, state and slopes, and the sizes of their terms."""

    t: float
    y: Array
    yp: Array
    value: Array
    size: Array

    def agrees(self, problem: ImplicitProblem) -> bool:
        """Whether the user's functions give the same, but for rounding."""
        xp = array_namespace(self.y)
        try:
            expected = problem.residual(self.t, self.y, self.yp)
        except Exception:
            return False
        with quiet():
            near = abs(self.value - expected) <= SHARE * self.size
            return bool(xp.all(near | (self.value == expected) | (xp.isnan(self.value) & xp.isnan(expected))))


class Compared:
    """A problem whose solution was compared with the user's functions in samples."""

    def __init__(self, problem: ImplicitProblem, parameters: tuple[Any, ...], samples: list[Sample]) -> None:
        self._problem, self._samples, self._uses = problem, samples, 0
        self._kept = tuple(one if isinstance(one, float) else one.tobytes() for one in parameters)

    def agrees(self, problem: ImplicitProblem, parameters: tuple[Any, ...]) -> bool:
        """Whether a problem is this one, and agrees in the next sample."""
        before = self._problem
        is_same = (
            problem.span == before.span
            and len(problem.args) == len(before.args)
            and all(map(is_, problem.args[len(parameters) :], before.args[len(parameters) :]))
            and self._kept == tuple(one if isinstance(one, float) else one.tobytes() for one in parameters)
            and problem.y0.tobytes() == before.y0.tobytes()
        )
        self._uses += 1
        return is_same and self._samples[self._uses % len(self._samples)].agrees(problem)


def record_equations(problem: ImplicitProblem) -> RecordedEquations:
    """
    The equations of a problem: recorded now, or at an earlier solve if all that they read is as it was then.

    Doubles and short arrays of them that lead `args` are parameters of the programs, so that other ones need no other
    recording; unless they can only be constants.

    Raises
    ------
    NoCodeError
        With the reason, and the file and line of the function.
    """
    parameters = tuple(takewhile(is_parameter, problem.args))
    if parameters:
        try:
            found = _recorded(problem, parameters)
        except NoCodeError:
            return _recorded(problem, ())
        if "exponents" not in found.notes:
            found.notes["exponents"] = found.value.depends("power", 1, range(3, 3 + len(parameters)))
        if not found.notes["exponents"]:
            return found
    return _recorded(problem, ())


def _recorded(problem: ImplicitProblem, parameters: tuple[Any, ...]) -> RecordedEquations:
    remembered, not_recorded, wishes = recorder()
    xp = array_namespace(problem.y0)
    examples = [EXAMPLE, problem.y0, problem.y0, *map(xp.asarray, parameters)]
    constants = problem.args[len(parameters) :]
    try:
        recording = remembered(problem.equations, examples, constants, MOST_NODES, wishes(problem.y0.dtype))
    except not_recorded as error:
        raise NoCodeError(error.reason + (f" ({error.place})" if error.place else "")) from error
    if recording.shape not in ((problem.n,), *([(1, 1), ()] if problem.n == 1 else [])):
        raise NoCodeError(f"returns the shape {recording.shape} when it is recorded")
    if recording.dtype != problem.y0.dtype:
        raise NoCodeError(f"returns {recording.dtype} when it is recorded")
    if recording.program.operations > LARGEST:
        raise NoCodeError(f"has {recording.program.operations} operations, more than {LARGEST}")
    return RecordedEquations(recording, parameters)
