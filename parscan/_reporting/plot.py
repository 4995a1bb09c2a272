"""Plots of a result: trajectories, meshes, and the corrections of the iterations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._arrays.counts import counted
from .._arrays.namespace import Array, to_numpy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that the colour-blind can distinguish (Okabe and Ito, 2008), without the yellow, which is faint on white."""

DASHES = ("-", "--", "-.", ":")
"""Line styles, for prints without colour."""

MOST_LINES = len(COLOURS)
"""Largest number of components that are drawn."""

MOST_POINTS, PIECES = 4000, 1000
"""Largest number of points of a line; a longer one is drawn as the means and ranges of this number of pieces."""

MOST_NOTES, MOST_MARKS = 12, 60
"""Largest numbers of stretches of iterations for which labels, and marks, are drawn: more would hide the curve."""

MOST_DOTS = 100
"""Largest number of points for which each is drawn as a dot."""

EXPLOSIVE = 1e9
"""The scale is logarithmic if the largest value exceeds this many times the median."""


LARGEST = 1e290
"""Largest value that is drawn: the margins of a picture must not overflow."""


class Stretch(NamedTuple):
    """Consecutive iterations by one method, on one mesh of one window; `where` is the label of the window or mesh."""

    method: str
    where: str
    window: int
    iterations: int


