"""The table of recurrences that the tests are parametrised over, and the loop that is their oracle."""

from dataclasses import dataclass

import numpy as np
import pytest

from parscan import BlockDiagonal, Dense, Diagonal, StackedDiagonal
from parscan._linalg.structure import Structure


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def loop(step, y0, x, args=()):
    """The definition of a recurrence, one Python call per step. `x` is an array, a tuple, or a number of steps."""
    steps = x if isinstance(x, int) else len(x[0] if isinstance(x, tuple) else x)
    y, rows = y0[None], []
    for t in range(steps):
        if isinstance(x, int):
            y = step(y, *args)
        elif isinstance(x, tuple):
            y = step(y, tuple(part[t : t + 1] for part in x), *args)
        else:
            y = step(y, x[t : t + 1], *args)
        rows.append(y[0])
    return np.stack(rows) if rows else np.empty((0, *y0.shape), y0.dtype)


@dataclass(frozen=True)
class Problem:
    """A recurrence on `n` components with `m` inputs, for any dtype and batch."""

    name: str
    n: int
    m: int
    make: object
    """`make(rng, dtype)` gives step and jac."""
    structure: Structure = Dense()  # noqa: RUF009 - it is frozen
    complex_too: bool = False
    contractive: bool = True

    def inputs(self, rng, steps, batch=(), dtype=np.float64):
        y0 = random_array(rng, (*batch, self.n), dtype)
        return y0, random_array(rng, (steps, *batch, self.m), dtype)


def random_array(rng, shape, dtype):
    values = 0.5 * rng.standard_normal(shape)
    if np.issubdtype(dtype, np.complexfloating):
        values = values + 0.5j * rng.standard_normal(shape)
    return values.astype(dtype)


def gru(n):
    def make(rng, dtype):
        scale = 1 / np.sqrt(n)
        W, U = (rng.uniform(-scale, scale, (n, 3 * n)).astype(dtype) for _ in range(2))
        b = rng.uniform(-scale, scale, 3 * n).astype(dtype)

        def gates(y, x):
            gx, gh = x @ U + b, y @ W
            r, z = sigmoid(gx[..., :n] + gh[..., :n]), sigmoid(gx[..., n : 2 * n] + gh[..., n : 2 * n])
            c = np.tanh(gx[..., 2 * n :] + r * gh[..., 2 * n :])
            return r, z, c, gh[..., 2 * n :]

        def step(y, x):
            _, z, c, _ = gates(y, x)
            return (1 - z) * c + z * y

        def jac(y, x):
            r, z, c, h = gates(y, x)
            dz, dc = z * (1 - z) * (y - c), (1 - z) * (1 - c * c)
            dr = dc * h * r * (1 - r)
            Wr, Wz, Wc = (W[:, i * n : (i + 1) * n].T for i in range(3))
            J = dz[..., None] * Wz + dr[..., None] * Wr + (dc * r)[..., None] * Wc
            return J + z[..., None] * np.eye(n, dtype=z.dtype)

        return step, jac

    return make


def affine(n, norm):
    """y ← A y + x with a random matrix of the given norm; norm 1 is a rotation, neither stable nor unstable."""

    def make(rng, dtype):
        A = norm * np.linalg.qr(random_array(rng, (n, n), dtype))[0].astype(dtype)
        return (lambda y, x: y @ A.T + x), (lambda y, x: np.broadcast_to(A, (*y.shape, n)))

    return make


def lorenz(y):
    """A step of the Lorenz system by Euler's method: chaos."""
    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    return y + 0.01 * np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], axis=-1)


def leaky_tanh(rng, dtype):
    a = rng.uniform(0.3, 0.9, 3).astype(dtype)
    return (lambda y, x: np.tanh(a * y + x)), (lambda y, x: a * (1 - np.tanh(a * y + x) ** 2))


def blocks(rng, dtype):
    """Two pairs, each a damped rotation bent by a tanh."""
    A = 0.8 * np.linalg.qr(random_array(rng, (2, 2, 2), dtype))[0].astype(dtype)

    def bend(y, x):
        pairs = y.reshape(*y.shape[:-1], 2, 2)
        return np.tanh((A @ pairs[..., None])[..., 0] + x.reshape(pairs.shape))

    def step(y, x):
        return bend(y, x).reshape(y.shape)

    def jac(y, x):
        return (1 - bend(y, x) ** 2)[..., None] * A

    return step, jac


