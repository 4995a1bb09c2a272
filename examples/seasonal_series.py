"""A seasonal autoregression with exogenous inputs: hourly demand that follows the last hours, a day and a week ago.

y_t = Σ a_k y_{t-k} + b·x_t + c for the lags k of 1, 2, 24 and 168 hours; the inputs are temperature and weekend. Five
years are simulated from known coefficients, and the coefficients are found again from a noisy record of the demand, by
least squares on whole simulations: one-step predictions would be biased by the noise.
"""

import time

import numpy as np
from scipy.optimize import least_squares

import parscan

LAGS = (1, 2, 24, 168)
TRUTH = {"past": np.array([0.55, -0.12, 0.25, 0.2]), "inputs": np.array([-0.03, -0.4]), "level": 0.6}


def inputs(hours):
    """Temperature, with days, years and weather; and weekends."""
    t = np.arange(hours)
    weather = parscan.linear_recurrence(0.98, 0.5 * np.random.default_rng(0).standard_normal(hours))
    temperature = 10 - 8 * np.cos(2 * np.pi * t / 8766) - 4 * np.cos(2 * np.pi * t / 24) + weather
    return np.stack([temperature, t // 24 % 7 >= 5], axis=-1)


def step(states, x, p):
    """The demand of an hour, from that of earlier ones."""
    past = sum(weight * state for weight, state in zip(p["past"], states, strict=True))
    return past + (x @ p["inputs"])[..., None] + p["level"]


def simulate(x, p):
    """All hours, from the same demand in the week before."""
    return parscan.solve_recurrence(step, np.full((max(LAGS), 1), 4.0), x, lags=LAGS, args=(p,))


def by_loop(x, p):
    """The same by a loop over the hours."""
    first = max(LAGS)
    y = np.full((first + len(x), 1), 4.0)
    for t in range(len(x)):
        y[first + t] = step(tuple(y[first + t - lag] for lag in LAGS), x[t], p)
    return y[first:]


def as_dict(numbers):
    """Parameters from a vector of seven numbers."""
    return {"past": numbers[:4], "inputs": numbers[4:6], "level": numbers[6]}


def fit(x, observed, start):
    """Least squares on simulations, with exact derivatives."""

    def residuals(numbers):
        return (simulate(x, as_dict(numbers)).y - observed).ravel()

    def derivatives(numbers):
        found = simulate(x, as_dict(numbers)).jacobian("p")
        return np.concatenate([found["past"], found["inputs"], found["level"][..., None]], axis=-1).reshape(-1, 7)

    return least_squares(residuals, start, derivatives, x_scale="jac")


def main(hours=5 * 8766):
    """Simulate and fit; returns the deviation from the loop and the largest error of a coefficient."""
    x = inputs(hours)
    simulate(x, TRUTH)  # the first call compiles
    begin = time.perf_counter()
    sol = simulate(x, TRUTH)
    seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    expected = by_loop(x, TRUTH)
    ratio = (time.perf_counter() - begin) / seconds
    deviation = float(np.abs(sol.y - expected).max())
    print(f"{hours} hours: {1e3 * seconds:.1f} ms, {ratio:.0f} times faster than the loop; deviation {deviation:.1e}")
    few = min(hours, 8766)
    observed = sol.y[:few] + 0.05 * np.random.default_rng(1).standard_normal((few, 1))
    begin = time.perf_counter()
    found = fit(x[:few], observed, np.array([0.3, 0.0, 0.3, 0.1, 0.0, 0.0, 1.0]))
    seconds = time.perf_counter() - begin
    truth = np.concatenate([TRUTH["past"], TRUTH["inputs"], [TRUTH["level"]]])
    error = float(np.abs(found.x - truth).max())
    print(f"fit of {few} noisy hours: {seconds:.1f} s, {found.nfev} simulations; largest error {error:.1e}")
    return deviation, error


if __name__ == "__main__":
    main()
