"""Tables of derivatives."""

from __future__ import annotations

import re

from _records import digits, record, seconds_of, table, thousands, times

WAYS = {
    "default": "parscan",
    "with `jac` and `vjp`": "parscan, jac and vjp",
    "`vjp` in stretches": "parscan, vjp in stretches",
    "without `jac`": "parscan without jac",
    "JAX, compiled": "JAX, compiled",
}
"""Columns, and whom they show; those that a record lacks are left out."""


def gradients() -> str:
    """Solution and gradient of a GRU against the loops, and the memory."""
    cases = [case for case in record("derivatives")["cases"] if case["name"].startswith("GRU")]
    ways = {told: way for told, way in WAYS.items() if way in seconds_of(cases[0])}
    rows = []
    for case in cases:
        n, steps = re.findall(r"n=(\d+), (\d+) steps", case["name"])[0]
        seconds = seconds_of(case)
        default, *others = (times(seconds["loops"] / seconds[way]) for way in ways.values())
        tight = times(seconds["tight loops"] / seconds["parscan"])
        off = next(t["deviation"] for t in case["timings"] if t["contender"] == "parscan")
        rows.append([n, thousands(int(steps)), f"**{default}**", *others, tight, digits(off)])
    peak = next(value for name, value in record("derivatives")["figures"].items() if name.startswith("peak memory"))
    told = f"Peak memory with n = 8 and a million steps: {peak:.2f} trajectories, solution and adjoint included."
    return f"{table(['n', 'steps', *ways, 'against tight loops', 'deviation'], rows)}\n\n{told}"


def gradient_errors() -> str:
    """The largest errors over all n."""
    largest: dict[str, float] = {}
    for name, value in record("derivatives")["figures"].items():
        if ", GRU" in name and not name.startswith(("peak memory", "seconds")):
            told = name.partition(", GRU")[0]
            largest[told] = max(value, largest.get(told, 0.0))
    rows = [[name, digits(off)] for name, off in largest.items()]
    return table(["largest relative deviation", "n = 1, 4, 8, 32"], rows)


TABLES = (gradients, gradient_errors)
