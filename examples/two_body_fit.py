"""Fit of a precessing orbit: exact Jacobians from `sol.jacobian`, against SciPy and differences.

The relative motion of two bodies with H = |p|²/2 - m/r - ν/r³, Newton's law and the leading relativistic term: its
start, the mass m and the precession ν are fitted to noisy positions by `scipy.optimize.least_squares`.
"""

import argparse
import time

import numpy as np
import scipy.integrate
from scipy.optimize import least_squares

import parscan

NOISE, STEP = 1e-3, 1e-5
TRUTH = np.array([0.6, 0.0, 0.0, np.sqrt(1.4 / 0.6), 1.0, 2e-3])
FIRST = TRUTH * 1.0003 + 1e-4
TOLERANCE, OPTIONS = {"rtol": 1e-10, "atol": 1e-10}, {"x_scale": "jac", "ftol": 1e-12, "xtol": 1e-12}


def two_body(t, y, mass, precession):
    """Position and momentum."""
    x, z, u, v = y
    square = x * x + z * z
    force = -mass / square**1.5 - 3 * precession / square**2.5
    return [u, v, force * x, force * z]


def fit_by_jacobians(times, observed):
    """Every solution knows its derivatives by its start and its parameters."""
    sol = None

    def residuals(guess):
        nonlocal sol
        sol = parscan.solve_ivp(two_body, (0, times[-1]), guess[:4], t_eval=times, args=tuple(guess[4:]), **TOLERANCE)
        return (sol.y[:2] - observed).ravel()

    def slopes(_):
        by_start, *by_others = sol.jacobian(("y0", "mass", "precession"))
        return np.concatenate([by_start, np.stack(by_others, axis=-1)], axis=-1)[:2].reshape(-1, 6)

    return least_squares(residuals, FIRST, slopes, **OPTIONS)


def fit_by_differences(method, times, observed):
    """Twelve solutions for every Jacobian: differences to one side do not do where phases are so sharp."""

    def residuals(guess):
        sol = scipy.integrate.solve_ivp(two_body, (0, times[-1]), guess[:4], method, times, args=guess[4:], **TOLERANCE)
        return (sol.y[:2] - observed).ravel()

    def slopes(guess):
        columns = [residuals(guess + change) - residuals(guess - change) for change in STEP * np.eye(6)]
        return np.stack(columns, axis=1) / (2 * STEP)

    return least_squares(residuals, FIRST, slopes, **OPTIONS)


def main(orbits, solvers=("LSODA", "DOP853")):
    """Print a table; returns by how much any parameters differ from ours, in standard errors."""
    times = np.linspace(0, 2 * np.pi * orbits, 20 * orbits + 1)
    exact = parscan.solve_ivp(two_body, (0, times[-1]), TRUTH[:4], "Gauss", times, args=TRUTH[4:], rtol=1e-12)
    observed = exact.y[:2] + NOISE * np.random.default_rng(7).standard_normal((2, times.size))
    fit_by_jacobians(times[:9], observed[:, :9])  # the first calls compile
    fits = {"parscan": fit_by_jacobians} | {
        name: lambda *a, name=name: fit_by_differences(name, *a) for name in solvers
    }
    took, found = {}, {}
    print(f"{observed.size} numbers in {orbits} orbits\nfit       time/s  steps  cost        mass      precession")
    for name, fit in fits.items():
        begin = time.perf_counter()
        found[name] = one = fit(times, observed)
        took[name] = time.perf_counter() - begin
        print(f"{name:8} {took[name]:7.3f} {one.nfev:6}  {one.cost:.4e}  {one.x[4]:.6f}  {one.x[5]:.7f}")
    ours = found.pop("parscan")
    print(f"times faster than the faster of SciPy's: {min(took[name] for name in solvers) / took['parscan']:.1f}")
    errors = NOISE * np.sqrt(np.diag(np.linalg.inv(ours.jac.T @ ours.jac)))
    return max(float(np.max(np.abs(ours.x - other.x) / errors)) for other in found.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="20 orbits instead of 3")
    deviation = main(20 if parser.parse_args().full else 3)
    print(f"largest difference between the optima: {deviation:.1e} standard errors")
    if deviation > 0.01:
        raise SystemExit("the fits disagree")
