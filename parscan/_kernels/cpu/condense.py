"""Condensing of collocation on NumPy arrays: chooses the kernel or LAPACK, and threads; allocates memory."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..._arrays.namespace import Array
from ..._arrays.threads import Threads, run_all, shares
from ..dispatch import Condensed
from ..generic import condense as generic
from .condense_kernels import BYTES, condense_groups
from .operand import operand

LARGEST_KERNEL = 160
"""
Largest size `s n` of a system that the kernel solves.

Measured against LAPACK with n = 1 to 150, s = 1 to 9: in float64 the kernel is 2 to 17 times as fast up to order 100,
1.4 times as fast at 180, equal at 225 and slower from 240 on, where its table exceeds the cache; in float32 it is twice
as fast.
"""

THREADS = Threads(work_per_thread=1 << 22)  # the kernel does up to ten multiplications in a nanosecond


def condense(J: Array, A: Array, b: Array, h: Array, r: Array, *, threads: Threads = THREADS) -> Condensed:
    """Condense the stages of every interval; see `dispatch.condense`."""
    N, s, n = r.shape
    if J.dtype.kind == "c" or s * n > LARGEST_KERNEL or r.size == 0:
        return generic.condense(J, A, b, h, r)
    dtype = J.dtype
    operands = [operand(x, dtype) for x in (J, A, b, h, r)]
    shapes = (r.shape, J.shape, (N, n, n), (N, n))
    results = [np.empty(shape, dtype) for shape in shapes]
    lanes = BYTES // dtype.itemsize
    groups = -(-N // lanes)

    def work(left: int, right: int) -> None:
        table = _table(s * n * (s * n + n + 1), dtype)
        condense_groups(left, right, table, *operands, *results)

    products = N * s * n * s * n * (s * n + 3 * n + 3) // 3
    run_all([partial(work, left, right) for left, right in shares(groups, threads.worthwhile(products, groups))])
    return Condensed(*results)


def _table(vectors: int, dtype: np.dtype) -> Array:
    """Memory for vectors of `BYTES`, aligned to their size."""
    lanes = BYTES // dtype.itemsize
    numbers = np.empty((vectors + 1) * lanes, dtype)
    start = -numbers.__array_interface__["data"][0] % BYTES // dtype.itemsize
    return numbers[start : start + vectors * lanes].reshape(vectors, lanes)
