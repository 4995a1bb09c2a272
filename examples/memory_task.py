"""A symbol remembered over a million steps: a gated linear recurrence trained through its adjoint.

The first of many random symbols decides the class, the others distract (problem 2b of Hochreiter and Schmidhuber 1997,
at the length of Martin and Cundy 2018). h_t = a_t h_{t-1} + (1 - a_t) z_t, with a gate and a candidate for each symbol,
must learn to take in the first and to let the others pass. The gradient is that of the step; loops give the same.
"""

import argparse
import time

import numpy as np

import parscan

SYMBOLS, STATES, BATCH, RATE = 6, 2, 4, 0.2  # the first two symbols stand at the start, for the two classes


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def step(h, symbol, gates, candidates):
    """The next states; a symbol is a row of zeros with a one in its place."""
    a = symbol @ sigmoid(gates)
    return a * h + (1 - a) * (symbol @ np.tanh(candidates))


def sequences(rng, steps):
    """Symbols `(T, batch, SYMBOLS)`, and the classes."""
    symbols = rng.integers(2, SYMBOLS, (steps, BATCH))
    symbols[0] = np.arange(BATCH) % 2
    return np.eye(SYMBOLS)[symbols], symbols[0]


def by_parscan(symbols, gates, candidates):
    """The last states, and what takes their gradient to gates and candidates."""
    sol = parscan.solve_recurrence(step, np.zeros((BATCH, STATES)), symbols, args=(gates, candidates))

    def pull(g):
        grad_y = np.zeros_like(sol.y)
        grad_y[-1] = g
        return sol.gradient(grad_y)

    return sol.y[-1], pull


def by_loops(symbols, gates, candidates):
    """The same, step by step there and back, with derivatives by hand."""
    gate, value = sigmoid(gates), np.tanh(candidates)
    states = [np.zeros((BATCH, STATES))]
    for symbol in symbols:
        a = symbol @ gate
        states.append(a * states[-1] + (1 - a) * (symbol @ value))

    def pull(g):
        by_gates, by_candidates = np.zeros((2, SYMBOLS, STATES))
        for symbol, before in zip(symbols[::-1], states[-2::-1], strict=True):
            a, z = symbol @ gate, symbol @ value
            by_gates += symbol.T @ (g * (before - z) * a * (1 - a))
            by_candidates += symbol.T @ (g * (1 - a) * (1 - z * z))
            g = a * g
        return by_gates, by_candidates

    return states[-1], pull


def probability(p, symbols, way=by_parscan):
    """That the class is the second, with the last states and what takes their gradient to the parameters."""
    h, pull = way(symbols, p["gates"], p["candidates"])
    return sigmoid(h @ p["weights"] + p["bias"]), h, pull


def gradient(p, symbols, classes, way=by_parscan):
    """Of the logarithmic loss, after its value."""
    found, h, pull = probability(p, symbols, way)
    slope = (found - classes) / BATCH
    by_gates, by_candidates = pull(slope[:, None] * p["weights"])
    by = {"gates": by_gates, "candidates": by_candidates, "weights": h.T @ slope, "bias": slope.sum()}
    return -np.mean(np.log(np.where(classes == 1, found, 1 - found))), by


def main(steps=10_000, updates=100):
    """Train by Adam; returns by how much the gradients of the two ways differ, and the share told right."""
    rng = np.random.default_rng(0)
    p = {"candidates": rng.standard_normal((SYMBOLS, STATES)), "weights": rng.standard_normal(STATES), "bias": 0.0}
    p["gates"] = np.full((SYMBOLS, STATES), np.log(steps))  # all is kept for about as long as the sequence
    problem, took, found = sequences(rng, steps), {}, {}
    for way in (by_parscan, by_parscan, by_parscan, by_loops):  # the first calls compile the recorded step
        begin = time.perf_counter()
        found[way] = gradient(p, *problem, way)[1]
        took[way] = time.perf_counter() - begin
    ours, theirs = found.values()
    apart = max(float(np.max(np.abs(ours[name] - theirs[name]))) for name in p)
    ratio = took[by_loops] / took[by_parscan]
    print(f"gradient over {steps} steps: loops {took[by_loops]:.2f} s, parscan {ratio:.1f} times faster,", end=" ")
    print(f"{apart:.1e} apart")
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
    if apart > 1e-10 or right < 1:
        raise SystemExit("the two ways disagree, or the task was not learnt")
