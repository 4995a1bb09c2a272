"""
Gradients by machine code, in one sweep backwards: of segments that overlap, without the adjoint states in memory.

Every lane marches a segment of time. It begins so many steps before its segment as the adjoint needs to forget where it
began, and adds up the products of the adjoint states with the derivatives by the parameters, which wait for nothing.

Each step is evaluated on the way: the sweep also counts those that no longer give their state of the trajectory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from ..._arrays.threads import Threads
from ..._engine.tolerance import is_noise
from ..._functions.at_points import CODES, LARGEST, pairs
from ..._functions.verify import apart
from ..._recorded.budget import COMPILING, PER_OPERATION, NoCodeError
from .compiled_adjoint import LARGER, RECENT, SHARE, TRIED, in_rows, of_scan
from .joints import chain, states_at
from .recorded import arguments, entered, limits, noted
from .solution import Solution

if TYPE_CHECKING:
    from ..._recorded.native.summed import Summed, Sweep
    from ..._recorded.pullbacks import Pullback
    from ..._recorded.record import Recording

WORTH_SWEEPING = 1 << 15
"""Operations of all steps from which on there is a sweep."""

THREADS = Threads(work_per_thread=1 << 21)
"""Operations for which another thread is worth starting."""

ALONE = 1 << 21
"""Operations of all steps that one lane marches, rather than that adjoint states are kept, if there are no segments."""

AGAIN = 16
"""Of so many gradients, one tries whether adjoints meet, if they did not before: other parameters may let them."""

COPIED = 1 << 20
"""Bytes of a trajectory that is copied, so that the first step is no other than the rest."""


class Swept(NamedTuple):
    """The gradient by all parameters in a row, that by the initial state, and whether all steps are near."""

    total: Array
    y0: Array
    stands: bool


def swept(total: Array, y0: Array) -> Swept:
    """Results of a sweep, whose last sum counts steps that are not near."""
    return Swept(total[:-1], y0, bool(total[-1] == 0))


def compiled_gradient(
    solution: Solution, recording: Recording, numbers: range, given: Sequence[Array], gradient: Array
) -> Swept | None:
    """
    The gradient by all parameters in a row, and that by the initial state, if machine code pays and is right.

    Parameters
    ----------
    solution : Solution
    recording : Recording
        Of the step, whose last arguments, of these `numbers`, are the parameters.
    numbers : range
    given : sequence of arrays
        Their values.
    gradient : array
        Derivatives of the loss by all states.
    """
    steps = solution.steps
    if solution.step.has_jacobian or steps < gradient.shape[0] or steps < 2:
        return None
    operations = LARGER * recording.program.operations
    if steps * operations < WORTH_SWEEPING:
        return None
    if "summed" not in recording.notes and not pays(recording, of_scan(solution)):
        return None
    try:
        summed = noted(recording.notes, "summed", lambda: summed_code(recording, numbers))
        given = [*given, limits(solution)]
        found = _Backwards(solution, recording, numbers, summed, given, gradient).found()
    except NoCodeError:
        return None
    return None if found is None else swept(*found)


def pays(recording: Recording, seconds: float) -> bool:
    """Whether machine code for the derivatives of a recording pays, if this takes so many seconds without it."""
    price = COMPILING + PER_OPERATION * LARGER * recording.program.written
    if LARGER * recording.program.written > LARGEST or not CODES.pays_loading(seconds):
        return False
    return CODES.buys(("summed", recording.program.kinds), price, seconds)


def summed_code(recording: Recording, numbers: range) -> Summed:
    from ..._recorded.native.summed import Summed  # noqa: PLC0415 - LLVM is slow to load
    from ..._recorded.pullbacks import summing  # noqa: PLC0415

    found = entered(lambda: summing(recording, numbers))
    if found.program.written > LARGEST:
        raise NoCodeError("has too many operations with its derivatives")
    return Summed(found, range(numbers.start + 1, numbers.stop + 2))  # with the limits


class _Backwards:
    """
    From the last step to the first one; all arrays begin at the last time. Step `t` needs `λ_t`, `g_{t-1}` and `y_t`.

    The first step needs `y0` and no gradient: long trajectories are not copied for it, it has arrays of its own.
    """

    def __init__(
        self, solution: Solution, recording: Recording, numbers: range, summed: Summed, given: Sequence[Array],
        gradient: Array,
    ) -> None:  # fmt: skip
        from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415 - slow to import

        derived = self._derived = summed.derived
        self._summed, self._given, self._notes = summed, given, recording.notes
        self._chain = partial(chain, recording, numbers, given[:-1], of_scan(solution))
        steps = self._steps = solution.steps
        self._groups = THREADS.worthwhile(steps * derived.program.operations, steps)
        while self._groups > 1 and self._longest < TRIED:
            self._groups -= 1
        self._is_short = steps * derived.program.operations <= ALONE
        if steps <= summed.lanes or (self._longest < TRIED and not self._is_short):
            raise NoCodeError("has fewer steps than segments need")
        try:
            self._code = summed.with_parameters(given)
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error
        xp = array_namespace(gradient)
        gradient = pairs(xp.ascontiguousarray(gradient))
        x = arguments(solution, solution.y0[None, ...], slice(0, steps))[1:]
        wanted = [one.dtype for k, one in enumerate(derived.program.arguments[1:]) if not self._is_parameter(k + 1)]
        self._gradient = gradient[::-1, ...]
        after = pairs(solution.trajectory)
        y0, own = pairs(solution.y0)[None, ...], after[: steps - 1, ...]
        self._first: list[Array] | None = None
        if own.nbytes <= COPIED:
            rows = [xp.concat([y0, own]), *x, xp.concat([xp.zeros_like(y0), gradient[: steps - 1, ...]]), after]
        else:
            rows = [own, *(one[1:, ...] for one in x), gradient[: steps - 1, ...], after[1:, ...]]
            first = [y0, *(one[:1, ...] for one in x), xp.zeros_like(y0), after[:1, ...]]
            self._first = [in_rows(one, dtype) for one, dtype in zip(first, wanted, strict=True)]
        self._rows = [in_rows(one, dtype)[::-1, ...] for one, dtype in zip(rows, wanted, strict=True)]
        self._count = self._rows[0].shape[0]

    @property
    def _longest(self) -> int:
        """Steps in which the adjoint must forget where it began."""
        return (self._steps - 1) // (self._groups * self._summed.lanes) // SHARE

    def _is_parameter(self, number: int) -> bool:
        count = len(self._derived.program.arguments)
        return count - 2 - len(self._given) <= number < count - 2

    def _sweep(self, rows: Sequence[Array], groups: int) -> Sweep:
        from ..._recorded.native.summed import Sweep  # noqa: PLC0415 - LLVM is slow to load

        return Sweep(self._summed, self._code, [*rows[:-2], *[None] * len(self._given), *rows[-2:]], groups)

    def found(self) -> tuple[Array, Array] | None:
        """The gradient by the parameters, and by the initial state; None if it is not found. Raises `NoCodeError`."""
        self._compare()
        start = self._gradient[0, ...].reshape(-1)
        alone = self._sweep(self._rows, 1)
        if (found := self._in_segments(alone, start)) is not None:
            return found
        if not self._is_short:
            return self._from_joints(alone, start)
        alone.restart()
        alone.start(start)
        alone.add(0, self._count, 0, several=False)
        return self._finished(alone.total, alone.states()[0]) if alone.are_finite else None

    def _in_segments(self, alone: Sweep, start: Array) -> tuple[Array, Array] | None:
        """The same by segments; None if the adjoint does not forget in them."""
        longest, known = self._longest, self._notes.get("adjoint forgets", 0)
        tried, vain = self._notes.get("adjoint remembers", (0, 0))
        if longest < TRIED or (longest <= tried and vain % AGAIN):
            self._notes["adjoint remembers"] = tried, vain + 1
            return None
        sweep = self._sweep(self._rows, self._groups) if self._groups > 1 else alone
        for find in (lambda: known, lambda: self._memory(longest)):
            memory = find()
            if 0 < memory <= longest and (state := self._marched(sweep, alone, start, memory)) is not None:
                self._notes["adjoint forgets"] = memory
                self._notes.pop("adjoint remembers", None)
                return self._finished(sweep.total if sweep is alone else alone.total + sweep.total, state)
        self._notes["adjoint remembers"] = longest, vain + 1
        return None

    def _from_joints(self, alone: Sweep, start: Array) -> tuple[Array, Array] | None:
        """The same from the states at which segments begin, found one step after the other; None if these are wrong."""
        if self._steps < self._groups * self._summed.lanes * TRIED:
            return None
        sweep = self._sweep(self._rows, self._groups)
        length, early = divmod(self._count, sweep.sequences)
        xp, places = array_namespace(start), range(early, self._count, length)
        program = self._chain()
        fixed = [xp.broadcast_to(one[None, ...], (self._count, *one.shape)) for one in self._given[:-1]]
        begins = states_at(program, start, [*self._rows[:-2], *fixed, self._rows[-2]], places)
        alone.restart()
        alone.start(start)
        alone.add(0, early, 0, several=False)
        sweep.start(begins)
        sweep.add(early, length, length)
        ends = sweep.states()
        with quiet():
            near = machine_epsilon(start.dtype) ** 0.5 * xp.max(xp.abs(begins), axis=1, keepdims=True)[1:]
            meet = bool(xp.all(xp.abs(ends[:-1] - begins[1:]) <= near))
        is_right = meet and sweep.are_finite and alone.are_finite
        return self._finished(alone.total + sweep.total, ends[-1]) if is_right else None

    def _marched(self, sweep: Sweep, alone: Sweep, start: Array, memory: int) -> Array | None:
        """The state after the last step but one; None if segments do not meet."""
        xp, count, segments = array_namespace(start), self._count, sweep.sequences
        length, early = divmod(count, segments)
        alone.restart()
        sweep.restart()
        alone.start(start)
        alone.add(0, early, 0, several=False)
        first = alone.states()[:1]
        sweep.start(xp.zeros_like(start))
        sweep.run(early + length - memory, memory, length)  # each lane for the next one
        begins = xp.concat([first, sweep.states()[:-1]])
        sweep.start(begins)
        sweep.add(early, length, length)
        if not (sweep.are_finite and alone.are_finite):
            return None
        ends = sweep.states()
        if begins[1:].tobytes() == ends[:-1].tobytes():
            return ends[-1]
        # step `k` adds the row `k` of the gradient to its state
        before = early + length * xp.arange(1, segments)[:, None] - 1 - xp.arange(RECENT)
        recent = xp.max(xp.abs(xp.reshape(self._rows[-2], (count, -1))[before, ...]), axis=1)
        size = xp.maximum(recent, xp.maximum(xp.abs(begins[1:]), xp.abs(ends[:-1])))
        with quiet():
            return ends[-1] if bool(xp.all(is_noise(begins[1:] - ends[:-1], size))) else None

    def _memory(self, longest: int) -> int:
        """Steps after which adjoints that start apart in the middle met; 0 if they need more than `longest`."""
        xp, begin, done = array_namespace(self._gradient), self._count // 2, 0
        begin = min(begin, self._count - longest)
        probe = self._sweep(self._rows, 1)
        recent = xp.reshape(self._rows[-2][begin : begin + RECENT, ...], (RECENT, -1))
        starts = xp.zeros_like(probe.states())
        starts[1] = xp.max(xp.abs(recent), axis=0) + xp.abs(recent[0]) + 1
        probe.start(starts)
        while done < longest:
            steps = min(max(TRIED, done // SHARE), longest - done)
            probe.run(begin + done, steps, 0)
            done += steps
            one, other = probe.states()[:2]
            with quiet():
                if bool(xp.all(is_noise(one - other, xp.maximum(xp.abs(one), xp.abs(recent[0]))))):
                    return min(2 * done, longest)
        return 0

    def _finished(self, total: Array, state: Array) -> tuple[Array, Array]:
        """Results with those of the first step."""
        if self._first is None:
            return total, state
        first = self._sweep(self._first, 1)
        first.start(state)
        first.add(0, 1, 0, several=False)
        return total + first.total, first.states()[0]

    def _compare(self) -> None:
        """Compare a step of every lane, spread over time, with NumPy, once; raises `NoCodeError`."""
        if "summed agrees" in self._notes:
            return
        xp, some = array_namespace(self._gradient), self._sweep(self._rows, 1)
        lanes, between = self._summed.lanes, self._count // self._summed.lanes
        states = xp.reshape(self._gradient[: lanes * between : between, ...], (lanes, -1))
        some.start(states)
        some.add(0, 1, between)
        rows = [one[: lanes * between : between, ...] for one in self._rows]
        check_code(self._derived, states, rows, self._given, some.states(), some.total)
        self._notes["summed agrees"] = True


def check_code(
    derived: Pullback, states: Array, rows: Sequence[Array], given: Sequence[Array], after: Array, total: Array
) -> None:  # fmt: skip
    """Compare states `after` a step from some states, and the sums of terms, with NumPy; raises `NoCodeError`."""
    xp, count = array_namespace(states), states.shape[0]
    fixed = [xp.broadcast_to(one[None, ...], (count, *one.shape)) for one in given]
    shaped = [xp.reshape(one, (count, -1)) for one in (states, *rows[:-2], *fixed, *rows[-2:])]
    with quiet():
        found, *terms = derived.program(*shaped)
        off = bool(xp.any(apart(xp, after, xp.reshape(found, (count, -1)))))
        expected, size = derived.summed(*terms), derived.summed(*map(xp.abs, terms))
        known = xp.isfinite(expected)  # of infinite terms, nothing is known
        distance = xp.where(known, xp.abs(total - expected), 0.0)
        if off or bool(xp.any(distance > machine_epsilon(states.dtype) ** 0.5 * size)):
            raise NoCodeError("gave other derivatives than its recorded operations")
