"""
Steps of DOP853 on wide states whose right-hand side is called as it is: sums of slopes, and errors, by machine code.

The code is the same for all functions. Between two calls of the function, it reads each slope once, and writes what the
next two stages need; NumPy would go through the same memory several times, and take a microsecond for each small array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from math import prod
from typing import Any, cast

import numpy as np

from . import builtin, compilation, dop853, given_arrays
from .expressions import FLOAT, WHOLE, Array, Code, Value
from .given_arrays import REFUSED, TAKE, TASK
from .kernel import NAME, Kernel
from .layout import own_address, where
from .libm import vector_bytes

PLACES = "held", "rtol", "atol", "stride", "components", "members"
"""
Words of a task behind those of `given_arrays`: addresses of the state and the slopes, one row after the other, and of
the tolerances of the components; numbers from row to row, components, and members.
"""

WORDS = (*TASK, *PLACES)
TAKEN_AT = TASK.index("taken")

FIRST, SECOND = 0, 1
"""Arrays that a call is given: states that are written or read."""

STAGES = len(dop853.C)
PAIRS = STAGES // 2
"""Stages, the last of which is the end of the step; two of them are summed up at once."""

BEGIN, FINISH, ERROR, ACCEPT = 1, 1 + PAIRS, 1 + 2 * PAIRS, 2 + 2 * PAIRS
"""What is to be done besides `TAKE`: sums of the first pair, its second one with the slope of the first one, …"""

LEAST = float(np.finfo(np.float64).tiny)
"""So that errors of zero are not divided by zero."""

BLOCK = 512
"""Members whose errors are summed up at once: as many as the first cache holds."""


class WideSteps:
    """
    Stages and errors of steps.

    The slopes of the stages come to their rows as they are read: see `take`.

    Parameters
    ----------
    held : array of doubles, shape (rows, n * members)
        The state, and the slopes, as rows in one piece each.
    state : int
        Row of the state.
    slopes : sequence of int
        Rows of the slopes of the stages, and of that at the end of the step.
    rtol, atol : array, shape (n,)
        Tolerances of the components; the absolute ones are positive.
    batch : tuple of int
        Shape of the members.
    """

    def __init__(
        self, held: Any, state: int, slopes: Sequence[int], rtol: Any, atol: Any, batch: tuple[int, ...]
    ) -> None:  # fmt: skip
        count, members = rtol.shape[0], prod(batch)
        self._shape, self._batch = (count, *batch), batch
        self._tolerances, self._places = np.array([rtol, atol]), np.zeros(2 + count, dtype=WHOLE)
        tolerances, places = own_address(self._tolerances), own_address(self._places)
        self._task = np.array([
            0, 0, 0, 0, places, places + 16, 8 * members, len(batch), where(held), tolerances, tolerances + 8 * count,
            held.strides[0] // 8, count, members,
        ], dtype=WHOLE)  # fmt: skip
        self._held, self._kept = held, cast("Any", None)
        code = _code(state, tuple(slopes))
        self._call = cast("Callable[..., float]", builtin.builtin(code.address, own_address(self._task)))

    def take(self, value: Any) -> bool:
        """
        Note what the function returned as the newest slope; whether that can be done.

        Its components are read, and written to the row of the slope, where they are needed first: by `begin` where the
        slope is the second one of a pair before, by `finish` where it is the first one, and by `accept` at the end of a
        step. A slope that is not taken must be in its row.
        """
        if not self._may_be_parts(value) or self._call(TAKE, 0.0, *value) == REFUSED:
            return False
        self._kept = value
        return True

    def _may_be_parts(self, value: Any) -> bool:
        """Whether it is a list or an array of components, of the right shapes if their numbers are as many."""
        if type(value) is np.ndarray:
            return bool(value.shape == self._shape)
        if type(value) not in (list, tuple) or len(value) != self._shape[0]:
            return False
        return len(self._batch) == 1 or all(type(one) is np.ndarray and one.shape == self._batch for one in value)

    def leave(self) -> None:
        """The newest slope is in its row now."""
        self._task[TAKEN_AT] = 0

    def begin(self, pair: int, h: float) -> tuple[Any, Any]:
        """States of a pair of stages: the second one without the slope of the first one."""
        one, other = np.empty(self._shape), np.empty(self._shape)
        self._call(BEGIN + pair, h, one, other)
        return one, other

    def finish(self, pair: int, h: float, first: Any, second: Any) -> None:
        """Add the slope of the first stage to the second state."""
        self._call(FINISH + pair, h, first, second)

    def error(self, state: Any) -> float:
        """
        Square of the error of a step, divided by its length, of the worst member; `state` is that at its end.

        The error combines those of orders 5 and 3 (Hairer, Nørsett and Wanner 1993, section II.10).
        """
        return self._call(ERROR, 0.0, state)

    def accept(self, state: Any) -> None:
        """Begin a step with this state; the newest slope is that of its first stage."""
        self._call(ACCEPT, 0.0, state)


@cache
def _code(state: int, slopes: tuple[int, ...]) -> compilation.Code:
    return compilation.compiled(Kernel(_text(state, slopes), given_arrays.addresses(), None, 0))


def _text(state: int, slopes: tuple[int, ...]) -> str:
    writer = _Writer(state, slopes)
    tasks: dict[int, Callable[[], None]] = {ERROR: writer.error, ACCEPT: writer.accept}
    for pair in range(PAIRS):
        tasks |= {BEGIN + pair: partial(writer.begin, pair), FINISH + pair: partial(writer.finish, pair)}
    for number, write in tasks.items():
        with writer.code.if_(writer.what.equals(number)):
            write()
    return writer.code.function("work", ("ptr %task",)) + given_arrays.text(NAME, "work")


class _Writer:
    """Writes the code; `state` and `slopes` are numbers of rows."""

    def __init__(self, state: int, slopes: tuple[int, ...]) -> None:
        self.code = code = Code()
        self._state, self._slopes, self._width = state, slopes, vector_bytes() // FLOAT.itemsize
        self._wholes, self._floats = (code.array("%task", dtype) for dtype in (WHOLE, FLOAT))
        self._stride, self._components, self._members = (self._wholes[WORDS.index(name)] for name in PLACES[3:])
        self._size = self._components * self._members
        self.what, self._h = self._wholes[TASK.index("what")], self._floats[TASK.index("number")]
        arrays, self._parts = (code.array(self._pointer(name), WHOLE) for name in ("arrays", "parts"))
        self._first, self._second = (self._at_address(arrays[k]) for k in (FIRST, SECOND))

    def _pointer(self, name: str) -> str:
        return self.code.load_pointer(self.code.pointer("%task", 8 * WORDS.index(name)))

    def _numbers(self, name: str) -> Array:
        return self.code.array(self._pointer(name), FLOAT)

    def _at_address(self, address: Value) -> Array:
        return self.code.array(self.code.text.new(f"inttoptr i64 {address.register} to ptr"), FLOAT)

    def _row(self, number: int) -> Array:
        return self._numbers("held").after(self._stride * number)

    def _rows(self, *weights: Sequence[float]) -> dict[int, Array]:
        """The rows of the slopes that have weights in one of some sums, by the numbers of the stages."""
        used = {k for row in weights for k, weight in enumerate(row) if weight}
        return {k: self._row(self._slopes[k]) for k in sorted(used)}

    def _each(self, count: Value, write: Callable[[Value, int], None], first: Value | int = 0) -> None:
        """Write something for all places from `first` to below `count`: vectors, then what is left."""
        code, width = self.code, self._width
        begin = code.value(first, WHOLE)
        whole = (count - begin) & -width
        with code.for_(begin + whole, begin, width) as place:
            write(place, width)
        with code.for_(count, begin + whole) as place:
            write(place, 1)

    def _total(self, slopes: dict[int, Value], weights: Sequence[float]) -> Value:
        """A sum of slopes."""
        total = None
        for k, slope in slopes.items():
            if k < len(weights) and weights[k]:
                total = weights[k] * slope if total is None else self.code.fma(slope, weights[k], total)
        assert total is not None
        return total

    def _each_taken(
        self, slope: int, write: Callable[[Value, Value, Value, int], None], row: int | None = None
    ) -> None:  # fmt: skip
        """
        Write something for all places, given those in rows and in a component, and the newest slope there.

        The slope is written to a row, that of its number by default.
        """
        code, taken_at = self.code, self._wholes.after(TAKEN_AT)
        is_taken = taken_at[0].differs(0)
        taken_at[0] = 0
        with code.for_(self._components) as component:
            begin = component * self._members
            here = self._row(self._slopes[slope]).after(begin)
            row_of_it = here if row is None else self._row(self._slopes[row]).after(begin)
            address = code.assigned(f"ptrtoint ptr {here.pointer} to i64", WHOLE, 1)
            source = self._at_address(code.where(is_taken, self._parts[component], address))

            def take(place: Value, width: int) -> None:
                taken = _at(source, place, width)
                _put(row_of_it, place, taken)
                write(begin + place, taken, place, width)

            self._each(self._members, take)

    def begin(self, pair: int) -> None:
        """Both sums of a pair."""
        early, late, _ = _weights(pair)
        code, state, rows = self.code, self._row(self._state), self._rows(early, late)
        newest = 2 * pair if pair else None

        def write(place: Value, taken: Value | None, width: int) -> None:
            before, h = _at(state, place, width), self._h.wide(width)
            known = {k: taken if k == newest and taken is not None else _at(row, place, width)
                     for k, row in rows.items()}  # fmt: skip
            one, other = (self._total(known, weights) for weights in (early, late))
            _put(self._first, place, code.fma(h, one, before))
            # the state at the end takes the sum of all at once, so that it is rounded once in each step
            _put(self._second, place, h * other if pair == PAIRS - 1 else code.fma(h, other, before))

        if newest is None:
            self._wholes[TAKEN_AT] = 0  # that of a step which was not accepted
            self._each(self._size, lambda place, width: write(place, None, width))
        else:
            self._each_taken(newest, lambda place, taken, _, width: write(place, taken, width))

    def finish(self, pair: int) -> None:
        """The second sum, with the slope of the first stage."""
        code, state, length = self.code, self._row(self._state), self._h * _weights(pair)[2]

        def write(place: Value, taken: Value, _: Value, width: int) -> None:
            found = code.fma(taken, length.wide(width), _at(self._second, place, width))
            _put(self._second, place, found + _at(state, place, width) if pair == PAIRS - 1 else found)

        self._each_taken(2 * pair + 1, write)

    def accept(self) -> None:
        """The state and the first slope of the next step."""
        state = self._row(self._state)

        def write(begin: Value, _: Value, place: Value, width: int) -> None:
            _put(state, begin, _at(self._first, begin, width))

        self._each_taken(STAGES, write, 0)

    def error(self) -> None:
        """The error of the worst member; NaN if one of them is not finite."""
        code, width = self.code, self._width
        code.variables.append(f"  %squares = alloca [{2 * BLOCK} x double], align 64")
        fifth = code.array("%squares", FLOAT)
        squares = fifth, fifth.after(BLOCK)
        state, rows = self._row(self._state), self._rows(dop853.E5, dop853.E3)
        largest, nothing = ([code.variable(0.0, width=one) for one in (width, 1)] for _ in range(2))
        with code.for_(self._members, 0, BLOCK) as first:
            count = code.minimum(self._members - first, BLOCK)

            def clear(place: Value, width: int) -> None:
                for one in squares:
                    _put(one, place, code.number(0.0, width=width))

            self._each(count, clear)
            with code.for_(self._components) as component:
                self._add_squares(first + component * self._members, component, count, state, rows, squares)

            def look(place: Value, width: int) -> None:
                is_vector = int(width == 1)
                one, third = (_at(part, place, width) for part in squares)
                found = one * (one / (code.fma(third, 0.01, one) + LEAST))
                largest[is_vector].set(code.maximum(found, largest[is_vector].get()))
                nothing[is_vector].set(code.fma(found, 0.0, nothing[is_vector].get()))

            self._each(count, look)
        found = code.maximum(largest[1].get(), 0.0)
        for k in range(width):
            found = code.maximum(found, largest[0].get().element(k))
        found = found + code.sum(nothing[0].get()) + nothing[1].get()
        self._floats[TASK.index("found")] = found / self._components.to(FLOAT)

    def _add_squares(
        self, begin: Value, component: Value, count: Value, state: Array, rows: dict[int, Array],
        squares: tuple[Array, Array],
    ) -> None:  # fmt: skip
        """Add the squares of both errors of a component of some members."""
        code, end, old = self.code, self._first.after(begin), state.after(begin)
        rtol, atol = (self._numbers(name)[component] for name in ("rtol", "atol"))
        parts = {k: row.after(begin) for k, row in rows.items()}

        def write(place: Value, width: int) -> None:
            size = code.maximum(code.abs(_at(old, place, width)), code.abs(_at(end, place, width)))
            scale = 1.0 / code.fma(size, rtol.wide(width), atol.wide(width))
            known = {k: _at(part, place, width) for k, part in parts.items()}
            for weights, target in zip((dop853.E5, dop853.E3), squares, strict=True):
                one = self._total(known, weights) * scale
                _put(target, place, code.fma(one, one, _at(target, place, width)))

        self._each(count, write)


def _weights(pair: int) -> tuple[Sequence[float], Sequence[float], float]:
    """Weights of both stages of a pair: those of the second one without the slope of the first one, and that weight."""
    rows = (*dop853.A, dop853.B)
    early, late, between = rows[2 * pair], list(rows[2 * pair + 1]), 2 * pair + 1
    weight, late[between] = late[between], 0.0
    return early, late, weight


def _at(array: Array, place: Value, width: int) -> Value:
    """Neighbouring numbers from a place on."""
    return array.code.load(array.at(place), FLOAT, width)


def _put(array: Array, place: Value, value: Value) -> None:
    """Write neighbouring numbers from a place on."""
    array.code.store(value, array.at(place))
