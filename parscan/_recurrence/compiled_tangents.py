"""Newton's method by machine code: segments with exact derivatives, and what they cost."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf, prod
from typing import TYPE_CHECKING, Any

from .._arrays.namespace import Array, all_finite, array_namespace, quiet
from .._arrays.threads import available_threads
from .._linalg.structure import Structure
from .._recorded.budget import Ledger, NoCodeError
from .code import Code, changed, pace
from .compiled_segments import ROUNDS, CompiledSegments, measured
from .members import Members
from .systems.compiled import CompiledTangents
from .systems.propagation import Span

if TYPE_CHECKING:
    from .._recorded.native.lanes import Lanes
    from .._recorded.program import Program

LARGEST = 6000
"""Operations of a step with its tangents that is compiled: a dense product of 16 components has 4096."""

MOST_ENTRIES = 576
"""
Entries of the products, those of 24 components in dense matrices. The text hands each of them from step to step in a
register, even where it is zero, and takes seconds to compile if there are many more.
"""

PER_ENTRY = 1e-3
"""Seconds that each of these entries adds to compiling."""

SWEEPS = 3
"""Sweeps with derivatives that Newton's method is expected to need."""

EXPECTED, MOST = 4, 6
"""Sweeps with derivatives that `auto` expects of Newton's method, and grants it."""

WORTH_TRYING, A_SWEEP = 1e-2, 6e-4
"""Seconds of the compiled loop from which on `auto` considers Newton's method; those of a sweep without its steps."""

DERIVING = 2e-3
"""Seconds of the loop, for each operation of a step, beside which those that derivatives take are few."""

GAINS = 0.5
"""Share of the compiled loop's time that all sweeps may be expected to take."""

MOST_GAIN = 32
"""Operations of several segments at a time in the time of one operation of the loop, at most, on one thread."""

PROBED, GROWING, AT_FIRST = 128, 2.0, 30.0
"""
Two trajectories over one such part of the steps must not grow apart by the first factor from its first half to its
second one, nor by the second factor in all, or Newton's method diverges.
"""

KEPT = 32
"""Programs that are kept with their tangents."""

TANGENTS = Ledger()
"""That of this process for tangents: time that sweeps over segments, or the compiled loop, took without them."""

OUTCOMES: OrderedDict[Any, bool] = OrderedDict()
"""By the operations of a step, whether Newton's method was faster than the compiled loop: failures are not repeated."""

_kept: OrderedDict[tuple[bytes, bytes], Program | None] = OrderedDict()