def draw_recurrence(y: Array, ax: Axes | None) -> Figure:
    """Draw states `(T, *batch, n)` over the steps; steps from the first state that is not finite on are shaded."""
    states = to_numpy(y)
    axes, *_ = _axes(ax, (1,))
    finite = np.isfinite(states).all(axis=tuple(range(1, states.ndim)))
    first = states.shape[0] if finite.all() else int(finite.argmin())
    end = min(first + first // 4 + 1, states.shape[0])
    index = ", 0" * (states.ndim - 2)
    _draw_states(axes, np.arange(end), states[:end], lambda k: f"y[:{index}, {k}]")
    axes.set(xlabel="step t", ylabel="y")
    if first < end:
        axes.axvspan(first, end, color="0.9", linewidth=0, label=f"not finite\nfrom step {first} on")
        axes.set_xlim(0, end)
    _legend(axes, outside=ax is None)
    return axes.figure


def draw_solution(t: Array, y: Array, mesh: Array | None, ax: Axes | None) -> Figure:
    """Draw states `(N, *batch, n)` over time and, below them in a new figure, the interval lengths of a mesh."""
    times, states = to_numpy(t), to_numpy(y)
    nodes = np.zeros(0) if mesh is None or ax is not None else to_numpy(mesh)
    axes, *below = _axes(ax, (3, 1) if nodes.size > 1 and nodes[0] != nodes[-1] else (1,))
    index = ", 0" * (states.ndim - 2)
    _draw_states(axes, times, states, lambda k: f"y[{k}, :{index}]" if index else f"y[{k}]")
    axes.set(ylabel="y")
    for panel in below:
        edges = nodes if nodes[0] < nodes[-1] else nodes[::-1]
        panel.stairs(np.diff(edges), edges, color=COLOURS[0], baseline=None)
        panel.set(yscale="log", ylabel="interval length")
        panel.set_title(f"mesh: {counted(edges.size - 1, 'interval')}", fontsize="medium")
        panel.margins(x=0)
        panel.grid(color="0.9")
        axes.sharex(panel)
        axes.tick_params(labelbottom=False)
    (below or [axes])[-1].set_xlabel("time t")
    _legend(axes, outside=ax is None)
    return axes.figure


def draw_convergence(history: Sequence[float], stretches: Iterable[Stretch], otherwise: str, ax: Axes | None) -> Figure:
    """Draw the largest correction of each iteration, in tolerances; `otherwise` is the text without iterations."""
    axes, *_ = _axes(ax, (1,))
    axes.set(xlabel="iteration", ylabel="largest correction / tolerance")
    if not history:
        axes.set(xticks=(), yticks=())
        axes.text(0.5, 0.5, otherwise, ha="center", va="center", transform=axes.transAxes)
        return axes.figure
    known = [stretch for stretch in stretches if stretch.iterations]
    if sum(stretch.iterations for stretch in known) != len(history):
        known = [Stretch("", "", 0, len(history))]
    sizes = np.asarray(history, dtype=float)
    low, high = _range(sizes)
    axes.set_yscale("log")
    notes = 0.3 if len(known) <= MOST_NOTES else 0.0  # room for them, above everything else
    axes.set_ylim(low / 3, min(high * 3 * (high / low) ** notes, 10 * LARGEST))
    axes.set_xlim(0.5, sizes.size + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    _draw_sizes(axes, sizes, known)
    iterations = np.arange(1, sizes.size + 1)
    for wanted, height, mark, colour, label in (
        (sizes == 0, low, "v", "0.2", "exactly zero"),
        (~np.isfinite(sizes), high, "x", "0.2", "not finite"),
    ):
        if wanted.any():
            found = iterations[wanted]
            axes.plot(found, np.full(found.size, height), mark, color=colour, markersize=6, label=label, clip_on=False)
    axes.axhline(1.0, color="0.4", linestyle=":", linewidth=1, label="tolerance")
    _draw_marks(axes, known)
    _legend(axes, outside=ax is None)
    return axes.figure


def _axes(ax: Axes | None, heights: tuple[int, ...]) -> list[Any]:
    """The user's axes, or those of a new figure, one above the other."""
    try:
        from matplotlib.axes import Axes  # noqa: PLC0415 - optional, and slow to import
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise ImportError("plot() needs matplotlib; install it, or parscan with its extra: parscan[plot].") from None
    if ax is not None:
        if not isinstance(ax, Axes):
            raise TypeError(f"`ax` is a {type(ax).__name__}; pass one matplotlib Axes, or none for a new figure.")
        return [ax]
    # Without pyplot: no window, no global state, and a notebook shows the figure once.
    figure = Figure(figsize=(8, 2.6 + 1.6 * len(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    return list(panels[:, 0])


def _draw_states(axes: Axes, times: Any, states: Any, name: Callable[[int], str]) -> None:
    """Draw components over time, a selection if there are many; of a batch, the first member and the range of all."""
    n = states.shape[-1]
    members = int(np.prod(states.shape[1:-1]))
    states = states.reshape(times.size, members, n)
    most = MOST_LINES // (2 if np.iscomplexobj(states) else 1) // (2 if members > 1 else 1)
    shown = np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))
    size = -(-times.size // PIECES) if times.size > MOST_POINTS else 1
    axes.set_title(_title(members, shown.size, n, size), fontsize="medium")
    axes.margins(x=0)
    axes.grid(color="0.9")
    if not states.size:
        axes.text(0.5, 0.5, "nothing to draw", ha="center", va="center", transform=axes.transAxes)
        return
    _set_scale(axes, states)
    marker = "o" if times.size == 1 else None
    for number, k in enumerate(shown):
        for prefix, dash, values in _parts(states[:, :, k], DASHES[number % len(DASHES)]):
            at, line, low, high = _outline(times, values, size)
            style: dict[str, Any] = {"color": COLOURS[number], "label": prefix + name(int(k)), "marker": marker}
            if members > 1 or size > 1:
                axes.fill_between(at, low, high, color=COLOURS[number], alpha=0.2, linewidth=0)
            axes.plot(at, line, dash, linewidth=1.2, **style)


def _title(members: int, shown: int, n: int, size: int) -> str:
    """Title that names the part of a trajectory that is drawn, if it is not all."""
    parts = [f"{members} members: the first, and the range of all"] if members > 1 else []
    parts += [f"means over {size} points, and the range"] if size > 1 else []
    return "; ".join([*parts, *([f"{shown} of {n} components"] if shown < n else [])])


def _set_scale(axes: Axes, states: Any) -> None:
    """Set a logarithmic scale, linear below the first value, if a linear one would show the last values only."""
    sizes = np.abs(states[np.isfinite(states) & (states != 0)])
    if sizes.size and sizes.max() / EXPLOSIVE > np.median(sizes):
        axes.set_yscale("symlog", linthresh=max(float(sizes[0]), 1 / LARGEST))
        axes.margins(y=0)


def _parts(values: Any, dash: str) -> Iterator[tuple[str, str, Any]]:
    """Lines of a component, two if it is complex: label prefix, line style and finite values of each."""
    drawn = [("Re ", "-", values.real), ("Im ", "--", values.imag)] if np.iscomplexobj(values) else [("", dash, values)]
    for prefix, style, part in drawn:
        finite = np.where(np.isfinite(part), part, np.nan).astype(float)
        yield prefix, style, np.clip(finite, -LARGEST, LARGEST)


def _outline(times: Any, values: Any, size: int) -> tuple[Any, Any, Any, Any]:
    """Times, the first member, and the range of all members; for `size` > 1, means and ranges over groups of points."""
    line, low, high = values[:, 0], np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
    if size == 1:
        return times, line, low, high
    begins = np.arange(0, times.size, size)
    counts = np.diff(np.append(begins, times.size))
    middles, means = (np.add.reduceat(numbers, begins) / counts for numbers in (times.astype(float), line))
    return middles, means, np.fmin.reduceat(low, begins), np.fmax.reduceat(high, begins)


def _range(sizes: Any) -> tuple[float, float]:
    """Smallest and largest correction that a logarithmic axis can show, with the tolerance between them."""
    positive = sizes[np.isfinite(sizes) & (sizes > 0)]
    return min(float(positive.min(initial=1.0)), 0.1), min(max(float(positive.max(initial=1.0)), 10.0), LARGEST)


def _draw_sizes(axes: Axes, sizes: Any, stretches: Sequence[Stretch]) -> None:
    """Draw one line per method, interrupted where a window or mesh begins."""
    shown = np.where(np.isfinite(sizes) & (sizes > 0), sizes, np.nan)
    methods = list(dict.fromkeys(stretch.method for stretch in stretches))
    marker = "o" if sizes.size <= MOST_DOTS else None
    for number, method in enumerate(methods):
        colour, dash = COLOURS[number % MOST_LINES], DASHES[number % len(DASHES)]
        x, y, first = [], [], 1
        for stretch in stretches:
            if stretch.method == method:
                here = np.arange(first, first + stretch.iterations)
                x += [*here, np.nan]
                y += [*shown[here - 1], np.nan]
            first += stretch.iterations
        axes.plot(x, y, dash, color=colour, marker=marker, markersize=4, linewidth=1.2, label=method or None)


def _draw_marks(axes: Axes, stretches: Sequence[Stretch]) -> None:
    """Mark where windows (grey) and meshes (dotted) begin, with their labels."""
    if len(stretches) > MOST_MARKS:
        windows = len(list(groupby(stretch.window for stretch in stretches)))
        axes.set_title(counted(windows, "window"), fontsize="medium")
        return
    first, window = 0.5, None
    for stretch in stretches:
        if first > 1:
            dash = ":" if stretch.window == window else "-"
            axes.axvline(first, color="0.75", linewidth=1, linestyle=dash, zorder=0)
        if len(stretches) <= MOST_NOTES:
            place: dict[str, Any] = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points"}
            style: dict[str, Any] = {"rotation": 90, "va": "top", "fontsize": "x-small", "color": "0.3"}
            axes.annotate(stretch.where, (first, 1), (3, -4), **place, **style)
        first, window = first + stretch.iterations, stretch.window


def _legend(axes: Axes, *, outside: bool) -> None:
    """Place the legend beside the axes, where it hides nothing, or inside the user's axes."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if outside else {"loc": "best"}
        axes.legend(handles, labels, fontsize="small", frameon=not outside, **place)
