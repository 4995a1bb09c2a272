"""Steps of independent sequences, several sequences at a time, by machine code on vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph import CONSTANT, INPUT
from ..program import Program
from .compilation import Compiled
from .kernel import kernel
from .layout import address, is_small
from .libm import vector_bytes
from .loop import portions
from .memory import SHARED, STRIDED, UNIT


def widest(program: Program, sequences: int) -> int:
    """Sequences that vectors of this processor hold, a power of two of not more than there are."""
    sizes = [block.dtype.itemsize for block in program.blocks if block.dtype.kind == "f"]
    return min(vector_bytes() // max(sizes, default=8), 1 << (sequences.bit_length() - 1))


FEW = 500
"""Operations of a program up to which they wait for each other more than that they keep the processor busy."""


def pays(program: Program) -> bool:
    """Whether several sequences at a time are faster: long arrays fill vectors, and the processor, alone."""
    small = sum(b.count for b in program.blocks if is_small(b) and b.operation not in (INPUT, CONSTANT))
    return program.operations <= FEW or 2 * small > program.operations


class Lanes:
    """
    Steps `y_t = step(y_{t-1}, x_t)` of several sequences, or calls of a program without a state, compiled.

    Parameters
    ----------
    program : Program
        Of one sequence. With `chain`, the first argument is the state, which the first result follows.
    chain : bool
        Whether there is a state.
    several : bool, optional
        Whether several sequences are evaluated at a time; by default, where that is faster.

    Raises
    ------
    UnsupportedError
        At the first run, if the program has no machine code.
    """

    def __init__(self, program: Program, *, chain: bool = True, several: bool | None = None) -> None:
        self._several = pays(program) if several is None else several
        self.program, self.chain, self._operations = program, chain, program.operations
        self._codes: dict[Any, Compiled] = {}

    def width(self, sequences: int) -> int:
        """Sequences that are evaluated at a time, of some."""
        return widest(self.program, sequences) if self._several else 1

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
        arrays = [*(_rows(array, one) for array, one in zip(inputs, arguments, strict=True)), *outs]
        if self.chain:
            first = self.program.arguments[0]
            states = np.array(np.reshape(states, (1, sequences, *first.shape)), dtype=first.dtype, order="C")
            arrays = [states, *arrays]
        lanes = self.width(sequences)
        code = self._code(lanes, tuple(map(_mode, arrays)) if lanes > 1 else ())
        memory = code.memory()
        strides = np.array([array.strides[:2] for array in arrays], dtype=np.int64)
        places = np.stack([[address(array) for array in arrays] + begin * strides[:, 0], *strides.T], axis=1)
        if self.chain:
            places[0, 0] = address(states)
        for count in portions(begin, end, self._operations * sequences, report):
            for lane in range(0, sequences, lanes):
                moved = places.copy()
                moved[:, 0] += min(lane, sequences - lanes) * strides[:, 1]
                code(memory, moved, count)
            places[:, 0] += count * strides[:, 0]
            begin += count
            if self.chain:
                states[...] = np.reshape(outs[0][begin - 1, ...], states.shape)
                places[0, 0] = address(states)

    def _code(self, lanes: int, modes: tuple[str, ...]) -> Compiled:
        if (lanes, modes) not in self._codes:
            text = kernel(self.program, chain=self.chain, lanes=lanes, modes=modes)
            self._codes[lanes, modes] = Compiled(text)
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
