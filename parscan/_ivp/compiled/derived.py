"""Recorded right-hand sides for derivatives of solutions: evaluated by NumPy, or as machine code where that pays."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, array_namespace
from ..._functions.code import Code
from ..._recorded.budget import COMPILING, LOADING, PER_OPERATION, NoCodeError, compiler_is_loaded
from ..core.problem import Problem
from ..sensitivities.recorded_gradient import entering
from .ensemble import agrees_at_start
from .members import record_members
from .on_mesh import MachineCode, evaluator_of, repeated
from .recorded import MOST_NODES, record_right_hand_side

if TYPE_CHECKING:
    from ..._recorded.linearised import Curved, Linearised
    from ..._recorded.program import Program

AT_ONCE = 1 << 20
"""Largest number of values that NumPy keeps while it evaluates recorded operations, about."""

VALUES, JACOBIANS, SECOND = "on mesh", "Jacobians on mesh", "second derivatives on mesh"
"""Names under which machine code is kept, also by solves on meshes."""


def recorded_code(problem: Problem) -> Code:
    """
    The recorded right-hand side of a problem, and its Jacobian.

    Raises
    ------
    NoCodeError
        If the function cannot be recorded, or has no derivatives.
    """
    if problem.batch:
        members = record_members(problem, partial(agrees_at_start, problem))
        return _code(members.notes, members.program, members.derived, (), partial(repeated, problem, members))
    recorded = record_right_hand_side(problem)
    shared = tuple(range(2, 2 + len(recorded.parameters)))
    derive = partial(recorded.derived, with_time=False)
    return _code(recorded.notes, recorded.value, derive, shared, lambda calls: recorded.parameters)


def _code(
    notes: dict[Any, Any],
    program: Program,
    derive: Callable[[], Linearised],
    shared: tuple[int, ...],
    parameters: Callable[[int], tuple[Array, ...]],
) -> Code:
    places: Linearised | None = notes.get("derived")
    if places is None:
        places = notes["derived"] = derive()
    return MachineCode(
        Recorded(notes, VALUES, program, shared),
        lambda: (Recorded(notes, JACOBIANS, places.program, shared), places),
        parameters,
        curvature=partial(_curvature, notes, program, shared),
    )


def _curvature(
    notes: dict[Any, Any], program: Program, shared: tuple[int, ...]
) -> tuple[Recorded, Curved] | None:  # fmt: skip
    """Second derivatives, which are kept with the recording; None where they have too many operations, or are none."""
    from ..._recorded.linearised import second_derivatives  # noqa: PLC0415 - slow to import
    from ..._recorded.replay import replayed  # noqa: PLC0415

    if "second" not in notes:
        notes["second"] = None
        with suppress(NoCodeError), entering():
            notes["second"] = second_derivatives(replayed(program, MOST_NODES))
    places: Curved | None = notes["second"]
    return None if places is None else (Recorded(notes, SECOND, places.program, shared), places)


@dataclass(frozen=True)
class Recorded:
    """
    A program, evaluated for many arguments.

    It is compiled once NumPy's evaluations took as long as compiling, which is then at most twice the optimum (the
    ski-rental rule).

    Parameters
    ----------
    notes : dict
        What is kept with the recording: the machine code, and the time that NumPy's evaluations took.
    key : str
        The name of the machine code there.
    program : Program
    shared : tuple of int
        Numbers of arguments that are the same in all calls.
    """

    notes: dict[Any, Any] = field(repr=False)
    key: str
    program: Program
    shared: tuple[int, ...]

    def __call__(self, *arguments: Any) -> tuple[Any, ...]:
        """Results, shapes (m, *shape), of arguments, shapes (m, *shape); those that are shared are given once."""
        if self.key in self.notes or self._pays:
            try:
                evaluator: Any = evaluator_of(self.notes, self.key, lambda: self.program, self.shared)
                return tuple(evaluator(*arguments))
            except NoCodeError:
                self.notes["spent", self.key] = float("-inf")
        begin = time.perf_counter()
        found = self._by_numpy(arguments)
        self.notes["spent", self.key] = self._spent + time.perf_counter() - begin
        return found

    @property
    def _spent(self) -> float:
        return float(self.notes.get(("spent", self.key), 0.0))

    @property
    def _pays(self) -> bool:
        price = COMPILING + PER_OPERATION * self.program.written
        return self._spent >= price + (0.0 if compiler_is_loaded() else LOADING)

    def _by_numpy(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The results, of as many calls at a time as fit into memory."""
        xp, count = array_namespace(arguments[0]), arguments[0].shape[0]
        size, parts = max(1, AT_ONCE // max(1, self.program.size)), []
        for first in range(0, max(1, count), size):
            some = slice(first, min(first + size, count))
            rows = some.stop - some.start
            given = (
                xp.broadcast_to(xp.asarray(one), (rows, *one_of.shape)) if k in self.shared else one[some, ...]
                for k, (one, one_of) in enumerate(zip(arguments, self.program.arguments, strict=True))
            )
            parts.append(self.program(*given))
        return parts[0] if len(parts) == 1 else tuple(map(xp.concat, zip(*parts, strict=True)))
