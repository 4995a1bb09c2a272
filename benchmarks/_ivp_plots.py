"""Work-precision diagrams: a panel per problem, achieved error against time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from _odes import Ode
from _work_precision import Run
from matplotlib import ticker
from matplotlib.figure import Figure

STYLES: dict[str, dict[str, Any]] = {
    "parscan auto": {"color": "#000000", "marker": "o", "linewidth": 2.2, "markersize": 4.5, "zorder": 5},
    "SciPy DOP853": {"color": "#0072B2", "marker": "s", "linestyle": "-"},
    "SciPy LSODA": {"color": "#D55E00", "marker": "^", "linestyle": "-"},
    "SciPy Radau": {"color": "#009E73", "marker": "D", "linestyle": "--"},
    "SciPy BDF": {"color": "#CC79A7", "marker": "v", "linestyle": "--"},
    "SciPy RK45": {"color": "#56B4E9", "marker": "x", "linestyle": ":"},
    "SciPy RK23": {"color": "#8C8C8C", "marker": "+", "linestyle": ":"},
}
"""Colours of Okabe and Ito; marks and dashes tell the same in grey."""

COLUMNS = 3
FLOOR = 1e-15
"""Errors of nothing are drawn here."""


def panel(axes: Any, ode: Ode, runs: Sequence[Run]) -> None:
    """One problem."""
    for name, style in STYLES.items():
        mine = [run for run in runs if run.problem == ode.name and run.contender == name and run.counts]
        if mine:
            errors = [max(run.error, FLOOR) for run in mine]
            options = {"linewidth": 1.2, "markersize": 3.5, **style}
            axes.loglog(errors, [run.seconds * 1e3 for run in mine], label=name, **options)
    axes.axvspan(FLOOR / 10, ode.digits, color="0.92", linewidth=0, zorder=0)
    axes.set_xlim(1, FLOOR / 2)
    axes.set_title(ode.name + (" (chaotic)" if ode.chaotic else " (stiff)" if ode.stiff else ""), fontsize=9)
    axes.xaxis.set_major_locator(ticker.LogLocator(numticks=6))
    axes.grid(color="0.88", linewidth=0.6)
    axes.set_axisbelow(True)


def diagram(odes: Sequence[Ode], runs: Sequence[Run]) -> Figure:
    """All problems, and one legend."""
    columns = min(COLUMNS, len(odes))
    rows = -(-len(odes) // columns)
    figure = Figure(figsize=(3.3 * columns, 2.5 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, ode in zip(grid.flat, odes, strict=False):
        panel(axes, ode, runs)
    for axes in grid.flat[len(odes) :]:
        axes.set_visible(False)
    figure.supxlabel(
        "achieved error at the end, smaller to the right; grey: below the error of the reference", fontsize=9.5
    )
    figure.supylabel("time, ms", fontsize=10)
    handles = {label: line for axes in grid.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    names = [name for name in STYLES if name in handles]
    figure.legend([handles[name] for name in names], names, loc="outside upper center", ncols=4, frameon=False)
    return figure


def save_diagrams(odes: Sequence[Ode], runs: Sequence[Run], directory: Path) -> list[Path]:
    """One picture of the problems that are stiff, one of the others."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, stiff in (("non-stiff", False), ("stiff", True)):
        some = [ode for ode in odes if ode.stiff == stiff]
        if some:
            path = directory / f"ivp-{name}.png"
            with mpl.rc_context({"font.size": 8.5, "axes.linewidth": 0.7}):
                diagram(some, runs).savefig(path, dpi=150)
            paths.append(path)
    return paths
