"""Values that a step of the code takes from the one before, instead of computing them again."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from seeds import seeds

from parscan._recorded.native.carried import carried
from parscan._recorded.native.kernel import kernel
from parscan._recorded.native.lanes import Lanes
from parscan._recorded.native.loop import Loop
from parscan._recorded.record import record


def leapfrog(y, x):
    q, p = y[..., 0], y[..., 1]
    p = p - 0.05 * np.sin(q) + x[..., 0]
    q = q + 0.1 * p
    return np.stack([q, p - 0.05 * np.sin(q)], -1)


def accepted(y, x):
    """A chain that accepts or rejects, and what it needs to know of both states."""

    def density(q):
        return np.exp(-((q - 0.3) ** 2) / 2) + 0.1

    q = y + 0.3 * x
    return np.where(np.abs(x) < 2.0 * density(q) / density(y), q, y)


def delayed(y, x):
    """A state that moves through a line, and a function of all of it."""
    new = np.sin(y[..., -1]) + 0.1 * np.sin(y[..., 0]) + x[..., 0]
    return np.stack([y[..., 1], new], -1)


def constant(y, x):
    """A component that does not change, a constant one, and what depends on them alone."""
    speed = np.sqrt(1.0 + y[..., 1] ** 2) * np.exp(y[..., 1])
    return np.stack([0.5 * y[..., 0] + speed * x[..., 0], y[..., 1]], -1)


def reset(y, x):
    """A component that becomes a constant."""
    return np.stack([np.sqrt(y[..., 0] ** 2 + y[..., 1] ** 2) * 0.5 + x[..., 0], 0 * x[..., 1] + 1.0], -1)


def exchanged(y, x):
    """Components that change places, and a result that is computed of the state alone."""
    return np.stack([np.arctan(y[..., 1]) + 0 * x[..., 0], np.arctan(np.arctan(y[..., 1]))], -1)


STEPS = {step.__name__: step for step in (leapfrog, accepted, delayed, constant, reset, exchanged)}


def run(step, y, x):
    program = record(step, [y[None], x[:1]]).program
    out = np.empty((len(x), *y.shape))
    Loop(program).run(y, [x], out, 0, len(x))
    return out


@pytest.mark.parametrize("name", STEPS)
def test_the_values_are_those_of_the_function(name):
    y, x, step = np.array([0.3, 0.4]), 0.3 * np.random.default_rng(0).standard_normal((3000, 2)), STEPS[name]
    out = run(step, y, x)
    before = np.concatenate([y[None], out[:-1]])
    assert_allclose(out, step(before, x), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", STEPS)
def test_lanes_and_portions(name):
    rng, step = np.random.default_rng(0), STEPS[name]
    y, x = rng.standard_normal((5, 2)), 0.3 * rng.standard_normal((400, 5, 2))
    program = record(step, [y[:1], x[0, :1]]).program
    out = np.empty((400, 5, 2))
    Lanes(program, several=True).run(y, [x], [out], 0, 150)
    Lanes(program, several=True).run(out[149], [x], [out], 150, 400)
    before = np.concatenate([y[None], out[:-1]])
    assert_allclose(out, step(before, x), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "call", "calls"), [("leapfrog", "sin", 1), ("accepted", "exp", 2), ("delayed", "sin", 1)]
)
def test_what_is_computed_once(name, call, calls):
    program = record(STEPS[name], [np.zeros((1, 2)), np.zeros((1, 2))]).program
    before, steps = kernel(program, chain=1).text.split("\nstep:\n")
    called = [line for line in steps.splitlines() if f"{call}(" in line]
    vectors = sum(2 if "<2 x" in line else 1 for line in called)
    assert vectors == calls
    assert f"_{call}(" in before


def test_nothing_is_carried_where_nothing_is_saved():
    def lorenz(y):
        a, b, c = y[..., 0], y[..., 1], y[..., 2]
        return y + 0.01 * np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)

    assert carried(record(lorenz, [np.zeros((1, 3))]).program) is None


def random_function(rng):
    """A function of two numbers to two."""
    count = int(rng.integers(2, 12))
    names = rng.choice(["add", "multiply", "divide", "minimum", "where"], count)
    plan = list(zip(names, rng.integers(0, 1 << 30, (count, 3)), strict=True))

    def function(u, v):
        found = [u, v]
        for name, picks in plan:
            one, other, third = (found[-1 - int(pick) % min(len(found), 5)] for pick in picks)
            if name == "where":
                found.append(np.where(one > 0.3, other, 0.5 * third))
            elif name == "divide":
                found.append(one / (1.0 + other * other))
            else:
                found.append(0.7 * getattr(np, name)(one, other))
        return found[-1], found[-2]

    return function


@pytest.mark.parametrize("kind", ["accepts", "marches", "both"])
@pytest.mark.parametrize("seed", seeds(8, 30))
def test_random_steps(seed, kind):
    rng = np.random.default_rng(seed)
    force, energy = random_function(rng), random_function(rng)

    def marched(u, v, x):
        v = np.minimum(v, 5.0) + 0.1 * force(u, 0.5)[0]
        u = 0.9 * u + 0.1 * v + x
        return u, v + 0.1 * force(u, 0.5)[0]

    def step(y, x):
        u, v = y[..., 0], y[..., 1]
        if kind == "marches":
            return np.stack(marched(u, v, x[..., 0]), -1)
        new = (0.5 * u + x[..., 0], 0.5 * v + x[..., 1]) if kind == "accepts" else marched(u, v, x[..., 0])
        before, after = energy(u, v), energy(*new)
        better = after[0] + 0.1 * after[1] < before[0] + 0.1 * before[1] + x[..., 1]
        return np.stack([np.where(better, one, other) for one, other in zip(new, (u, v), strict=True)], -1)

    y, x = rng.standard_normal(2), rng.standard_normal((300, 2))
    out = run(step, y, x)
    bad = np.flatnonzero(~np.isfinite(out).all(axis=1))
    out = out[: bad[0] + 1] if bad.size else out  # the steps may end after it
    with np.errstate(all="ignore"):
        assert_array_equal(out, step(np.concatenate([y[None], out[:-1]]), x[: len(out)]))
