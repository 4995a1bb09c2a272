"""The phases of a scan on a CUDA device: summarise chunks, carry the states across them, march through each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import array_api_compat

from ..._arrays.namespace import Array, array_namespace, dtype_name
from . import mend_kernels as mending
from .choice import Phases, SinglePass, Way, choose
from .launch import launcher
from .lookback_words import workspace_size
from .lookback_workspace import workspace
from .operand import Operand
from .tiles import tile_of


@dataclass(frozen=True)
class Recurrence:
    """
    Recurrences of one length and order, side by side, in the order of their evaluation.

    Parameters
    ----------
    A, b : Operand
        Coefficients, with strides of (step, sequence, row, column), and offsets, with (step, sequence, row).
    start : array, shape (sequences * n,)
        States before the first step.
    started : bool
        Whether there is a start. Without one it holds zeros, and the first coefficient is not looked at.
    length, sequences, n : int
        Steps, recurrences, and the order of the matrices.
    conjugate : bool
        Whether the coefficients are to be conjugated.
    """

    A: Operand
    b: Operand
    start: Array
    started: bool
    length: int
    sequences: int
    n: int
    conjugate: bool = False

    def known(self, chunk: int, chunks: int) -> tuple[Array | int, ...]:
        """First arguments of every kernel."""
        sizes = (self.length, chunk, chunks, self.sequences)
        return (*self.A.arguments, *self.b.arguments, int(self.started), *sizes)

    def backwards(self) -> Recurrence:
        """The same with the last step first."""
        return replace(self, A=self.A.backwards(self.length), b=self.b.backwards(self.length))


def evaluate(recurrence: Recurrence, out: Operand) -> None:
    """Fill `out`, with strides of (step, sequence, row), with the states."""
    way = choose(dtype_name(recurrence.start.dtype), recurrence.n, recurrence.sequences, recurrence.length)
    _EVALUATED[type(way)](way, recurrence, out)


def _in_phases(way: Phases, r: Recurrence, out: Operand) -> None:
    """Summarise chunks, carry, march."""
    dtype, device = dtype_name(r.start.dtype), launcher(r.start)
    summarise, march = (way.kernels[name](dtype, r.n, conjugate=r.conjugate) for name in ("summarise", "march"))
    chunk = way.chunk(dtype, r.n, r.sequences, r.length, device.processors())
    chunks = -(-r.length // chunk)
    blocks, threads = way.grid(dtype, r.n, chunks * r.sequences)
    known = r.known(chunk, chunks)
    carries = r.start
    if chunks > 1:
        P, q = _empty(r, chunks * r.n * r.n), _empty(r, chunks * r.n)
        device.launch(summarise, blocks, threads, *known, P, q)
        carries = _carry(r, P, q, chunks)
        mend = mending.mend_kernel(dtype, r.n, conjugate=r.conjugate)
        device.launch(mend, r.sequences, mending.THREADS, *known, r.start, P, q, carries)
    device.launch(march, blocks, threads, *known, r.start, carries, *out.arguments)
    if chunks > 1:
        sizes = (r.length, chunk, chunks, r.sequences)
        device.launch(mending.spoil_kernel(dtype, r.n), r.sequences, mending.THREADS, *sizes, *out.arguments)


def _in_one_pass(way: SinglePass, r: Recurrence, out: Operand) -> None:
    """A single pass, in which tiles ask those before them; and the repair of what is not finite, if there is any."""
    dtype, device = dtype_name(r.start.dtype), launcher(r.start)
    scan, repair = (way.kernels[name](dtype, r.n, conjugate=r.conjugate) for name in ("scan", "repair"))
    tile = tile_of(dtype)
    chunks = -(-r.length // tile.steps)
    with workspace(r.start, device.stream(), workspace_size(dtype, chunks)) as shared:
        arguments = (*r.known(tile.steps, chunks), r.start, shared, *out.arguments)
        device.launch(scan, chunks, tile.threads, *arguments)
        device.launch(repair, 1, tile.threads, *arguments)


_EVALUATED: dict[type[Way], Any] = {Phases: _in_phases, SinglePass: _in_one_pass}
"""How kernels of a kind evaluate a recurrence."""


def _carry(r: Recurrence, P: Array, q: Array, chunks: int) -> Array:
    """States after the chunks: once more a recurrence."""
    n, row = r.n, r.sequences * r.n
    carries = _empty(r, chunks * n)
    products, offsets = Operand(P, 0, (row * n, n * n, n, 1)), Operand(q, 0, (row, n, 1))
    evaluate(Recurrence(products, offsets, r.start, True, chunks, r.sequences, n), Operand(carries, 0, (row, n, 1)))
    return carries


def _empty(r: Recurrence, numbers: int) -> Array:
    """Memory for so many numbers per sequence."""
    xp = array_namespace(r.start)
    return xp.empty(numbers * r.sequences, dtype=r.start.dtype, device=array_api_compat.device(r.start))
