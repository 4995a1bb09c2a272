"""Jacobi's two sweeps, drawn: a recurrence that forgets needs no derivatives."""

import numpy as np
from matplotlib.figure import Figure

BLUE, RED, GREY = "#0072B2", "#D55E00", "0.8"
STEPS, SEGMENTS = 400, 5
LENGTH = STEPS // SEGMENTS
INPUT = np.cumsum(np.random.default_rng(3).standard_normal(STEPS)) / 5


def march(starts):
    """Segments of a leaky, saturating integrator from their starts: `(LENGTH + 1, segments)`."""
    states = [np.asarray(starts)]
    for x in INPUT.reshape(len(starts), -1).T:
        states.append(0.92 * states[-1] + 0.3 * np.tanh(x - 0.1 * states[-1]))
    return np.stack(states)


def draw():
    """Both sweeps, and how the second one meets the first."""
    figure = Figure(figsize=(7.5, 2.8), layout="constrained")
    axes = figure.subplots()
    truth = march([0.0])[:, 0]
    first = march(np.zeros(SEGMENTS))
    second = march([0.0, *first[-1, :-1]])
    axes.plot(truth, color=GREY, linewidth=5, label="trajectory of the loop")
    for p in range(SEGMENTS):
        times = LENGTH * p + np.arange(LENGTH + 1)
        meets = int(np.argmax(np.abs(second[:, p] - first[:, p]) < 0.01)) + 1
        label = {"label": "first sweep, from $y_0$"} if not p else {}
        axes.plot(times, first[:, p], "--", color=RED, linewidth=1.2, **label)
        label = {"label": "second sweep, from the ends of the first, until they meet"} if p == 1 else {}
        if p:
            axes.plot(times[:meets], second[:meets, p], color=BLUE, **label)
            axes.plot(times[0], second[0, p], "o", color=BLUE, markersize=4)
    axes.set(xlabel="step", ylabel="y", xlim=(0, STEPS))
    axes.grid(visible=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    return figure
