"""Speed of every way to solve a GRU, relative to the plain loop, from the record of benchmarks/recurrences.py."""

import numpy as np
from _records import seconds_of
from _recurrence_tables import grus
from matplotlib.figure import Figure

WAYS = {
    "parscan": ("parscan, default", "#0072B2"),
    "parscan newton": ("parscan, Newton by shooting", "#56B4E9"),
    "parscan DEER, jac": ("parscan, DEER with Jacobian", "#CC79A7"),
    "numba loop": ("Numba loop", "#E69F00"),
}


def draw():
    """Bars in groups."""
    figure = Figure(figsize=(7.5, 4.0), layout="constrained")
    axes = figure.subplots()
    cases = grus()
    height = 0.8 / len(WAYS)
    for number, (way, (label, colour)) in enumerate(WAYS.items()):
        ratios = [seconds_of(case)["plain loop"] / seconds_of(case)[way] for _, case in cases]
        places = np.arange(len(cases)) + height * (number - 1.5)
        axes.barh(places, np.array(ratios) - 1, height=0.9 * height, left=1, color=colour, label=label)
    axes.axvline(1, color="0.2", linewidth=1)
    names = [
        f"n = {n}" + (f", batch {batch}" if batch != "1" else "") + f"\n{steps} steps" for (n, batch, steps), _ in cases
    ]
    axes.set_yticks(np.arange(len(cases)), names)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="times faster than the plain loop")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right")
    return figure
