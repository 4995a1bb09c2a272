"""GARCH(1,1) conditional variance of twenty years of S&P 500 returns, by parscan and by the `arch` package.

The variance follows its own past: s_t = ω + α e²_{t-1} + β s_{t-1}. Written as a step function on arrays it is
evaluated in parallel over time; the reference is the compiled recursion that `arch` fits models with.
"""

import time

import numpy as np
from arch import arch_model
from arch.data import sp500
from arch.univariate.recursions import garch_recursion

import parscan


def daily_returns():
    """Logarithmic daily returns in percent."""
    prices = sp500.load()["Adj Close"].to_numpy()
    return 100 * np.diff(np.log(prices))


def step(variance, squared_shock, omega, alpha, beta):
    """One day: from yesterday's variance and squared shock to today's variance."""
    return omega + alpha * squared_shock + beta * variance


def conditional_variance(shocks, start, parameters):
    """All days at once; `start` stands for the variance and the squared shock of the day before the first."""
    squared = np.concatenate([[start], shocks[:-1] ** 2])[:, None]
    return parscan.solve_recurrence(step, np.array([start]), squared, args=tuple(parameters), rtol=1e-13, atol=0)


def reference_variance(shocks, start, parameters):
    """The recursion of the `arch` package, with bounds that never bind."""
    variance = np.empty_like(shocks)
    bounds = np.tile([1e-12, 1e12], (len(shocks), 1))
    signs = np.sign(shocks)
    return garch_recursion(parameters, shocks**2, signs, variance, 1, 0, 1, len(shocks), start, bounds)


def main():
    """Fit the model, then compare the two recursions; returns the largest relative deviation."""
    returns = daily_returns()
    fit = arch_model(returns, mean="Constant", vol="GARCH", p=1, q=1).fit(disp="off")
    shocks = returns - fit.params["mu"]
    parameters = fit.params[["omega", "alpha[1]", "beta[1]"]].to_numpy()
    start = float(np.mean(shocks[:75] ** 2))
    conditional_variance(shocks, start, parameters)  # the first call loads the kernels
    begin = time.perf_counter()
    solution = conditional_variance(shocks, start, parameters)
    seconds = time.perf_counter() - begin
    expected = reference_variance(shocks, start, parameters)
    deviation = float(np.max(np.abs(solution.y[:, 0] / expected - 1)))
    omega, alpha, beta = parameters
    volatility = np.sqrt(252 * solution.y[:, 0])
    print(f"{len(returns)} daily returns, omega={omega:.4f} alpha={alpha:.4f} beta={beta:.4f}")
    print(f"annual volatility: median {np.median(volatility):.1f} %, highest {volatility.max():.1f} %")
    print(f"solved by {solution.method} in {solution.iterations} iterations, {1e3 * seconds:.1f} ms")
    print(f"largest relative deviation from the recursion of arch: {deviation:.1e}")
    return deviation


if __name__ == "__main__":
    main()
