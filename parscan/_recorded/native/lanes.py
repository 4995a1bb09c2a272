"""Steps of independent sequences, several sequences at a time, by machine code on vectors."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from ..graph import CONSTANT, INPUT
from ..program import Program
from .compilation import Compiled
from .kernel import kernel
from .layout import address, is_small
from .libm import vector_bytes
from .loop import portions
from .memory import ADJACENT, SHARED, STRIDED, UNIT

FEW = 500
"""Operations of a program up to which they wait for each other more than that they keep the processor busy."""

BESIDE = ((50, 4), (FEW, 2))
"""Operations up to which so many vectors are evaluated beside each other, which do not wait for each other."""


def widest(program: Program, sequences: int, *, beside: bool = False) -> int:
    """
    Sequences that vectors of this processor hold, a power of two of not more than there are.

    Several vectors `beside` each other count as one.
    """
    sizes = [block.dtype.itemsize for block in program.blocks if block.dtype.kind == "f"]
    several = next((vectors for most, vectors in BESIDE if beside and program.operations <= most), 1)
    return min(several * vector_bytes() // max(sizes, default=8), 1 << (sequences.bit_length() - 1))


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
        Of one sequence. The first `chain` arguments are the state, which the first `chain` results follow.
    chain : int
        Number of the arrays of a state. The first one is written after every step, the others after the last one only.
    several : bool, optional
        Whether several sequences are evaluated at a time; by default, where that is faster. A state of several arrays
        always is.
    beside : bool
        Whether several vectors are evaluated beside each other, if that is faster.

    Attributes
    ----------
    pace, gain : float
        Seconds of a step of one sequence, and how many times faster it was than without several sequences at a time,
        for those who measured that and want to remember; 0 before.
    met : float
        Likewise, steps after which segments of a sequence had met; infinite if they do not meet.
    rounded : bool
        Likewise, whether they had met up to rounding errors only.

    Raises
    ------
    UnsupportedError
        At the first run, if the program has no machine code.
    """

    def __init__(
        self, program: Program, *, chain: int = 1, several: bool | None = None, beside: bool = True
    ) -> None:  # fmt: skip
        several = chain > 1 or (pays(program) if several is None else several)
        self._widest, self.beside = widest(program, 1 << 30, beside=beside) if several else 1, beside
        self.program, self.chain, self._operations = program, chain, program.operations
        self._codes: dict[Any, Compiled] = {}
        self.pace, self.gain, self.met, self.rounded = 0.0, 0.0, 0.0, False

    def width(self, sequences: int) -> int:
        """Sequences that are evaluated at a time, of some."""
        return max(min(self._widest, 1 << (sequences.bit_length() - 1)), 1 + (self.chain > 1))

    def run(
        self, states: Any, inputs: Sequence[Any], outs: Sequence[Any], begin: int, end: int,
        report: Callable[[int], object] | None = None, *, pauses: bool = True,
    ) -> None:  # fmt: skip
        """
        Evaluate the steps `begin` to `end`.

        Parameters
        ----------
        states : array, shape (sequences, *shape), or a tuple of them
            Before the first of them: one, or as many as `chain` says.
        inputs : sequence of arrays, shapes (T, sequences, *shape)
            Views, whose first two axes may have any strides (0 where all sequences have the same); the others are
            contiguous.
        outs : sequence of arrays, shapes (T, sequences, *shape)
            Of each result; views likewise. Row `t` becomes the result of the step `t`. Of the state, arrays after the
            first one have the shape (sequences, *shape), and become the state after the last step.
        report : callable, optional
            Called with the next step every now and then.
        pauses : bool
            Whether to return to Python every now and then, so that Ctrl-C is noticed.
        """
        march = self.march(states, inputs, outs, begin)
        operations = self._operations * outs[0].shape[1]
        for steps in portions(begin, end, operations, report) if pauses else [end - begin]:
            march.tasks(steps)[0]()
            march.advance(steps)
        march.finish()

    def march(self, states: Any, inputs: Sequence[Any], outs: Sequence[Any], begin: int, threads: int = 1) -> March:
        """Steps from `begin` on, which are evaluated by at most so many threads; see `run` for the arrays."""
        return March(self, states, inputs, outs, begin, threads)

    def code(self, lanes: int, arrays: list[Any], strides: list[Any]) -> Compiled:
        if lanes == 1:
            key: Any = (1, (), ())
        else:
            fixed = tuple(k for k in range(self.chain, len(self.program.arguments)) if strides[k][0] == 0)
            key = lanes, tuple(map(_mode, arrays, strides)), fixed
        if key not in self._codes:
            lanes, modes, fixed = key
            self._codes[key] = Compiled(
                kernel(self.program, chain=self.chain, lanes=lanes, modes=modes, fixed=fixed, watched=self.chain == 1)
            )
        return self._codes[key]


