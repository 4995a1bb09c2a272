"""Windows, drawn: stretches of Lorenz' chaotic trajectory that Newton's method solves at once."""

import warnings

import numpy as np
from matplotlib.figure import Figure

import parscan

BLUE, RED = "#0072B2", "#D55E00"


def lorenz(y):
    """A step of 0.01 by Euler's method."""
    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    return y + 0.01 * np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], axis=-1)


def draw():
    """The trajectory with its windows above, what each took below."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", parscan.warnings.SlowConvergenceWarning)
        sol = parscan.solve_recurrence(lorenz, np.ones(3), length=1200, method="newton", segment_length=1)
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    above, below = figure.subplots(2, 1, gridspec_kw={"height_ratios": (1, 1.2)})
    above.plot(sol.y[:, 0], color=BLUE)
    height = 19
    for attempt in sol.attempts:
        begin, end = attempt.begin, attempt.end
        solved = attempt.termination is parscan.Termination.CONVERGED
        above.plot([begin, end], [height, height], color=BLUE if solved else RED, linewidth=4, solid_capstyle="butt")
        height = 19 if solved else height + 2.5
        above.axvline(begin, color="0.85", linewidth=0.8, zorder=0)
    above.set(xlabel="step", ylabel="first component", xlim=(0, 1200))
    above.set_title("windows that converged (blue) and that did not (red)", fontsize="medium")
    above.grid(visible=False)
    sol.plot_convergence(below)
    below.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
    return figure
