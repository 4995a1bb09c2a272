"""Tables of derivatives."""

from __future__ import annotations

import re

from _records import digits, record, seconds_of, table, thousands, times

WAYS = {
    "default": "parscan",
    "`vjp` in stretches": "parscan, vjp in stretches",
    "without `jac`": "parscan without jac",
}


def gradients() -> str:
    """Solution and gradient of a GRU against the loops, and the memory."""
    rows = []
    for case in record("derivatives")["cases"]:
        if not case["name"].startswith("GRU"):
            continue
        n, steps = re.findall(r"n=(\d+), (\d+) steps", case["name"])[0]
        seconds = seconds_of(case)
        default, *others = (times(seconds["loops"] / seconds[way]) for way in WAYS.values())
        tight = times(seconds["tight loops"] / seconds["parscan"])
        off = next(t["deviation"] for t in case["timings"] if t["contender"] == "parscan")
        rows.append([n, thousands(int(steps)), f"**{default}**", *others, tight, digits(off)])
    peak = next(value for name, value in record("derivatives")["figures"].items() if name.startswith("peak memory"))
    told = f"Peak memory with n = 8 and a million steps: {peak:.2f} trajectories, solution and adjoint included."
    return f"{table(['n', 'steps', *WAYS, 'against tight loops', 'deviation'], rows)}\n\n{told}"


def gradient_errors() -> str:
    """The largest errors over all n."""
    largest: dict[str, float] = {}
    for name, value in record("derivatives")["figures"].items():
        if ", GRU" in name and not name.startswith("peak memory"):
            told = name.partition(", GRU")[0]
            largest[told] = max(value, largest.get(told, 0.0))
    rows = [[name, digits(off)] for name, off in largest.items()]
    return table(["largest relative deviation", "n = 1, 4, 8, 32"], rows)


TABLES = (gradients, gradient_errors)
