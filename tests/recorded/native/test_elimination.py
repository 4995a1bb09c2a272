"""Elimination in machine code, against NumPy."""

import numpy as np
import pytest

from parscan._recorded.native.driver import Fields, Machine, Module
from parscan._recorded.native.elimination import Elimination, Shape


def solver(n, lanes, dtype):
    """A driver that factorises a matrix and solves two systems."""
    dtype = np.dtype(dtype)
    shape, fields = Shape(n, lanes, min(WIDTH, 1 << (n - 1).bit_length()), dtype), Fields()
    for name, size in {"upper": n * shape.size, "lower": n * shape.size, "inverse": shape.size}.items():
        fields.add(name, dtype, size)
    fields.add("order", np.int64, n * lanes)
    fields.add("right", dtype, 2, shape.size)
    fields.add("result", dtype, 2, shape.size)
    module = Module(np.zeros(0), [], fields)
    code = module.code
    at = {name: code.pointer("%memory", fields.offset(name)) for name in ("upper", "lower", "inverse", "order")}
    elimination = Elimination(code, shape, *at.values())
    elimination.factorise()
    for k in range(2):
        offset = k * shape.size * dtype.itemsize
        elimination.solve(*(code.pointer("%memory", fields.offset(name) + offset) for name in ("right", "result")))
    return shape, Machine(module.driver(), [])


def solved(n, lanes, dtype, matrices, right):
    """Solutions of systems `(lanes, n, n)` with right-hand sides `(lanes, n, 2)`."""
    shape, machine = solver(n, lanes, dtype)
    memory = machine.memory()
    views = machine.views(memory)
    views["result"][...] = np.nan  # as a singular matrix leaves it
    views["upper"].reshape(n, shape.padded, lanes)[:, :n] = matrices.transpose(2, 1, 0)
    views["right"].reshape(2, shape.padded, lanes)[:, :n] = right.transpose(2, 1, 0)
    machine.run(memory, 1)
    found = views["result"].reshape(2, shape.padded, lanes)
    assert not found[:, n:].any()
    return found[:, :n].transpose(2, 1, 0)


WIDTH = 8
"""Most rows side by side."""

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("lanes", [1, 4, 8])
@pytest.mark.parametrize("n", SIZES)
def test_solutions(n, lanes, dtype):
    rng = np.random.default_rng(n)
    for shift in (0.0, 4.0 * n):  # rows change places, and none does
        matrices = (rng.normal(size=(lanes, n, n)) + shift * np.eye(n)).astype(dtype)
        right = rng.normal(size=(lanes, n, 2)).astype(dtype)
        found = solved(n, lanes, dtype, matrices, right)
        residual = np.abs(matrices @ found - right).max(axis=(1, 2))
        size = np.abs(matrices).sum(axis=2).max(axis=1) * np.abs(found).max(axis=(1, 2))
        assert (residual <= 8 * n * np.finfo(dtype).eps * size).all()


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("n", [2, 3, 6, 12])
def test_rows_change_places(n, lanes):
    """Matrices that have no factors without that: permutations, with one tiny pivot each."""
    rng = np.random.default_rng(n)
    matrices = np.stack([np.eye(n)[rng.permutation(n)] + 1e-18 * np.eye(n) for _ in range(lanes)])
    expected = rng.normal(size=(lanes, n, 2))
    np.testing.assert_allclose(solved(n, lanes, float, matrices, matrices @ expected), expected, rtol=1e-13)


@pytest.mark.parametrize("n", [1, 3, 6, 20])
def test_singular_lanes_do_not_disturb_others(n):
    lanes = 4
    rng = np.random.default_rng(n)
    matrices, expected = rng.normal(size=(lanes, n, n)), rng.normal(size=(lanes, n, 2))
    right = matrices @ expected
    matrices[1] = 0
    found = solved(n, lanes, float, matrices, right)
    assert not np.isfinite(found[1]).all()
    np.testing.assert_allclose(found[[0, 2, 3]], expected[[0, 2, 3]], rtol=1e-9)
