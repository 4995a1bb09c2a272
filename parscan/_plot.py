"""Pictures of a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._arrays import Array

MOST_LINES = 8
"""Components that are drawn, at most."""

MOST_POINTS = 4000
"""Points of a line; longer trajectories are thinned out, or their outline would hide everything."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Told apart by the colour-blind, too (Okabe and Ito, 2008)."""

DASHES = ("-", "--", "-.", ":")
"""Told apart in print."""


def draw(y: Array, history: Sequence[float], method: str) -> Figure:
    """Trajectory above, corrections below."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        raise ImportError("plot() needs matplotlib; install it, or parscan with its extra: parscan[plot].") from None
    figure = Figure(figsize=(8, 6), layout="constrained")  # without pyplot: no window, no global state
    above, below = figure.subplots(2, 1)
    _draw_trajectory(above, np.asarray(y))
    _draw_convergence(below, history, method)
    return figure


def _draw_trajectory(axes: Axes, y: Any) -> None:
    """Components over time, the first of them if there are many."""
    steps = y.shape[0]
    lines = y.reshape(steps, int(np.prod(y.shape[1:])))
    if np.iscomplexobj(lines):
        lines = np.abs(lines)
    thinned = slice(None, None, max(1, steps // MOST_POINTS))
    times = np.arange(steps)[thinned]
    for k in range(min(lines.shape[1], MOST_LINES)):
        label = ", ".join(map(str, np.unravel_index(k, y.shape[1:])))
        dash = DASHES[k % len(DASHES)]
        axes.plot(times, lines[thinned, k], dash, color=COLOURS[k], linewidth=1, label=f"y[t, {label}]")
    more = "" if lines.shape[1] <= MOST_LINES else f", {MOST_LINES} of {lines.shape[1]} components"
    axes.set(xlabel="step t", ylabel="|y|" if np.iscomplexobj(y) else "y", title=f"trajectory{more}")
    axes.margins(x=0)
    if lines.shape[1] > 1 and steps:
        axes.legend(loc="upper right", fontsize="small", ncols=4)


def _draw_convergence(axes: Axes, history: Sequence[float], method: str) -> None:
    """Largest correction of each iteration, on a logarithmic scale, with the tolerance."""
    axes.set(xlabel="iteration", ylabel="largest correction / tolerance", title=f"convergence: {method}")
    if not history:
        axes.text(0.5, 0.5, "no iterations: evaluated by the loop", ha="center", transform=axes.transAxes)
        return
    sizes = np.asarray(history)
    shown = np.where(np.isfinite(sizes) & (sizes > 0), sizes, np.nan)
    exact = np.flatnonzero(sizes == 0)
    axes.plot(np.arange(1, sizes.size + 1), shown, "o-", color=COLOURS[0], markersize=4, linewidth=1)
    if np.isfinite(shown).any():
        axes.set_yscale("log")
    floor = np.nanmin(np.append(shown, 1.0))
    if exact.size:
        axes.plot(exact + 1, np.full(exact.size, floor), "v", color=COLOURS[1], markersize=6, label="exactly zero")
    axes.axhline(1.0, color="0.4", linestyle=":", linewidth=1, label="tolerance")
    axes.legend(loc="upper right", fontsize="small")
