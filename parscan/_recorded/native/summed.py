"""Segments of one sequence, marched backwards in vectors on several threads, with sums of terms of all steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..._arrays.threads import run_all
from ..graph import CONSTANT, INPUT
from ..program import Program
from .compilation import Compiled
from .kernel import Sums, kernel
from .lanes import widest
from .layout import address, aligned
from .memory import SHARED, STRIDED, UNIT
from .same_text import is_chosen

AT_ONCE = 1 << 25
"""Operations after which Python may notice Ctrl-C."""

SINGLE = 256
"""Steps after which sums in single precision are added up in double precision."""


class Summed:
    """
    Code of a program `(y, ..., θ, ..., g) -> (y', left, right, alone)` that adds up terms of its steps.

    Parameters
    ----------
    program : Program
    parameters : range
        Numbers of the arguments θ, which are constants of the code.
    sums : Sums
    """

    def __init__(self, program: Program, parameters: range, sums: Sums) -> None:
        self.program, self._parameters, self._sums = program, parameters, sums
        self.lanes = max(widest(program, 1 << 30, beside=True), 2)
        alone = program.results[3].size
        self.size = alone + sum((b - a) * (d - c) for (a, b), (c, d) in sums)
        self._first: tuple[Any, Compiled] | None = None
        inputs = [one for one in program.blocks if one.operation == INPUT and one.data[0] in parameters]
        nodes = [np.arange(one.first, one.first + one.count) for one in inputs]
        self._is_chosen = is_chosen(program, np.concatenate([np.empty(0, np.intp), *nodes]))
        """Whether the text may depend on the values of θ."""

    def with_parameters(self, values: Sequence[Any]) -> Compiled:
        """
        The code for some values of θ.

        Raises
        ------
        UnsupportedError
            If there is none.
        """
        program = self._fixed(values)
        if self._first is None or self._is_chosen:
            modes = [SHARED if k in self._parameters else STRIDED for k in range(len(program.arguments))]
            modes = [UNIT, *modes[1:], UNIT, UNIT, UNIT, UNIT]
            found = kernel(program, chain=1, lanes=self.lanes, modes=modes, watched=True, sums=self._sums)
            self._first = found, Compiled(found)
        made, code = self._first
        return code.with_table(made.of(program).table)

    def _fixed(self, values: Sequence[Any]) -> Program:
        """The program with constants in place of θ."""
        blocks = []
        for block in self.program.blocks:
            if block.operation == INPUT and block.data[0] in self._parameters:
                value = np.ravel(values[block.data[0] - self._parameters.start])[block.data[1]]
                block = block._replace(operation=CONSTANT, data=value.astype(block.dtype))  # noqa: PLW2901
            blocks.append(block)
        return replace(self.program, blocks=tuple(blocks), _cache={})


class Sweep:
    """
    Steps of a sequence: rows of states and of the sums so far, for every lane of every group.

    Parameters
    ----------
    summed : Summed
    code : Compiled
        For the values of θ.
    inputs : sequence of arrays, shapes (T, *shape), or None for θ
        After the state; rows are contiguous, and of the recorded dtypes.
    groups : int
    """

    def __init__(self, summed: Summed, code: Compiled, inputs: Sequence[Any], groups: int) -> None:
        program, self._lanes, self._groups = summed.program, summed.lanes, groups
        self._program, self._code, self._inputs = program, code, inputs
        state = program.arguments[0]
        count = int(np.prod(state.shape, dtype=int))
        self._states = _rows(groups, count, self._lanes, state.dtype)
        self._sums = _rows(groups, summed.size, self._lanes, program.dtypes[1])
        self.restart()

    def restart(self) -> None:
        """Forget all sums."""
        self.total, self.are_finite = np.zeros(self._sums.shape[1]), True

    @property
    def sequences(self) -> int:
        """Number of lanes of all groups."""
        return self._groups * self._lanes

    def states(self) -> Any:
        """A copy of those of all lanes, shape (groups * lanes, numbers)."""
        return np.array(np.swapaxes(self._states, 1, 2)).reshape(self.sequences, -1)

    def start(self, states: Any) -> None:
        """Go on from states of all lanes, or from one."""
        states = np.broadcast_to(states, (self.sequences, self._states.shape[1]))
        self._states[...] = np.swapaxes(states.reshape(self._groups, self._lanes, -1), 1, 2)

    def run(self, begin: int, steps: int, apart: int) -> None:
        """Evaluate steps, from `begin` on in the first lane, and so many later in each other one; sums are not kept."""
        self._run(begin, steps, apart)
        self._sums[...] = 0

    def add(self, begin: int, steps: int, apart: int, *, several: bool = True) -> None:
        """The same with terms added to the total: of all lanes, or of the first one only."""
        single = self._sums.dtype.itemsize == 4
        size = max(AT_ONCE // (self._program.operations * self._lanes * self._groups), 1)
        size = min(size, SINGLE) if single else size
        for first in range(0, steps, size):
            self._run(begin + first, min(size, steps - first), apart)
            found = self._sums if several else self._sums[:1, :, :1]
            self.total += np.sum(found, axis=(0, 2), dtype=float)
            self._sums[...] = 0

    def _run(self, begin: int, steps: int, apart: int) -> None:
        if not steps:
            return
        rows = [(address(self._states), 0, 0), *(_row(one, begin, apart) for one in self._inputs)]
        rows += [(address(self._states), 0, 0), (address(self._sums), 0, 0), *[(0, 0, 0)] * 3]
        places = np.array([rows] * self._groups, dtype=np.int64)
        numbers = np.arange(self._groups)
        places[:, :, 0] += numbers[:, None] * self._lanes * places[:, :, 2]
        last = len(self._inputs) + 1
        places[:, [0, last], 0] += numbers[:, None] * self._states.strides[0]
        places[:, last + 1, 0] += numbers * self._sums.strides[0]
        cuts = range(self._groups + 1)
        run_all([self._code.task(places[first:end], steps) for first, end in pairwise(cuts)])
        self.are_finite &= bool((places[:, -1, 0] == 1).all())


def _row(array: Any, begin: int, apart: int) -> tuple[int, int, int]:
    """Address, and bytes from step to step and from lane to lane."""
    if array is None:
        return 0, 0, 0
    step = array.strides[0]
    return address(array) + begin * step, step, apart * step


def _rows(groups: int, count: int, lanes: int, dtype: Any) -> Any:
    """Zeros, shape (groups, count, lanes), at places where vectors may begin."""
    size = -(-count * lanes * dtype.itemsize // 64) * 64
    memory = aligned(groups * size)
    memory[...] = 0
    shape, strides = (groups, count, lanes), (size, lanes * dtype.itemsize, dtype.itemsize)
    return np.ndarray(shape, dtype, memory, strides=strides)
