"""Stiff chemistry, HIRES: eight concentrations of a plant's response to light, at tight tolerances.

parscan's Radau against SciPy's Radau, BDF and LSODA: the error at the end against published digits, time, and calls.
The problem is that of Schäfer (1975), in Hairer and Wanner, "Solving Ordinary Differential Equations II", IV.10.
"""

import argparse
import time

import numpy as np
import scipy.integrate

import parscan

SPAN = (0.0, 321.8122)
START = (1, 0, 0, 0, 0, 0, 0, 0.0057)
DIGITS = np.array(
    [
        7.371312573325668e-4,
        1.442485726316185e-4,
        5.888729740967575e-5,
        1.175651343283149e-3,
        2.386356198831331e-3,
        6.238968252742796e-3,
        2.849998395185769e-3,
        2.850001604814231e-3,
    ]
)
SOLVERS = {
    "parscan": (parscan.solve_ivp, "auto"),
    "SciPy Radau": (scipy.integrate.solve_ivp, "Radau"),
    "SciPy BDF": (scipy.integrate.solve_ivp, "BDF"),
    "SciPy LSODA": (scipy.integrate.solve_ivp, "LSODA"),
}


def hires(t, y):
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


def solve(name, rtol):
    """Solution, largest relative error at the end, and seconds."""
    solver, method = SOLVERS[name]
    begin = time.perf_counter()
    sol = solver(hires, SPAN, START, method=method, rtol=rtol, atol=1e-4 * rtol)
    seconds = time.perf_counter() - begin
    return sol, float(np.abs(sol.y[:, -1] / DIGITS - 1).max()), seconds


def main(rtols):
    """Print a table; returns parscan's error for each tolerance."""
    solve("parscan", 1e-6)  # the first call loads the kernels
    found = []
    for rtol in rtols:
        print(f"rtol {rtol:.0e}       error   seconds   calls of fun")
        for name in SOLVERS:
            sol, error, seconds = solve(name, rtol)
            print(f"  {name:12} {error:9.1e} {seconds:9.3f} {sol.nfev:14}")
            if name == "parscan":
                found.append(error)
        if found[-1] > 1e3 * rtol:
            raise SystemExit(f"the end state differs from the digits by {found[-1]:.1e}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="tolerances from 1e-6 to 1e-11, for a few seconds")
    main([1e-6, 1e-8, 1e-10, 1e-11] if parser.parse_args().full else [1e-8, 1e-10])
