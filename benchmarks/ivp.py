"""solve_ivp against every method of SciPy: work and precision, loose tolerances, an ensemble, fits.

python benchmarks/ivp.py [--quick] [--json benchmarks/results/ivp.json] [--plots DIRECTORY]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import inf, isfinite
from typing import Any

from _harness import arguments, begin, save
from _ivp_judgement import Verdict, comparisons, equal_error_table, error_table, verdicts
from _ivp_tasks import FITS, ensemble, fitted, loose
from _odes import ODES, Ode
from _work_precision import CONTENDERS, Run, measure, warm_up

RTOLS = tuple(float(f"1e-{digits}") for digits in range(3, 14))
QUICK_RTOLS = (1e-3, 1e-6, 1e-10)
QUICK_ODES = ("Lotka-Volterra, T=15", "Oregonator", "rigid body")
QUICK_LIMIT = 0.3
"""Seconds that one run may take in brief."""

ENSEMBLE_RTOLS = (1e-3, 1e-6)


def rounded(value: float) -> float | None:
    """Four digits for the record; nothing for what is not finite."""
    return float(f"{value:.4g}") if isfinite(value) else None


def record(ode: Ode, runs: Sequence[Run]) -> dict[str, Any]:
    """The runs of a problem, in columns per contender."""
    rows: dict[str, Any] = {"problem": ode.name, "scale": ode.scale, "contenders": {}}
    for contender in CONTENDERS:
        mine = [run for run in runs if run.contender == contender.name]
        rows["contenders"][contender.name] = {
            "rtol": [run.rtol for run in mine],
            "status": [run.status for run in mine],
            "seconds": [rounded(run.seconds) for run in mine],
            "error": [rounded(run.error) for run in mine],
            "calls": [run.calls for run in mine],
            "points": [run.points for run in mine],
            "nodes": [run.nodes for run in mine],
        }
    return rows


def runs_table(ode: Ode, runs: Sequence[Run]) -> str:
    """Time, achieved error, calls and states of every run of a problem."""
    lines = [f"{ode.name}: ms, error, calls, states, nodes"]
    for run in runs:
        figures = f"{run.seconds * 1e3:10.2f}  {run.error:8.1e}  {run.calls:8}  {run.points:9}  {run.nodes:7}"
        lines.append(f"  {run.contender:<14} {run.rtol:.0e}  {figures if run.counts else run.status}")
    return "\n".join(lines)


def tasks(odes: Sequence[Ode], quick: bool) -> Iterator[tuple[Verdict, dict[str, Any]]]:
    """What solutions are wanted for, one verdict each."""
    verdict, rows = loose(odes, quick)
    yield verdict, {"rtol=1e-3, atol=1e-6": rows}
    for rtol in ENSEMBLE_RTOLS:
        verdict, figures = ensemble(rtol, quick)
        yield verdict, {"ensemble": figures}
    for fit in FITS[:1] if quick else FITS:
        verdict, figures = fitted(fit, quick)
        yield verdict, {"fit": figures}


def main() -> None:
    options = arguments(__doc__ or "", plots="draw work-precision diagrams into this directory")
    report = begin(options.quick)
    odes = [ode for ode in ODES if ode.name in QUICK_ODES] if options.quick else ODES
    rtols, limit = (QUICK_RTOLS, QUICK_LIMIT) if options.quick else (RTOLS, inf)
    warm_up(odes)
    runs: list[Run] = []
    for ode in odes:
        found = measure(ode, rtols, limit)
        print(runs_table(ode, found) + "\n", flush=True)
        report.cases.append(record(ode, found))
        runs += found
    for comparison in comparisons(odes, runs):
        print(equal_error_table(comparison) + "\n")
        if isfinite(comparison.mean):
            report.figures[f"{comparison.name}, geometric mean"] = comparison.mean
    print(error_table(odes, runs) + "\n", flush=True)
    judged = verdicts(odes, runs)
    for verdict, figures in tasks(odes, options.quick):
        judged.append(verdict)
        report.cases.append(figures)
    print("\n".join(verdict.text for verdict in judged))
    report.cases.append({"verdicts": [{**asdict(v), "value": rounded(v.value), "reached": v.reached} for v in judged]})
    save(report, options.json)
    if options.plots:
        from _ivp_plots import save_diagrams  # noqa: PLC0415  (the picture alone needs matplotlib)

        save_diagrams(odes, runs, options.plots)


if __name__ == "__main__":
    main()
