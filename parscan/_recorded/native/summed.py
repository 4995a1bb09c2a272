"""Segments of one sequence, marched backwards in vectors on several threads, with sums of terms of all steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..._arrays.threads import available_threads, run_all, shares
from ..ahead import Ahead
from ..pullbacks import Pullback
from .compilation import Compiled
from .kernel import Sums, kernel
from .lanes import widest
from .layout import address, aligned, own_address
from .memory import SHARED, STRIDED, UNIT
from .same_text import is_chosen

AT_ONCE = 1 << 25
"""Operations after which Python may notice Ctrl-C."""

MOST_SUMS = 1024
"""Sums, for each lane: more of them do not stay in the nearest cache."""

STORED = 1 << 20
"""Bytes of factors of each group that are stored before they are multiplied."""

SINGLE = 256
"""Steps after which sums in single precision are added up in double precision."""


class Summed:
    """
    Code of a program `(y, ..., θ, ..., g) -> (y', left, right, alone)` whose terms are added up over all steps.

    Few sums are kept in memory, for every lane, and each step adds its terms. Where there are more of them, factors of
    some steps are stored, and multiplied as matrices.

    Parameters
    ----------
    derived : Pullback
        With this program; see `pullbacks.summing`.
    parameters : range
        Numbers of the arguments θ, which are constants of the code.
    """

    def __init__(self, derived: Pullback, parameters: range) -> None:
        program = derived.program
        self.derived, self.program, self._parameters = derived, program, parameters
        self.lanes = max(widest(program, 1 << 30, beside=True), 2)
        self.size = derived.targets.size + sum(one.targets.size for one in derived.outer)
        ranges = [((one.left.start, one.left.stop), (one.right.start, one.right.stop)) for one in derived.outer]
        self.sums: Sums | None = tuple(ranges) if self.size <= MOST_SUMS else None
        self._first: tuple[Any, Compiled] | None = None
        self._ahead = Ahead(program, parameters)
        self._is_chosen = is_chosen(program, self._ahead.nodes)
        """Whether the text may depend on the values of θ."""

    def with_parameters(self, values: Sequence[Any]) -> Compiled:
        """
        The code for some values of θ.

        Raises
        ------
        UnsupportedError
            If there is none.
        """
        program = self._ahead.rest(values)
        if self._first is None or self._is_chosen:
            modes = [SHARED if k in self._parameters else STRIDED for k in range(len(program.arguments))]
            modes = [UNIT, *modes[1:], UNIT, *[STRIDED if self.sums is None else UNIT] * 3]
            found = kernel(program, chain=1, lanes=self.lanes, modes=modes, watched=True, sums=self.sums)
            self._first = found, Compiled(found)
        made, code = self._first
        return code.with_table(made.of(program).table)


class Sweep:
    """
    Steps of a sequence: rows of states, and of the sums so far or of factors, for every lane of every group.

    Parameters
    ----------
    summed : Summed
    code : Compiled
        For the values of θ.
    inputs : sequence of arrays, shapes (T, *shape), or None for θ
        After the state; rows are contiguous, and of the recorded dtypes.
    groups : int
    members : int
        If there are any, lanes are members of a batch, the second axis of the inputs. The last group takes some that
        are in the one before as well, and are counted there.

    Attributes
    ----------
    total : array
        Sums by all parameters, in double precision.
    are_finite : bool
        Whether all states were finite.
    """

    def __init__(
        self, summed: Summed, code: Compiled, inputs: Sequence[Any], groups: int, members: int = 0
    ) -> None:  # fmt: skip
        program, self._lanes, self._groups = summed.program, summed.lanes, groups
        self._summed, self._program, self._code = summed, program, code
        self._kept, self._inputs = inputs, [_row(one) for one in inputs]
        every = np.arange(groups * self._lanes).reshape(groups, self._lanes)
        self.numbers = every - np.maximum(every[:, -1:] + 1 - members, 0) if members else every
        """Of the sequences, one for each lane of each group."""
        self._is_counted, self._has_members = self.numbers >= every[:, :1], members > 0
        state, dtype = program.arguments[0], program.dtypes[1]
        self._states = _rows(groups, int(np.prod(state.shape, dtype=int)), self._lanes, state.dtype)
        sizes = [ids.size for ids in program.results[1:]]
        self._stretch = max(STORED // (self._lanes * max(sum(sizes), 1) * dtype.itemsize), 1)
        self._sums: Any = None
        self._factors: list[Any] = []
        """Of all groups and lanes, of the steps of a stretch."""
        if summed.sums is None:
            self._factors = [np.empty((groups, self._lanes, self._stretch, size), dtype) for size in sizes]
        else:
            self._sums = _rows(groups, summed.size, self._lanes, dtype)
        self._layouts: dict[tuple[int | None, bool], tuple[Any, Any]] = {}
        self.restart()

    def restart(self) -> None:
        """Forget all sums."""
        self.total, self.are_finite = self._summed.derived.nothing(), True

    @property
    def sequences(self) -> int:
        """Number of lanes of all groups."""
        return self._groups * self._lanes

    def states(self) -> Any:
        """A copy of those of all lanes, shape (groups * lanes, numbers)."""
        return np.array(np.swapaxes(self._states, 1, 2)).reshape(self.sequences, -1)

    def start(self, states: Any) -> None:
        """Go on from states of all lanes, shape (groups * lanes, numbers), or from one, shape (numbers,)."""
        if states.shape[0] == self.sequences and states.ndim > 1:
            self._states[...] = np.swapaxes(states.reshape(self._groups, self._lanes, -1), 1, 2)
        else:
            self._states[...] = states.reshape(-1, 1)

    def run(self, begin: int, steps: int, apart: int) -> None:
        """Evaluate steps, from `begin` on in the first lane, and so many later in each other one; no sums are kept."""
        self._run(begin, steps, apart, stores=False)
        if self._sums is not None:
            self._sums[...] = 0

    def add(self, begin: int, steps: int, apart: int | None, *, several: bool = True) -> None:
        """The same with terms added to the total: of all lanes, or the first one only; of members without `apart`."""
        derived, lanes = self._summed.derived, slice(None if several else 1)  # there is one group then
        size = self._stretch
        if self._sums is not None:
            size = max(AT_ONCE // max(self._program.operations * self.sequences, 1), 1)
            size = min(size, SINGLE) if self._sums.dtype.itemsize == 4 else size
        for first in range(0, steps, size):
            count = min(size, steps - first)
            parts = self._run(begin + first, count, apart, lanes=lanes)
            if self._sums is not None:
                found = self._sums[:, :, lanes]
                if self._has_members:
                    found = np.where(self._is_counted[:, None, lanes], found, 0)
                parts = [derived.gathered(np.sum(found, axis=(0, 2), dtype=float))]
                self._sums[...] = 0
            self.total += sum(parts)

    def _run(
        self, begin: int, steps: int, apart: int | None, *, stores: bool = True, lanes: slice | None = None
    ) -> list[Any]:  # fmt: skip
        """Evaluate steps; returns sums of products of the factors of some lanes of each group, if these are stored."""
        if not steps:
            return []
        layout, strides = self._layout(apart, stores)
        places = layout.copy()
        places[:, :, 0] += begin * strides
        found: list[Any] = []

        def task(first: int, end: int) -> None:
            self._code.task(places[first:end], steps)()
            for group in range(first, end) if self._factors and stores else ():
                some = [one[group, lanes, :steps] for one in self._factors]
                rows = [np.reshape(one, (one.shape[0] * steps, one.shape[2])) for one in some]
                found.append(self._summed.derived.summed(*rows))

        if self._groups == 1:
            task(0, 1)
            self.are_finite &= bool(places[0, -1, 0] == 1)
        else:
            parts = shares(self._groups, min(self._groups, available_threads()))
            run_all([partial(task, *part) for part in parts])
            self.are_finite &= bool((places[:, -1, 0] == 1).all())
        return found

    def _layout(self, apart: int | None, stores: bool) -> tuple[Any, Any]:
        """What code is given of the arrays of all groups, for the first step, and bytes from step to step."""
        if (known := self._layouts.get((apart, stores))) is not None:
            return known
        base, last = self._base(stores)
        places = base.copy()
        if apart is not None:
            places[:, 1:last, 2] = apart * base[:, 1:last, 1]
        places[:, :last, 0] += self.numbers[:, :1] * places[:, :last, 2]
        strides = base[0, :, 1].copy()
        strides[last:] = 0
        self._layouts[apart, stores] = places, strides
        return places, strides

    def _base(self, stores: bool) -> tuple[Any, int]:
        """The same for members as lanes, all of the first group's inputs; and the number of arguments."""
        own = [(self._states, 0, 0)]
        results = [(self._states, 0, 0)]
        if self._sums is not None:
            results += [(self._sums, 0, 0), *[(None, 0, 0)] * 3]
        else:
            results += [*((one, one.strides[2] * stores, one.strides[1]) for one in self._factors), (None, 0, 0)]
        places = [[own_address(one) if one is not None and one.size else 0, *rest] for one, *rest in (*own, *results)]
        rows = np.array([[places[0], *self._inputs, *places[1:]]] * self._groups, dtype=np.int64)
        last = 1 + len(self._inputs)
        if self._groups > 1:
            steps = [0 if one is None else one.strides[0] for one, *_ in results]
            rows[:, last:, 0] += np.arange(self._groups)[:, None] * steps
            rows[:, 0, 0] = rows[:, last, 0]
        return rows, last


def _row(array: Any) -> tuple[int, int, int]:
    """Address, and bytes from step to step and from member to member."""
    if array is None:
        return 0, 0, 0
    return address(array), array.strides[0], array.strides[1] if array.ndim > 1 else 0


def _rows(groups: int, count: int, lanes: int, dtype: Any) -> Any:
    """Zeros, shape (groups, count, lanes), at places where vectors may begin."""
    size = -(-count * lanes * dtype.itemsize // 64) * 64
    memory = aligned(groups * size)
    memory[...] = 0
    shape, strides = (groups, count, lanes), (size, lanes * dtype.itemsize, dtype.itemsize)
    return np.ndarray(shape, dtype, memory, strides=strides)
