"""Rate constants of a reaction from noisy concentrations: residuals and their exact Jacobian from one solve.

A → B with k₁, and B + B ⇌ C with k₂ and k₃. `scipy.optimize.least_squares` gets `sol.y` and `sol.jacobian`. `fun` is
compiled once, and not again for other constants. Beside it stands the same fit with SciPy's solver and differences.
"""

import argparse
import time

import numpy as np
import scipy.integrate
from scipy.optimize import least_squares

import parscan

TRUTH, FIRST, NOISE = np.log([0.5, 3.0, 0.2]), np.log([1.0, 1.0, 1.0]), 0.005
START, TOLERANCE = [1.0, 0.0, 0.0], {"rtol": 1e-8, "atol": 1e-10}


def reaction(t, y, logarithms):
    """Concentrations change by rates of mass action; logarithms of constants may have any sign."""
    (a, b, c), k = y, np.exp(logarithms)
    dimers = k[1] * b * b - k[2] * c
    return [-k[0] * a, k[0] * a - 2 * dimers, dimers]


def by_parscan(times, observed):
    """The three lines: a solution, its residuals, and their derivatives."""
    sol = None

    def residuals(p):
        nonlocal sol
        sol = parscan.solve_ivp(reaction, (0, times[-1]), START, t_eval=times, args=(p,), **TOLERANCE)
        return (sol.y - observed).ravel()

    return least_squares(residuals, FIRST, lambda _: sol.jacobian(0).reshape(observed.size, -1), method="lm")


def by_differences(method, times, observed):
    """A solution more for each constant, whenever derivatives are needed."""

    def residuals(p):
        options = {"method": method, "t_eval": times, "args": (p,), **TOLERANCE}
        return (scipy.integrate.solve_ivp(reaction, (0, times[-1]), START, **options).y - observed).ravel()

    return least_squares(residuals, FIRST, diff_step=1e-5, method="lm")


def main(fits=5):
    """Fit again and again, to other noise; returns by how much the optima differ, in standard errors."""
    times, rng, apart = np.linspace(0, 20, 81), np.random.default_rng(3), 0.0
    exact = parscan.solve_ivp(reaction, (0, 20), START, t_eval=times, args=(TRUTH,), rtol=1e-11, atol=1e-13).y
    took = {}
    for number in range(fits):
        observed = exact + NOISE * rng.standard_normal(exact.shape)
        for name in ("parscan", "LSODA"):
            begin = time.perf_counter()
            fit = by_parscan(times, observed) if name == "parscan" else by_differences(name, times, observed)
            took.setdefault(name, []).append(time.perf_counter() - begin)
            if name == "parscan":
                ours = fit
                errors = NOISE * np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)))
        apart = max(apart, float(np.max(np.abs(ours.x - fit.x) / errors)))
        k = np.exp(ours.x)
        constants = "  ".join(f"{one:.3f} ± {error:.3f}" for one, error in zip(k, k * errors, strict=True))
        print(f"fit {number + 1}: {constants};", "  ".join(f"{k} {1e3 * v[-1]:.0f} ms" for k, v in took.items()))
    print(f"times faster than SciPy's LSODA: {min(took['LSODA']) / min(took['parscan']):.1f}")
    return apart


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="30 fits instead of 5")
    deviation = main(30 if parser.parse_args().full else 5)
    print(f"largest difference between the optima: {deviation:.1e} standard errors")
    if deviation > 0.01:
        raise SystemExit("the fits disagree")
