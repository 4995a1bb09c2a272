"""
Filters
=======

An exponential moving average and a Butterworth filter are linear recurrences. `linear_recurrence` scans them at the
speed of memory; nothing is iterated. (`examples/filters.py` compares with pandas and SciPy.)
"""

import numpy as np
from matplotlib.figure import Figure
from scipy import signal

import parscan

rng = np.random.default_rng(2)
x = np.cumsum(rng.standard_normal(3000)) * 0.05 + 0.5 * rng.standard_normal(3000)

# %%
# One coefficient for all times: `y_t = 0.98 y_{t-1} + 0.02 x_t`.

average = parscan.linear_recurrence(0.98, 0.02 * x, h0=x[0])

# %%
# A filter of order 4 as a state space, `h_t = A h_{t-1} + B x_t`: one matrix for all times.

A, B, C, D = signal.tf2ss(*signal.butter(4, 0.02))
h = parscan.linear_recurrence(A[None], x[:, None] * B[:, 0])
filtered = np.concatenate([np.zeros((1, 4)), h[:-1]]) @ C[0] + D[0, 0] * x

# %%
figure = Figure(figsize=(8, 3.6), layout="constrained")
axes = figure.subplots()
axes.plot(x, color="0.75", linewidth=0.6, label="signal")
axes.plot(average, color="#0072B2", label="moving average")
axes.plot(filtered, "--", color="#D55E00", label="Butterworth")
axes.set(xlabel="sample", xlim=(0, 3000))
axes.legend(frameon=False, ncols=3)
