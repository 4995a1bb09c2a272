"""
A fit with warm starts
======================

Gravity, friction, drag and torque of a pendulum from noisy angles. Each solution is the start of the next one: most
of the calls of the right-hand side are saved. (`examples/pendulum_fit.py` times the fit against SciPy's solvers.)
"""

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import least_squares

import parscan


def pendulum(t, y, gravity, friction, drag, torque):
    """Angle and velocity."""
    return [y[1], torque - gravity * np.sin(y[0]) - friction * y[1] - drag * y[1] ** 3]


times = np.linspace(0, 20, 121)
truth, first = np.array([9.81, 0.02, 0.002, 0.1]), np.array([9.6, 0.05, 0.0, 0.0])
options = {"method": "Gauss", "stages": 7, "rtol": 1e-8, "atol": 1e-10}


def solve(parameters, guess=None):
    """Angles and velocities at the times of the data."""
    return parscan.solve_ivp(pendulum, (0, 20), [2.5, 0.0], t_eval=times, args=parameters, guess=guess, **options)


noise = 0.1 * np.random.default_rng(5).standard_normal(121)
observed = solve(truth).y[0] + noise

# %%
# Once from scratch every time, once from the solution before.


def fit(*, warm):
    """The parameters found, and the calls of every solution."""
    calls, last = [], [None]

    def residuals(parameters):
        sol = solve(parameters, last[0])
        calls.append(sol.nfev)
        last[0] = sol if warm else None
        return sol.y[0] - observed

    return least_squares(residuals, first, x_scale=[1, 0.01, 0.001, 0.1]).x, calls


runs = {"cold": fit(warm=False), "warm": fit(warm=True)}
for start, (found, calls) in runs.items():
    print(f"{start}: {len(calls)} solutions, {sum(calls)} calls; {np.round(found, 4)}")

# %%
figure = Figure(figsize=(8, 5), layout="constrained")
above, below = figure.subplots(2, 1)
above.plot(times, observed, ".", color="0.5", label="observed")
above.plot(times, solve(first).y[0], ":", color="#D55E00", label="first guess")
above.plot(times, solve(found).y[0], color="#0072B2", label="fit")
above.set(xlabel="time, s", ylabel="angle", xlim=(0, 20))
above.legend(frameon=False, ncols=3, loc="upper right")
for (start, (_, calls)), style, colour in zip(runs.items(), ("s", "o"), ("#D55E00", "#0072B2"), strict=True):
    below.plot(calls, style, color=colour, markersize=4, label=start)
below.set(xlabel="solution", ylabel="calls of the right-hand side", yscale="log")
below.legend(frameon=False)
