"""A gated recurrent unit with 32 states over a series of 17 984 samples: plain loop, parscan, warm start.

The length is that of the longest series in the experiments of Lim et al. (ICLR 2024).
"""

import time

import numpy as np

import parscan

STATES, CHANNELS, SAMPLES = 32, 6, 17_984


def make_step(rng):
    """A GRU as an ordinary NumPy function on `(..., states)` and `(..., channels)`."""
    bound = 1 / np.sqrt(STATES)
    W = rng.uniform(-bound, bound, (STATES, 3 * STATES))
    U = rng.uniform(-bound, bound, (CHANNELS, 3 * STATES))
    b = rng.uniform(-bound, bound, 3 * STATES)

    def step(y, x):
        gx, gy = x @ U + b, y @ W
        gates = 1 / (1 + np.exp(-gx[..., : 2 * STATES] - gy[..., : 2 * STATES]))
        r, z = gates[..., :STATES], gates[..., STATES:]
        c = np.tanh(gx[..., 2 * STATES :] + r * gy[..., 2 * STATES :])
        return c + z * (y - c)

    return step


def make_series(rng):
    """Six noisy oscillations with drifting frequencies."""
    drift = np.cumsum(0.02 + 0.01 * rng.standard_normal((SAMPLES, CHANNELS)), axis=0)
    return np.sin(drift) + 0.1 * rng.standard_normal((SAMPLES, CHANNELS))


def plain_loop(step, y0, x):
    """The usual way."""
    y, states = y0, np.empty((len(x), STATES))
    for t in range(len(x)):
        states[t] = y = step(y, x[t])
    return states


def main():
    """Compare; returns the largest deviation from the loop."""
    rng = np.random.default_rng(1)
    step, x, y0 = make_step(rng), make_series(rng), np.zeros(STATES)
    begin = time.perf_counter()
    expected = plain_loop(step, y0, x)
    loop_seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    solution = parscan.solve_recurrence(step, y0, x)
    seconds = time.perf_counter() - begin
    deviation = float(np.abs(solution.y - expected).max())
    print(f"plain loop {loop_seconds:.3f} s, parscan {seconds:.3f} s: {loop_seconds / seconds:.1f} times faster")
    print(f"{solution.method}, {solution.iterations} sweeps, largest deviation {deviation:.1e}")
    return deviation


if __name__ == "__main__":
    main()
