"""Maximum-likelihood fit of GARCH(1,1) to twenty years of S&P 500 returns, its gradient by the adjoint.

The variance follows its own past, s_t = ω + α e²_{t-1} + β s_{t-1} with e = r - μ; the log likelihood of the returns is
-½ Σ log 2π + log s_t + e_t² / s_t. Its derivative by every s_t goes backwards through the recurrence to ω, α, β and the
squared shocks, and with these to μ. The optimum is that of the `arch` package; the gradient that of two loops.
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


def step(variance, squared_shock, omega, alpha, beta):
    """One day: from yesterday's variance and squared shock to today's variance."""
    return omega + alpha * squared_shock + beta * variance


def vjp(adjoint, variance, squared_shock, omega, alpha, beta):
    """Products of adjoint states with the step's derivatives by ω, α and β, and by the squared shocks."""
    return adjoint.sum(), (adjoint * squared_shock).sum(), (adjoint * variance).sum(), alpha * adjoint


def by_parscan(squared, start, theta, slope):
    """Variances; and what the derivative of a loss by them, `slope(variances)`, makes of ω, α, β and the shocks."""
    options = {"jac": lambda y, x, omega, alpha, beta: beta + 0 * y, "structure": parscan.Diagonal, "rtol": 1e-13}
    sol = parscan.solve_recurrence(step, np.array([start]), squared[:, None], args=tuple(theta), **options)
    *by_theta, by_squared = sol.gradient(slope(sol.y[:, 0])[:, None], ("omega", "alpha", "beta", "x"), vjp=vjp)
    return sol.y[:, 0], np.array(by_theta), by_squared[:, 0]


def by_loops(squared, start, theta, slope):
    """The same, one day after the other, there and back."""
    variances, adjoint = np.empty_like(squared), np.empty_like(squared)
    variance = start
    for t, shock in enumerate(squared):
        variances[t] = variance = step(variance, shock, *theta)
    carry, slopes = 0.0, slope(variances)
    for t in range(len(squared) - 1, -1, -1):
        adjoint[t] = slopes[t] + carry
        carry = theta[2] * adjoint[t]
    *by_theta, by_squared = vjp(adjoint, np.append(start, variances[:-1]), squared, *theta)
    return variances, np.array(by_theta), by_squared


def negative_log_likelihood(parameters, returns, start, way):
    """Value and gradient with respect to μ, ω, α and β; the shock and the variance before the first day are given."""
    shocks = returns - parameters[0]
    squared = np.append(start, shocks[:-1] ** 2)
    variances, by_theta, by_squared = way(squared, start, parameters[1:], lambda s: 0.5 * (1 / s - shocks**2 / s**2))
    value = 0.5 * np.sum(np.log(2 * np.pi * variances) + shocks**2 / variances)
    by_mu = -np.sum(shocks / variances) - 2 * np.sum(by_squared[1:] * shocks[:-1])
    return value, np.append(by_mu, by_theta)


def timed(way, *arguments):
    """Gradient and seconds."""
    begin = time.perf_counter()
    return negative_log_likelihood(*arguments, way)[1], time.perf_counter() - begin


def main(copies=1):
    """Fit, and compare; `copies` of the series in a row. Returns deviations of gradient, likelihood and parameters."""
    returns = np.tile(100 * np.diff(np.log(sp500.load()["Adj Close"].to_numpy())), copies)
    model = arch_model(returns, mean="Constant", vol="GARCH", p=1, q=1)
    start = model.volatility.backcast(returns - returns.mean())
    timed(by_parscan, np.array(FIRST), returns, start)  # the first call loads the kernels
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
