"""Fit of a pendulum with friction to noisy angles, by exact Jacobians of each solution.

`scipy.optimize.least_squares` on parscan's `solve_ivp` and `sol.jacobian`, and on SciPy's with differences.
"""

import argparse
import time

import numpy as np
import scipy.integrate
from scipy.optimize import least_squares

import parscan

TRUTH, FIRST = np.array([9.81, 0.02, 0.002, 0.1]), np.array([9.82, 0.021, 0.0018, 0.11])
START, NOISE, DIFFERENCE = np.array([2.5, 0.0]), 0.03, 1e-4
SOLVERS = {
    "SciPy LSODA": (scipy.integrate.solve_ivp, {"method": "LSODA"}),
    "SciPy DOP853": (scipy.integrate.solve_ivp, {"method": "DOP853"}),
    "parscan": (parscan.solve_ivp, {}),
}


def pendulum(t, y, gravity, friction, drag, torque):
    angle, velocity = y
    return [velocity, torque - gravity * np.sin(angle) - friction * velocity - drag * velocity**3]


def solve(name, times, parameters):
    """Angles and velocities `(2, N)` at `times`."""
    solve_ivp, options = SOLVERS[name]
    span, args = (0, times[-1]), tuple(parameters)
    return solve_ivp(pendulum, span, START, t_eval=times, args=args, rtol=1e-8, atol=1e-10, **options)


def fit(name, times, observed, differences="2-point"):
    """The fit by least squares, with exact derivatives or with differences by least_squares itself."""
    sol = None

    def residuals(guess):
        nonlocal sol
        sol = solve(name, times, guess)
        return (sol.y - observed).ravel()

    def slopes(_):
        return np.stack(sol.jacobian(), axis=-1).reshape(observed.size, -1)

    given = {"jac": slopes} if name == "parscan" else {"jac": differences, "diff_step": DIFFERENCE}
    return least_squares(residuals, FIRST, **given)


def main(seconds):
    """Print a table; returns by how much parscan's parameters differ from those with DOP853, in standard errors.

    DOP853 takes differences to both sides for this. Those to one side, in the table, end a few hundredths of a standard
    error beside the least squares.
    """
    times = np.linspace(0, seconds, 4 * seconds + 1)
    exact = parscan.solve_ivp(pendulum, (0, seconds), START, t_eval=times, args=TRUTH, rtol=1e-11, atol=1e-12).y
    observed = exact + NOISE * np.random.default_rng(5).standard_normal(exact.shape)
    fit("parscan", times, observed)  # the first calls compile
    took, found = {}, {}
    print(f"{observed.size} values in {seconds} s\nfit             time/s  steps  gravity  friction  drag      torque")
    for name in SOLVERS:
        begin = time.perf_counter()
        found[name] = fit(name, times, observed)
        took[name] = time.perf_counter() - begin
        values = "  ".join(f"{value:.6f}" for value in found[name].x)
        print(f"{name:15} {took[name]:6.3f} {found[name].nfev:6}  {values}")
    best = min(took["SciPy LSODA"], took["SciPy DOP853"])
    print(f"times faster than the faster of SciPy's: {best / took['parscan']:.1f}")
    expected = fit("SciPy DOP853", times, observed, "3-point")
    errors = NOISE * np.sqrt(np.diag(np.linalg.inv(expected.jac.T @ expected.jac)))
    return float(np.max(np.abs(found["parscan"].x - expected.x) / errors))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="100 s instead of 40 s of swings")
    deviation = main(100 if parser.parse_args().full else 40)
    print(f"largest difference from the fit with DOP853: {deviation:.1e} standard errors")
    if deviation > 0.001:
        raise SystemExit("the fits disagree")