@dataclass(frozen=True)
class TangentCode:
    """
    Machine code for segments that carries the products of the step's Jacobians along.

    Parameters
    ----------
    segments : CompiledSegments
        Code for the states alone.
    lanes : Lanes
        Code of a step with tangents.
    structure : Structure
        Family of the products.
    kept : Structure, optional
        Smaller family that propagators belong to: then the products are dense.
    """

    segments: CompiledSegments
    lanes: Lanes
    structure: Structure
    kept: Structure | None = None

    def march(self) -> CompiledTangents:
        """A way to march segments."""

        def march(starts: Array, products: Array, trajectory: Array, span: Span) -> None:
            self._run(starts, products, trajectory, span, available_threads())

        return CompiledTangents(march, self.structure, self.segments.march, self.kept)

    def length(self, steps: int) -> int:
        """Steps per segment: there is one for each lane of each thread."""
        return max(1, steps // self.count(steps))

    def count(self, steps: int) -> int:
        """Segments: one for each lane of each thread."""
        return self.lanes.width(steps) * available_threads()

    def share(self, steps: int) -> float:
        """The time that `auto` expects of Newton's method, as a share of the compiled loop's."""
        return self.swept + (EXPECTED + 1) * A_SWEEP / (steps * self.segments.code.seconds)

    @property
    def is_proven(self) -> bool:
        """Whether Newton's method was faster than the loop before, for a step with these operations."""
        return OUTCOMES.get(self.segments.lanes.program.kinds) is True

    @property
    def swept(self) -> float:
        """The share for very many steps."""
        return (EXPECTED / self.lanes.gain + 1 / self.segments.lanes.gain) / available_threads()

    def pays(self, seconds: float) -> bool:
        """Whether to compile before a solve of this many seconds; they are added to the program's time."""
        return _pays(self.lanes, seconds)

    def prepare(self, states: Array, after: Array, steps: int) -> None:
        """
        Compile and measure, once; the states alone are compared with the function.

        A wrong derivative makes iterations slow, not results wrong: they are those of the states.

        Raises
        ------
        NoCodeError
            If there can be no code.
        """
        from .._recorded.native.text import UnsupportedError  # noqa: PLC0415 - slow to import

        self.segments.prepared(states, after, steps)
        if self.lanes.gain:
            return
        xp, code = self.segments.code.step.xp, self.segments.code
        width = min(self.lanes.width(steps), steps)  # a single step has no second segment
        starts = xp.broadcast_to(states[-1:, ...], (width, *states.shape[1:]))
        march = CompiledTangents(self._alone, self.structure, self.segments.march, self.kept)

        def run(count: int) -> None:
            length = count // width
            outs = xp.empty((width * length, *states.shape[1:]), dtype=states.dtype)
            march.march(starts, Span(0, width * length, length), outs)

        def measure() -> tuple[float, float]:
            times = [(pace(run, max(width, steps), width), code.pace(states[-1, ...], steps)) for _ in range(ROUNDS)]
            seconds, looped = (min(some) for some in zip(*times, strict=True))
            return seconds, looped / seconds

        try:
            run(width)  # whether it can be compiled
            self.lanes.pace, self.lanes.gain = measured(self.lanes, measure)
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error

    def _alone(self, starts: Array, products: Array, trajectory: Array, span: Span) -> None:
        """On one thread."""
        self._run(starts, products, trajectory, span, 1)

    def _run(self, starts: Array, products: Array, trajectory: Array, span: Span, threads: int) -> None:
        from .._recorded.native.segments import Segments  # noqa: PLC0415 - LLVM is slow to load

        segments = Segments(
            self.lanes, self.segments.code.inputs, [trajectory], span.begin, span.end, span.length, threads,
            products=products,
        )  # fmt: skip
        segments.run(starts, 0, span.rounds)


def _pays(lanes: Lanes, seconds: float) -> bool:
    """Whether to compile before a solve of this many seconds; they are added to the program's time."""
    return TANGENTS.pays(lanes.program, seconds, PER_ENTRY * prod(lanes.program.arguments[1].shape))


def tangents_of(code: Code, structure: Structure, kept: Structure, n: int) -> TangentCode | None:
    """
    Code with tangents, not yet compiled; None for batches, for code of Numba, and for steps of too many operations.

    Products belong to `structure`, propagators have those entries of them that are `kept`.
    """
    if code.program is None or code.recording is None or isinstance(code.loop, Members):
        return None
    of_complex = code.recording.dtype.kind == "c"
    if prod(code.program.arguments[0].shape) != n * (1 + of_complex):
        return None
    places = structure.from_dense(code.step.xp.reshape(code.step.xp.arange(n * n), (n, n)))
    is_small = places.size * (1 + of_complex) <= MOST_ENTRIES
    program = _with_tangents(code.program, places, of_complex=of_complex) if is_small else None
    if program is None:
        return None
    from .._recorded.native.lanes import compiled_lanes  # noqa: PLC0415 - LLVM is slow to load

    segments = CompiledSegments(code, compiled_lanes(code.program, several=True))
    return TangentCode(segments, compiled_lanes(program, chain=2), structure, None if kept is structure else kept)


def _with_tangents(step: Program, places: Array, *, of_complex: bool) -> Program | None:
    """The program of a step with tangents; None if it would have too many operations."""
    from .._recorded.graph import TooLarge  # noqa: PLC0415 - slow to import
    from .._recorded.tangents import with_tangents  # noqa: PLC0415

    key = step.fingerprint, places.tobytes()
    with suppress(KeyError):
        return _kept[key]
    try:
        program: Program | None = with_tangents(step, places, of_complex=of_complex)
    except TooLarge:
        program = None
    _kept[key] = program = None if program is None or program.operations > LARGEST else program
    while len(_kept) > KEPT:
        _kept.popitem(last=False)
    return program


def prepared_tangents(
    code: Code, structure: Structure, kept: Structure, states: Array, after: Array, steps: int, seconds: float
) -> TangentCode | None:
    """
    Code with tangents, compiled; None where there is none, or where it does not pay.

    `seconds` are those that the solve takes without; infinite for code at any price.
    """
    tangents = tangents_of(code, structure, kept, states.shape[-1])
    if tangents is None:
        return None
    if not (tangents.lanes.gain > 0 or seconds == inf or tangents.pays(seconds)):
        return None
    tangents.prepare(states, after, steps)
    return tangents


def faster_tangents(code: Code, structure: Structure, states: Array, after: Array, steps: int) -> TangentCode | None:
    """Code with tangents, if Newton's method is expected to take less time than the compiled loop."""
    program, seconds = code.program, steps * code.seconds
    if program is None or seconds < max(WORTH_TRYING, DERIVING * program.operations):
        return None
    outcome = OUTCOMES.get(program.kinds)
    if outcome is False:
        return None
    tangents = tangents_of(code, structure, structure, states.shape[-1])
    if tangents and _may_gain(tangents, program):
        if not tangents.lanes.gain:
            if not tangents.pays(seconds):
                code.purchases.append(partial(_pays, tangents.lanes))
                return None
            tangents.prepare(states, after, steps)
        if tangents.swept < GAINS < tangents.share(steps):  # more steps would do
            return None
        if tangents.swept < GAINS and (outcome or _is_stable(code, states, steps)):
            return tangents
    note_outcome(program, faster=False)
    return None


def _may_gain(tangents: TangentCode, program: Program) -> bool:
    """Whether the operations are few enough."""
    return EXPECTED * tangents.lanes.program.operations < (GAINS * MOST_GAIN * available_threads() * program.operations)


def note_outcome(program: Program, *, faster: bool) -> None:
    """Remember whether Newton's method was faster for a step with the operations of a program."""
    OUTCOMES[program.kinds] = faster
    while len(OUTCOMES) > KEPT:
        OUTCOMES.popitem(last=False)


def _is_stable(code: Code, states: Array, steps: int) -> bool:
    """Whether two trajectories that start beside each other, in the middle of the inputs, stay so for a while."""
    xp, count = array_namespace(states), steps // PROBED
    starts = xp.stack([states[-1, ...], changed(states)[-1, ...]])
    rows = xp.empty((2, count, *states.shape[1:]), dtype=states.dtype)
    for state, row in zip(starts, rows, strict=True):
        code.loop.run(state, [x[steps // 2 :, ...] for x in code.inputs], row, 0, count)
    if count < 2 or not all_finite(rows):
        return False
    with quiet():
        apart = xp.abs(rows[1, ...] - rows[0, ...])
        before, early, late = (
            float(xp.max(some))
            for some in (xp.abs(starts[1, ...] - starts[0, ...]), apart[: count // 2, ...], apart[count // 2 :, ...])
        )
        return late <= GROWING * early <= GROWING * AT_FIRST * before
