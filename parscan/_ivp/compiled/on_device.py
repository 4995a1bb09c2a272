"""
Batches whose arrays are on a device: members by machine code of that device, what is decided about them on the host.

`fun` is recorded with NumPy in place of the library of its arrays. It is called on the device to be compared with the
record. States, parameters and tolerances are copied to a device's kernel; ends, counts and values at times come back,
and the result's arrays are on the device again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, array_namespace, is_single, library, to_numpy
from ..._functions.right_hand_side import RightHandSide
from ..._reporting.progress import Report
from ..core.evaluation import Evaluation
from ..core.problem import Problem
from ..result.result import IvpResult
from .accuracy import LeftError
from .ensemble import members_of, solve_batch
from .in_double import pays
from .members import Members

if TYPE_CHECKING:
    from ..._recorded.native.members import Form
    from ..._recorded.native.on_device import DeviceSolver, Launcher
    from ..._recorded.program import Program


def _of_cupy() -> Launcher:
    from .cupy_threads import CupyThreads  # noqa: PLC0415 - slow to import

    return CupyThreads()


DEVICES: dict[str, Callable[[], Launcher]] = {"cupy": _of_cupy}
"""Libraries whose arrays are on a device that runs members of batches, and what starts its threads."""


TOLD = "Each member of the batch is solved by threads of the device of its arrays, by machine code of `fun`."


TOLD_SINGLE = (
    "The threads compute in single precision, but for times, the lengths of steps and the errors of whole steps."
)


def has_threads(problem: Problem) -> bool:
    """Whether the problem is a batch on arrays of a device that runs its members."""
    return bool(problem.batch) and library(problem.y0) in DEVICES


def solve_on_device(
    problem: Problem, first_step: float, times: Array | None, evaluation: Evaluation, report: Report | None
) -> IvpResult:  # fmt: skip
    """
    Solve a batch on a device.

    Raises
    ------
    NoCodeError
        If the function cannot be recorded or compiled; `LeftError` if the usual methods must solve the problem.
    """
    launcher, xp, host = DEVICES[library(problem.y0)](), problem.xp, on_host(problem)
    times = None if times is None else to_numpy(times)
    members = OnDevice.of(members_of(host), launcher, in_single=False)
    members = replace(members, in_single=is_single(problem.y0.dtype) and pays(host, members))
    try:
        found = solve_batch(host, first_step, times, lambda: evaluation, report, members)
    except LeftError:
        if not members.in_single:
            raise
        members = replace(members, in_single=False)
        found = solve_batch(host, first_step, times, lambda: evaluation, report, members)
    arrays = {name: xp.asarray(getattr(found, name)) for name in ("t", "y", "mesh")}
    told = (TOLD, *[TOLD_SINGLE] * members.in_single)
    return replace(found, **arrays, decisions=(*found.decisions, *told))


@dataclass(frozen=True)
class OnHost(Problem):
    """A problem with NumPy's arrays in place of those on a `device`, where its functions are called."""

    device: Problem | None = None

    @property
    def usual(self) -> Problem:
        """The problem on the device."""
        assert self.device is not None
        return self.device

    def right_hand_side(self, *args: Any, **options: Any) -> Any:
        """The functions on the device, for arrays of the host."""
        return Fetched(self.usual.right_hand_side(*args, **options), self.usual.y0)


class Fetched:
    """A right-hand side on a device, for arrays of the host."""

    def __init__(self, rhs: RightHandSide, like: Array) -> None:
        self._rhs, self._xp = rhs, array_namespace(like)

    def __call__(self, t: Array, states: Array) -> Any:
        """Values at times and states."""
        return to_numpy(self._rhs(self._xp.asarray(t), self._xp.asarray(states)))

    def at(self, t: float, y: Array) -> Any:
        """Values at a time."""
        return to_numpy(self._rhs.at(t, self._xp.asarray(y)))


def on_host(problem: Problem) -> OnHost:
    """The problem with NumPy's arrays."""
    given = {one.name: getattr(problem, one.name) for one in fields(problem)}
    for name in ("y0", "rtols", "atol", "breaks"):
        given[name] = _fetched(given[name])
    return OnHost(**given | {"args": tuple(map(_fetched, problem.args)), "record": None}, device=problem)


def _fetched(value: Any) -> Any:
    """A value, on the host if it is an array of a device."""
    return to_numpy(value) if library(value) in DEVICES else value


@dataclass(frozen=True)
class OnDevice(Members):
    """Members that march on a device; see `Members`."""

    launcher: Any = None
    in_single: bool = False

    @classmethod
    def of(cls, members: Members, launcher: Launcher, *, in_single: bool) -> OnDevice:
        """The same members, which march in single precision or in double precision."""
        return cls(members.program, members.own, members.notes, members.origin, launcher, in_single)

    @property
    def is_single(self) -> bool:
        """See `Members`."""
        return self.in_single

    def in_double(self, some: Any) -> Members:
        """See `Members`."""
        return replace(self, own=self.arguments(some), origin=None, in_single=False)

    @property
    def together(self) -> tuple[int, int]:
        """See `Members`: there is a thread for each march."""
        return 1 << 20, 1 << 26

    @property
    def watched(self) -> Program | None:
        """Nothing: threads of a device do not tell whether modes have changed."""
        return None

    def _made(self, name: str, form: Form) -> Any:
        from ..._recorded.native.members import NOTHING  # noqa: PLC0415 - slow to import
        from ..._recorded.native.on_device import explicit, rosenbrock  # noqa: PLC0415

        if form.log != NOTHING:  # of the first member alone
            return super()._made(name, form)
        form = replace(form, lanes=1)
        key = "device", type(self.launcher), name, form, self.is_single
        found: DeviceSolver | None = self.notes.get(key)
        if found is None:
            program = self._marched(self.program)
            if name == "DOP853":
                found = explicit(program, form, self.launcher)
            else:
                derived = self.linearised
                derived = replace(derived, program=self._marched(derived.program))
                found = rosenbrock(program, derived, form, self.launcher)
            self.notes[key] = found
        return found

    def _marched(self, program: Program) -> Program:
        """A program in the precision of marches."""
        from ..._recorded.single import in_single  # noqa: PLC0415 - slow to import

        return in_single(program) if self.is_single else program
