"""Tables of the page on peers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any

from _records import Row, briefly, digits, machine, milliseconds, record, seconds_of, table, thousands, times

ERRORS = (1e-4, 1e-6, 1e-9)
"""At which initial value problems are compared."""

ERRORS_OF_ENSEMBLES = (1e-2, 1e-4, 1e-6)


def cases(group: str) -> Iterator[dict[str, Any]]:
    """Of a group."""
    return (case for case in record("peers")["cases"] if case["group"] == group)


def measured_on() -> str:
    """The machine, with the versions of the peers."""
    versions = record("peers")["machine"]["versions"]
    peers = {"jax": "JAX"} | {
        name: name for name in ("pandas", "diffrax", "heyoka", "CyRK", "scikit-sundae", "pydiffsol")
    }
    return f"{machine('peers')}, {', '.join(f'{told} {versions[name]}' for name, told in peers.items())}"


def against(group: str, peers: Sequence[str]) -> str:
    """Times of the peers divided by parscan's, with the largest deviation of anyone."""
    rows = []
    for case in cases(group):
        seconds = seconds_of(case)
        others = [times(seconds[peer] / seconds["parscan"]) if peer in seconds else "" for peer in peers]
        worst = max(timing["deviation"] for timing in case["timings"])
        rows.append([spaced(case["problem"]), f"{milliseconds(seconds['parscan'])} ms", *others, digits(worst)])
    return table(["problem", "parscan", *peers, "deviation"], rows)


def spaced(name: str) -> str:
    """Long numbers as one reads them."""
    return re.sub(r"\d{5,}", lambda number: thousands(int(number[0])), name)


def peers_linear() -> str:
    """Linear recurrences."""
    scans = ("jax.lax.scan", "jax.lax.associative_scan")
    return against("linear", ("plain loop", "Numba loop", "scipy.signal.lfilter", "pandas ewm", *scans))


def peers_recurrences() -> str:
    """Other recurrences."""
    return against("recurrence", ("plain loop", "Numba loop", "jax.lax.scan"))


def quickest(case: dict[str, Any], whose: Callable[[str], bool], error: float) -> tuple[float, str] | None:
    """Seconds and name of the quickest run with at most this error."""
    found = [
        (run["seconds"], contender["contender"])
        for contender in case["contenders"]
        if whose(contender["contender"])
        for run in steady(contender["runs"], error)
    ]
    return min(found) if found else None


def steady(runs: Sequence[dict[str, float]], error: float) -> Iterator[dict[str, float]]:
    """Runs with at most this error at their tolerance and at all tighter ones: a single one may be right by chance."""
    return takewhile(lambda run: run["error"] <= error, sorted(runs, key=lambda run: run["rtol"]))


SIDES = ("SciPy", "diffrax", "heyoka", "CyRK", "scikit-sundae", "pydiffsol")


def at_equal_error(
    some: Iterable[dict[str, Any]], errors: Sequence[float], peers: Sequence[str], *, by_method: bool
) -> str:  # fmt: skip
    """Milliseconds of the quickest run of each side that reaches an error; the names of methods, if asked for."""
    rows: list[Row] = []
    for case in some:
        for error in errors:
            row = [case["problem"], digits(error)]
            for told in ("parscan", "parscan, on arrays", *peers):
                found = quickest(case, lambda name, told=told: is_of(name, told), error)  # type: ignore[misc]
                method = f" {found[1].removeprefix(told).strip()}" if found and by_method else ""
                row.append(f"{briefly(found[0])}{method.rstrip()}" if found else "—")
            rows.append(row)
    return table(["problem", "error", "parscan", "`compile=False`", *peers], rows)


def is_of(contender: str, side: str) -> bool:
    """Whether a contender is one of a side's methods."""
    return contender == side or (not side.startswith("parscan") and contender.startswith(f"{side} "))


def peers_odes() -> str:
    """Single initial value problems."""
    return at_equal_error(cases("ode"), ERRORS, SIDES, by_method=False)


def peers_ensembles() -> str:
    """Many at once."""
    return at_equal_error(cases("ensemble"), ERRORS_OF_ENSEMBLES, ("SciPy", "diffrax"), by_method=True)


def peers_daes() -> str:
    """Differential-algebraic equations."""
    found = at_equal_error(record("dae")["cases"], ERRORS, ("scikit-sundae", "solve-dae"), by_method=False)
    return f"{found}\n\nMilliseconds of processor time, measured on {machine('dae')}."


def peers_first() -> str:
    """What compiles first takes how long, over all problems."""
    found: dict[str, list[float]] = {}
    for case in record("peers")["cases"]:
        for row in case.get("timings", ()) or case["contenders"]:
            name = row["contender"].partition(" (")[0]
            found.setdefault(name, []).append(row["first"])
    figures = record("peers")["figures"]
    rows: list[Row] = [
        ["parscan, its first solves ever", f"{figures['first solves on a machine']:.1f}"],
        ["parscan, its first solves in a process", f"{figures['first solves in a process']:.1f}"],
    ]
    for name, seconds in found.items():
        if name.startswith(("Numba", "jax", *SIDES[1:])):
            rows.append([f"{name}, up to", f"{max(seconds):.1f}" if max(seconds) >= 0.05 else "below 0.1"])
    return f"{table(['what', 'seconds'], rows)}\n\nMeasured on {measured_on()}."


TABLES = (peers_linear, peers_recurrences, peers_odes, peers_daes, peers_ensembles, peers_first)
