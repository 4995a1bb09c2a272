"""Steps of independent sequences, several sequences at a time, by machine code on vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..program import Program
from .compilation import Code, compiled
from .kernel import SHARED, STRIDED, UNIT, Kernel, kernel
from .layout import aligned
from .libm import vector_bytes
from .loop import PAUSE


def widest(program: Program, sequences: int) -> int:
    """Sequences that vectors of this processor hold, a power of two of not more than there are."""
    sizes = [block.dtype.itemsize for block in program.blocks if block.dtype.kind == "f"]
    return min(vector_bytes() // max(sizes, default=8), 1 << (sequences.bit_length() - 1))


class Lanes:
    """
    Steps `y_t = step(y_{t-1}, x_t)` of several sequences, or calls of a program without a state, compiled.

    Parameters
    ----------
    program : Program
        Of one sequence. With `chain`, the first argument is the state, which the first result follows.
    chain : bool
        Whether there is a state.

    Raises
    ------
    UnsupportedError
        At the first run, if the program has no machine code.
    """

    def __init__(self, program: Program, *, chain: bool = True) -> None:
        self.program, self.chain = program, chain
        self._codes: dict[Any, tuple[Kernel, Code]] = {}

    def run(
        self, states: Any, inputs: Sequence[Any], outs: Sequence[Any], begin: int, end: int,
        report: Callable[[int], object] | None = None,
    ) -> None:  # fmt: skip
        """
        Evaluate the steps `begin` to `end`.

        Parameters
        ----------
        states : array, shape (sequences, *shape)
            Before the first of them; None without a state.
        inputs : sequence of arrays, shapes (T, sequences, *shape)
            Views, whose first two axes may have any strides (0 where all sequences have the same); the others are
            contiguous.
        outs : sequence of arrays, shapes (T, sequences, *shape)
            Of each result; views likewise. Row `t` becomes the result of the step `t`.
        report : callable, optional
            Called with the next step every now and then.
        """
        sequences = outs[0].shape[1]
        arguments = self.program.arguments[1:] if self.chain else self.program.arguments
        inputs = [_rows(array, one) for array, one in zip(inputs, arguments, strict=True)]
        if self.chain:
            first = self.program.arguments[0]
            states = np.array(np.reshape(states, (sequences, *first.shape)), dtype=first.dtype, order="C")
        arrays = [*([states[None, ...]] if self.chain else []), *inputs, *outs]
        lanes = widest(self.program, sequences)
        kernel, code = self._code(lanes, tuple(map(_mode, arrays)) if lanes > 1 else ())
        memory, steps = aligned(kernel.scratch), 64
        while begin < end:
            count, start = min(steps, end - begin), time.perf_counter()
            for one in range(0, sequences, lanes):
                lane = min(one, sequences - lanes)
                rows = [(_address(array, 0 if self.chain and k == 0 else begin, lane), *array.strides[:2])
                        for k, array in enumerate(arrays)]  # fmt: skip
                numbers = np.array(rows, dtype=np.int64)
                code.function(kernel.table.ctypes.data, memory.ctypes.data, numbers.ctypes.data, count)
            begin += count
            if self.chain:
                arrays[0] = states = np.ascontiguousarray(outs[0][begin - 1 : begin, ...]).reshape(arrays[0].shape)
            steps = int(min(max(count * PAUSE / max(time.perf_counter() - start, 1e-9), 1), 64 * count))
            if report is not None:
                report(begin)

    def _code(self, lanes: int, modes: tuple[str, ...]) -> tuple[Kernel, Code]:
        if (lanes, modes) not in self._codes:
            text = kernel(self.program, chain=self.chain, lanes=lanes, modes=modes)
            self._codes[lanes, modes] = text, compiled(text)
        return self._codes[lanes, modes]


def _rows(array: Any, argument: Any) -> Any:
    """An input in the recorded dtype, contiguous beyond its first two axes."""
    if array.dtype != argument.dtype:
        array = array.astype(argument.dtype)
    if array.size and not array[0, 0, ...].flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return array


def _mode(array: Any) -> str:
    """How an array lies in memory, see `kernel`."""
    if array.strides[1] == 0:
        return SHARED
    return UNIT if array.strides[1] == array.itemsize else STRIDED


def _address(array: Any, step: int, lane: int) -> int:
    return int(array.ctypes.data + step * array.strides[0] + lane * array.strides[1])
