"""Maximum-likelihood fit of GARCH(1,1) to twenty years of S&P 500 returns, its gradient by the adjoint.

The variance follows its own past, s_t = ω + α e²_{t-1} + β s_{t-1} with e = r - μ; the log likelihood of the returns is
-½ Σ log 2π + log s_t + e_t² / s_t. The optimum is that of the `arch` package; the gradient that of two loops.
"""

import argparse
import time

import numpy as np
from arch import arch_model
from arch.data import sp500
from scipy.optimize import minimize

import parscan

NAMES, FIRST = ("mu", "omega", "alpha", "beta"), (0.0, 0.1, 0.1, 0.8)
BOUNDS = ((-1, 1), (1e-6, 1), (0, 1), (0, 1))


def step(variance, price_return, mu, omega, alpha, beta):
    """One day: from yesterday's variance and return to today's variance."""
    return omega + alpha * (price_return - mu) ** 2 + beta * variance


def by_parscan(first, returns, theta, slope):
    """Variances after the first; and what the derivative of a loss by them, `slope(variances)`, makes of θ and it."""
    sol = parscan.solve_recurrence(step, np.array([first]), returns[:, None], args=theta, rtol=1e-13)
    adjoint = sol.adjoint(slope(sol.y[:, 0])[:, None])
    return sol.y[:, 0], np.array(sol.gradient(adjoint)), adjoint.y0[0]


def by_loops(first, returns, theta, slope):
    """The same, one day after the other, there and back."""
    variances, adjoint, variance = np.empty_like(returns), np.empty_like(returns), first
    mu, _, alpha, beta = theta
    for t, one in enumerate(returns):
        variances[t] = variance = step(variance, one, *theta)
    carry, slopes = 0.0, slope(variances)
    for t in reversed(range(len(returns))):
        adjoint[t] = slopes[t] + carry
        carry = beta * adjoint[t]
    before, shocks = np.append(first, variances[:-1]), returns - mu
    by_theta = -2 * alpha * (adjoint @ shocks), adjoint.sum(), adjoint @ shocks**2, adjoint @ before
    return variances, np.array(by_theta), carry


def negative_log_likelihood(theta, returns, start, way):
    """Value and gradient with respect to μ, ω, α and β; shock and variance before the first day are `start`."""
    mu, omega, alpha, beta = theta
    shocks, first = returns - mu, omega + (alpha + beta) * start

    def slope(variances):
        share = shocks[-len(variances) :] ** 2 / variances
        return 0.5 * (1 - share) / variances

    rest, by_theta, by_first = way(first, returns[:-1], tuple(theta), slope)
    variances = np.append(first, rest)
    by_theta += (by_first + slope(variances)[0]) * np.array([0, 1, start, start])
    by_theta[0] -= np.sum(shocks / variances)
    return 0.5 * np.sum(np.log(2 * np.pi * variances) + shocks**2 / variances), by_theta


def timed(way, *arguments):
    """Gradient, and the least seconds of five calls: the first ones compile the recorded step."""
    times = [time.perf_counter()]
    for _ in range(5):
        _, gradient = negative_log_likelihood(*arguments, way)
        times.append(time.perf_counter())
    return gradient, np.diff(times).min()


def main(copies=1):
    """Fit, and compare; `copies` of the series in a row. Returns deviations of gradient, likelihood and parameters."""
    returns = np.tile(100 * np.diff(np.log(sp500.load()["Adj Close"].to_numpy())), copies)
    model = arch_model(returns, mean="Constant", vol="GARCH", p=1, q=1)
    start = model.volatility.backcast(returns - returns.mean())
    found, seconds = timed(by_parscan, np.array(FIRST), returns, start)
    gradient, loop_seconds = timed(by_loops, np.array(FIRST), returns, start)
    apart = float(np.max(np.abs(found / gradient - 1)))
    print(f"{len(returns)} days, gradient by loops {loop_seconds:.3f} s, by parscan {seconds:.3f} s:", end=" ")
    print(f"{loop_seconds / seconds:.1f} times faster, {apart:.1e} apart")
    options = {"ftol": 1e-14, "gtol": 1e-4}
    arguments = (returns, start, by_parscan)
    fit = minimize(negative_log_likelihood, FIRST, arguments, "L-BFGS-B", jac=True, bounds=BOUNDS, options=options)
    reference = model.fit(disp="off", backcast=start, tol=1e-10)
    expected, better = reference.params.to_numpy(), -fit.fun - reference.loglikelihood
    for name, ours, theirs in zip(NAMES, fit.x, expected, strict=True):
        print(f"{name:>8}: {ours:.6f}, by arch {theirs:.6f}")
    print(f"log likelihood {-fit.fun:.6f}, {better:+.1e} beside that of arch, after {fit.nfev} evaluations")
    return apart, better, float(np.max(np.abs(fit.x / expected - 1)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="twenty copies of the series, 100 000 days")
    apart, better, off = main(20 if parser.parse_args().full else 1)
    if apart > 1e-9 or better < -1e-3 or off > 1e-2:
        raise SystemExit("the fits disagree")
