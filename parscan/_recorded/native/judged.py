"""Two marches of a problem, and what is asked of them, in one call of machine code, the same for all functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import inf, nan
from typing import Any

from . import builtin, compilation
from .expressions import FLOAT, WHOLE, Array, Code, Value
from .kernel import NAME, Kernel
from .members import COUNTS
from .status import Status

PLACES = (
    "driver", "table", "memory", "template", "states", "counts", "queue", "start", "t", "y", "slopes", "asked", "told",
    "kept", "times", "values", "apart", "numbers",
)  # fmt: skip
"""
Addresses that a call is given: of the driver, its constants and its memory; of the memory's first contents; of the
states at both ends, of the counts, and of the number of marches that have begun; of the initial state; of times and
states from the begin on, the first one of which is copied from there, and of slopes at the ends of steps; of what is
asked and told; of memory for the times and states again, one behind the other; of times of the output, the values
there by both marches, and what is told of each: how far apart they are, in tolerances; and of what the arguments of a
call are written to: parameters, and the initial state.
"""

WHOLES = "parts", "attempts", "n", "count", "arguments", "results"
"""Integers behind them: parts of the memory, of `AT_ONCE` words each; attempts of steps; components; times of the
output; arguments of a call; and its results, besides integers."""

ASKED = "rtol", "atol", "row", "stride"
"""What is asked: the error in these tolerances, and a row; two integers, of which the second one is added to the first
one at each call, and the number of steps is taken off the sum as often as it can be."""

TOLD = "ended", "steps", "evaluations", "error", "worst", "time", "least"
"""
What is told: whether both marches came to the end, steps of the first one, and evaluations, all three as integers; the
distance of both marches at the end, NaN if the initial state is not finite, and the largest one at times of the output,
in tolerances; the time of the row, and the size of the smallest one of its slopes, which follow, and then the state.
"""

FINISHED = int(Status.FINISHED)

AT_ONCE = 8
"""Words that are copied at once."""


def judging(task: int) -> Callable[..., tuple[Any, ...]]:
    """
    What marches, and judges; `task` is the address of `PLACES` and `WHOLES`, which are in use until then.

    A function of parameters and the initial state, all of them floats, that returns what is told, without the state. It
    releases the GIL.
    """
    return builtin.builtin(_code().address, task)


@cache
def _code() -> compilation.Code:
    return compilation.compiled(Kernel(_text(), builtin.addresses(), None, 0))


def _text() -> str:
    writer = _Writer()
    writer.march()
    writer.tell_row()
    writer.tell_error()
    writer.keep()
    with writer.code.if_(writer.count > 0):
        writer.tell_worst()
    numbers, told = PLACES.index("numbers"), PLACES.index("told")
    size, number = (len(PLACES) + WHOLES.index(name) for name in ("arguments", "results"))
    called = builtin.text(NAME, "judge", 8 * numbers, 8 * size, 8 * told, 8 * number, TOLD.index("error"))
    return writer.code.function("judge", ("ptr %task",)) + called


class _Writer:
    """Writes the code."""

    def __init__(self) -> None:
        self.code = code = Code()
        self.places = {name: code.load_pointer(code.pointer("%task", 8 * k)) for k, name in enumerate(PLACES)}
        numbers = code.array(code.pointer("%task", 8 * len(PLACES)), WHOLE)
        self.parts, self.attempts, self.n, self.count, *_ = (numbers[k] for k in range(len(WHOLES)))
        self.t, self.y = self.floats("t"), self.floats("y")
        self.told, self.asked = self.floats("told"), self.floats("asked")

    def floats(self, name: str) -> Array:
        """An array of doubles."""
        return self.code.array(self.places[name], FLOAT)

    def wholes(self, name: str) -> Array:
        """The same memory as integers."""
        return self.code.array(self.places[name], WHOLE)

    def copy(self, target: Array, source: Array, count: Value) -> None:
        """Copy numbers."""
        with self.code.for_(count) as k:
            target[k] = source[k]

    def march(self) -> None:
        """Both marches."""
        code, places = self.code, self.places
        memory, template = (code.array(places[name], WHOLE, AT_ONCE) for name in ("memory", "template"))
        self.copy(memory, template, self.parts)
        code.array(places["queue"], WHOLE)[0] = 0
        counts = [code.array(places["counts"], WHOLE).after(k * len(COUNTS)) for k in range(2)]
        for column in counts:  # where a march does not come to its end
            for number in range(len(COUNTS)):
                column[number] = 0
        values = self.floats("values")
        with code.for_(2 * self.count * self.n) as k:
            values[k] = nan  # where a march does not come to a time
        given = f"ptr {places['table']}, ptr {places['memory']}, ptr null, i64 {self.attempts.register}"
        code.text.do(f"call void {places['driver']}({given})")
        self.copy(self.y, self.floats("start"), self.n)
        self.steps = counts[0][COUNTS.index("accepted")]
        told, (first, second) = self.wholes("told"), counts
        status, evaluations = COUNTS.index("status"), COUNTS.index("evaluations")
        ended = first[status].equals(FINISHED) & second[status].equals(FINISHED)
        told[TOLD.index("ended")] = ended.to(WHOLE)
        told[TOLD.index("steps")] = self.steps
        told[TOLD.index("evaluations")] = first[evaluations] + second[evaluations]

    def distance(self, one: Value, other: Value, size: Value) -> Value:
        """The distance of two numbers, in tolerances of a size; equal ones have none, even if the tolerance is 0."""
        apart = self.code.abs(one - other)
        tolerance = self.asked[ASKED.index("atol")] + self.asked[ASKED.index("rtol")] * size
        return self.code.where(apart.equals(0.0), 0.0, apart / tolerance)

    def tell_error(self) -> None:
        """The distance at the end."""
        code, one, start = self.code, self.floats("states"), self.floats("start")
        other, error, nothing = one.after(self.n), code.variable(0.0), code.variable(0.0)
        with code.for_(self.n) as k:
            error.set(code.maximum(error.get(), self.distance(one[k], other[k], code.abs(one[k]))))
            nothing.set(code.fma(0.0, start[k], nothing.get()))  # NaN where that is not finite
        self.told[TOLD.index("error")] = error.get() + nothing.get()

    def tell_row(self) -> None:
        """A row of the first march, if it has any."""
        code, told, n = self.code, self.told, self.n
        asked, place = self.wholes("asked"), ASKED.index("row")
        asked[place] = asked[place] + asked[ASKED.index("stride")]
        with code.if_(self.steps > 0):
            row = code.assigned(f"urem i64 {asked[place].register}, {self.steps.register}", WHOLE, 1)
            told[TOLD.index("time")] = self.t[row + 1]
            slopes, least = self.floats("slopes").after(row * n), code.variable(inf)
            found = told.after(len(TOLD))
            self.copy(found, slopes, n)
            self.copy(found.after(n), self.y.after((row + 1) * n), n)
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
