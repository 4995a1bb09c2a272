"""
Volatility of a stock index
===========================

GARCH(1,1): each day's variance follows from the shock and the variance of the day before. A step function on arrays
is all that is needed. (`examples/garch_volatility.py` fits the parameters, and compares with the compiled recursion
of `arch`.)
"""

import numpy as np
from arch.data import sp500
from matplotlib.figure import Figure

import parscan


def step(variance, squared_shock, omega, alpha, beta):
    """From yesterday's variance and squared shock to today's variance."""
    return omega + alpha * squared_shock + beta * variance


prices = sp500.load()["Adj Close"]
returns = 100 * np.diff(np.log(prices.to_numpy()))
shocks = returns - returns.mean()
start = shocks.var()

# %%
# Yesterday's shocks are the inputs; the three numbers are what a fit gives, rounded.

squared = np.concatenate([[start], shocks[:-1] ** 2])[:, None]
sol = parscan.solve_recurrence(step, np.array([start]), squared, args=(0.0177, 0.102, 0.886))
print(sol)

# %%
volatility = np.sqrt(252 * sol.y[:, 0])
dates = prices.index[1:].to_numpy()
figure = Figure(figsize=(8, 4.5), layout="constrained")
above, below = figure.subplots(2, 1, sharex=True)
above.plot(dates, returns, color="0.4", linewidth=0.5)
above.set(ylabel="daily return, %", xlim=(dates[0], dates[-1]))
below.plot(dates, volatility, color="#0072B2", linewidth=1)
below.set(ylabel="volatility, % a year", ylim=(0, None))
