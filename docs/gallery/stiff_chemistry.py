"""
Stiff chemistry: work and precision
===================================

HIRES, eight concentrations of a plant's response to light. What a tolerance costs in calls of the right-hand side,
and what it gives: parscan against three methods of SciPy's. (Times are in `examples/stiff_chemistry.py` and on the
page on performance.)
"""

import numpy as np
import scipy.integrate
from matplotlib.figure import Figure

import parscan

SPAN, START = (0.0, 321.8122), (1, 0, 0, 0, 0, 0, 0, 0.0057)


def hires(t, y):
    """Schäfer's reactions."""
    y1, y2, y3, y4, y5, y6, y7, y8 = y
    binding = 280 * y6 * y8
    return [
        -1.71 * y1 + 0.43 * y2 + 8.32 * y3 + 0.0007,
        1.71 * y1 - 8.75 * y2,
        -10.03 * y3 + 0.43 * y4 + 0.035 * y5,
        8.32 * y2 + 1.71 * y3 - 1.12 * y4,
        -1.745 * y5 + 0.43 * y6 + 0.43 * y7,
        -binding + 0.69 * y4 + 1.71 * y5 - 0.43 * y6 + 0.69 * y7,
        binding - 1.81 * y7,
        -binding + 1.81 * y7,
    ]


sol = parscan.solve_ivp(hires, SPAN, START, rtol=1e-8, atol=1e-12)
figure = sol.plot()
for axes in figure.axes:
    axes.set_xscale("symlog", linthresh=0.1)

# %%
# Errors are relative, at the end, against Radau of parscan with nine stages.

reference = parscan.solve_ivp(hires, SPAN, START, "Radau", stages=9, rtol=1e-12, atol=1e-16).y[:, -1]
solvers = {
    "parscan": (parscan.solve_ivp, "auto", "o-", "#000000"),
    "SciPy Radau": (scipy.integrate.solve_ivp, "Radau", "D--", "#009E73"),
    "SciPy BDF": (scipy.integrate.solve_ivp, "BDF", "v--", "#CC79A7"),
    "SciPy LSODA": (scipy.integrate.solve_ivp, "LSODA", "^-", "#D55E00"),
}
figure = Figure(figsize=(7, 4.2), layout="constrained")
axes = figure.subplots()
for name, (solve, method, style, colour) in solvers.items():
    found = [
        solve(hires, SPAN, START, method=method, rtol=rtol, atol=1e-4 * rtol) for rtol in (1e-4, 1e-6, 1e-8, 1e-10)
    ]
    errors = [np.abs(sol.y[:, -1] / reference - 1).max() for sol in found]
    axes.plot(errors, [sol.nfev for sol in found], style, color=colour, label=name)
axes.set(xscale="log", yscale="log", xlabel="largest relative error at the end", ylabel="calls of the right-hand side")
axes.invert_xaxis()
axes.grid(color="0.9")
axes.legend(frameon=False)
