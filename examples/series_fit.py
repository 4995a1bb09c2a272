"""A small recurrent network fitted to a long series: loss and exact gradient from one solve, for `minimize`.

The series is NARMA-10 (Atiya and Parlos 2000): a random input, and an output that depends on the last ten of both.
Weights of the recurrence and of the read-out are fitted together by L-BFGS; the step is compiled once.
"""

import argparse
import time

import numpy as np
from scipy.optimize import minimize

import parscan

N = 6
SIZES = (N * N, N, N, N, 1)


def narma(rng, steps):
    """Inputs `(T, 1)` and outputs `(T,)`."""
    u, out = rng.uniform(0, 0.5, steps), np.zeros(steps)
    for t in range(9, steps - 1):
        out[t + 1] = 0.3 * out[t] + 0.05 * out[t] * out[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
    return u[:, None], out


def step(y, x, W, into, bias):
    """The next state."""
    return np.tanh(y @ W + x * into + bias)


def unpacked(p):
    """Weights of the recurrence, and those of the read-out."""
    W, into, bias, out, offset = np.split(p, np.cumsum(SIZES)[:-1])
    return (W.reshape(N, N), into, bias), out, offset


def loss_and_gradient(p, x, target):
    """The mean square of errors as a share of the variance, and its derivative: one solve."""
    weights, out, offset = unpacked(p)
    sol = parscan.solve_recurrence(step, np.zeros(N), x, args=weights)
    errors = sol.y @ out + offset - target
    by_output = 2 * errors / errors.size / target.var()
    by_weights = sol.gradient(by_output[:, None] * out)
    gradient = np.concatenate([*map(np.ravel, by_weights), by_output @ sol.y, [by_output.sum()]])
    return np.mean(errors**2) / target.var(), gradient


def main(steps=5000, iterations=30):
    """Fit; returns the error of the gradient along a direction, and the loss at first and at the end."""
    rng = np.random.default_rng(0)
    x, target = narma(rng, steps)
    first = rng.normal(0, 0.4, sum(SIZES))
    direction, h = rng.standard_normal(first.size) / np.sqrt(first.size), 1e-6
    ends = [loss_and_gradient(first + sign * h * direction, x, target)[0] for sign in (1, -1)]
    loss, gradient = loss_and_gradient(first, x, target)
    apart = abs(gradient @ direction / ((ends[0] - ends[1]) / (2 * h)) - 1)
    begin = time.perf_counter()
    fit = minimize(loss_and_gradient, first, (x, target), "L-BFGS-B", jac=True, options={"maxiter": iterations})
    each = (time.perf_counter() - begin) / fit.nfev
    print(f"{steps} steps, {first.size} weights: {fit.nfev} losses with their gradients, {1e3 * each:.1f} ms each")
    fresh = loss_and_gradient(fit.x, *narma(rng, steps))[0]
    print(f"not explained of the variance: {loss:.2f} at first, {fit.fun:.3f} at the end, {fresh:.3f} of a new series")
    return apart, loss, fit.fun


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="100 000 steps and 100 iterations")
    full = parser.parse_args().full
    apart, loss, end = main(100_000, 100) if full else main()
    if apart > 1e-5 or end > 0.5 * loss:
        raise SystemExit("the gradient is not that of differences, or nothing was learnt")
