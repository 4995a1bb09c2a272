"""A recurrence with several lags, by machine code that reads earlier states where the trajectory holds them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ..graph import INPUT
from ..pairs import as_pairs
from ..program import Argument, Program
from ..record import Recording
from .layout import where

AT_A_TIME = 1 << 17
"""Numbers of states after which it is looked at whether they are finite: they are in the cache then."""

FEWEST = 64
"""Least number of steps between two looks."""


class LaggedLoop:
    """
    Steps `y_t = step(y_{t-p}, ..., y_{t-1}, x_t)`, compiled; no state is moved.

    A recorded step of the companion recurrence maps the last `p` states, side by side, to those after them. All of them
    but the new one are copies: this code evaluates that one alone, from a window of the trajectory.

    Parameters
    ----------
    recording : Recording
        Of the step of the companion recurrence.
    lags : int
        The largest lag, `p`.

    Raises
    ------
    UnsupportedError
        If it has no machine code.
    """

    def __init__(self, recording: Recording, lags: int) -> None:
        from .compilation import Compiled  # noqa: PLC0415 - LLVM is slow to load
        from .kernel import kernel  # noqa: PLC0415

        self.program, self._lags = windowed(recording, lags), lags
        self._code = Compiled(kernel(self.program, chain=0))

    def run(
        self, state: Any, inputs: Sequence[Any], out: Any, begin: int, end: int,
        report: Callable[[int], object] | None = None,
    ) -> bool:  # fmt: skip
        """
        Evaluate the steps `begin` to `end`; return True if all states are finite; if not, they may end early.

        Parameters
        ----------
        state : array, shape (p, *batch, n), or None
            The states before the first of them, oldest first; None: those that `out` holds.
        inputs : sequence of arrays, shapes (T, *shape)
            A row per step.
        out : array, shape (p + T, *batch, n)
            Row `p + t` becomes the state of the step `t`. It is in one piece.
        report : callable, optional
            Called with the next step every now and then.
        """
        if state is not None:
            out[begin : begin + self._lags] = state
        rows = as_pairs(out)
        others = [_rows(*pair) for pair in zip(inputs, self.program.arguments[1:], strict=True)]
        places = _places([rows[begin:], *(one[begin:] for one in others), rows[self._lags + begin :]])
        strides, memory = places[1::3], self._code.memory()
        most = max(FEWEST, AT_A_TIME // max(prod(out.shape[1:]), 1))
        run, start = self._code.on(memory), places.buffer_info()[0]
        for now in range(begin, end, most):
            last = min(now + most, end)
            run(start, last - now)
            if not np.isfinite(rows[self._lags + now : self._lags + last]).all():
                return False
            for k, stride in enumerate(strides):
                places[3 * k] += (last - now) * stride
            if report is not None:
                report(last)
        return True

    def each(self, states: Any, inputs: Sequence[Any], out: Any) -> None:
        """Evaluate one step of the companion recurrence from each of some of its states."""
        count, *batch, width = states.shape
        before = np.ascontiguousarray(np.moveaxis(states.reshape(count, *batch, self._lags, -1), -2, 1))
        n = width // self._lags
        after = np.empty((count, *batch, n), dtype=states.dtype)
        others = [_rows(*pair) for pair in zip(inputs, self.program.arguments[1:], strict=True)]
        places, memory = _places([as_pairs(before), *others, as_pairs(after)]), self._code.memory()
        self._code.on(memory)(places.buffer_info()[0], count)
        out[..., :-n], out[..., -n:] = states[..., n:], after


def windowed(recording: Recording, lags: int) -> Program:
    """
    The new state of a recorded companion step, as a function of a window of the trajectory, shape (p, *batch, n).

    The companion step itself takes and returns shape (1, *batch, p n).
    """
    given, parts = recording.arguments[0].shape, recording.dtypes[0].kind == "c"
    batch, width = given[1 : -1 - parts], given[-1 - parts] // lags
    newest = recording.result[..., -width:, :] if parts else recording.result[..., -width:]
    program = recording.extract(newest)
    tail = (width, 2) if parts else (width,)
    own, members = prod(tail), prod(batch)
    places = np.arange(members * lags * own).reshape(lags, members, own).swapaxes(0, 1).reshape(-1)
    blocks = tuple(
        block._replace(data=(0, places[np.asarray(block.data[1])]))
        if block.operation == INPUT and block.data[0] == 0
        else block
        for block in program.blocks
    )
    window = Argument((lags, *batch, *tail), program.arguments[0].dtype)
    return replace(program, blocks=blocks, arguments=(window, *program.arguments[1:]), _cache={})


def _rows(given: Any, argument: Argument) -> Any:
    """Rows of an input, each contiguous and of the recorded dtype."""
    if given.dtype == argument.dtype and (not given.size or given[0, ...].flags.c_contiguous):
        return given
    return np.ascontiguousarray(given, dtype=argument.dtype)


def _places(arrays: Sequence[Any]) -> array[int]:
    """The integers that a kernel takes of arrays: their addresses, and the bytes from row to row."""
    return array("q", [number for one in arrays for number in (where(one), one.strides[0], 0)])
