"""A program evaluated for many arguments, by machine code."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..program import Program
from .compilation import Compiled
from .kernel import kernel
from .lanes import pays, widest
from .layout import address
from .memory import ADJACENT, UNIT


class Evaluator:
    """
    A program, compiled: as `Program.__call__`, it takes the arguments of many calls, stacked.

    Parameters
    ----------
    program : Program
    several : bool, optional
        Whether several calls are evaluated at a time; by default, where that is faster.

    Raises
    ------
    UnsupportedError
        If the program has no machine code.
    """

    def __init__(self, program: Program, *, several: bool | None = None) -> None:
        self.program = program
        several = pays(program) if several is None else several
        self._lanes = widest(program, 16) if several else 1
        sizes = [int(np.prod(one.shape)) for one in program.arguments] + [ids.size for ids in program.results]
        modes = [UNIT if size == 1 else ADJACENT for size in sizes] if several else []
        self._code = Compiled(kernel(program, chain=0, lanes=self._lanes, modes=modes))

    def __call__(self, *arguments: Any) -> tuple[Any, ...]:
        """Results, arrays of shapes (m, *shape), of arguments of shapes (m, *shape)."""
        program, lanes = self.program, self._lanes
        calls = arguments[0].shape[0] if arguments else 1
        count = max(calls, lanes)
        rows = []
        for array, one in zip(arguments, program.arguments, strict=True):
            row = np.ascontiguousarray(np.reshape(array, (calls, *one.shape)), dtype=one.dtype)
            rows.append(row if calls == count or not calls else np.resize(row, (count, *one.shape)))
        results = [
            np.empty((count, *ids.shape), dtype) for ids, dtype in zip(program.results, program.dtypes, strict=True)
        ]
        if calls:
            self._run([*rows, *results], count)
        return tuple(result[:calls] for result in results)

    def _run(self, arrays: list[Any], count: int) -> None:
        sizes = np.array([array.strides[0] for array in arrays], dtype=np.int64)
        starts = np.array([address(array) for array in arrays], dtype=np.int64)
        places, memory = np.stack([starts, self._lanes * sizes, sizes], axis=1), self._code.memory()
        self._code(memory, places, count // self._lanes)
        if count % self._lanes:  # the last ones, some of them again
            places[:, 0] += (count - self._lanes) * sizes
            self._code(memory, places, 1)


def evaluate(program: Program, *arguments: Any) -> tuple[Any, ...]:
    """Evaluate a program once; see `Evaluator`."""
    return Evaluator(program)(*arguments)
