"""Fit of a pendulum with friction to noisy angles: each solution is the warm start of the next.

`scipy.optimize.least_squares` on SciPy's and on parscan's `solve_ivp`, with the same differences for derivatives: one
solution after the other, and (batch) a guess of the parameters together with one step along each of them.
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
    "parscan, cold": (parscan.solve_ivp, {"method": "Gauss", "stages": 7}),
    "parscan, warm": (parscan.solve_ivp, {"method": "Gauss", "stages": 7, "guess": None}),
    "parscan, batch": (parscan.solve_ivp, {"method": "Gauss", "stages": 7, "guess": None}),
}


def pendulum(t, y, gravity, friction, drag, torque):
    angle, velocity = y
    return [velocity, torque - gravity * np.sin(angle) - friction * velocity - drag * velocity**3]


def make_model(name, times):
    """Angles and velocities `(2, N, ...)` at `times` as a function of the parameters `(4, ...)`."""
    solve_ivp, given = SOLVERS[name]
    options = dict(given)

    def model(parameters):
        y0 = START if parameters.ndim == 1 else np.tile(START[:, None], (1, parameters.shape[1]))
        sol = solve_ivp(pendulum, (0, times[-1]), y0, t_eval=times, args=parameters, rtol=1e-8, atol=1e-10, **options)
        if "guess" in options:
            options["guess"] = sol if sol.success else None
        return sol.y

    return model


def fit(name, times, observed):
    """The fit by least squares, its differences by least_squares itself or in one batch with the residuals."""
    model = make_model(name, times)
    if name != "parscan, batch":
        return least_squares(lambda guess: (model(guess) - observed).ravel(), FIRST, diff_step=DIFFERENCE)
    slopes = {}

    def residuals(guess):
        sets = np.column_stack([guess, guess[:, None] + np.diag(DIFFERENCE * guess)])
        y = model(sets).reshape(observed.size, -1)
        slopes[guess.tobytes()] = (y[:, 1:] - y[:, :1]) / (DIFFERENCE * guess)
        return y[:, 0] - observed.ravel()

    return least_squares(residuals, FIRST, jac=lambda guess: slopes[guess.tobytes()])


def main(seconds):
    """Print a table; returns by how much parscan's parameters differ from those with DOP853, in standard errors.

    Those with SciPy's LSODA differ by a few hundredths, and not by as much in every process.
    """
    times = np.linspace(0, seconds, 4 * seconds + 1)
    exact = parscan.solve_ivp(pendulum, (0, seconds), START, t_eval=times, args=TRUTH, rtol=1e-11, atol=1e-12).y
    observed = exact + NOISE * np.random.default_rng(5).standard_normal(exact.shape)
    fit("parscan, batch", times[:5], observed[:, :5])  # the first calls load the kernels
    took, found = {}, {}
    print(f"{observed.size} values in {seconds} s\nfit             time/s  steps  gravity  friction  drag      torque")
    for name in SOLVERS:
        begin = time.perf_counter()
        found[name] = fit(name, times, observed)
        took[name] = time.perf_counter() - begin
        values = "  ".join(f"{value:.6f}" for value in found[name].x)
        print(f"{name:15} {took[name]:6.3f} {found[name].nfev:6}  {values}")
    best = min(took["SciPy LSODA"], took["SciPy DOP853"])
    print("times faster than the faster of SciPy's:", {k: round(best / took[k], 1) for k in took if "parscan" in k})
    expected = found["SciPy DOP853"]
    errors = NOISE * np.sqrt(np.diag(np.linalg.inv(expected.jac.T @ expected.jac)))
    ours = [result for name, result in found.items() if name.startswith("parscan")]
    return max(float(np.max(np.abs(result.x - expected.x) / errors)) for result in ours)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="100 s instead of 40 s of swings")
    deviation = main(100 if parser.parse_args().full else 40)
    print(f"largest difference from the fit with DOP853: {deviation:.1e} standard errors")
    if deviation > 0.01:
        raise SystemExit("the fits disagree")
