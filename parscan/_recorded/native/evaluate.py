"""A program evaluated for many arguments, by machine code."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..program import Program
from .compilation import Compiled
from .kernel import kernel
from .loop import address


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
        self._code = Compiled(kernel(program, chain=False))

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
            places = [(address(array), array.strides[0], 0) for array in (*rows, *results)]
            self._code(self._code.memory(), np.array(places, dtype=np.int64).reshape(-1, 3), count)
        return tuple(results)


def evaluate(program: Program, *arguments: Any) -> tuple[Any, ...]:
    """Evaluate a program once; see `Evaluator`."""
    return Evaluator(program)(*arguments)
