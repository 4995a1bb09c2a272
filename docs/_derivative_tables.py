"""Tables of derivatives."""

from __future__ import annotations

import re

from _records import digits, milliseconds, record, seconds_of, table, thousands, times

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


def fits() -> str:
    """Fits of ODEs: milliseconds by exact Jacobians, and how many times longer the others take."""
    compiling = {
        name.rpartition(", ")[2]: seconds
        for name, seconds in record("derivatives")["figures"].items()
        if name.startswith("seconds to compile diffrax")
    }
    rows = []
    for case in record("derivatives")["cases"]:
        if not case["name"].startswith("fit of "):
            continue
        name = case["name"].removeprefix("fit of ").partition(",")[0]
        seconds = seconds_of(case)
        own = seconds["parscan, sol.jacobian"]
        scipy = min(seconds[way] for way in seconds if way.startswith("SciPy"))
        off = next(t["deviation"] for t in case["timings"] if t["contender"] == "parscan, sol.jacobian")
        jax = seconds.get("diffrax, jacfwd")
        told = "–" if jax is None else f"{times(jax / own)} ({compiling[name]:.0f} s)"
        ratios = f"**{times(scipy / own)}**", times(seconds["parscan, differences"] / own)
        rows.append([name, milliseconds(own), *ratios, told, digits(off)])
    header = ["fit", "ms", "SciPy, differences", "parscan, differences", "diffrax, `jacfwd` (compiling)", "deviation"]
    return table(header, rows)


def member_gradients() -> str:
    """A gradient over many members: milliseconds, and how many times longer the others take."""
    found = record("derivatives")
    case = next(case for case in found["cases"] if case["name"].startswith("Lotka-Volterra,"))
    seconds = seconds_of(case)
    own = seconds["parscan"]
    figures = found["figures"]
    scipy = next(value for name, value in figures.items() if name.startswith("seconds of gradients by SciPy"))
    rows = [["parscan", milliseconds(own), "1×", digits(case["timings"][0]["deviation"])]]
    for timing in case["timings"][1:]:
        way = f"{timing['contender']}, compiled"
        rows.append([way, milliseconds(timing["seconds"]), times(timing["seconds"] / own), digits(timing["deviation"])])
    off = next(value for name, value in figures.items() if name.startswith("deviation of SciPy's differences"))
    rows.append(["SciPy, differences", milliseconds(scipy), times(scipy / own), digits(off)])
    return table(["gradient of 1000 members", "ms", "time / parscan's", "deviation"], rows)


def stiff_gradients() -> str:
    """Gradients of stiff ODEs: their errors, and their times beside those of the solutions."""
    columns = {
        "differences of tight solves": "against differences of tight solves",
        "its discrete equations": "against the complex step through its steps",
        "time / solution's": "its time divided by that of the solution",
    }
    found: dict[tuple[str, str], dict[str, float]] = {}
    for name, value in record("derivatives")["figures"].items():
        if match := re.fullmatch(r"stiff gradient, (.*), rtol=([^:]*): (.*)", name):
            found.setdefault((match[1], match[2]), {})[match[3]] = value
    rows = []
    for (name, rtol), values in found.items():
        off, exact, ratio = (values[column] for column in columns.values())
        rows.append([name, rtol.replace("e-0", "e-"), digits(off), digits(exact), times(ratio)])
    return table(["gradient by all parameters and y0", "`rtol`", *columns], rows)


TABLES = (gradients, gradient_errors, fits, member_gradients, stiff_gradients)
