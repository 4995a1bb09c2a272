"""
The right-hand side as kernels of a device on a whole mesh: values and Jacobians at all of its points by one launch.

`fun` is recorded with NumPy in place of the library of its arrays. Kernels are compared with it on the device. Of
single problems, the solution from which Newton's method starts is marched on the host: it is one number after another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import inf, prod
from typing import TYPE_CHECKING, Any

from ..._arrays.elementwise import is_complex
from ..._arrays.namespace import (
    Array,
    all_finite,
    array_namespace,
    contiguous,
    is_single,
    library,
    quiet,
    to_numpy,
)
from ..._functions.code import Code
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import agree, are_beside_jumps, share_of
from ..._recorded.budget import NoCodeError
from ..coarse.steps import CoarseSolution
from ..core.evaluation import Evaluation
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from .alike import sample_of
from .ensemble import agrees_at_start, sample
from .members import record_members
from .on_device import DEVICES, on_host
from .on_mesh import ByCode, OnMesh, bought, breaks_of, coarse_of, note_bought, places_on
from .recorded import UNLIKE, record_right_hand_side

if TYPE_CHECKING:
    from ..._recorded.linearised import Linearised
    from ..._recorded.native.device import DeviceKernel
    from ..._recorded.native.on_device import Launch
    from ..._recorded.program import Program

A_KERNEL, PER_OPERATION = 0.2, 3e-4
"""Seconds to compile and load a kernel of a small function, and what each operation adds."""

TOLD = "`fun` and its exact Jacobian are evaluated by a kernel of the device: a thread for each stage of each interval."


def has_kernels(problem: Problem) -> bool:
    """Whether the arrays of a problem are on a device that runs kernels of its right-hand side on a mesh."""
    return library(problem.y0) in DEVICES


def code_on_device(problem: Problem, evaluation: Evaluation) -> OnMesh:
    """
    Record a right-hand side and compile it for a device, which was demanded, or else has paid off.

    Raises
    ------
    NoCodeError
        If the function cannot be recorded or compiled, or is contradicted near the initial state.
    """
    return _OnDevice(problem, evaluation)


@dataclass(frozen=True)
class Parts:
    """
    A recorded right-hand side.

    Parameters
    ----------
    notes : dict
        What is kept for later solves.
    program : Program
    derive : callable
        It returns the program with its Jacobian.
    parameters : tuple
        NumPy arrays and numbers: further arguments, those of each member if there are some.
    coarse, breaks
        See `OnMesh`; `breaks` are NumPy's.
    """

    notes: dict[Any, Any]
    program: Program
    derive: Callable[[], Linearised]
    parameters: tuple[Any, ...]
    coarse: ByCode | None
    breaks: Array | None


class _OnDevice:
    """Kernels of a problem."""

    told = (TOLD,)

    def __init__(self, problem: Problem, evaluation: Evaluation) -> None:
        self._problem, self._evaluation = problem, evaluation
        parts = _of_members(problem) if problem.batch else _of_one(problem)
        xp = problem.xp
        self.coarse = parts.coarse
        self.breaks = None if parts.breaks is None else xp.asarray(parts.breaks)
        self._code = Kernels(partial(_loaded, problem, parts), tuple(map(partial(_given, problem), parts.parameters)))
        some = evaluation.near_start
        if some.refused is None and not self._agrees(some.t, some.states, some.values):
            raise NoCodeError(UNLIKE)

    def right_hand_side(self) -> RightHandSide:
        """The functions."""
        return self._evaluation.right_hand_side().by(self._code)

    def is_contradicted(self, pieces: list[PiecewisePolynomial]) -> bool:
        """A sample of the states is compared."""
        problem = self._problem
        t, states = places_on(pieces)
        count = int(t.shape[0])
        if problem.batch:
            rows = problem.xp.asarray(sample(problem, count))
            t, states = problem.xp.take(t, rows), problem.xp.take(states, rows, axis=0)
        else:
            some = sample_of(count, stacks=self._evaluation.stacks)
            t, states = t[some], states[some, ...]
        try:
            expected = self._evaluation.right_hand_side()(t, states)
        except Exception:  # the usual way of solving will raise it
            return True
        return not (all_finite(expected) and self._agrees(t, states, expected))

    def _agrees(self, t: Array, states: Array, expected: Array) -> bool:
        """Whether the kernel has the values of the function, apart from roundings."""
        share, rhs = share_of(self._problem.rtol, self._problem.y0), self._evaluation.right_hand_side()
        found = self._code.values(t, states)
        with quiet():
            return agree(found, expected, share, t, states, rhs) or are_beside_jumps(
                found, expected, share, t, states, rhs
            )


def _of_one(problem: Problem) -> Parts:
    host = on_host(problem)
    recorded = record_right_hand_side(host)
    xp = problem.xp

    def coarse(span: tuple[float, float], y0: Array, **options: Any) -> CoarseSolution:
        options["atol"] = to_numpy(options["atol"])
        found = coarse_of(host, recorded, span, to_numpy(y0), **options)
        return CoarseSolution(xp.asarray(found.t), lambda t: xp.asarray(found.states(to_numpy(t))), group=found.group)

    derive = partial(recorded.derived, with_time=False)
    return Parts(recorded.notes, recorded.value, derive, recorded.parameters, coarse, breaks_of(host, recorded))


def _of_members(problem: Problem) -> Parts:
    host = on_host(problem)
    members = record_members(host, partial(agrees_at_start, host))
    return Parts(members.notes, members.program, members.derived, members.own, None, host.breaks)


def _given(problem: Problem, value: Any) -> Array:
    """A parameter on the device."""
    xp = problem.xp
    return contiguous(xp.asarray(value, dtype=xp.float32 if is_single(problem.y0.dtype) else xp.float64))


def _loaded(problem: Problem, parts: Parts, *, derived: bool) -> Launch:
    """The kernel of values, or of values and Jacobians, ready to be started."""
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415 - slow to import

    launcher = DEVICES[library(problem.y0)]()
    key = "points", is_single(problem.y0.dtype), bool(problem.batch), derived
    try:
        if key not in parts.notes:
            parts.notes[key] = _kernel(problem, parts, derived=derived)
        return launcher.load(parts.notes[key])
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error


def _kernel(problem: Problem, parts: Parts, *, derived: bool) -> DeviceKernel:
    from ..._recorded.native.device_points import points  # noqa: PLC0415 - slow to import
    from ..._recorded.single import in_single  # noqa: PLC0415

    program, places = parts.program, None
    if derived:
        if "derived" not in parts.notes:
            parts.notes["derived"] = parts.derive()
        places = parts.notes["derived"]
        program = places.program
    name = f"{'Jacobians' if derived else 'values'} on mesh of the device"
    kind = program.skeleton, name, problem.y0.dtype, bool(problem.batch)
    bought(kind, name, A_KERNEL + PER_OPERATION * program.operations)
    if is_single(problem.y0.dtype):
        program = in_single(program)
        places = places and replace(places, program=program)
    found = points(program, places, of_members=bool(problem.batch), pairs=is_complex(problem.y0))
    note_bought(kind)
    return found


class Kernels(Code):
    """
    A right-hand side and its Jacobian as kernels.

    Parameters
    ----------
    load : callable
        `load(derived=...)` makes the kernel of values, or of values and Jacobians.
    parameters : tuple of arrays
        On the device.
    low, high : float
        Limits to which times are clipped.
    """

    def __init__(self, load: Callable[..., Launch], parameters: tuple[Array, ...]) -> None:
        self._load, self._parameters = load, parameters
        self._low, self._high = -inf, inf
        self._launches: dict[bool, Launch] = {}

    def within(self, low: float, high: float) -> Kernels:
        """The same with times clipped to these limits."""
        other = Kernels(self._load, self._parameters)
        other._low, other._high, other._launches = low, high, self._launches
        return other

    def values(self, t: Array, states: Array) -> Array:
        """Values `(m, *batch, n)`, by one launch."""
        return self._run(t, states)[0]

    def linearise(self, t: Array, states: Array) -> tuple[Array, Array]:
        """Values, and Jacobians `(m, *batch, n, n)`, by one launch."""
        values, jacobians = self._run(t, states, (int(states.shape[-1]),))
        return values, jacobians

    def second(self, t: Array, states: Array) -> Array | None:
        """They are not known."""
        return None

    def _run(self, t: Array, states: Array, *more: tuple[int, ...]) -> list[Array]:
        """Values and, with `more` axes, Jacobians."""
        from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415 - slow to import

        xp, (m, *batch, _) = array_namespace(states), states.shape
        if self._low > -inf or self._high < inf:
            t = xp.clip(t, self._low, self._high)
        t, states = contiguous(xp.astype(t, xp.float64, copy=False)), contiguous(states)
        found = [xp.empty((*states.shape, *axes), dtype=states.dtype) for axes in ((), *more)]
        points = m * prod(batch)
        if not points:
            return found
        numbers = [points, *[prod(batch)] * bool(batch)]
        try:
            self._launch(derived=bool(more))(points, *numbers, t, states, *self._parameters, *found)
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error
        return found

    def _launch(self, *, derived: bool) -> Launch:
        if derived not in self._launches:
            self._launches[derived] = self._load(derived=derived)
        return self._launches[derived]
