"""A symbol remembered over a million steps: a gated linear recurrence trained through its adjoint.

The first of many random symbols decides the class, the others distract (problem 2b of Hochreiter and Schmidhuber 1997,
at the length of Martin and Cundy 2018). h_t = a_t h_{t-1} + (1 - a_t) z_t, with a gate and a candidate for each symbol,
must learn to take in the first and to let the others pass. Forwards it is one scan, backwards another.
"""

import argparse
import time

import numpy as np

import parscan

SYMBOLS, STATES, BATCH, RATE = 6, 2, 4, 0.2  # the first two symbols stand at the start, for the two classes


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def loop(a, b, *, reverse=False):  # the sequential way
    states, h = np.empty_like(b), np.zeros_like(b[0])
    for t in range(len(b) - 1, -1, -1) if reverse else range(len(b)):
        states[t] = h = a[t] * h + b[t]
    return states


def sequences(rng, steps):
    """Symbols `(T, batch)`, and the classes."""
    symbols = rng.integers(2, SYMBOLS, (steps, BATCH))
    symbols[0] = np.arange(BATCH) % 2
    return symbols, symbols[0]


def probability(p, symbols, scan=parscan.linear_recurrence):
    """That the class is the second, with what was computed on the way."""
    a, z = sigmoid(p["gates"])[symbols], np.tanh(p["candidates"])[symbols]
    h = scan(a, (1 - a) * z)
    return sigmoid(h[-1] @ p["weights"] + p["bias"]), a, z, h


def gradient(p, symbols, classes, scan=parscan.linear_recurrence):
    """Of the logarithmic loss, after its value."""
    found, a, z, h = probability(p, symbols, scan)
    slope = (found - classes) / BATCH
    grad_h = np.zeros_like(h)
    grad_h[-1] = slope[:, None] * p["weights"]
    adjoint = scan(np.concatenate([a[1:], a[:1]]), grad_h, reverse=True)  # with the gate of the step after
    before = np.concatenate([np.zeros_like(h[:1]), h[:-1]])

    def by_symbol(values):
        return np.stack([np.bincount(symbols.ravel(), v.ravel(), SYMBOLS) for v in np.moveaxis(values, -1, 0)], axis=-1)

    return -np.mean(np.log(np.where(classes == 1, found, 1 - found))), {
        "gates": by_symbol(adjoint * (before - z) * a * (1 - a)),
        "candidates": by_symbol(adjoint * (1 - a) * (1 - z * z)),
        "weights": h[-1].T @ slope,
        "bias": slope.sum(),
    }


def main(steps=10_000, updates=100):
    """Train by Adam; returns by how much the gradients of the two ways differ, and the share told right."""
    rng = np.random.default_rng(0)
    p = {"candidates": rng.standard_normal((SYMBOLS, STATES)), "weights": rng.standard_normal(STATES), "bias": 0.0}
    p["gates"] = np.full((SYMBOLS, STATES), np.log(steps))  # all is kept for about as long as the sequence
    gradient(p, *sequences(rng, 8))  # the first call loads the kernels
    problem, took, found = sequences(rng, steps), {}, {}
    for scan in (parscan.linear_recurrence, loop):
        begin = time.perf_counter()
        found[scan] = gradient(p, *problem, scan)[1]
        took[scan] = time.perf_counter() - begin
    ours, theirs = found.values()
    apart = max(float(np.max(np.abs(ours[name] - theirs[name]))) for name in p)
    ratio = took[loop] / took[parscan.linear_recurrence]
    print(f"gradient over {steps} steps: loops {took[loop]:.2f} s, parscan {ratio:.1f} times faster, {apart:.1e} apart")
    first, second = ({name: 0 * value for name, value in p.items()} for _ in range(2))
    for update in range(1, updates + 1):
        loss, slopes = gradient(p, *sequences(rng, steps))
        for name, slope in slopes.items():
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.99 * second[name] + 0.01 * slope**2
            size = np.sqrt(second[name] / (1 - 0.99**update)) + 1e-30
            p[name] = p[name] - RATE * first[name] / (1 - 0.9**update) / size
        if update % 20 == 0:
            print(f"update {update}: loss {loss:.1e}")
    tests = [sequences(rng, steps) for _ in range(5)]
    right = float(np.mean([(probability(p, symbols)[0] > 0.5) == classes for symbols, classes in tests]))
    print(f"{right:.0%} of new sequences told right")
    return apart, right


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="a million steps instead of ten thousand")
    apart, right = main(1_000_000 if parser.parse_args().full else 10_000)
    if apart > 1e-12 or right < 1:
        raise SystemExit("the two ways disagree, or the task was not learnt")
