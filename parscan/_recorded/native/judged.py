"""Two marches of a problem, and what is asked of them, in one call of machine code, the same for all functions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from math import inf, nan
from typing import Any

import numpy as np

from ..._arrays.namespace import ERRORS
from . import builtin, compilation
from .called import calling
from .expressions import FLOAT, WHOLE, Array, Code, Value
from .kernel import NAME, Kernel
from .members import COUNTS
from .status import Status
from .taken import taking

PLACES = (
    "driver", "table", "memory", "template", "states", "counts", "queue", "start", "t", "y", "slopes", "asked", "told",
    "times", "values", "apart", "numbers",
)  # fmt: skip
"""
Addresses that a call is given: of the driver, its constants and its memory; of the memory's first contents; of the
states at both ends, of the counts, and of the number of marches that have begun; of the initial state; of times and
states from the begin on, the first one of which is copied from there, and of slopes at the ends of steps; of what is
asked and told; of times of the output, the values there by both marches, and what is told of each: how far apart they
are, in tolerances; and of what the arguments of a call are written to: parameters, and the initial state.
"""

WHOLES = "parts", "attempts", "n", "count", "before", "brief"
"""
Integers behind them: parts of the memory, of `AT_ONCE` words each; attempts of steps; components; times of the output;
parameters; and the number of evaluations up to which the next march is brief, too, so that it keeps the GIL.
"""

OBJECTS = (
    "copy", "none", "errors", "seen", "ignored", "exception", "float", "double", "int", "list", "tuple", "array",
    "tolist",
)  # fmt: skip
"""Objects of Python behind these: see `calling` and `taking`; `copy` copies the state of the row."""

ASKED = "rtol", "atol", "row", "stride", "share"
"""What is asked: the error in these tolerances, and a row; two integers, of which the second one is added to the first
one at each call, and the number of steps is taken off the sum as often as it can be; and the share of each of its
slopes up to which a function has to give it."""

TOLD = "ended", "steps", "evaluations", "error", "worst", "time", "least"
"""
What is told: whether both marches came to the end, steps of the first one, and evaluations, all three as integers; the
distance of both marches at the end, NaN if the initial state is not finite, and the largest one at times of the output,
in tolerances; the time of the row, and the size of the smallest one of its slopes, which follow, and then the state.
"""

FINISHED = int(Status.FINISHED)

AT_ONCE = 8
"""Words that are copied at once."""


CONSTANTS: dict[str, Any] = {
    "none": None, "exception": Exception, "float": float,
    "double": np.float64, "int": int, "list": list, "tuple": tuple, "array": np.ndarray, "tolist": sys.intern("tolist"),
}  # fmt: skip
"""Objects that are the same in each call."""


def objects(copy: Any) -> list[int]:
    """Addresses of `OBJECTS`, 0 of those that are not known yet; what copies a state has to last as long as they."""
    given = {"copy": copy, **CONSTANTS}
    given |= {"errors": ERRORS} if ERRORS is not None else {}
    return [id(given[name]) if name in given else 0 for name in OBJECTS]


def judging(task: int) -> Callable[..., Any]:
    """
    What marches, and judges; `task` is the address of `PLACES`, `WHOLES` and `OBJECTS`, which are in use until then.

    Its arguments are a function or None, a list or tuple with the initial state, and floats: all parameters. Of a state
    that has anything but floats, and integers that are as good, nothing is made but an empty tuple.

    It tells whether both marches came to the end; whether the arguments are those of the call before; whether the
    function gives the slopes of the row, if so, or -1 if it was not called; steps and evaluations; the error, and the
    largest one at times of the output; and, as bytes, the times and the states of the steps. It releases the GIL,
    unless the march before was a brief one.
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
    with writer.code.if_(writer.count > 0):
        writer.tell_worst()
    fields = builtin.Fields((*PLACES, *WHOLES, *OBJECTS), (*PLACES, *OBJECTS))
    numbers = TOLD.index("time"), len(TOLD), ASKED.index("share")
    return "\n".join([
        *builtin.declarations(), "declare double @llvm.fabs.f64(double)",
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)", writer.code.function("judge", ("ptr %task",)),
        taking("take", fields, 1), calling("like", fields, *numbers), _called(fields),
    ])  # fmt: skip


