"""Linear recurrences by parallel scan: an exponential moving average and a Butterworth filter.

The references are pandas' `ewm` and SciPy's `lfilter`.
"""

import time

import numpy as np
import pandas as pd
from scipy import signal

import parscan


def moving_average(x, alpha):
    """Exponential moving average, y_t = (1 - α) y_{t-1} + α x_t from y_0 = x_0: one coefficient for all times."""
    return parscan.linear_recurrence(1 - alpha, alpha * x, h0=x[0])


def iir_filter(b, a, x):
    """Any rational filter as a state space: h_t = A h_{t-1} + B x_t, y_t = C h_{t-1} + D x_t."""
    A, B, C, D = signal.tf2ss(b, a)
    h = parscan.linear_recurrence(A[None], x[:, None] * B[:, 0])
    before = np.concatenate([np.zeros((1, len(A))), h[:-1]])
    return before @ C[0] + D[0, 0] * x


def timed(function, *arguments):
    """Result and seconds, the best of three."""
    best = np.inf
    for _ in range(3):
        begin = time.perf_counter()
        result = function(*arguments)
        best = min(best, time.perf_counter() - begin)
    return result, best


def compare(name, ours, reference):
    """Print a line; returns the largest deviation relative to the signal."""
    (y, seconds), (expected, reference_seconds) = ours, reference
    deviation = float(np.abs(y - expected).max() / np.abs(expected).max())
    ratio = reference_seconds / seconds
    print(f"{name}: {1e3 * seconds:6.1f} ms, reference {ratio:.2f} times that; deviation {deviation:.1e}")
    return deviation


def main():
    """Filter a million samples both ways; returns the deviations."""
    rng = np.random.default_rng(2)
    x = np.cumsum(rng.standard_normal(1_000_000)) * 0.01 + rng.standard_normal(1_000_000)
    moving_average(x[:8], 0.1)  # the first call compiles
    b, a = signal.butter(4, 0.1)
    iir_filter(b, a, x[:8])

    def by_pandas(x, alpha):
        return pd.Series(x).ewm(alpha=alpha, adjust=False).mean().to_numpy()

    return (
        compare("moving average", timed(moving_average, x, 0.02), timed(by_pandas, x, 0.02)),
        compare("Butterworth   ", timed(iir_filter, b, a, x), timed(signal.lfilter, b, a, x)),
    )


if __name__ == "__main__":
    main()
