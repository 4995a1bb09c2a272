"""Two marches of a problem, and what is asked of them, in one call of machine code, the same for all functions."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache, partial
from math import inf, nan

from . import compilation
from .expressions import FLOAT, WHOLE, Array, Code, Value
from .kernel import NAME, Kernel
from .members import COUNTS

PLACES = (
    "driver", "table", "memory", "template", "states", "counts", "start", "t", "y", "slopes", "asked", "told", "kept",
    "times", "values", "apart",
)  # fmt: skip
"""
Addresses that a call is given: of the driver, its constants and its memory; of the memory's first contents; of the
states at both ends, and of the counts; of the initial state; of times and states from the begin on, the first one of
which is copied from there, and of slopes at the ends of steps; of what is asked and told; of memory for the times
and states again, one behind the other; and of times of the output, the values there by both marches, and what is told
of each: how far apart they are, in tolerances.
"""

WHOLES = "parts", "attempts", "n", "count"
"""Integers behind them: parts of the memory, of `AT_ONCE` words each; attempts of steps; components; and times of the
output."""

ASKED = "rtol", "atol", "row"
"""What is asked: the error in these tolerances, and a row; an integer, of which the number of steps is taken off as
often as it can be."""

TOLD = "error", "worst", "row", "time", "least"
"""
What is told: the distance of both marches at the end, and the largest one at times of the output, in tolerances; the
row, an integer; its time; and the size of the smallest one of its slopes, which follow.
"""

AT_ONCE = 8
"""Words that are copied at once."""


def judging(task: int) -> Callable[[], None]:
    """What marches, and judges; `task` is the address of `PLACES` and `WHOLES`, which are in use until then."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # it releases the GIL
    return partial(kind(_code().address), task)


@cache
def _code() -> compilation.Code:
    return compilation.compiled(Kernel(_text(), {}, None, 0))


def _text() -> str:
    writer = _Writer()
    writer.march()
    writer.tell_row()
    writer.tell_error()
    writer.keep()
    with writer.code.if_(writer.count > 0):
        writer.tell_worst()
    return writer.code.function(NAME, ("ptr %task",))


class _Writer:
    """Writes the code."""

    def __init__(self) -> None:
        self.code = code = Code()
        self.places = {name: code.load_pointer(code.pointer("%task", 8 * k)) for k, name in enumerate(PLACES)}
        numbers = code.array(code.pointer("%task", 8 * len(PLACES)), WHOLE)
        self.parts, self.attempts, self.n, self.count = (numbers[k] for k in range(len(WHOLES)))
        self.t, self.y = self.floats("t"), self.floats("y")
        self.told, self.asked = self.floats("told"), self.floats("asked")

    def floats(self, name: str) -> Array:
        """An array of doubles."""
        return self.code.array(self.places[name], FLOAT)

    def copy(self, target: Array, source: Array, count: Value) -> None:
        """Copy numbers."""
        with self.code.for_(count) as k:
            target[k] = source[k]

    def march(self) -> None:
        """Both marches."""
        code, places = self.code, self.places
        memory, template = (code.array(places[name], WHOLE, AT_ONCE) for name in ("memory", "template"))
        self.copy(memory, template, self.parts)
        values = self.floats("values")
        with code.for_(2 * self.count * self.n) as k:
            values[k] = nan  # where a march does not come to a time
        given = f"ptr {places['table']}, ptr {places['memory']}, ptr null, i64 {self.attempts.register}"
        code.text.do(f"call void {places['driver']}({given})")
        self.copy(self.y, self.floats("start"), self.n)
        self.steps = code.array(places["counts"], WHOLE)[COUNTS.index("accepted")]

    def distance(self, one: Value, other: Value, size: Value) -> Value:
        """The distance of two numbers, in tolerances of a size; equal ones have none, even if the tolerance is 0."""
        apart = self.code.abs(one - other)
        tolerance = self.asked[ASKED.index("atol")] + self.asked[ASKED.index("rtol")] * size
        return self.code.where(apart.equals(0.0), 0.0, apart / tolerance)

    def tell_error(self) -> None:
        """The distance at the end."""
        code, one = self.code, self.floats("states")
        other, error = one.after(self.n), code.variable(0.0)
        with code.for_(self.n) as k:
            error.set(code.maximum(error.get(), self.distance(one[k], other[k], code.abs(one[k]))))
        self.told[TOLD.index("error")] = error.get()

    def tell_row(self) -> None:
        """A row of the first march, if it has any."""
        code, told, n = self.code, self.told, self.n
        with code.if_(self.steps > 0):
            which = code.array(self.places["asked"], WHOLE)[ASKED.index("row")]
            row = code.assigned(f"urem i64 {which.register}, {self.steps.register}", WHOLE, 1)
            code.array(self.places["told"], WHOLE)[TOLD.index("row")] = row
            told[TOLD.index("time")] = self.t[row + 1]
            slopes, least = self.floats("slopes").after(row * n), code.variable(inf)
            self.copy(told.after(len(TOLD)), slopes, n)
            with code.for_(n) as k:
                least.set(code.minimum(least.get(), code.abs(slopes[k])))
            told[TOLD.index("least")] = least.get()

    def keep(self) -> None:
        """Times and states, one behind the other."""
        kept, rows = self.floats("kept"), self.steps + 1
        self.copy(kept, self.t, rows)
        self.copy(kept.after(rows), self.y, rows * self.n)

    def tell_worst(self) -> None:
        """
        The distances at times of the output.

        The tolerance is that of the largest size of a component there and at both ends of the step, as for `apart`.
        """
        code, n, t, y = self.code, self.n, self.t, self.y
        times, values, apart = (self.floats(name) for name in ("times", "values", "apart"))
        others, step, worst = values.after(self.count * n), code.variable(0, WHOLE), code.variable(0.0)
        way = code.where(t[self.steps] < t[0], -1.0, code.number(1.0))
        with code.for_(self.count) as number:
            time = way * times[number]
            with code.while_(lambda: (step.get() + 1 < self.steps) & (way * t[step.get() + 1] < time)):
                step.set(step.get() + 1)
            here, begin, most = number * n, step.get() * n, code.variable(0.0)
            with code.for_(n) as k:
                one, other = values[here + k], others[here + k]
                size = code.maximum(code.abs(y[begin + k]), code.abs(y[begin + n + k]))
                most.set(code.maximum(most.get(), self.distance(one, other, code.maximum(size, code.abs(one)))))
            apart[number] = most.get()
            worst.set(code.maximum(worst.get(), most.get()))
        self.told[TOLD.index("worst")] = worst.get()