def _called(fields: builtin.Fields) -> str:
    """What Python calls."""
    ended, steps, evaluations = (TOLD.index(name) for name in ("ended", "steps", "evaluations"))
    wholes = "ended", "same", "like", "steps", "evaluations"
    return "\n".join([
        f"define ptr @{NAME}(ptr %self, ptr %arguments, i64 %count) {{",
        "entry:",
        "  %task = call ptr @PyLong_AsVoidPtr(ptr %self)",
        *fields.loads("told", "t", "y", "n", "brief", "none"),
        "  %is_long = icmp sgt i64 %count, 1",
        "  br i1 %is_long, label %take, label %refuse",
        "take:",
        "  %took = call i64 @take(ptr %task, ptr %arguments, i64 %count)",
        "  %is_taken = icmp sgt i64 %took, 0",
        "  br i1 %is_taken, label %run, label %leave",
        "leave:",
        "  %is_error = icmp slt i64 %took, 0",
        "  br i1 %is_error, label %refuse, label %nothing",
        "nothing:",
        "  %empty = call ptr @PyTuple_New(i64 0)",
        "  ret ptr %empty",
        "run:",
        f"  %evaluations_at = getelementptr i64, ptr %told, i64 {evaluations}",
        "  %last = load i64, ptr %evaluations_at",
        "  %is_known = icmp sgt i64 %last, 0",
        "  %is_few = icmp slt i64 %last, %brief",
        "  %is_brief = and i1 %is_known, %is_few",
        "  br i1 %is_brief, label %hold, label %release",
        "hold:",
        "  call void @judge(ptr %task)",
        "  br label %judged",
        "release:",
        "  %thread = call ptr @PyEval_SaveThread()",
        "  call void @judge(ptr %task)",
        "  call void @PyEval_RestoreThread(ptr %thread)",
        "  br label %judged",
        "judged:",
        f"  %ended_at = getelementptr i64, ptr %told, i64 {ended}",
        "  %ended = load i64, ptr %ended_at",
        "  %fun = load ptr, ptr %arguments",
        "  %has_ended = icmp ne i64 %ended, 0",
        "  %is_same = icmp eq i64 %took, 1",
        "  %is_function = icmp ne ptr %fun, %none",
        "  %may = and i1 %has_ended, %is_same",
        "  %asks = and i1 %may, %is_function",
        "  br i1 %asks, label %ask, label %tell",
        "ask:",
        "  %answer = call i64 @like(ptr %task, ptr %fun)",
        "  %passes = icmp eq i64 %answer, -2",
        "  br i1 %passes, label %refuse, label %tell",
        "tell:",
        "  %like = phi i64 [ -1, %judged ], [ %answer, %ask ]",
        "  %same = zext i1 %is_same to i64",
        f"  %steps_at = getelementptr i64, ptr %told, i64 {steps}",
        "  %steps = load i64, ptr %steps_at",
        "  %evaluations = load i64, ptr %evaluations_at",
        f"  %error_at = getelementptr double, ptr %told, i64 {TOLD.index('error')}",
        "  %error = load double, ptr %error_at",
        f"  %worst_at = getelementptr double, ptr %told, i64 {TOLD.index('worst')}",
        "  %worst = load double, ptr %worst_at",
        "  %rows = add i64 %steps, 1",
        "  %of_times = mul i64 %rows, 8",
        "  %of_states = mul i64 %of_times, %n",
        "  %bytes = add i64 %of_times, %of_states",
        "  %kept = call ptr @PyBytes_FromStringAndSize(ptr null, i64 %bytes)",
        "  %is_there = icmp ne ptr %kept, null",
        "  br i1 %is_there, label %fill, label %refuse",
        "fill:",
        "  %times = call ptr @PyBytes_AsString(ptr %kept)",
        "  %states = getelementptr i8, ptr %times, i64 %of_times",
        "  call void @llvm.memcpy.p0.p0.i64(ptr %times, ptr %t, i64 %of_times, i1 false)",
        "  call void @llvm.memcpy.p0.p0.i64(ptr %states, ptr %y, i64 %of_states, i1 false)",
        *builtin.told([
            *(f"call ptr @PyLong_FromLongLong(i64 %{name})" for name in wholes),
            *(f"call ptr @PyFloat_FromDouble(double %{name})" for name in ("error", "worst")),
            "getelementptr i8, ptr %kept, i64 0",
        ]),
        "refuse:",
        "  ret ptr null",
        "}",
        "",
    ])  # fmt: skip


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
