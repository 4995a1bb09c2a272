"""Two marches of a problem, and what is asked of them, in one call of machine code, the same for all functions."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache, partial
from math import inf

from . import compilation
from .expressions import FLOAT, WHOLE, Code
from .kernel import NAME, Kernel
from .members import COUNTS

PLACES = (
    "driver", "table", "memory", "template", "states", "counts", "start", "t", "y", "slopes", "asked", "told", "kept",
)  # fmt: skip
"""
Addresses that a call is given: of the driver, its constants and its memory; of the memory's first contents; of the
states at both ends, and of the counts; of the initial state; of times and states from the begin on, the first one of
which is copied from there, and of slopes at the ends of steps; of what is asked and told; and of memory for the times
and states again, one behind the other.
"""

WHOLES = "parts", "attempts", "n"
"""Integers behind them: parts of the memory, of `AT_ONCE` words each; attempts of steps; components."""

ASKED = "rtol", "atol", "row"
"""What is asked: the error in these tolerances, and a row; an integer, of which the number of steps is taken off as
often as it can be."""

TOLD = "error", "row", "time", "least"
"""
What is told: the distance of both marches at the end, in tolerances; the row, an integer; its time; and the size of the
smallest one of its slopes, which follow.
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
    code = Code()
    places = {name: code.load_pointer(code.pointer("%task", 8 * k)) for k, name in enumerate(PLACES)}
    numbers = code.array(code.pointer("%task", 8 * len(PLACES)), WHOLE)
    parts, attempts, n = (numbers[k] for k in range(len(WHOLES)))
    target, source = (code.array(places[name], WHOLE, AT_ONCE) for name in ("memory", "template"))
    with code.for_(parts) as k:
        target[k] = source[k]
    given = f"ptr {places['table']}, ptr {places['memory']}, ptr null, i64 {attempts.register}"
    code.text.do(f"call void {places['driver']}({given})")
    asked, told = code.array(places["asked"], FLOAT), code.array(places["told"], FLOAT)
    one = code.array(places["states"], FLOAT)
    other, error = one.after(n), code.variable(0.0)
    with code.for_(n) as k:
        missed, size = code.abs(one[k] - other[k]), asked[1] + asked[0] * code.abs(one[k])
        error.set(code.maximum(error.get(), code.where(missed.equals(0.0), 0.0, missed / size)))
    told[0] = error.get()
    t, y, kept = (code.array(places[name], FLOAT) for name in ("t", "y", "kept"))
    steps, least = code.array(places["counts"], WHOLE)[COUNTS.index("accepted")], code.variable(inf)
    rows = steps + 1
    with code.if_(steps > 0):
        which = code.array(places["asked"], WHOLE)[ASKED.index("row")]
        row = code.assigned(f"urem i64 {which.register}, {steps.register}", WHOLE, 1)
        code.array(places["told"], WHOLE)[TOLD.index("row")] = row
        told[TOLD.index("time")] = t[row + 1]
        slopes = code.array(places["slopes"], FLOAT).after(row * n)
        with code.for_(n) as k:
            told.after(len(TOLD))[k] = slopes[k]
            least.set(code.minimum(least.get(), code.abs(slopes[k])))
        told[TOLD.index("least")] = least.get()
    start = code.array(places["start"], FLOAT)
    with code.for_(n) as k:
        y[k] = start[k]
    with code.for_(rows) as k:
        kept[k] = t[k]
    states = kept.after(rows)
    with code.for_(rows * n) as k:
        states[k] = y[k]
    return code.function(NAME, ("ptr %task",))
