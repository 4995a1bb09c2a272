"""
Four methods on one recurrence
==============================

A gated recurrent unit with eight states over 2000 samples, solved by four methods. Jacobi needs no derivatives, and
is done where the segments forget their starts; Newton's digits double with every iteration; its diagonal alone
converges linearly.
"""

import numpy as np
from matplotlib.figure import Figure

import parscan

rng = np.random.default_rng(1)
n = 8
W, U = (rng.uniform(-1.2, 1.2, (n, 3 * n)) / np.sqrt(n) for _ in range(2))
x = rng.standard_normal((2000, n))


def gru(y, x):
    """Reset and update gates, and a candidate."""
    gx, gy = x @ U, y @ W
    gates = 1 / (1 + np.exp(-gx[..., : 2 * n] - gy[..., : 2 * n]))
    r, z = gates[..., :n], gates[..., n:]
    c = np.tanh(gx[..., 2 * n :] + r * gy[..., 2 * n :])
    return c + z * (y - c)


# %%
# Segments of ten steps, so that there is something to be corrected.

methods = ("jacobi", "quasi-newton", "newton", "elk")
solutions = {name: parscan.solve_recurrence(gru, np.zeros(n), x, method=name, segment_length=10) for name in methods}
for name, sol in solutions.items():
    print(
        f"{name:13} {sol.iterations:3} iterations, {sol.npoints / 2000:6.1f} states a step, residual {sol.residual:.0e}"
    )

# %%
figure = Figure(figsize=(8, 5.5), layout="constrained")
for axes, (name, sol) in zip(figure.subplots(2, 2, sharey=True).flat, solutions.items(), strict=True):
    sol.plot_convergence(ax=axes)
    axes.set_title(name)
    axes.set_ylim(1e-6, 1e14)
