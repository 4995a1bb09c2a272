"""A GRU that classifies long series, trained by the gradients of `solve_recurrence`; loops give the same, later.

Six noisy channels with pulses. Those of the first two come in pairs, and one or the other leads: which of them leads
more often, over the whole series, is its class. The network must see the order of two pulses, and the whole.
"""

import argparse
import time

import numpy as np

import parscan

CHANNELS, N, SCALE = 6, 8, 30.0
SIZES = (N * 3 * N, CHANNELS * 3 * N, 3 * N, N, 1)


def series(rng, steps, label):
    """A series: of all pairs, 65 % or 35 % are led by the first channel."""
    x, count = 0.3 * rng.standard_normal((steps, CHANNELS)), steps // 150
    for k, start in enumerate(25 * rng.choice(steps // 25 - 1, count, replace=False)):
        lead = 0 if k < count * (0.65 if label else 0.35) else 1
        x[start : start + 6, lead] += 1.5
        x[start + 8 : start + 14, 1 - lead] += 1.5
        x[start : start + 6, rng.integers(2, CHANNELS)] += 1.5
    return x


def gates(y, x, W, U, b):
    """Gates r and z, the candidate, and what y adds to the latter before r."""
    gx, gy = x @ U + b, y @ W
    both, h = 1 / (1 + np.exp(-gx[..., : 2 * N] - gy[..., : 2 * N])), gy[..., 2 * N :]
    r, z = both[..., :N], both[..., N:]
    return r, z, np.tanh(gx[..., 2 * N :] + r * h), h


def step(y, x, W, U, b):
    """The next state."""
    _, z, c, _ = gates(y, x, W, U, b)
    return c + z * (y - c)


def by_parscan(x, weights):
    """States, and what takes their gradient to the weights."""
    sol = parscan.solve_recurrence(step, np.zeros(N), x, args=weights)
    return sol.y, sol.gradient


def by_loops(x, weights):
    """The same, step by step there and back, with derivatives by hand."""
    states, kept = np.zeros((len(x) + 1, N)), []
    for t, now in enumerate(x):
        y = states[t]
        r, z, c, h = gates(y, now, *weights)
        states[t + 1] = c + z * (y - c)
        by_c = (1 - z) * (1 - c * c)
        kept.append((z, r, np.stack([by_c * h * r * (1 - r), z * (1 - z) * (y - c), by_c])))

    def pull(g):
        (by_x, by_y), carry = np.empty((2, len(x), 3, N)), np.zeros(N)
        for t in range(len(x) - 1, -1, -1):
            (z, r, slopes), adjoint = kept[t], g[t] + carry
            by_x[t] = by_y[t] = adjoint * slopes
            by_y[t, 2] *= r
            carry = adjoint * z + by_y[t].ravel() @ weights[0].T
        by_x, by_y = by_x.reshape(-1, 3 * N), by_y.reshape(-1, 3 * N)
        return states[:-1].T @ by_y, x.T @ by_x, by_x.sum(axis=0)

    return states[1:], pull


def loss_and_gradient(p, x, label, way=by_parscan):
    """Logarithmic loss of the probability σ(SCALE mean(y) · w + c), and its gradient with respect to all parameters."""
    W, U, b, w, c = np.split(p, np.cumsum(SIZES)[:-1])
    states, pull = way(x, (W.reshape(N, -1), U.reshape(CHANNELS, -1), b))
    mean = SCALE * states.mean(axis=0)
    error = 1 / (1 + np.exp(-mean @ w - c)) - label
    by_weights = pull(np.broadcast_to(SCALE * error * w / len(x), states.shape))
    return -np.log(1 - abs(error[0])), np.concatenate([*map(np.ravel, by_weights), error * mean, error])


def main(steps=1500, updates=20):
    """Train by Adam; returns by how much the gradients of the two ways differ, and the losses."""
    rng, losses, found, seconds = np.random.default_rng(0), [], {}, {}
    p, first, second, x = rng.uniform(-0.35, 0.35, sum(SIZES)), 0.0, 0.0, series(rng, steps, 1)
    for way in (by_parscan, by_loops, by_parscan, by_parscan):  # the first calls compile the recorded step
        begin = time.perf_counter()
        found[way] = loss_and_gradient(p, x, 1, way)[1]
        seconds[way] = time.perf_counter() - begin
    apart = float(np.max(np.abs(found[by_parscan] - found[by_loops])) / np.max(np.abs(found[by_loops])))
    print(f"{steps} samples: loops {seconds[by_loops]:.2f} s, parscan", end=" ")
    print(f"{seconds[by_loops] / seconds[by_parscan]:.1f} times faster, {apart:.1e} apart")
    for update in range(1, updates + 1):
        both = [loss_and_gradient(p, series(rng, steps, label), label) for label in (0, 1)]
        gradient = both[0][1] + both[1][1]
        losses.append((both[0][0] + both[1][0]) / 2)
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        p -= 0.02 * first / (1 - 0.9**update) / (np.sqrt(second / (1 - 0.99**update)) + 1e-8)
        if update % 10 == 0:
            print(f"update {update}: loss {np.mean(losses[-10:]):.3f}")
    return apart, losses


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="17 984 samples, and training until the classes are learnt")
    full = parser.parse_args().full
    apart, losses = main(17_984, 150) if full else main()
    if apart > 1e-9 or (full and np.mean(losses[-10:]) > 0.3):
        raise SystemExit("the two ways disagree, or the classes were not learnt")
