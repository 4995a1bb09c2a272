"""A recurrence's steps, one after the other, by machine code of the step."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from ..pairs import as_pairs
from ..program import Program
from . import rest
from .layout import address, own_address, where

PAUSE = 0.05
"""Seconds between two returns to Python, at which Ctrl-C is noticed and progress is reported."""

FIRST = 2_000_000
"""Number of operations before the first return to Python; afterwards the speed is known."""

KEPT = 32
"""Loops that are kept for a program that is recorded again."""

_lock = threading.Lock()
_kept: OrderedDict[bytes, Loop] = OrderedDict()

if hasattr(os, "register_at_fork"):  # a child must not find the lock taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Loop:
    """
    Steps `y_t = step(y_{t-1}, x_t)`, compiled.

    Several threads may run it at the same time.

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
        from .branches import latency  # noqa: PLC0415 - LLVM is slow to load
        from .compilation import Compiled  # noqa: PLC0415
        from .held import held  # noqa: PLC0415
        from .kernel import kernel  # noqa: PLC0415
        from .predicted import Predicted  # noqa: PLC0415
        from .watch import Watched  # noqa: PLC0415

        self.program, self._operations = program, max(program.operations, 1)
        single = kernel(program, chain=1)
        several = held(program, single)
        self._kernel, state = Compiled(single), program.arguments[0]
        self._row = prod(state.shape) * state.dtype.itemsize if state.dtype.kind == "f" else -1

        def watched(kernel: Compiled) -> Watched:
            return Watched(kernel, state.dtype, prod(state.shape))

        self._watched: Watched | Predicted = watched(self._kernel)
        if single.forks and not single.scratch:

            def selecting() -> Watched:
                return watched(Compiled(kernel(program, chain=1, branches=False)))

            self._watched = Predicted(self._watched, selecting, latency(program))
        self._several = self._watched if several is None else watched(Compiled(several))
        others = [prod(one.shape) * one.dtype.itemsize for one in program.arguments[1:]]
        self._in_one_piece = [*others, self._row]
        """Bytes from a row of inputs, and of new states, to the next one if they are contiguous."""

    def run(
        self, state: Any, inputs: Sequence[Any], out: Any, begin: int, end: int,
        report: Callable[[int], object] | None = None,
    ) -> bool:  # fmt: skip
        """
        Evaluate the steps `begin` to `end`; return True if all states were found to be finite.

        If one is found that is not, the steps may end after it. If only the state changes from step to step, and comes
        to rest, or to a short period, later states are copied.

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
        if first.dtype is not state.dtype or not state.flags.c_contiguous:
            state = np.array(as_pairs(state), dtype=first.dtype, order="C")
        arrays = [*map(_rows, inputs, others), as_pairs(out)]
        given, strides = [where(state), 0, 0], [one.strides[0] for one in arrays]
        for one, stride in zip(arrays, strides, strict=True):
            given += where(one) + begin * stride, stride, 0
        run = self._several if strides == self._in_one_piece else self._watched
        places, memory, watches = array("q", given), run.memory(), strides[-1] == self._row
        if report is None and 0 < (end - begin) * self._operations <= FIRST:
            return bool(run(memory, places, end - begin, watches=watches) and watches)
        rows, may_rest = arrays[-1], not any(strides[:-1])
        most = max((end - begin) // rest.LOOKS, FIRST // self._operations, 1) if may_rest else end - begin
        done = begin
        for count in portions(begin, end, self._operations, report, most=most):
            if not run(memory, places, count, watches=watches):
                return False
            done += count
            if may_rest and done < end and (period := rest.period_of(rows, begin, done)):
                rest.go_on(rows, done, end, period)
                if report is not None:
                    report(end)
                break
        return watches

    def again(self, inputs: Sequence[Any], out: Any) -> Callable[[Any, Sequence[Any], Any], bool] | None:
        """
        A function like `run` for all steps, a state of the right dtype, and arrays of the kinds and strides of these.

        The states are written to a new array. None if arrays are to be converted, if states are not looked at, or if
        there are returns to Python in between.
        """
        first, *others = self.program.arguments
        steps, strides = out.shape[0], [one.strides[0] for one in (*inputs, out)]
        fits = all(_rows(one, argument) is one for one, argument in zip(inputs, others, strict=True))
        if not fits or out.dtype != first.dtype or not 0 < steps * self._operations <= FIRST:
            return None
        if strides[-1] != self._row:
            return None
        code = self._several if strides == self._in_one_piece else self._watched
        given = array("q", [0, 0, 0, *(number for stride in strides for number in (0, stride, 0))])
        last = len(given) - 3

        def march(state: Any, inputs: Sequence[Any], out: Any) -> bool:
            if not state.flags.c_contiguous:
                return self.run(state, inputs, out, 0, steps)
            places = given[:]
            places[0], places[last] = where(state), own_address(out)
            for k, one in enumerate(inputs, 1):
                places[3 * k] = where(one)
            return code(code.memory(), places, steps, watches=True)

        return march

    def each(self, states: Any, inputs: Sequence[Any], out: Any) -> None:
        """Evaluate one step from each of some states: row `t` of `out` follows row `t` of states and inputs."""
        first, *others = self.program.arguments
        states, out = as_pairs(np.ascontiguousarray(states)), as_pairs(out)
        states = np.ascontiguousarray(np.reshape(states, (len(out), *first.shape)), dtype=first.dtype)
        arrays = [states, *(_rows(*pair) for pair in zip(inputs, others, strict=True)), out]
        rows = [(address(one), one.strides[0], 0) for one in arrays]
        places = np.array(rows, dtype=np.int64)
        memory = self._kernel.memory()
        run, start = self._kernel.on(memory), address(places)
        for _ in range(len(out)):
            run(start, 1)
            places[:, 0] += places[:, 1]


def portions(
    begin: int, end: int, operations: int, report: Callable[[int], object] | None, first: int = FIRST,
    most: int | None = None,
) -> Iterator[int]:  # fmt: skip
    """
    Numbers of steps that take about `PAUSE` each, measured by the time until the next number is asked for.

    The first steps have about `first` operations. There are not more than `most` at a time.
    """
    most = end - begin if most is None else most
    steps = min(max(first // max(operations, 1), 1), most)
    while begin < end:
        count, start = min(steps, end - begin), time.perf_counter()
        yield count
        begin += count
        pace = max(time.perf_counter() - start, 1e-9) / count
        steps = int(min(max(PAUSE / pace, 1), 64 * count, most))
        if report is not None:
            report(begin)


def _rows(given: Any, argument: Any) -> Any:
    """Rows of an input, each contiguous and of the recorded dtype."""
    if given.dtype == argument.dtype and (
        given.flags.c_contiguous or not given.size or given[0, ...].flags.c_contiguous
    ):
        return given
    return np.ascontiguousarray(given, dtype=argument.dtype)


def compiled_loop(program: Program) -> Loop:
    """The loop of a step; that of the same program, if it was compiled lately."""
    key = program.fingerprint
    with _lock:
        found = _kept.pop(key, None)
    if found is None:
        found = Loop(program)
    with _lock:
        _kept[key] = found
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found
