"""A scan on a CUDA device in phases: summarise the chunks, carry the states across them, march through each chunk."""

from __future__ import annotations

from typing import Any

import array_api_compat

from ..._arrays.namespace import Array, array_namespace, dtype_name
from . import launch
from . import mend_kernels as mending
from .choice import Phases, SinglePass, Way, choose
from .lookback import in_one_pass
from .operand import Operand
from .recurrence import Recurrence


def evaluate(recurrence: Recurrence, out: Operand) -> None:
    """Write the states to `out`, whose strides are (step, sequence, row)."""
    way = choose(dtype_name(recurrence.start.dtype), recurrence.n, recurrence.sequences, recurrence.length)
    _EVALUATED[type(way)](way, recurrence, out)


def _in_phases(way: Phases, r: Recurrence, out: Operand) -> None:
    """Summarise the chunks, carry the states across them, march through each chunk."""
    dtype, device = dtype_name(r.start.dtype), launch.LAUNCHER
    wide = "wide " if _is_wide(way, r, out) else ""
    summarise, march = (way.kernels.get(wide + name, way.kernels[name])(dtype, r.n) for name in ("summarise", "march"))
    chunk = way.chunk(dtype, r.n, r.sequences, r.length, device.processors())
    chunks = -(-r.length // chunk)
    grids = {name: grid(dtype, r.n, chunks * r.sequences) for name, grid in way.grids.items()}
    known = r.known(chunk, chunks)
    carries = r.start
    if chunks > 1:
        P, q = _empty(r, chunks * r.n * r.n), _empty(r, chunks * r.n)
        device.launch(summarise, *grids["summarise"], *known, P, q)
        carries = _carry(r, P, q, chunks)
        mend = mending.mend_kernel(dtype, r.n)
        device.launch(mend, r.sequences, mending.THREADS, *known, r.start, P, q, carries)
    device.launch(march, *grids["march"], *known, r.start, carries, *out.arguments)
    if chunks > 1:
        sizes = (r.length, chunk, chunks, r.sequences)
        device.launch(mending.spoil_kernel(dtype, r.n), r.sequences, mending.THREADS, *sizes, *out.arguments)


_EVALUATED: dict[type[Way], Any] = {Phases: _in_phases, SinglePass: in_one_pass}
"""Evaluates a recurrence by each kind of way."""


def _is_wide(way: Phases, r: Recurrence, out: Operand) -> bool:
    """Whether all matrices and vectors lie so that several of their numbers can be read at once."""
    dtype, n = dtype_name(r.start.dtype), r.n
    of_matrix, of_vector = way.widths(dtype, n)
    return way.is_wide(dtype, n) and all(
        (n == 1 or one.strides[2:] == inner) and one.is_aligned(launch.LAUNCHER.address(one.memory), size)
        for one, inner, size in ((r.A, (n, 1), of_matrix), (r.b, (1,), of_vector), (out, (1,), of_vector))
    )


def _carry(r: Recurrence, P: Array, q: Array, chunks: int) -> Array:
    """States after the chunks: they satisfy an affine recurrence with the maps of the chunks."""
    n, row = r.n, r.sequences * r.n
    carries = _empty(r, chunks * n)
    products, offsets = Operand(P, 0, (row * n, n * n, n, 1)), Operand(q, 0, (row, n, 1))
    evaluate(Recurrence(products, offsets, r.start, True, chunks, r.sequences, n), Operand(carries, 0, (row, n, 1)))
    return carries


def _empty(r: Recurrence, numbers: int) -> Array:
    """Memory for `numbers` numbers per sequence."""
    xp = array_namespace(r.start)
    return xp.empty(numbers * r.sequences, dtype=r.start.dtype, device=array_api_compat.device(r.start))
