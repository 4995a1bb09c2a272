"""A recurrence's steps, one after the other, by machine code of the step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..program import Program

PAUSE = 0.05
"""Seconds between two returns to Python, where Ctrl-C is noticed and progress is reported."""


class Loop:
    """
    Steps `y_t = step(y_{t-1}, x_t)`, compiled.

    Parameters
    ----------
    program : Program
        Of the step: the first argument is the state, the others are rows of inputs.

    Raises
    ------
    UnsupportedError
        If it has no machine code.
    """

    def __init__(self, program: Program) -> None:
        from .compilation import compiled  # noqa: PLC0415 - LLVM is slow to load
        from .kernel import kernel  # noqa: PLC0415
        from .layout import aligned  # noqa: PLC0415

        self.program = program
        self._kernel = kernel(program, chain=True)
        self._aligned = aligned
        self._code = compiled(self._kernel)

    def run(
        self, state: Any, inputs: Sequence[Any], out: Any, begin: int, end: int,
        report: Callable[[int], object] | None = None,
    ) -> None:  # fmt: skip
        """
        Evaluate the steps `begin` to `end`.

        Parameters
        ----------
        state : array
            Before the first of them.
        inputs : sequence of arrays, shapes (T, *shape)
            A row per step.
        out : array, shape (T, *shape)
            Row `t` becomes the state after the step `t`. Its rows are contiguous.
        report : callable, optional
            Called with the next step every now and then.
        """
        first, *others = self.program.arguments
        state = np.array(np.reshape(state, first.shape), dtype=first.dtype, order="C")
        inputs = [_rows(array, argument) for array, argument in zip(inputs, others, strict=True)]
        memory = self._aligned(self._kernel.scratch)
        row = state.ctypes.data
        steps = 256
        while begin < end:
            count = min(steps, end - begin)
            start = time.perf_counter()
            addresses = [row, 0, 0]
            for array in (*inputs, out):
                addresses += [array.ctypes.data + begin * array.strides[0], array.strides[0], 0]
            arrays = np.array(addresses, dtype=np.int64)
            self._code.function(self._kernel.table.ctypes.data, memory.ctypes.data, arrays.ctypes.data, count)
            begin += count
            row = out.ctypes.data + (begin - 1) * out.strides[0]
            steps = int(min(max(count * PAUSE / max(time.perf_counter() - start, 1e-9), 1), 64 * count))
            if report is not None:
                report(begin)


def _rows(array: Any, argument: Any) -> Any:
    """Rows of an input, each contiguous and of the recorded dtype."""
    if array.dtype != argument.dtype or not (array.size == 0 or array[0].flags.c_contiguous):
        return np.ascontiguousarray(array, dtype=argument.dtype)
    return array


def compiled_loop(program: Program) -> Loop:
    """The loop of a step."""
    return Loop(program)
