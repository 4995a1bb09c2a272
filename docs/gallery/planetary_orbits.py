"""
Orbits that keep their energy
=============================

Two hundred orbits with the eccentricity of Mercury, on a fixed mesh. Gauss' methods are symplectic: their error of
the energy does not grow, while Radau's does. (`examples/planetary_orbits.py` goes on for a thousand orbits, and adds
SciPy's DOP853.)
"""

import warnings

import numpy as np
from matplotlib.figure import Figure

import parscan


def kepler(t, y):
    """Two coordinates and their velocities, in units where a period is 2π."""
    x, z, u, v = y
    pull = (x * x + z * z) ** -1.5
    return [u, v, -pull * x, -pull * z]


start = [1 - 0.2056, 0, 0, np.sqrt((1 + 0.2056) / (1 - 0.2056))]
mesh = np.linspace(0, 20 * np.pi, 104)

# %%
# Ten periods at a time, each ten starting Newton's method from the ten before. The tolerances are for its iteration:
# for them the mesh is far too coarse, which is what this picture is about.

warnings.simplefilter("ignore", parscan.warnings.CoarseMeshWarning)
errors, options = {}, {"stages": 6, "rtol": 1e-13, "atol": 1e-13}
for method in ("Gauss", "Radau"):
    y, sol, found = start, None, []
    for _ in range(20):
        sol = parscan.solve_ivp(kepler, (0, mesh[-1]), y, method, mesh=mesh, guess=sol, dense_output=True, **options)
        y, orbit = sol.y[:, -1], sol.sol
        energy = (sol.y[2] ** 2 + sol.y[3] ** 2) / 2 - 1 / np.hypot(sol.y[0], sol.y[1])
        found.append(np.abs(energy / -0.5 - 1).max())
    errors[method] = found
    print(f"{method}: energy error in the first ten orbits {found[0]:.1e}, in the last ten {found[-1]:.1e}")

# %%
figure = Figure(figsize=(8, 3.8), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(1, 1.6))
x, z, *_ = orbit(np.linspace(0, 2 * np.pi, 200))
left.plot(x, z, color="#0072B2")
left.plot(0, 0, "o", color="#E69F00", markersize=8)
left.plot(*sol.y[:2], ".", color="#D55E00", markersize=3)
left.set(aspect="equal", title="an orbit, and nodes of ten")
for (method, found), style, colour in zip(errors.items(), ("-", "--"), ("#0072B2", "#D55E00"), strict=True):
    right.plot(10 * np.arange(1, 21), found, style, color=colour, label=method)
right.set(xlabel="orbits", ylabel="largest relative error of the energy", yscale="log")
right.grid(color="0.9")
right.legend(frameon=False)