class March:
    """
    Steps of several sequences, in groups that are evaluated one after the other; see `Lanes.run` for the arrays.

    The steps that `tasks` evaluate are taken together by `advance`, once all tasks have ended.

    Attributes
    ----------
    are_finite : bool
        Whether all states so far were found to be finite.
    """

    def __init__(
        self, lanes: Lanes, states: Any, inputs: Sequence[Any], outs: Sequence[Any], begin: int, threads: int
    ) -> None:
        chain, arguments, sequences = lanes.chain, lanes.program.arguments, outs[0].shape[1]
        states = states if isinstance(states, tuple) else (states,)
        self._before = [
            np.array(np.reshape(one, (1, sequences, *argument.shape)), dtype=argument.dtype, order="C")
            for one, argument in zip(states[:chain], arguments, strict=False)
        ]
        self._outs, self._begin, self._done, self.are_finite = outs, begin, 0, True
        self._after = [*outs[:1], *map(np.empty_like, self._before[1:]), *outs[max(chain, 1) :]]
        given = [_rows(array, one) for array, one in zip(inputs, arguments[chain:], strict=True)]
        self._arrays = [*self._before, *given, *self._after]
        width, strides = lanes.width(-(-sequences // threads)), [array.strides[:2] for array in self._arrays]
        self._compiled = lanes.code(width, self._arrays, strides)
        groups = [max(min(group, sequences - width), 0) for group in range(0, sequences, width)]
        rows = [(address(array), *both) for array, both in zip(self._arrays, strides, strict=True)]
        places = np.array([[*rows, (0, 0, 0)]] * len(groups), dtype=np.int64)
        moves = places[0, :, 1].copy()  # bytes by which arrays move from step to step; states stay
        moves[:chain] = moves[len(arguments) + 1 : len(arguments) + chain] = 0
        if begin:
            places[:, :, 0] += begin * moves
        if sequences == 1:
            places[:, :, 2] = 0
        elif len(groups) > 1:
            places[:, :, 0] += np.array(groups)[:, None] * places[:, :, 2]
        self._places, self._moves = places, moves

    @property
    def groups(self) -> int:
        """Number of groups of sequences."""
        return len(self._places)

    def tasks(self, steps: int, threads: int = 1) -> list[Callable[[], object]]:
        """Calls, one per thread, that evaluate the next steps."""
        if self._done:
            self._go_on()
        cuts = [self.groups * k // threads for k in range(threads + 1)]
        return [self._compiled.task(self._places[first:last], steps) for first, last in pairwise(cuts)]

    def advance(self, steps: int) -> None:
        """Note that steps were evaluated."""
        self.are_finite &= bool((self._places[:, -1, 0] == 1).all())
        self._done += steps

    def _go_on(self) -> None:
        """Begin at the steps, and at the states, after those that were evaluated."""
        self._places[:, :, 0] += self._done * self._moves
        self._begin, self._done = self._begin + self._done, 0
        for k, old in enumerate(self._before):
            old[...] = np.reshape(self._outs[0][self._begin - 1, ...] if k == 0 else self._after[k], old.shape)

    def restart(self, states: Any, begin: int) -> None:
        """Go on from other states, or with other steps; the states are one or several arrays, as at the start."""
        self._places[:, :, 0] += (begin - self._begin) * self._moves
        self._begin, self._done, self.are_finite = begin, 0, True
        for old, new in zip(self._before, states if isinstance(states, tuple) else (states,), strict=True):
            old[...] = np.reshape(new, old.shape)

    def begin_at(self, states: Any) -> None:
        """
        Begin at the states that an array has when the tasks run: others may write it until then.

        It is contiguous, of the recorded dtype, and the state is one array.
        """
        self._places[:, 0, 0] += address(states) - address(self._before[0])
        self._before[0] = states[None]

    def finish(self) -> None:
        """Write states of several arrays after the last step."""
        for k in range(1, len(self._before)):
            self._outs[k][...] = np.reshape(self._after[k], self._outs[k].shape)


def _rows(array: Any, argument: Any) -> Any:
    """An input in the recorded dtype, contiguous beyond its first two axes."""
    if array.dtype != argument.dtype:
        array = array.astype(argument.dtype)
    if array.size and not array[0, 0, ...].flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return array


def _mode(array: Any, strides: Any) -> str:
    """How an array lies in memory, see `kernel`; the second of the strides is that from sequence to sequence."""
    if strides[1] == 0:
        return SHARED
    if array.shape[1] == 1 or strides[1] != prod(array.shape[2:]) * array.itemsize:
        return STRIDED
    return UNIT if strides[1] == array.itemsize else ADJACENT


KEPT = 32
"""Programs whose code for lanes is kept."""

_lock = threading.Lock()
_kept: OrderedDict[Any, Lanes] = OrderedDict()

if hasattr(os, "register_at_fork"):  # a child must not find the lock taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def compiled_lanes(
    program: Program, *, chain: int = 1, several: bool | None = None, beside: bool = True
) -> Lanes:  # fmt: skip
    """Steps of several sequences; those of the same program, if it was compiled lately."""
    key = program.fingerprint, chain, several, beside
    with _lock:
        found = _kept.pop(key) if key in _kept else Lanes(program, chain=chain, several=several, beside=beside)
        _kept[key] = found
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found
