"""Code that branches where values would wait long for a condition, or where one of them is expensive."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from seeds import seeds

from parscan._recorded.native.kernel import kernel
from parscan._recorded.native.loop import Loop
from parscan._recorded.record import record


def neuron(y, x):
    """Integrate-and-fire with reset and refractory time."""
    v, rest = y[..., 0], y[..., 1]
    grown = np.where(rest > 0.0, 0.0, v + 0.05 * (1.2 + x[..., 0] - v))
    fires = grown > 1.0
    return np.stack([np.where(fires, 0.0, grown), np.where(fires, 2.0, np.maximum(rest - 0.05, 0.0))], -1)


def nested(y, x):
    """One condition in an arm of the other, and an input that only one arm needs."""
    a, b = y[..., 0], y[..., 1]
    energy = a * a + b * b + 0.1 * np.sin(a * b)
    inner = np.where(energy * b > 0.2, a * x[..., 0] * 0.3 + b, np.exp(-energy) - x[..., 1])
    return np.stack([np.where(energy > 1.0, 0.5 * inner, a + 0.1), np.where(energy > 1.0, -0.5 * b, b + 0.05)], -1)


def in_turn(y, x):
    """The second value needs the first one, of the same condition."""
    a, b = y[..., 0], y[..., 1]
    high = 0.3 * a * b + 0.4 * a + x[..., 0] > 0.5
    first = np.where(high, a * 0.5 - 0.1, a + 0.2 * b)
    return np.stack([first, np.where(high, first * first, b - 0.5 * first)], -1)


def shared(y, x):
    """Both values need the same, or the condition needs it, too."""
    a, b = y[..., 0], y[..., 1]
    common = np.exp(-a * a) * b + x[..., 0]
    return np.stack([np.where(common > 0.3, common - 1.0, 0.5 * common), np.where(b > common, a, -0.9 * common)], -1)


def guarded(y, x):
    """A rate whose formula has a removable singularity."""
    v = 10 * y
    near = np.abs(v) < 1e-6
    rate = np.where(near, 1.0, v / np.expm1(np.where(near, 1.0, v)))
    return 0.9 * y + 0.01 * rate + 0.1 * x


def remaindered(y, x):
    """An arm that has branches of its own."""
    return np.where(y * y * y + y > 0.5, np.fmod(3 * y, 1.0) + np.remainder(y + x, 0.7), y + 0.1)


def limited(y, x):
    """Limits that are reached now and then, of both sides and both kinds, in a step that takes long."""
    a, b = y[..., 0], y[..., 1]
    grown = np.minimum(a + 0.3 * (np.exp(0.5 * b - 1.0) - a + x[..., 0]), 1.0)
    left = np.fmax(np.maximum(b - 0.1, -0.0), np.maximum(-0.2, 0.5 * a))
    return np.stack([np.where(a > 0.9, -1.0, grown), np.where(a > 0.9, 2.0, np.fmin(left, 1.5))], -1)


STEPS = {step.__name__: step for step in (neuron, nested, in_turn, shared, guarded, remaindered, limited)}


def compare(step, y, x, *, branches=None, rtol=1e-14):
    program = record(step, [y[None], x[:1]]).program
    if branches is not None:
        text = kernel(program, chain=True).text
        assert ("label %then" in text) is branches
    out = np.empty((len(x), *y.shape))
    Loop(program).run(y, [x], out, 0, len(x))
    before = np.concatenate([y[None], out[:-1]])
    assert_allclose(out, step(before, x), rtol=rtol, atol=rtol / 10)
    return out


@pytest.mark.parametrize("name", STEPS)
def test_the_values_are_those_of_the_function(name):
    rng = np.random.default_rng(0)
    out = compare(STEPS[name], np.array([0.3, 0.4]), rng.standard_normal((3000, 2)), branches=True)
    assert np.isfinite(out).all()


def test_branches_at_limits():
    """Only in long steps; a NaN, and the signs of zeros, are as in NumPy."""
    programs = {step: record(step, [np.zeros((1, 2)), np.zeros((1, 2))]).program for step in (limited, neuron)}
    likely = {step: kernel(program, chain=1).text.count("!prof") for step, program in programs.items()}
    assert likely[limited] == kernel(programs[limited], chain=1, branches=False).text.count("!prof") + 3
    assert likely[neuron] == 0
    numbers = [-0.0, 0.0, 0.1, 0.5, 1.5, 3.0, -2.0, np.nan, np.inf, -np.inf]
    y = np.array([[a, b] for a in numbers for b in numbers])
    found = np.empty_like(y)
    Loop(programs[limited]).each(y, [np.zeros_like(y)], found)
    with np.errstate(all="ignore"):
        expected = limited(y, np.zeros_like(y))
    assert_allclose(found, expected, rtol=1e-15)
    np.testing.assert_array_equal(np.signbit(found) & ~np.isnan(found), np.signbit(expected) & ~np.isnan(expected))


def test_no_branch_where_the_condition_is_known_early():
    def step(y, x):
        return np.where(x > 0.5, 1.0, np.where(x < -0.5, 0.0, y))

    compare(step, np.zeros(2), np.random.default_rng(0).standard_normal((500, 2)), branches=False)


def test_no_branch_where_the_values_are_known_as_late_as_the_condition():
    def step(y, x):
        return np.where(y < 0.5, 2.0 * y, 1.99 - 1.98 * y) + 0 * x

    compare(step, np.full(2, 0.3), np.ones((500, 2)), branches=False)


def random_step(seed):
    """A step of two states and two inputs, full of conditions."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(10, 60))
    names = rng.choice(["add", "multiply", "where", "where", "divide", "minimum", "again"], count)
    plan = list(zip(names, rng.integers(0, 1 << 30, (count, 4)), strict=True))

    def step(y, x):
        found = [y[..., 0], y[..., 1], x[..., 0], x[..., 1]]
        conditions = [y[..., 0] > 0.1]
        for name, picks in plan:
            one, other, left, right = (found[-1 - int(pick) % min(len(found), 9)] for pick in picks)
            if name == "where":
                conditions.append(left * 0.7 + one > right)
                found.append(np.where(conditions[-1], one, other))
            elif name == "again":
                found.append(np.where(conditions[int(picks[2]) % len(conditions)], one, other))
            elif name == "divide":
                found.append(one / (1.0 + other * other))
            elif name == "multiply":
                found.append(0.5 * one * other)
            else:
                found.append(getattr(np, name)(0.5 * one, other))
        return np.stack([found[-1] / (1 + np.abs(found[-3])), np.minimum(found[-2], 1.0) - 0.1 * found[4]], -1)

    return step


@pytest.mark.parametrize("seed", seeds(15, 60))
def test_random_steps(seed):
    rng = np.random.default_rng(seed)
    compare(random_step(seed), rng.standard_normal(2), rng.standard_normal((200, 2)), rtol=0)


def test_no_branches_for_many_conditions():
    def step(y, x):
        inside = y * y * y + x
        return np.where(inside * inside > 0.3, 0.5 * y, y + 0.1)

    rng = np.random.default_rng(0)
    for n, branches in ((2, True), (15, False)):
        compare(step, rng.standard_normal(n), rng.standard_normal((300, n)), branches=branches)
