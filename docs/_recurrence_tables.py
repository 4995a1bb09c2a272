"""Tables of recurrences."""

from __future__ import annotations

import re
from typing import Any

from _records import Row, digits, milliseconds, record, seconds_of, table, thousands, times


def grus() -> list[tuple[Row, dict[str, Any]]]:
    """Components, batch and steps of the GRUs, with their cases."""
    name = re.compile(r"GRU, n=(\d+), batch (\d+), (\d+) steps")
    found = [(name.match(case["name"]), case) for case in record("recurrences")["cases"]]
    return [((match[1], match[2], thousands(int(match[3]))), case) for match, case in found if match]


def gru() -> str:
    """Every way to solve a GRU, against the plain loop."""
    ways = ["parscan", "parscan newton, jac", "parscan newton", "parscan DEER, jac", "numba loop"]
    header = ["n", "batch", "steps", "default", "newton, `jac`", "newton", "DEER, `jac`", "Numba loop", "deviation"]
    rows = []
    for shape, case in grus():
        seconds = seconds_of(case)
        default, *others = (times(seconds["plain loop"] / seconds[way]) for way in ways)
        rows.append([*shape, f"**{default}**", *others, digits(deviation_of(case))])
    memory = record("recurrences")["figures"].items()
    peak = next(value for name, value in memory if name.startswith("peak memory"))
    told = (
        f"Peak memory of a solve with n = 8 and a million steps: {peak:.2f} trajectories, the result itself included."
    )
    return f"{table(header, rows)}\n\n{told}"


def deviation_of(case: dict[str, Any]) -> float:
    """Of parscan from the plain loop."""
    return float(next(timing["deviation"] for timing in case["timings"] if timing["contender"] == "parscan"))


SLOW_MEMORY = {
    "rotation by 0.1": ("rotation by 0.1 with noise, n = 2", "the loop, as machine code"),
    "leaky integrator": ("leaky integrator that forgets over 10 000 steps, n = 2", "the loop, as machine code"),
    "phase with a bent": ("phase slips, n = 2", "the loop, as machine code"),
}


def slow_memory_cases() -> list[tuple[str, str, float, float]]:
    """Name, what happens, the ratio to the plain loop, and the deviation, where the past is kept."""
    found = []
    for case in record("recurrences")["cases"]:
        for begin, (name, happens) in SLOW_MEMORY.items():
            if case["name"].startswith(begin):
                seconds = seconds_of(case)
                ratio = seconds["plain loop"] / seconds["parscan"]
                found.append((name, happens, ratio, deviation_of(case)))
    return found


def slow_memory() -> str:
    """Where Jacobi cannot work."""
    rows = [[name, "100 000", times(ratio), happens, digits(off)] for name, happens, ratio, off in slow_memory_cases()]
    return table(["recurrence", "steps", "default", "what happens", "deviation"], rows)


def hostile() -> str:
    """Where it is hard: states per step, time and residual."""
    rows = []
    for case in record("robustness")["cases"]:
        if "steps" not in case:
            continue
        targets = {target["name"]: target["value"] for target in case["targets"]}
        name = case["name"] + (" (chaotic)" if case["chaotic"] and "chaotic" not in case["name"] else "")
        share, residual = targets["time / plain loop"], targets["residual / tolerance"]
        states = f"{case['states_per_step']:.1f}"
        rows.append([name, thousands(case["steps"]), case["method"], states, f"{share:.2f}", digits(residual)])
    worst = max(float(row[4]) for row in rows)
    header = ["problem", "steps", "method", "states per step", "time / plain loop", "residual"]
    return f"{table(header, rows)}\n\nAt most {worst:.2f} times the time of the plain loop, and right on all."


def long() -> str:
    """Ten million steps within 4 GiB."""
    figures = {name.rpartition(": ")[::2]: value for name, value in record("robustness")["figures"].items()}
    rows = []
    for way in dict.fromkeys(way for way, _ in figures):
        took, peak = (figures[way, what] for what in ("seconds", "peak GiB"))
        name = "default" if way.startswith("auto") else "Newton, every step a node"
        rows.append([name, f"{took:.1f} s", f"{peak:.2f} GiB"])
    return table(["n = 4, 10 000 000 steps, within 4 GiB", "time", "peak memory"], rows)


