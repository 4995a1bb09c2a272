"""Heat and a reaction on a square of 200 × 200 points: 40 000 unknowns, by lines.

The heat equation has an exact solution on the grid. The reaction is Fisher's, a population that grows and spreads. The
functions are NumPy's on whole arrays, and nothing is said of their Jacobians: the pattern is found.
"""

import time

import numpy as np

import parscan

SIDE = 200
SPREAD = 0.05
SPAN = (0.0, 1.0)
TOLERANCES = {"rtol": 1e-4, "atol": 1e-6}


def laplacian(u):
    """On a square whose sides are kept at zero."""
    found = -4 * u
    found[1:] += u[:-1]
    found[:-1] += u[1:]
    found[:, 1:] += u[:, :-1]
    found[:, :-1] += u[:, 1:]
    return found * (u.shape[0] + 1.0) ** 2


def heat(t, y, side):
    return SPREAD * laplacian(y.reshape(side, side)).ravel()


def fisher(t, y, side):
    u = y.reshape(side, side)
    return (SPREAD * laplacian(u) + 10 * u * (1 - u)).ravel()


def wave(side):
    """A wave that keeps its shape while it decays, and its rate."""
    x = np.arange(1, side + 1) / (side + 1)
    rate = -8 * SPREAD * (side + 1.0) ** 2 * np.sin(np.pi / (2 * (side + 1))) ** 2
    return np.outer(np.sin(np.pi * x), np.sin(np.pi * x)).ravel(), rate


def solve(fun, y0, side):
    """The solution, and a line of text on it."""
    begin = time.perf_counter()
    sol = parscan.solve_ivp(fun, SPAN, y0, args=(side,), t_eval=[SPAN[1]], **TOLERANCES)
    print(f"{fun.__name__}, {y0.size} unknowns: {time.perf_counter() - begin:.1f} s, {sol.nlu} eliminations")
    print(f"  {sol.message}")
    return sol


def main(side=SIDE):
    """Return the error of the heat equation, in tolerances, and the largest population at the end."""
    y0, rate = wave(side)
    sol = solve(heat, y0, side)
    exact = np.exp(rate * SPAN[1]) * y0
    error = np.max(np.abs(sol.y[:, -1] - exact) / (TOLERANCES["atol"] + TOLERANCES["rtol"] * exact))
    print(f"  error: {error:.2g} tolerances")
    grown = solve(fisher, 0.1 * y0, side)
    return float(error), float(grown.y.max())


if __name__ == "__main__":
    main()
