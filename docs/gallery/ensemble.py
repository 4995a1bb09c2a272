"""
An ensemble as one batch
========================

Three hundred predator-prey systems with different growth rates, solved in one call: parameters per member broadcast
against a component. (`examples/ensemble.py` times a thousand of them against a loop of SciPy's.)
"""

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

import parscan

growth = np.linspace(0.6, 1.4, 300)


def lotka_volterra(t, y, growth):
    """Prey and predators."""
    prey, predators = y
    return [growth * prey - 0.4 * prey * predators, 0.1 * prey * predators - 0.4 * predators]


times = np.linspace(0, 16, 400)
y0 = np.stack([np.full(300, 10.0), np.full(300, 4.0)])
sol = parscan.solve_ivp(lotka_volterra, (0, 16), y0, t_eval=times, args=(growth,), rtol=1e-6, atol=1e-6)
print(sol.message)

# %%
# `plot()` shows the first member, and the range of all.

figure = sol.plot()

# %%
# Their orbits, coloured by the growth rate.

figure = Figure(figsize=(7, 4.4), layout="constrained")
axes = figure.subplots()
orbits = LineCollection(np.moveaxis(sol.y, (0, 1, 2), (2, 1, 0))[::12], array=growth[::12], cmap=colormaps["viridis"])
axes.add_collection(orbits)
axes.autoscale()
axes.set(xlabel="prey", ylabel="predators")
figure.colorbar(orbits, label="growth of the prey")
