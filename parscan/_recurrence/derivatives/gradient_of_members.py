"""Gradients of batches by machine code: a sweep backwards over all steps, with members of the batch in lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, array_namespace
from ..._arrays.threads import available_threads
from ..._functions.at_points import AtPoints, pairs
from ..._recorded.budget import NoCodeError
from .compiled_adjoint import LARGER, SHARE, TRIED, WORTH_SWEEPING, in_rows, of_scan
from .compiled_gradient import Swept, check_code, pays, summed_code, swept
from .recorded import arguments, as_states, compare, limits, noted
from .solution import SAMPLE, Solution

if TYPE_CHECKING:
    from ..._recorded.record import Recording

FEWEST = 8
"""Members that are worth code of one member."""


def gradient_of_members(
    solution: Solution, record: Callable[[], Recording], numbers: range, given: Sequence[Array], gradient: Array
) -> Swept | None:
    """
    The gradient by all parameters in a row, and that by the initial state, with the check of all steps.

    None where that does not pay, or where the members depend on each other, or have parameters of their own. `record`
    records a step of one member; all else is as for `compiled_gradient`.
    """
    y0, steps = solution.y0, solution.steps
    members = prod(y0.shape[:-1])
    if solution.step.has_jacobian or steps < gradient.shape[0] or steps < 2 or members < FEWEST:
        return None
    try:
        recording = record()
        if steps * members * LARGER * recording.program.operations < WORTH_SWEEPING:
            return None
        if not pays(recording, of_scan(solution)):
            return None
        every = _Members(solution, recording, given)
        every.check()
        return every.gradient(noted(recording.notes, "summed", lambda: summed_code(recording, numbers)), gradient)
    except NoCodeError:
        return None


class _Members:
    """All members, by the recording of one."""

    def __init__(self, solution: Solution, recording: Recording, given: Sequence[Array]) -> None:
        self._solution, self._recording, self._given = solution, recording, given
        self._fixed = [*given, limits(solution)]
        self._batch = solution.y0.shape[:-1]
        self._count = prod(self._batch)

    def _rows(self, array: Array, dtype: Any) -> Array:
        """Rows of all members, shape (T, members, *shape)."""
        array = in_rows(pairs(array), dtype)
        end = 1 + len(self._batch)
        if array.shape[1:end] == self._batch:
            return array_namespace(array).reshape(array, (array.shape[0], self._count, *array.shape[end:]))
        return array_namespace(array).broadcast_to(array[:, None, ...], (array.shape[0], self._count, *array.shape[1:]))

    def check(self) -> None:
        """Compare the recorded values of all members with the step on a sample; raises `NoCodeError`."""
        recording, solution = self._recording, self._solution
        last, own = len(recording.arguments), len(self._given)
        shared = tuple(range(last - own, last))
        values = noted(recording.notes, "of members", lambda: AtPoints(recording.program, shared))
        values.prepare(SAMPLE * self._count)

        def found(states: Array, times: slice) -> Array:
            rows = [self._rows(one, one.dtype) for one in arguments(solution, states, times)]
            flat = [one.reshape(one.shape[0] * self._count, *one.shape[2:]) for one in rows]
            return as_states(values(*flat, *self._given)[0], states)

        compare(solution, found)

    def gradient(self, summed: Any, gradient: Array) -> Swept:
        """The gradient by the parameters, and by the initial states."""
        from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415 - slow to import

        solution, count, program = self._solution, self._count, summed.program
        if summed.sums is None or count < summed.lanes:
            raise NoCodeError("has too many parameters, or too few members")
        lanes = summed.lanes * available_threads()
        if count < lanes and solution.steps > lanes * SHARE * TRIED:
            raise NoCodeError("has steps for more lanes than there are members")
        try:
            code = summed.with_parameters(self._fixed)
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error
        xp, steps = array_namespace(gradient), solution.steps
        x = arguments(solution, solution.y0[None, ...], slice(0, steps))[1:]
        dtypes = [one.dtype for one in (*program.arguments[1 : 1 + 1 + len(x)], *program.arguments[-2:])]
        own, y0 = solution.trajectory, solution.y0[None, ...]
        ends = [
            (own[: steps - 1, ...], *(one[1:, ...] for one in x), gradient[: steps - 1, ...], own[1:, ...]),
            (y0, *(one[:1, ...] for one in x), xp.zeros_like(gradient[:1, ...]), own[:1, ...]),
        ]
        states = xp.reshape(self._rows(gradient[-1:, ...], program.arguments[0].dtype), (count, -1))
        total = xp.zeros(summed.derived.size)
        parts = [[self._rows(one, dtype)[::-1, ...] for one, dtype in zip(end, dtypes, strict=True)] for end in ends]
        if "summed agrees" not in self._recording.notes:
            rows = [one[steps // 2 : steps // 2 + 1, ...] for one in parts[0]] if steps > 2 else parts[0]
            after, found = self._swept(summed, code, rows, states)
            check_code(summed.derived, states, [one[0, ...] for one in rows], self._fixed, after, found)
            self._recording.notes["summed agrees"] = True
        for rows in parts:
            states, found = self._swept(summed, code, rows, states)
            total = total + found
        return swept(total, xp.reshape(states, (-1,)))

    def _swept(self, summed: Any, code: Any, rows: Sequence[Array], states: Array) -> tuple[Array, Array]:
        """States of all members after some steps, and the sums of their terms."""
        from ..._recorded.native.summed import Sweep  # noqa: PLC0415 - LLVM is slow to load

        groups, xp = -(-self._count // summed.lanes), array_namespace(states)
        sweep = Sweep(summed, code, [*rows[:-2], *[None] * len(self._fixed), *rows[-2:]], groups, self._count)
        places = xp.reshape(sweep.numbers, (-1,))
        sweep.start(states[places, ...])
        sweep.add(0, rows[0].shape[0], None)
        if not sweep.are_finite:
            raise NoCodeError("has adjoint states that may not be finite")
        after = xp.empty_like(states)
        after[places, ...] = sweep.states()
        return after, sweep.total
