"""A program evaluated for many arguments, by machine code."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..program import Program
from .compilation import compiled
from .kernel import kernel
from .layout import aligned


class Evaluator:
    """
    A program, compiled: as `Program.__call__`, it takes the arguments of many calls, stacked.

    Raises
    ------
    UnsupportedError
        If the program has no machine code.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._kernel = kernel(program, chain=False)
        self._code = compiled(self._kernel)

    def __call__(self, *arguments: Any) -> tuple[Any, ...]:
        """Results, arrays of shapes (m, *shape), of arguments of shapes (m, *shape)."""
        program = self.program
        count = arguments[0].shape[0] if arguments else 1
        rows = [
            np.ascontiguousarray(np.reshape(array, (count, *one.shape)), dtype=one.dtype)
            for array, one in zip(arguments, program.arguments, strict=True)
        ]
        results = [
            np.empty((count, *ids.shape), dtype=dtype)
            for ids, dtype in zip(program.results, program.dtypes, strict=True)
        ]
        if count:
            addresses = np.array(
                [(array.ctypes.data, array.strides[0], 0) for array in (*rows, *results)], dtype=np.int64
            )
            memory = aligned(self._kernel.scratch)
            self._code.function(self._kernel.table.ctypes.data, memory.ctypes.data, addresses.ctypes.data, count)
        return tuple(results)


def evaluate(program: Program, *arguments: Any) -> tuple[Any, ...]:
    """Evaluate a program once; see `Evaluator`."""
    return Evaluator(program)(*arguments)
