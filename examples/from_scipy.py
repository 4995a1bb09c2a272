"""A SciPy script before and after: the same lines, but for the import.

`script` is written for `scipy.integrate.solve_ivp`: Van der Pol's stiff oscillator with an event, output times and a
continuous solution. It is run once with SciPy's solver and once with parscan's.
"""

import time

import numpy as np
import scipy.integrate

import parscan

AGREEMENT = 1e-7
"""Errors of 1e-9 a step, and a hundred times that: the period is sensitive to none of them."""


def script(solve_ivp):
    """The script: nothing in it knows which solver it got."""

    def van_der_pol(t, y, stiffness):
        position, velocity = y
        return [velocity, stiffness * (1 - position**2) * velocity - position]

    def crossing(t, y, stiffness):
        return y[0]

    sol = solve_ivp(
        van_der_pol,
        (0, 2000),
        [2.0, 0.0],
        method="Radau",
        t_eval=np.linspace(0, 2000, 401),
        dense_output=True,
        events=crossing,
        args=(1000.0,),
        rtol=1e-9,
        atol=1e-12,
    )
    return sol, sol.t_events[0], sol.sol(1500.0)


def timed(function, *arguments):
    """Result and seconds."""
    begin = time.perf_counter()
    return function(*arguments), time.perf_counter() - begin


def main():
    """Run it both ways; returns the largest deviation of the position."""
    script(parscan.solve_ivp)  # the first call loads the kernels
    (before, crossings, state), seconds = timed(script, scipy.integrate.solve_ivp)
    (after, our_crossings, our_state), our_seconds = timed(script, parscan.solve_ivp)
    deviation = float(np.abs(after.y[0] - before.y[0]).max())
    print("from               seconds  calls of fun  first crossing  position at the end")
    for name, sol, times, took in (
        ("scipy.integrate", before, crossings, seconds),
        ("parscan", after, our_crossings, our_seconds),
    ):
        print(f"{name:16} {took:9.3f} {sol.nfev:13} {times[0]:15.8f} {sol.y[0, -1]:20.12f}")
    print(f"{seconds / our_seconds:.1f} times faster; largest deviation {deviation:.1e}")
    if len(crossings) != len(our_crossings) or np.abs(our_crossings / crossings - 1).max() > AGREEMENT:
        raise SystemExit("the crossings disagree")
    if max(deviation, np.abs(state - our_state).max()) > AGREEMENT:
        raise SystemExit("the solutions disagree")
    return deviation


if __name__ == "__main__":
    main()
