"""A program evaluated for many arguments, by machine code."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..._arrays.threads import Threads, run_all
from ..program import Program
from .compilation import Compiled
from .kernel import kernel
from .lanes import pays, widest
from .layout import address
from .memory import ADJACENT, SHARED, UNIT

THREADS = Threads(work_per_thread=1 << 20)
"""Operations for which another thread is worth starting: some tenths of a millisecond."""


class Evaluator:
    """
    A program, compiled: as `Program.__call__`, it takes the arguments of many calls, stacked.

    Parameters
    ----------
    program : Program
    several : bool, optional
        Whether several calls are evaluated at a time; by default, where that is faster.
    shared : sequence of int, optional
        Numbers of arguments that are the same in all calls: they are not stacked.
    threads : Threads, optional
        How many threads share the calls.

    Raises
    ------
    UnsupportedError
        If the program has no machine code.
    """

    def __init__(
        self, program: Program, *, several: bool | None = None, shared: Sequence[int] = (), threads: Threads = THREADS
    ) -> None:  # fmt: skip
        self.program, self._shared, self._threads = program, frozenset(shared), threads
        several = pays(program) if several is None else several
        self._lanes = widest(program, 16) if several else 1
        sizes = [int(np.prod(one.shape)) for one in program.arguments] + [ids.size for ids in program.results]
        modes = [SHARED if k in self._shared else UNIT if size == 1 else ADJACENT for k, size in enumerate(sizes)]
        fixed = sorted(self._shared)
        self._code = Compiled(
            kernel(program, chain=0, lanes=self._lanes, modes=modes, fixed=fixed)
            if self._lanes > 1
            else kernel(program, chain=0)
        )

    def __call__(self, *arguments: Any) -> tuple[Any, ...]:
        """Results, shapes (m, *shape), of arguments, shapes (m, *shape); those that are shared are given once."""
        program = self.program
        calls = next((len(one) for k, one in enumerate(arguments) if k not in self._shared), 1)
        count = max(calls, self._lanes)
        rows = [
            _once(array, one) if k in self._shared else _stacked(array, one, calls, count)
            for k, (array, one) in enumerate(zip(arguments, program.arguments, strict=True))
        ]
        results = [
            np.empty((count, *ids.shape), dtype) for ids, dtype in zip(program.results, program.dtypes, strict=True)
        ]
        if calls:
            self._run([*rows, *results], count)
        return tuple(result[:calls] for result in results)

    def _run(self, arrays: list[Any], count: int) -> None:
        sizes = np.array([0 if k in self._shared else one.strides[0] for k, one in enumerate(arrays)], dtype=np.int64)
        starts = np.array([address(array) for array in arrays], dtype=np.int64)
        lanes, groups = self._lanes, count // self._lanes
        places = np.stack([starts, lanes * sizes, sizes], axis=1)

        def task(first: int, last: int) -> Any:
            own = places.copy()
            own[:, 0] += first * lanes * sizes
            return self._code.task(own[None, ...], last - first)

        threads = self._threads.worthwhile(self.program.operations * count, groups)
        cuts = [groups * k // threads for k in range(threads + 1)]
        run_all([task(*some) for some in pairwise(cuts)])
        if count % lanes:  # the last ones, some of them again
            places[:, 0] += (count - lanes) * sizes
            self._code.task(places[None, ...], 1)()


def _once(array: Any, argument: Any) -> Any:
    """An argument that all calls share, as one row."""
    return np.ascontiguousarray(np.reshape(array, (1, *argument.shape)), dtype=argument.dtype)


def _stacked(array: Any, argument: Any, calls: int, count: int) -> Any:
    """Rows of an argument, some of them again if there are fewer calls than lanes."""
    row = np.ascontiguousarray(np.reshape(array, (calls, *argument.shape)), dtype=argument.dtype)
    return row if calls == count or not calls else np.resize(row, (count, *argument.shape))


def evaluate(program: Program, *arguments: Any) -> tuple[Any, ...]:
    """Evaluate a program once; see `Evaluator`."""
    return Evaluator(program)(*arguments)
