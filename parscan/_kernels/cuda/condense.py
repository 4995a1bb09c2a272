"""Condensing of collocation stages on CUDA devices: one kernel, or the library's batched solver.

Why a kernel: the systems are small, so that memory traffic decides. Counted in numbers per interval, with m = s n, the
kernel reads J and r once, m (n + 1), and writes the stages, the propagator and the offset once, m (n + 1) + n (n + 1);
the matrices are in shared memory only. A batched LU works in global memory: products are written (m²), subtracted from
the identity (2 m²), transposed (2 m²), factorised in place (2 m²) and read for the solution (m²), and the right-hand
sides are moved about ten times. For s = n = 3 the kernel moves 84 numbers, the LU 650 for the matrices and 360 for the
right-hand sides, with one launch against about ten. This is an argument; it has not been timed.
"""

from __future__ import annotations

import math

import array_api_compat

from ..._arrays.namespace import Array, array_namespace, contiguous, dtype_name
from ..dispatch import Condensed
from ..generic import condense as generic
from . import condense_kernels as kernels
from . import launch

CHUNK_BYTES = 1 << 28
"""Size of the systems that the library's solver gets at once: large enough for launches to take little of the time."""


def condense(J: Array, A: Array, b: Array, h: Array, r: Array) -> Condensed:
    """Condense the stages of every interval; see `dispatch.condense`."""
    N, s, n = r.shape
    dtype = dtype_name(r.dtype)
    if N == 0 or not kernels.fits(dtype, s, n):
        return generic.condense(J, A, b, h, r, chunk_bytes=CHUNK_BYTES)
    xp, device = array_namespace(J, r), array_api_compat.device(r)
    shapes = (r.shape, J.shape, (N, n, n), (N, n))
    results = [xp.empty(math.prod(shape), dtype=r.dtype, device=device) for shape in shapes]
    operands = (J, generic.like(A, r), generic.like(b, r), xp.astype(h, r.dtype, copy=False), r)
    memory = [xp.reshape(contiguous(x), (-1,)) for x in operands]
    groups = kernels.groups(dtype, s, n)
    blocks, threads = -(-N // groups), groups * kernels.width(s, n)
    launch.LAUNCHER.launch(kernels.condense_kernel(dtype, s, n), blocks, threads, *memory, N, *results)
    return Condensed(*(xp.reshape(x, shape) for x, shape in zip(results, shapes, strict=True)))