def lstm(n):
    """An LSTM of `n` units that are recurrent each by itself; hidden states first, then cells."""

    def make(rng, dtype):
        w = rng.uniform(-1, 1, (4, n)).astype(dtype)

        def gates(y, x):
            f, i, o = (sigmoid(w[k] * y[..., :n] + x[..., :n]) for k in range(3))
            return f, i, o, np.tanh(w[3] * y[..., :n] + x[..., n:]), y[..., n:]

        def step(y, x):
            f, i, o, g, c = gates(y, x)
            cell = f * c + i * g
            return np.concatenate([o * np.tanh(cell), cell], axis=-1)

        def jac(y, x):
            f, i, o, g, c = gates(y, x)
            tanh = np.tanh(f * c + i * g)
            cell_by_h = c * f * (1 - f) * w[0] + g * i * (1 - i) * w[1] + i * (1 - g * g) * w[3]
            slope = o * (1 - tanh * tanh)
            h_by_h = tanh * o * (1 - o) * w[2] + slope * cell_by_h
            return np.stack([np.stack([h_by_h, slope * f], -1), np.stack([cell_by_h, f], -1)], -2)

        return step, jac

    return make


def running_sum(rng, dtype):
    return (lambda y, x: y + x), (lambda y, x: np.ones_like(y))


def quadratic(rng, dtype):
    """A holomorphic step, for complex states too."""
    half = np.asarray(0.5, dtype)
    return (lambda y, x: half * y + half * half * y * y * x), (lambda y, x: half + half * y * x)


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("gru1", 1, 2, lambda rng, dtype: _gru_with_inputs(1, 2, rng, dtype)),
        Problem("gru4", 4, 4, gru(4)),
        Problem("leaky tanh", 3, 3, leaky_tanh, structure=Diagonal()),
        Problem("blocks", 4, 4, blocks, structure=BlockDiagonal(2)),
        Problem("lstm", 6, 6, lstm(3), structure=StackedDiagonal(2)),
        Problem("stable affine", 3, 3, affine(3, 0.7), complex_too=True),
        Problem("rotation", 2, 2, affine(2, 1.0), complex_too=True, contractive=False),
        Problem("running sum", 2, 2, running_sum, structure=Diagonal(), complex_too=True, contractive=False),
        Problem("quadratic", 2, 2, quadratic, structure=Diagonal(), complex_too=True),
    )
}

SAMPLE = ("gru4", "leaky tanh", "blocks", "lstm", "rotation")
"""A problem of each structure, and one that forgets nothing: for tests that combine them with much else."""

N = 6
"""Components that all of `STRUCTURES` fit to."""

STRUCTURES = [
    *(Dense(), Diagonal(), BlockDiagonal(1), BlockDiagonal(2), BlockDiagonal(3), BlockDiagonal(6)),
    *(StackedDiagonal(1), StackedDiagonal(2), StackedDiagonal(3), StackedDiagonal(6)),
]
"""The structures that the tests are parametrised over."""

PARTIAL = [structure for structure in STRUCTURES if not structure.is_full(N)]
"""Those that leave entries out."""

each_structure = pytest.mark.parametrize("structure", STRUCTURES, ids=str)
each_partial_structure = pytest.mark.parametrize("structure", PARTIAL, ids=str)


def _gru_with_inputs(n, m, rng, dtype):
    """A GRU that reads `m` inputs through a fixed projection to its `n`."""
    step, jac = gru(n)(rng, dtype)
    P = rng.standard_normal((m, n)).astype(dtype)
    return (lambda y, x: step(y, x @ P)), (lambda y, x: jac(y, x @ P))


TOLERANCE = {"float32": 2e-4, "complex64": 2e-4, "float64": 1e-9, "complex128": 1e-9}
"""How far a solution at default tolerances may be from the loop, for problems of size one and a few hundred steps."""


def assert_like_loop(sol, expected, factor=1.0):
    """The trajectory is the loop's, within what the default tolerances promise."""
    assert sol.success, sol.message
    assert sol.y.dtype == expected.dtype
    assert sol.y.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max())) if expected.size else 1.0
    bound = factor * TOLERANCE[expected.dtype.name] * scale
    deviation = float(np.abs(sol.y - expected).max()) if expected.size else 0.0
    assert deviation <= bound, f"deviation {deviation:.3g} > {bound:.3g}: {sol}"
