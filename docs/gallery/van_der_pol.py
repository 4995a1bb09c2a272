"""
A stiff oscillator and its mesh
===============================

Van der Pol's oscillator is slow for a long time, and then jumps. The mesh knows: its intervals are a million times
shorter there. (`examples/from_scipy.py` runs the same problem with SciPy's solver and with parscan's.)
"""

from matplotlib.figure import Figure

import parscan


def van_der_pol(t, y, stiffness):
    """Position and velocity."""
    return [y[1], stiffness * (1 - y[0] ** 2) * y[1] - y[0]]


sol = parscan.solve_ivp(van_der_pol, (0, 3000), [2.0, 0.0], args=(1000.0,), rtol=1e-8, atol=1e-8, dense_output=True)
print(sol)

# %%
# `plot()` draws the solution, and the mesh below it; on this scale both components can be seen.

figure = sol.plot()
figure.axes[0].set_yscale("symlog")

# %%
# The same in the plane of position and velocity, with the nodes of the mesh: most of them lie on the jumps.

figure = Figure(figsize=(7, 4), layout="constrained")
axes = figure.subplots()
position, velocity = sol.sol(sol.mesh)
axes.plot(position, velocity, "o", color="#D55E00", markersize=3, label="nodes")
fine = parscan.solve_ivp(van_der_pol, (0, 3000), [2.0, 0.0], args=(1000.0,), rtol=1e-8, atol=1e-8, max_step=0.5)
axes.plot(*fine.y, color="#0072B2", linewidth=0.8, zorder=0, label="orbit")
axes.set(xlabel="position", ylabel="velocity", yscale="symlog")
axes.legend(frameon=False)