LINEAR = re.compile(r"(, float64|(?<=T)\s|(?<==)\s|\s(?==))")


def linear() -> str:
    """linear_recurrence against the quickest of what it is compared with."""
    rows = []
    for case in record("linear")["cases"]:
        for target in case["targets"]:
            slow = target["slow"] if isinstance(target["slow"], str) else target["slow"][-1]
            other = {"triad, 2 threads": "a triad into a new array"}.get(slow, slow)
            other = {"triad, 2 threads, output reused": "a triad into an old array"}.get(other, other)
            rows.append([LINEAR.sub("", case["name"]), other, f"{target['ratio']:.2f}×"])
    return table(["case", "against", "ratio"], rows)


def named(name: str) -> str:
    """The name of a case, with spaces in the number of its steps."""
    return re.sub(r"\d{5,}", lambda found: thousands(int(found[0])), name)


def machine_code() -> str:
    """Recurrences by machine code of the recorded step."""
    rows = []
    for case in record("compiled")["cases"]:
        seconds = seconds_of(case)
        if "first" not in case:
            continue
        ratios = [
            times(seconds[other] / seconds["parscan"]) if other in seconds else "–"
            for other in ("loop", "floats", "Numba", "jax.lax.scan", "compile=False")
        ]
        first = [milliseconds(case["first"][which]) for which in ("ever", "process", "second")]
        rows.append([named(case["name"]), f"**{ratios[0]}**", *ratios[1:], *first, milliseconds(seconds["parscan"])])
    header = ["problem", "plain loop", "loop over floats", "Numba loop", "`lax.scan`", "`compile=False`",
              "first call ever, ms", "first in a process", "second call", "later calls"]  # fmt: skip
    return table(header, rows)


def compiling() -> str:
    """What it takes to compile a step."""
    found: dict[str, dict[str, float]] = {}
    for name, value in record("compiled")["figures"].items():
        step, _, part = name.rpartition(", ")
        found.setdefault(step, {})[part] = value
    parts = ("record", "text", "LLVM", "disk")
    rows = [[step, *(milliseconds(seconds[part]) for part in parts)] for step, seconds in found.items()]
    return table(["step", "recording, ms", "LLVM's text", "machine code", "or from disk"], rows)


BY_CODE = ("Lorenz map", "logistic map", "Langevin", "PID", "bucket model, 100000", "Kalman")
"""Cases of the README that run as machine code of the recorded step."""


def by_code_rows() -> list[Row]:
    """Recurrences that do not forget, or are short of states, in the table of the README."""
    cases = record("compiled")["cases"]
    found = [next(case for case in cases if case["name"].startswith(begin)) for begin in BY_CODE]
    return [summary_row(named(case["name"]), case, deviation_by_code(case)) for case in found]


def deviation_by_code(case: dict[str, Any]) -> float:
    """Of parscan from the plain loop; where that is chaos, the largest residual."""
    deviation = next(timing["deviation"] for timing in case["timings"] if timing["contender"] == "parscan")
    return float(case["residual"] if deviation is None else deviation)


def summary_rows() -> list[Row]:
    """Recurrences in the table of the README."""
    rows = []
    for (n, batch, steps), case in grus():
        if batch == "1":
            rows.append(summary_row(f"GRU, {n} state{'s' * (n != '1')}, {steps} steps", case, deviation_of(case)))
    for name, _, ratio, deviation in slow_memory_cases():
        if name.startswith("leaky"):
            rows.append(
                [f"{name.removesuffix(', n = 2')}, 100 000 steps", "plain loop", times(ratio), digits(deviation)]
            )
    return [*rows, *by_code_rows()]


def summary_row(name: str, case: dict[str, Any], deviation: float) -> Row:
    """Against the plain and the compiled loop."""
    seconds = seconds_of(case)
    names = ("loop", "Numba") if "loop" in seconds else ("plain loop", "numba loop")
    plain, compiled = (times(seconds[other] / seconds["parscan"]) for other in names)
    return [name, "plain loop; Numba loop", f"{plain}; {compiled}", digits(deviation)]


TABLES = (gru, slow_memory, machine_code, compiling, hostile, long, linear)
