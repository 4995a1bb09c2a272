"""The correction of a whole mesh on NumPy arrays: allocates memory, chooses threads."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..._arrays.namespace import Array, readonly
from ..._arrays.threads import Threads, run_all, shares
from ..dispatch import Condensed, CorrectedMesh
from .correct_mesh_kernels import correct_members
from .operand import operand

THREADS = Threads(work_per_thread=1 << 21)


def correct_mesh(
    condensed: Condensed,
    b: Array,
    h: Array,
    y: Array,
    K: Array,
    rtol: float | Array,
    atol: Array,
    *,
    threads: Threads = THREADS,
) -> CorrectedMesh:
    """Correct the members of the batch one by one, several at once; see `dispatch.correct_mesh`."""
    N, s, B, n = K.shape
    real = y.real.dtype
    inputs = [operand(x, y.dtype) for x in (condensed.X0, condensed.X1, condensed.propagators, condensed.offsets, y, K)]
    bounds = np.empty((2, n), real)
    bounds[0], bounds[1] = rtol, atol
    scale = (operand(b, real), operand(h, real), *readonly(bounds))
    corrected, stages = np.empty(y.shape, y.dtype), np.empty(K.shape, y.dtype)
    corrected[0] = y[0]
    count = threads.worthwhile(N * s * B * n * n, B)
    squares = np.zeros((count, N), real)
    run_all(
        [
            partial(correct_members, left, right, *inputs, *scale, corrected, stages, squares[share])
            for share, (left, right) in enumerate(shares(B, count))
        ]
    )
    return CorrectedMesh(corrected, stages, np.sqrt(squares[0] if count == 1 else squares.max(axis=0)))
