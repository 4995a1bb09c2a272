"""Steps that carry their derivative along: against differences, and as machine code in lanes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from parscan import BlockDiagonal, Dense, Diagonal, StackedDiagonal
from parscan._recorded.native.lanes import Lanes
from parscan._recorded.pairs import as_pairs, from_pairs
from parscan._recorded.record import record
from parscan._recorded.tangents import with_tangents

RNG = np.random.default_rng(5)


def matrix(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n)) / (1.2 * np.sqrt(n))


def rotation(y):
    a, b = y[..., 0], y[..., 1]
    return np.stack([0.8 * a - 0.6 * b, 0.6 * np.sin(a) + 0.8 * b], axis=-1)


def lorenz(y):
    x, v, z = y[..., 0], y[..., 1], y[..., 2]
    h = 0.01
    return np.stack([x + h * 10 * (v - x), v + h * (x * (28 - z) - v), z + h * (x * v - 8 / 3 * z)], axis=-1)


def triangular(y, x):
    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    return np.stack([0.9 * a + x[..., 0], np.sin(a + b) + x[..., 1], np.where(c > 0, 0.5 * c, np.cos(c) - 1)], axis=-1)


def delayed(y, x):
    return np.concatenate([np.tanh(0.8 * y[..., -1:] + x), y[..., :-1]], axis=-1)


def dense(n):
    a = matrix(n)

    def step(y, x):
        return np.tanh(y @ a.astype(y.dtype).T + x)

    return step


def gru(n):
    u = np.random.default_rng(1).normal(size=(n, 3 * n)) / np.sqrt(n)

    def step(y, x):
        r, z, c = np.split(x + np.zeros(1, y.dtype), 3, axis=-1)
        a, b, d = np.split(y @ u.astype(y.dtype), 3, axis=-1)
        z = 1 / (1 + np.exp(-z - b))
        return (1 - z) * np.tanh(c + d / (1 + np.exp(-r - a))) + z * y

    return step


def leaky(y, x):
    return y + 0.1 * (np.tanh(x - y) - 0.01 * y**3)


def pairs(y, x):
    a, b = y[..., ::2], y[..., 1::2]
    after = np.stack([0.9 * a - 0.3 * np.sin(b), np.tanh(0.3 * a + 0.8 * b)], axis=-1).reshape(y.shape)
    return after + x


def stacked(y, x):
    a, b = np.split(y, 2, axis=-1)
    return np.concatenate([0.9 * a - 0.3 * np.sin(b), np.tanh(0.3 * a + 0.8 * b) + x], axis=-1)


def permuted(y):
    return np.concatenate([y[..., 3:], 0.9 * np.sin(y[..., :3])], axis=-1)


def ring(y, x):
    return y + 0.1 * (np.roll(y, 1, axis=-1) - 2 * y + np.roll(y, -1, axis=-1)) - 0.01 * y**3 + x


def constant(y, x):
    return x * np.ones(3) + 0 * np.floor(y)


CASES = {
    "rotation": (rotation, 2, 0, Dense()), "lorenz": (lorenz, 3, 0, Dense()), "triangular": (triangular, 3, 2, Dense()),
    "delayed": (delayed, 6, 1, Dense()), "long delay": (delayed, 40, 1, Dense()), "dense 4": (dense(4), 4, 4, Dense()),
    "dense 8": (dense(8), 8, 8, Dense()), "dense 20": (dense(20), 20, 20, Dense()), "gru 1": (gru(1), 1, 3, Dense()),
    "gru 5": (gru(5), 5, 15, Dense()), "gru 12": (gru(12), 12, 36, Dense()), "leaky": (leaky, 1, 1, Diagonal()),
    "leaky 7": (leaky, 7, 7, Diagonal()), "leaky 50": (leaky, 50, 50, Diagonal()),
    "pairs": (pairs, 6, 6, BlockDiagonal(2)), "many pairs": (pairs, 60, 60, BlockDiagonal(2)),
    "stacked": (stacked, 8, 4, StackedDiagonal(2)), "permuted": (permuted, 6, 0, Dense()),
    "long permutation": (permuted, 30, 0, Dense()), "ring": (ring, 20, 20, Dense()),
    "constant": (constant, 3, 3, Dense()),
    "gru 4, diagonal": (gru(4), 4, 12, Diagonal()), "ring, blocks": (ring, 12, 12, BlockDiagonal(3)),
}  # fmt: skip


def make(name, dtype=np.float64, sequences=5, steps=9):
    """A step, its program with tangents, states, inputs, and the structure."""
    step, n, m, structure = CASES[name]
    rng = np.random.default_rng(3)
    states = rng.uniform(-0.9, 0.9, size=(sequences, n)).astype(dtype)
    inputs = [rng.normal(size=(steps, sequences, m)).astype(dtype)] if m else []
    places = structure.from_dense(np.arange(n * n).reshape(n, n))
    program = record(step, [states[:1], *(x[0, :1] for x in inputs)]).program
    return step, with_tangents(program, places), states, inputs, structure


def jacobian(step, y, *x):
    """Central differences of the step at states (k, n), (k, n, n)."""
    h = 1e-6
    columns = [(step(y + h * e, *x) - step(y - h * e, *x)) / (2 * h) for e in np.eye(y.shape[-1])]
    return np.stack(columns, axis=-1)


def expected(step, structure, states, inputs, steps=9):
    """Trajectory `(steps, k, n)` and products of Jacobians by NumPy, with differences."""
    n, y, rows, total = states.shape[-1], states, [], None
    for t in range(steps):
        x = [one[t] for one in inputs]
        factor = structure.from_dense(jacobian(step, y, *x))
        total = factor if total is None else structure.product(factor, total)
        y = step(y, *x)
        rows.append(y)
    assert total.shape[1:] == structure.shape(n)
    return np.stack(rows), total


@pytest.mark.parametrize("name", CASES)
def test_a_step_carries_its_derivative(name):
    step, program, states, inputs, structure = make(name)
    trajectory, total = expected(step, structure, states, inputs)
    y, tangents = states[:, None], structure.identity(np.empty_like(total))
    for t in range(len(trajectory)):
        y, tangents = program(y, tangents, *(x[t][:, None] for x in inputs))
        np.testing.assert_allclose(y[:, 0], trajectory[t], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(tangents, total, rtol=1e-7, atol=1e-8 * np.abs(total).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_lanes_carry_derivatives(name):
    """Some of the same sequences: as many as are less than a vector, one, and more; of large states, one number."""
    steps = 40
    _, program, states, inputs, structure = make(name, sequences=19, steps=steps)
    y, tangents, expected = states[:, None], structure.identity(np.empty((19, *program.arguments[1].shape))), []
    start = tangents.copy()
    for t in range(steps):
        y, tangents = program(y, tangents, *(x[t][:, None] for x in inputs))
        expected.append(y[:, 0])
    for sequences in (1, 2, 5, 8, 19) if states.shape[1] < 10 else (19,):
        out, final = np.empty((steps, sequences, states.shape[1])), np.empty_like(start[:sequences])
        some = [np.ascontiguousarray(x[:, :sequences]) for x in inputs]
        Lanes(program, chain=2).run((states[:sequences], start[:sequences]), some, [out, final], 0, steps)
        told = f"{sequences} sequences"
        np.testing.assert_allclose(out, np.stack(expected)[:, :sequences], rtol=1e-9, atol=1e-12, err_msg=told)
        atol = 1e-9 * np.abs(tangents).max()
        np.testing.assert_allclose(final, tangents[:sequences], rtol=1e-7, atol=atol, err_msg=told)


LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ("gru 12", "many pairs")]


@pytest.mark.parametrize("name", ["gru 5", "rotation", "leaky 50", *LARGE])
def test_single_precision(name):
    _, program, states, inputs, structure = make(name, np.float32, sequences=17)
    shape = (17, *program.arguments[1].shape)
    start = structure.identity(np.empty(shape, np.float32))
    out, final = np.empty((9, *states.shape), np.float32), np.empty(shape, np.float32)
    Lanes(program, chain=2).run((states, start), inputs, [out, final], 0, 9)
    y, tangents = states[:, None], start
    for t in range(9):
        y, tangents = program(y, tangents, *(x[t][:, None] for x in inputs))
        assert tangents.dtype == np.float32
    np.testing.assert_allclose(final, tangents, rtol=1e-3, atol=1e-5 * np.abs(tangents).max())


def test_portions_hand_derivatives_over():
    _, program, states, inputs, structure = make("gru 5", sequences=11, steps=90)
    start = structure.identity(np.empty((11, 5, 5)))
    found = []
    for cuts in ([0, 90], [0, 1, 30, 31, 90]):
        y, tangents, out = states, start, np.empty((90, 11, 5))
        for begin, end in pairwise(cuts):
            final = np.empty((11, 5, 5))
            Lanes(program, chain=2).run((y, tangents), inputs, [out, final], begin, end)
            y, tangents = out[end - 1], final
        found.append((out, tangents))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_entries_that_stay_zero_cost_nothing():
    """A delay line: its product has an entry per component, not one per pair."""
    _, program, *_ = make("triangular")
    assert sum(block.operation == "multiply" for block in program.blocks) < 10


def holomorphic(n):
    a = matrix(n) + 1j * matrix(n, 1)

    def step(z, x):
        return np.sin((z @ a.T) / 2) + x * z

    return step


COMPLEX = {
    "one": (holomorphic(1), 1, Dense()), "few": (holomorphic(3), 3, Dense()), "many": (holomorphic(12), 12, Dense()),
    "diagonal": (lambda z, x: 0.5 * np.exp(0.3j * z) + 0.1 * x * z**2, 5, Diagonal()),
    "blocks": (lambda z, x: pairs(z, 0.1j * x * z), 6, BlockDiagonal(2)),
    "triangle": (lambda z, x: np.stack([z[..., 0] * x[..., 0], z[..., 0] * z[..., 1]], axis=-1), 2, Dense()),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPLEX)
def test_complex_steps_carry_their_complex_derivative(name):
    step, n, structure = COMPLEX[name]
    rng = np.random.default_rng(3)
    states = (rng.uniform(-0.9, 0.9, (5, n)) + 1j * rng.uniform(-0.9, 0.9, (5, n))) / 2
    inputs = [rng.normal(size=(9, 5, 1))]
    places = structure.from_dense(np.arange(n * n).reshape(n, n))
    program = with_tangents(record(step, [states[:1], inputs[0][0, :1]]).program, places, of_complex=True)
    trajectory, total = expected(step, structure, states, inputs)
    y, tangents = as_pairs(states[:, None]), as_pairs(structure.identity(np.empty_like(total)).copy())
    out, final = np.empty((9, 5, 1, n, 2)), np.empty(tangents.shape)
    Lanes(program, chain=2).run((y, tangents), [inputs[0][:, :, None]], [out, final], 0, 9)
    for t in range(9):
        y, tangents = program(y, tangents, inputs[0][t][:, None])
        np.testing.assert_allclose(from_pairs(y, complex)[:, 0], trajectory[t], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(out[t], y, rtol=1e-12, atol=1e-13)
    for found in (tangents, final):
        np.testing.assert_allclose(from_pairs(found, complex), total, rtol=1e-7, atol=1e-8 * np.abs(total).max())


def test_choices_are_differentiated_by_choice():
    def step(y):
        return np.where(y > 0, np.sqrt(y), 0.5 * y)

    program = with_tangents(record(step, [np.zeros((1, 1))]).program, np.zeros(1, int))
    y, tangents = program(np.array([[[4.0]], [[-4.0]]]), np.ones((2, 1)))
    np.testing.assert_array_equal(y.ravel(), [2, -2])
    np.testing.assert_array_equal(tangents.ravel(), [0.25, 0.5])
