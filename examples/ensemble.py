"""A thousand predator-prey systems with random parameters, as one batch.

One call of `parscan.solve_ivp` on states of shape `(2, 1000)` against a loop of SciPy's over the members, of which only
a sample is run and scaled up, unless all are asked for. Reference for the errors: DOP853 at the tightest tolerance.
"""

import argparse
import time

import numpy as np
import scipy.integrate

import parscan

SPAN = (0, 20)
MEMBERS = 1000
REFERENCE = 3e-14


def lotka_volterra(t, y, growth, predation, death, gain):
    prey, predators = y
    return [growth * prey - predation * prey * predators, gain * prey * predators - death * predators]


def make_members():
    """Initial states `(2, 1000)` and four parameters `(1000,)`."""
    rng = np.random.default_rng(0)
    y0 = np.stack([rng.uniform(5, 15, MEMBERS), rng.uniform(2, 5, MEMBERS)])
    ranges = (0.8, 1.2), (0.3, 0.5), (0.3, 0.5), (0.08, 0.12)
    return y0, tuple(rng.uniform(low, high, MEMBERS) for low, high in ranges)


def one_by_one(method, y0, parameters, members, rtol):
    """End states `(2, members)` by SciPy, and seconds."""
    begin = time.perf_counter()
    ends = [
        scipy.integrate.solve_ivp(
            lotka_volterra, SPAN, y0[:, i], method, args=[p[i] for p in parameters], rtol=rtol, atol=rtol / 100
        ).y[:, -1]
        for i in range(members)
    ]
    return np.stack(ends, axis=1), time.perf_counter() - begin


def all_at_once(y0, parameters, rtol):
    """The solution for all members, and seconds."""
    begin = time.perf_counter()
    sol = parscan.solve_ivp(lotka_volterra, SPAN, y0, t_eval=SPAN, args=parameters, rtol=rtol, atol=rtol / 100)
    if not sol.success:
        raise SystemExit(sol.message)
    return sol, time.perf_counter() - begin


def main(rtol=1e-8, sample=20):
    """Print a table; returns the largest relative error of parscan's end states, in the sample."""
    y0, parameters = make_members()
    all_at_once(y0[:, :2], tuple(p[:2] for p in parameters), rtol)  # the first call loads the kernels
    sol, seconds = all_at_once(y0, parameters, rtol)
    runs = ("DOP853", REFERENCE), ("DOP853", rtol), ("LSODA", rtol)
    alone = {run: one_by_one(run[0], y0, parameters, sample, run[1]) for run in runs}
    expected = alone[runs[0]][0]
    error = float(np.abs(sol.y[:, -1, :sample] / expected - 1).max())
    print(f"{MEMBERS} members             rtol  seconds  times as long  largest relative error")
    print(f"parscan, one batch    {rtol:8.0e} {seconds:8.2f} {1:14.1f} {error:23.1e}")
    for (method, tolerance), (ends, sampled) in alone.items():
        took = sampled * MEMBERS / sample
        deviation = np.abs(ends / expected - 1).max()
        told = f"{deviation:.1e}" if deviation else "(the reference)"
        print(f"SciPy {method + ', a loop':14}  {tolerance:8.0e} {took:8.2f} {took / seconds:14.1f} {told:>23}")
    print(f"SciPy's times are {MEMBERS / sample:g} times those of {sample} members; errors are of these")
    print(f"{sol.nfev} calls on {sol.npoints} times of {MEMBERS} members each, {len(sol.mesh) - 1} intervals")
    return error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="all members by SciPy too, for a minute")
    parser.add_argument("--rtol", type=float, default=1e-8)
    arguments = parser.parse_args()
    found = main(arguments.rtol, MEMBERS if arguments.full else 20)
    if found > 1e3 * arguments.rtol:
        raise SystemExit(f"the end states differ from the reference by {found:.1e}")
