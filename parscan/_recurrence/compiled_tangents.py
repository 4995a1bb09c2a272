"""Newton's method by machine code: segments with exact derivatives, and what they cost."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import inf, prod
from typing import TYPE_CHECKING

from .._arrays.namespace import Array
from .._kernels.cpu.threads import available_threads
from .._linalg.structure import Structure
from .code import Code, Ledger, NoCodeError, pace
from .compiled_segments import ROUNDS, CompiledSegments
from .members import Members
from .systems.compiled import CompiledTangents
from .systems.propagation import Span

if TYPE_CHECKING:
    from .._recorded.native.lanes import Lanes
    from .._recorded.program import Program

LARGEST = 6000
"""Operations of a step with its tangents that is compiled: a dense product of 16 components has 4096."""

SWEEPS = 3
"""Sweeps with derivatives that Newton's method is expected to need."""

KEPT = 32
"""Programs that are kept with their tangents."""

TANGENTS = Ledger()
"""That of this process for tangents: time that sweeps over segments, or the compiled loop, took without them."""

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
        return max(1, steps // (self.lanes.width(steps) * available_threads()))

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
        xp, width, code = self.segments.code.step.xp, self.lanes.width(steps), self.segments.code
        starts = xp.broadcast_to(states[-1:, ...], (width, *states.shape[1:]))
        march = CompiledTangents(self._alone, self.structure, self.segments.march, self.kept)

        def run(count: int) -> None:
            length = count // width
            outs = xp.empty((width * length, *states.shape[1:]), dtype=states.dtype)
            march.march(starts, Span(0, width * length, length), outs)

        try:
            times = [(pace(run, max(width, steps)), code.pace(states[-1, ...], steps)) for _ in range(ROUNDS)]
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error
        self.lanes.pace, looped = (min(some) for some in zip(*times, strict=True))
        self.lanes.gain = looped / self.lanes.pace

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


def tangents_of(code: Code, structure: Structure, kept: Structure, n: int) -> TangentCode | None:
    """
    Code with tangents, not yet compiled; None for batches, for code of Numba, and for steps of too many operations.

    Products belong to `structure`, propagators have those entries of them that are `kept`.
    """
    if code.program is None or isinstance(code.loop, Members) or prod(code.program.arguments[0].shape) != n:
        return None
    places = structure.from_dense(code.step.xp.reshape(code.step.xp.arange(n * n), (n, n)))
    program = _with_tangents(code.program, places)
    if program is None:
        return None
    from .._recorded.native.lanes import compiled_lanes  # noqa: PLC0415 - LLVM is slow to load

    segments = CompiledSegments(code, compiled_lanes(code.program, several=True))
    return TangentCode(segments, compiled_lanes(program, chain=2), structure, None if kept is structure else kept)


def _with_tangents(step: Program, places: Array) -> Program | None:
    """The program of a step with tangents; None if it would have too many operations."""
    from .._recorded.graph import TooLarge  # noqa: PLC0415 - slow to import
    from .._recorded.tangents import with_tangents  # noqa: PLC0415

    key = step.fingerprint, places.tobytes()
    if key not in _kept:
        try:
            program: Program | None = with_tangents(step, places)
        except TooLarge:
            program = None
        _kept[key] = None if program is None or program.operations > LARGEST else program
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return _kept[key]


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
    if not (tangents.lanes.gain > 0 or seconds == inf or TANGENTS.pays(tangents.lanes.program, seconds)):
        return None
    tangents.prepare(states, after, steps)
    return tangents
