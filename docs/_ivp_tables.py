"""Tables of ODEs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import isfinite
from typing import Any

from _ivp_judgement import AUTO, Comparison, Pair, comparisons, in_tolerances, of
from _odes import ODES, Ode
from _records import Row, briefly, digits, record, seconds_of, table, times
from _work_precision import Run


@cache
def runs() -> tuple[list[Ode], list[Run]]:
    """The problems, and all runs of the record."""
    found = []
    for case in record("ivp")["cases"]:
        for contender, columns in case.get("contenders", {}).items():
            keys = ("rtol", "status", "seconds", "error", "calls", "points", "nodes")
            for rtol, status, seconds, error, *counts in zip(*(columns[key] for key in keys), strict=True):
                infinite = float("inf")
                numbers = (infinite if seconds is None else seconds, infinite if error is None else error)
                found.append(Run(case["problem"], contender, rtol, status, *numbers, *counts))
    names = {run.problem for run in found}
    return [ode for ode in ODES if ode.name in names], found


def pretty(name: str) -> str:
    """Dashes between names, not hyphens."""
    return name.replace("Lotka-Volterra", "Lotka–Volterra").replace("Prothero-Robinson", "Prothero–Robinson")


def cell(pair: Pair) -> Row:
    """Times of the quickest of each side in milliseconds, and their ratio."""
    own = briefly(pair.own.seconds) if pair.own else "—"
    if pair.other is None:
        return [f"{own} / —", "only parscan" if pair.own else ""]
    other = f"{briefly(pair.other.seconds)} {pair.other.contender.removeprefix('SciPy ')}"
    return [f"{own} / {other}", f"{pair.ratio:.1f}×" if isfinite(pair.ratio) else "only SciPy"]


def means(found: Sequence[Comparison]) -> str:
    """What the table comes to."""
    best, radau, _, plain = found
    return (
        "Over all problems and the errors 1e-9 to 1e-12, as far as the digits of the references reach, the geometric "
        f"mean\nis **{best.mean:.1f}** against the best of SciPy's methods ({plain.mean:.1f} if neither side may use a "
        f"tolerance below 1e-11, where LSODA and\nDOP853 miss many of these errors), and **{radau.mean:.0f}** against "
        f"SciPy's Radau. Against SciPy's best,\n{best.reach}."
    )


def work_precision() -> str:
    """Times at equal error."""
    found = comparisons(*runs())
    pairs = {(pair.problem, pair.level): pair for pair in found[0].pairs}
    levels = (1e-9, 1e-10, 1e-11)
    header = ["problem, error"]
    for level in levels:
        header += [f"{digits(level)}: parscan / SciPy's best, ms" if level == levels[0] else digits(level), "ratio"]
    rows = []
    for problem in dict.fromkeys(pair.problem for pair in found[0].pairs):
        cells = (cell(pairs[problem, level]) if (problem, level) in pairs else ["", ""] for level in levels)
        rows.append([pretty(problem), *(part for parts in cells for part in parts)])
    return f"{table(header, rows)}\n\n{means(found)}"


def achieved() -> str:
    """What a tolerance gives."""
    odes, found = runs()
    rtols = [rtol for rtol in sorted({run.rtol for run in found}, reverse=True) if rtol >= 1e-11]
    rows = []
    for ode in odes:
        mine = of(AUTO, ode, found)
        name = pretty(ode.name) + (" (chaotic)" if ode.chaotic else "")
        rows.append([name, *(f"{in_tolerances(ode, mine[rtol]):.2g}" for rtol in rtols)])
    return table(["problem", *map(digits, rtols)], rows)


def entries(kind: str) -> list[Any]:
    """Figures of the ensembles, of the fits, or at loose tolerances."""
    return [case[kind] for case in record("ivp")["cases"] if kind in case]


def loose_ratios() -> list[float]:
    """Times of LSODA divided by those of parscan, ascending."""
    return sorted(1 / row["share"] for row in entries("rtol=1e-3, atol=1e-6")[0])


def reach_of(ratios: Sequence[float]) -> str:
    """From the least to the largest ratio."""
    return f"{times(ratios[0])[:-1]}–{times(ratios[-1])}"


def tasks() -> str:
    """Loose tolerances, ensembles, fits."""
    rows = []
    rows.append(["default arguments, all problems", "", "LSODA", reach_of(loose_ratios())])
    for case in entries("ensemble"):
        own, same = case, case["same tolerance"]
        ratio, equal = (times(case[how]["seconds"] / own["seconds"]) for how in ("same tolerance", "same error"))
        rows.append(
            [
                f"{case['members']} Lotka–Volterra systems, `rtol={digits(case['rtol'])}`",
                f"{briefly(own['seconds'])} ms, error {digits(own['deviation'])}",
                f"{same['method']}, a loop: {same['seconds']:.2f} s, error {digits(same['deviation'])}",
                f"{ratio} ({equal} at equal error)",
            ]
        )
    for case in entries("fit"):
        other = case["SciPy"]
        for how, told in (("parscan", ""), ("warm starts", ", warm starts")):
            own = case[how]
            rows.append(
                [
                    f"fit of {pretty(case['fit'])}, `rtol={digits(case['rtol'])}`{told}",
                    f"{briefly(own['seconds'])} ms, {own['solves']} solves",
                    f"{case['method']}: {briefly(other['seconds'])} ms, {other['solves']} solves",
                    times(other["seconds"] / own["seconds"]),
                ]
            )
    return table(["task", "parscan", "SciPy's quickest method", "ratio"], rows)


SHOWN = (
    ("Lotka-Volterra, T=15", 1e-11, "Lotka–Volterra, T=15"),
    ("Van der Pol 1000", 1e-10, "Van der Pol, μ=1000: stiff"),
    ("HIRES", 1e-10, "HIRES, 8 components: stiff"),
    ("Kepler e=0.5", 1e-9, "Kepler e=0.5, T=20"),
    ("Prothero-Robinson 1e+06", 1e-9, "Prothero–Robinson 1e6: stiff, but easy"),
)


def summary_rows() -> list[Row]:
    """ODEs in the table of the README."""
    rows = []
    pairs = {(pair.problem, pair.level): pair for pair in comparisons(*runs())[0].pairs}
    for problem, level, told in SHOWN:
        pair = pairs[problem, level]
        other = pair.other.contender.replace("SciPy", "SciPy's") if pair.other else "—"
        rows.append([told, other, times(pair.ratio), digits(level)])
    case, fit = entries("ensemble")[-1], entries("fit")[-1]
    ratio = times(case["same tolerance"]["seconds"] / case["seconds"])
    rows.append(
        [f"{case['members']} Lotka–Volterra systems", "SciPy's LSODA, a loop", ratio, digits(case["deviation"])]
    )
    ratio = times(fit["SciPy"]["seconds"] / fit["parscan"]["seconds"])
    rows.append([f"a fit of the {fit['fit']}", "SciPy's LSODA", ratio, f"`rtol={digits(fit['rtol'])}`"])
    ratios = loose_ratios()
    rows.append(
        [
            "default tolerances, all problems",
            "SciPy's LSODA",
            f"{times(ratios[0])[:-1]}–{times(ratios[-1])}",
            "`rtol=1e-3`",
        ]
    )
    return rows


def meshes() -> str:
    """Methods on meshes against adaptive solvers, in milliseconds."""
    ways = ("Radau, by calls", "Radau with a guess, by calls", "adaptive", "Radau", "Radau with a guess")
    header = ["problem", "Radau, by calls", "with a guess", "`auto`", "Radau", "with a guess", "against `auto`"]
    rows = []
    for case in record("meshes")["cases"]:
        seconds = seconds_of(case)
        ratio = seconds["adaptive"] / min(seconds["Radau"], seconds["Radau with a guess"])
        rows.append([pretty(case["name"]), *(briefly(seconds[way]) for way in ways), times(ratio)])
    return table(header, rows)


TABLES = (work_precision, achieved, tasks, meshes)
