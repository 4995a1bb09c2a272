"""
Iterations against the length of the series
===========================================

Newton's method over the whole trajectory, every step a node: where the past is forgotten, the number of iterations
does not depend on the length. Where changes grow, it does, and windows keep it in check.
"""

import warnings

import numpy as np
from matplotlib.figure import Figure

import parscan

warnings.simplefilter("ignore", parscan.warnings.SlowConvergenceWarning)
rng = np.random.default_rng(0)
lengths = [30, 100, 300, 1000, 3000]
noise = rng.standard_normal((lengths[-1], 3))


def forgetful(y, x):
    """Three saturating neurons."""
    return np.tanh(0.6 * y + 0.4 * np.roll(y, 1, axis=-1) + x)


def lorenz(y, x):
    """Lorenz' attractor by Euler's method: chaos."""
    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    return y + 0.01 * np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], axis=-1)


# %%
# `lyapunov` is the growth of a small change per step: below zero it is forgotten.

runs = {"three neurons": (forgetful, np.zeros(3)), "Lorenz": (lorenz, np.ones(3))}
iterations = {}
for name, (step, y0) in runs.items():
    found = [parscan.solve_recurrence(step, y0, noise[:T], method="newton", segment_length=1) for T in lengths]
    iterations[name] = [sol.iterations for sol in found]
    print(f"{name:14} iterations {iterations[name]}, exponent per step {found[-1].lyapunov:+.4f}")

# %%
figure = Figure(figsize=(7, 3.8), layout="constrained")
axes = figure.subplots()
for (name, counts), style, colour in zip(iterations.items(), ("o-", "s--"), ("#0072B2", "#D55E00"), strict=True):
    axes.plot(lengths, counts, style, color=colour, label=name)
axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="Newton iterations, in all windows")
axes.grid(color="0.9")
axes.legend(frameon=False)
