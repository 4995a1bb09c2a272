"""
Lyapunov exponents of the logistic map
======================================

A sweep over the parameter of `y ← r y (1 - y)`. Every result tells how sensitive its trajectory is: where
`sol.lyapunov` is above zero, the map is chaotic, and no method gains much over the loop.
"""

import numpy as np
from matplotlib.figure import Figure

import parscan


def logistic(y, r):
    """The map."""
    return r * y * (1 - y)


# %%
# First all parameters as one batch, for the picture of where the trajectories end up; then one by one, since the
# exponent of a batch is that of its most sensitive member.

r = np.linspace(2.8, 4.0, 600)
batch = parscan.solve_recurrence(logistic, np.full((600, 1), 0.4), length=600, args=(r[:, None],))
some = r[::4]
exponents = [parscan.solve_recurrence(logistic, np.array([0.4]), length=600, args=(value,)).lyapunov for value in some]

# %%
figure = Figure(figsize=(8, 5), layout="constrained")
above, below = figure.subplots(2, 1, sharex=True)
above.plot(np.repeat(r[None], 100, axis=0).ravel(), batch.y[-100:, :, 0].ravel(), ",", color="#0072B2", alpha=0.4)
above.set(ylabel="last 100 states", xlim=(2.8, 4))
below.plot(some, exponents, color="#D55E00")
below.axhline(0, color="0.3", linewidth=0.8)
below.set(xlabel="r", ylabel="exponent per step", ylim=(-2, 1))
