"""A SciPy script before and after: the same lines, but for the import.

`script` is written for `scipy.integrate.solve_ivp`: a lossy pendulum under a periodic torque, with an event, output
times and a continuous solution. It is run once with SciPy's solver and once with parscan's.
"""

import time

import numpy as np
import scipy.integrate

import parscan

AGREEMENT = 1e-7
"""Deviation, relative to the largest angle, that ten thousand local errors of 1e-10 may well add up to."""


def script(solve_ivp):
    """The script: nothing in it knows which solver it got."""

    def pendulum(t, y, damping, torque):
        angle, velocity = y
        return [velocity, -damping * velocity - np.sin(angle) + torque * np.cos(0.6 * t)]

    def at_rest_below(t, y, damping, torque):
        return y[0]

    sol = solve_ivp(
        pendulum,
        (0, 300),
        [2.0, 0.0],
        method="Radau",
        t_eval=np.linspace(0, 300, 3001),
        dense_output=True,
        events=at_rest_below,
        args=(0.05, 0.4),
        rtol=1e-10,
        atol=1e-12,
    )
    return sol, sol.t_events[0], sol.sol(np.pi)


def timed(function, *arguments):
    """Result and seconds of the second of two runs: the first may load what later ones have."""
    function(*arguments)
    begin = time.perf_counter()
    return function(*arguments), time.perf_counter() - begin


def main():
    """Run it both ways; returns the largest deviation of the angle, relative to its largest value."""
    (before, crossings, state), seconds = timed(script, scipy.integrate.solve_ivp)
    (after, our_crossings, our_state), our_seconds = timed(script, parscan.solve_ivp)
    deviation = float(np.abs(after.y - before.y).max() / np.abs(before.y).max())
    print("from                 seconds  calls of fun  crossings  angle at t = 300")
    for name, sol, times, took in (
        ("scipy.integrate", before, crossings, seconds),
        ("parscan", after, our_crossings, our_seconds),
    ):
        print(f"{name:18} {took:9.3f} {sol.nfev:13} {len(times):10} {sol.y[0, -1]:17.10f}")
    print(f"{seconds / our_seconds:.1f} times faster; largest deviation {deviation:.1e}")
    if len(crossings) != len(our_crossings) or np.abs(crossings - our_crossings).max() > 1e-6:
        raise SystemExit("the crossings disagree")
    if max(deviation, np.abs(state - our_state).max()) > AGREEMENT:
        raise SystemExit("the solutions disagree")
    return deviation


if __name__ == "__main__":
    main()
