"""A thousand orbits of Mercury: Gauss keeps the energy, other methods lose it orbit by orbit.

Kepler's problem with the eccentricity of Mercury, in units where a period is 2π. Gauss and Radau take a fixed mesh,
ten periods at a time, each ten starting Newton from the ten before; SciPy's DOP853 takes steps of its own.
"""

import argparse
import time
import warnings

import numpy as np
import scipy.integrate

import parscan

ECCENTRICITY = 0.2056
START = np.array([1 - ECCENTRICITY, 0, 0, np.sqrt((1 + ECCENTRICITY) / (1 - ECCENTRICITY))])
STRETCH = 10  # periods that are solved at once
INTERVALS = 103  # on a stretch; no multiple of it, so that the nodes fall on all parts of the orbit
COLOURS = {"Gauss": "#0072B2", "Radau": "#D55E00", "DOP853": "#000000"}


def kepler(t, y):
    x, z, u, v = y
    pull = (x * x + z * z) ** -1.5
    return [u, v, -pull * x, -pull * z]


def drift(y):
    """Relative error of the energy at the states `(4, N)`."""
    energy = (y[2] ** 2 + y[3] ** 2) / 2 - 1 / np.hypot(y[0], y[1])
    return np.abs(energy / -0.5 - 1)


def by_collocation(method, periods):
    """Drift per stretch, the state at the end, calls of the right-hand side."""
    mesh = np.linspace(0, 2 * np.pi * STRETCH, INTERVALS + 1)
    y, sol, calls, drifts = START, None, 0, []
    warnings.simplefilter("ignore", parscan.warnings.CoarseMeshWarning)  # tolerances are for Newton's iteration here
    for _ in range(periods // STRETCH):
        sol = parscan.solve_ivp(
            kepler, (0, mesh[-1]), y, method, mesh=mesh, stages=6, guess=sol, rtol=1e-13, atol=1e-13
        )
        if not sol.success:
            raise SystemExit(sol.message)
        y, calls = sol.y[:, -1], calls + sol.nfev
        drifts.append(drift(sol.y).max())
    return np.array(drifts), y, calls


def by_dop853(method, periods):
    """The same by SciPy, at a tolerance with which its energy is as good as that of Gauss in the first ten periods."""
    span = 0, 2 * np.pi * periods
    sol = scipy.integrate.solve_ivp(kepler, span, START, method, rtol=1e-12, atol=1e-12)
    stretches = np.minimum(sol.t / span[1] * (periods // STRETCH), periods // STRETCH - 1).astype(int)
    drifts = np.zeros(periods // STRETCH)
    np.maximum.at(drifts, stretches, drift(sol.y))
    return drifts, sol.y[:, -1], sol.nfev


def plot(path, drifts):
    """Energy against time, to a file."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only where it is asked for

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot(xlabel="periods", ylabel="relative error of the energy", xscale="log", yscale="log")
    for (name, values), style in zip(drifts.items(), ("-", "--", "-."), strict=True):
        axes.plot(STRETCH * np.arange(1, len(values) + 1), values, style, color=COLOURS[name], linewidth=2, label=name)
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def main(periods=1000, path=None):
    """Print a table; returns by how much the energy error of Gauss grew from the first stretch to the last."""
    by_collocation("Gauss", STRETCH)  # the first call loads the kernels
    print(f"{periods} periods  seconds    calls  energy error: first ten, last ten  position error")
    drifts = {}
    for name in COLOURS:
        begin = time.perf_counter()
        drifts[name], end, calls = (by_dop853 if name == "DOP853" else by_collocation)(name, periods)
        seconds, position = time.perf_counter() - begin, np.hypot(*(end - START)[:2])
        print(f"{name:13} {seconds:8.2f} {calls:8} {drifts[name][0]:24.1e} {drifts[name][-1]:9.1e} {position:15.1e}")
    if path:
        plot(path, drifts)
    return drifts["Gauss"][-1] / drifts["Gauss"][0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--periods", type=int, default=1000, help="a multiple of ten")
    parser.add_argument("--plot", metavar="PATH", help="save a plot of the energy error")
    arguments = parser.parse_args()
    if main(arguments.periods, arguments.plot) > 1.1:
        raise SystemExit("the energy drifts with Gauss")
