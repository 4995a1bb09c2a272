"""The adjoint by machine code of the recorded step: products of vectors with its derivative, backwards, no matrices."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, array_namespace, quiet
from ..._arrays.threads import available_threads
from ..._engine.tolerance import is_noise
from ..._functions.adjoint import Adjoint
from ..._functions.at_points import CODES, LARGEST, pairs
from ..._functions.verify import apart
from ..._kernels.dispatch import is_loaded
from ..._recorded.budget import COMPILING, PER_OPERATION, NoCodeError
from .recorded import arguments, entered, noted, recording_of
from .solution import Solution

if TYPE_CHECKING:
    from ..._recorded.native.lanes import Lanes
    from ..._recorded.program import Program
    from ..._recorded.record import Recording

OF_A_STEP, OF_AN_ENTRY = 5e-8, 2e-8
"""Seconds that a scan of Jacobians takes for each step, and for each entry of a matrix."""

WITHOUT_KERNEL = 2e-6
"""Seconds that it takes for each step as long as its kernel is not loaded."""

LARGER = 3
"""Operations of a step backwards, in those of the step, about."""

TRIED, SHARE = 32, 4
"""Steps in which two adjoints that start apart must meet at first, then twice as many; and the part of a segment in
which they must."""

RECENT = 8
"""Steps whose largest states are the measure of rounding errors."""

WORTH_SWEEPING = 1 << 19
"""Operations of all steps from which on there are segments."""

COMPARED = 4
"""Steps at which machine code is compared with NumPy."""


def compiled_adjoint(solution: Solution, gradient: Array) -> Adjoint | None:
    """The adjoint, if machine code for it is at hand, or pays, and agrees with the recorded operations."""
    steps = solution.steps
    if solution.step.has_jacobian or not steps or steps < gradient.shape[0]:
        return None
    seconds = of_scan(solution)
    try:
        recording = recording_of(solution)
        program = recording.program
        price = COMPILING + PER_OPERATION * LARGER * program.written
        if LARGER * program.written > LARGEST or not CODES.pays_loading(seconds):
            return None
        if not CODES.buys(("adjoint", program.kinds), price, seconds):
            return None
        return _Backwards(solution, recording, gradient).adjoint()
    except NoCodeError:
        return None


def of_scan(solution: Solution) -> float:
    """Seconds that a scan of Jacobians takes, about."""
    y0 = solution.y0
    of_a_step = OF_A_STEP if is_loaded(y0) else WITHOUT_KERNEL
    return solution.steps * (of_a_step + OF_AN_ENTRY * prod(y0.shape[:-1]) * y0.shape[-1] ** 2)


class _Backwards:
    """The steps of the adjoint: from `λ_t` to `λ_{t-1} = g_{t-1} + J_tᴴ λ_t`; all arrays begin at the last time."""

    def __init__(self, solution: Solution, recording: Recording, gradient: Array) -> None:
        self._solution, self._recording = solution, recording
        self._program: Program = noted(recording.notes, "backwards", lambda: _derived(recording))
        if self._program.written > LARGEST:
            raise NoCodeError("has too many operations with its derivatives")
        steps = solution.steps
        xp = array_namespace(gradient)
        gradient = xp.ascontiguousarray(gradient)
        x = arguments(solution, solution.y0[None, ...], slice(0, steps))[1:]
        self.states = xp.empty_like(gradient)
        self.states[-1, ...] = gradient[-1, ...]
        self._out = pairs(self.states)[: steps - 1, ...][::-1, ...]
        given = [pairs(solution.trajectory)[: steps - 1, ...], *(one[1:, ...] for one in x)]
        given.append(pairs(gradient)[: steps - 1, ...])
        wanted = [one.dtype for one in self._program.arguments[1:]]
        self._given = [in_rows(one, dtype)[::-1, ...] for one, dtype in zip(given, wanted, strict=True)]
        y0 = pairs(solution.y0)[None, ...]
        first = [y0, *(one[:1, ...] for one in x), xp.zeros_like(y0)]
        self._first = [in_rows(one, dtype) for one, dtype in zip(first, wanted, strict=True)]

    def adjoint(self) -> Adjoint:
        """All states, and what is left at the start."""
        from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415 - slow to import

        xp, count = array_namespace(self.states), self._out.shape[0]
        y0 = xp.zeros_like(self.states[:1, ...])
        try:
            start = pairs(self.states)[-1, ...]
            if count and not self._in_segments(start):
                self._run(start, self._given, self._out, 0, count)
            self._run(pairs(self.states)[0, ...], self._first, pairs(y0), 0, 1)
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error
        if "backwards agrees" not in self._recording.notes:
            if self._differs():
                raise NoCodeError("gave other derivatives than its recorded operations")
            self._recording.notes["backwards agrees"] = True
        return Adjoint(self.states, y0[0, ...])

    def _run(self, start: Array, given: Sequence[Array], out: Array, begin: int, end: int) -> None:
        """Steps one after the other."""
        lanes = self._lanes(several=False)
        lanes.run(start[None, ...], [one[:, None, ...] for one in given], [out[:, None, ...]], begin, end)

    def _lanes(self, *, several: bool, beside: bool = False) -> Lanes:
        from ..._recorded.native.lanes import compiled_lanes  # noqa: PLC0415 - LLVM is slow to load

        return compiled_lanes(self._program, several=several, beside=beside)

    def _in_segments(self, start: Array) -> bool:
        """Whether segments that overlap gave all states; not so if the adjoint does not forget where it began."""
        from ..._recorded.native.overlap import march_overlapping  # noqa: PLC0415 - LLVM is slow to load

        count, threads = self._out.shape[0], available_threads()
        for beside in (True, False):  # several vectors beside each other need more segments
            lanes = self._lanes(several=True, beside=beside)
            segments = lanes.width(count) * threads
            longest = count // segments // SHARE
            if longest >= TRIED:
                break
        if count * self._program.operations < WORTH_SWEEPING or longest < TRIED:
            return False
        memory = self._memory(start, longest)
        if not memory:
            return False
        begin = count % segments
        if begin:
            self._run(start, self._given, self._out, 0, begin)
            start = self._out[begin - 1, ...]
        joints = march_overlapping(lanes, start, self._given, self._out, begin, memory, threads)
        if joints is None:
            return False
        last, length = joints.first + joints.length - 1, joints.length
        xp = array_namespace(self._out)
        places = xp.arange(last, count - 1, length)
        recent = xp.max(xp.abs(self._out[places[:, None] - xp.arange(RECENT), ...]), axis=1)
        with quiet():
            return bool(xp.all(is_noise(joints.states - self._out[places, ...], recent)))

    def _memory(self, start: Array, longest: int) -> int:
        """Steps after which two adjoints that start apart in the middle met; 0 if they need more than `longest`."""
        xp, begin, done, count = array_namespace(self.states), self._out.shape[0] // 2, 0, TRIED
        size = xp.max(xp.abs(self._given[-1][begin : begin + RECENT, ...]), axis=0)
        one, other = start, size + 2 * xp.abs(start)
        while done < longest:
            rows = xp.empty((2, count, *start.shape), dtype=start.dtype)
            given = [part[begin + done : begin + done + count, ...] for part in self._given]
            for state, row in ((one, rows[0, ...]), (other, rows[1, ...])):
                self._run(state, given, row, 0, count)
            if _is_rounding(rows[1, -1:, ...], rows[0, -RECENT:, ...]):
                return 2 * (done + count)
            one, other, done = rows[0, -1, ...], rows[1, -1, ...], done + count
            count = min(2 * count, max(longest - done, TRIED))
        return 0

    def _differs(self) -> bool:
        """Whether NumPy gives other states at a few steps."""
        xp, count = array_namespace(self.states), self._out.shape[0]
        if not count:
            return False
        places = xp.arange(0, count, max(1, count // COMPARED))
        last = pairs(self.states)[-1, ...]
        before = xp.stack([self._out[place - 1, ...] if place else last for place in places.tolist()])
        with quiet():
            expected = self._program(before, *(one[places, ...] for one in self._given))[0]
            expected = xp.reshape(expected, (places.shape[0], *self._out.shape[1:]))
            return bool(xp.any(apart(xp, self._out[places, ...], expected)))


def _derived(recording: Recording) -> Program:
    from ..._recorded.pullbacks import backwards  # noqa: PLC0415 - slow to import

    return entered(lambda: backwards(recording))


def in_rows(array: Array, dtype: Any) -> Array:
    """An array of a dtype with contiguous rows."""
    if array.dtype == dtype and (array.size == 0 or array[0, ...].flags.c_contiguous):
        return array
    return array_namespace(array).ascontiguousarray(array, dtype=dtype)


def _is_rounding(state: Array, recent: Array) -> bool:
    """Whether a state differs from the last of some states by rounding only; their largest entries are the measure."""
    xp = array_namespace(recent)
    with quiet():
        return bool(xp.all(is_noise(state[0, ...] - recent[-1, ...], xp.max(xp.abs(recent), axis=0))))
