"""Elimination by pattern in machine code, against NumPy."""

import numpy as np
import pytest

from parscan._recorded.native.driver import Fields, Machine, Module
from parscan._recorded.native.elimination import Shape
from parscan._recorded.native.numbers_of_systems import Numbers
from parscan._recorded.native.sparse_elimination import CHECK, FACTORISE, SOLVE, Systems, planned
from parscan._recorded.native.stage_systems import Sparse, stage_systems, work
from parscan._recorded.native.text import UnsupportedError

DIAGONAL, WIDTH = 4.0, 8


def pattern(name, n, rng):
    if name == "band":
        found = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 1
    elif name == "arrow":
        found = np.eye(n, dtype=bool)
        found[0] = found[:, 0] = True
    elif name == "triangle":
        found = np.tril(rng.random((n, n)) < 0.4)
    elif name == "nothing":
        found = np.zeros((n, n), dtype=bool)
    else:
        found = rng.random((n, n)) < 2.0 / n
    return np.nonzero(found)


PATTERNS = "band", "arrow", "triangle", "nothing", "scattered"


def solved(plan, lanes, dtype, entries, factor, right):
    """Solutions, and whether they are not good ones."""
    dtype, fields = np.dtype(dtype), Fields()
    shape = Shape(plan.n, lanes, WIDTH, dtype)
    sizes = {"entries": max(len(plan.rows), 1), "factor": 1, "values": plan.size, "right": shape.padded,
             "result": shape.padded, "found": 1}  # fmt: skip
    for name, size in sizes.items():
        fields.add(name, dtype, size, lanes)
    systems = Systems(plan, shape, Numbers((DIAGONAL,)), float(np.finfo(dtype).eps ** (2 / 3)))
    module = Module(np.zeros(0), systems.routines(), fields)
    at = {name: module.code.pointer("%memory", fields.offset(name)) for name in sizes}
    for name, given in (
        (FACTORISE, ("entries", "factor", "values")),
        (SOLVE, ("values", "right", "result")),
        (CHECK, ("entries", "factor", "right", "result", "found")),
    ):
        module.call(name, *(at[one] for one in given))
    machine = Machine(module.driver(), [])
    memory = machine.memory()
    views = machine.views(memory)
    for name, value in (("entries", entries), ("factor", factor), ("right", right)):
        views[name][: len(value)] = value
    machine.run(memory, 1)
    assert not views["result"][plan.n :].any()
    return views["result"][: plan.n].copy(), views["found"][0].copy()


@pytest.mark.pairs(name=PATTERNS, n=[1, 2, 5, 40, 120], lanes=[1, 4], dtype=[np.float64, np.float32])
def test_solutions(name, n, lanes, dtype):
    rng = np.random.default_rng(n)
    rows, columns = pattern(name, n, rng)
    plan = planned(rows, columns, n, n**3)
    entries = rng.normal(size=(len(rows), lanes)).astype(dtype)
    factor, right = rng.uniform(-0.5, -0.1, (1, lanes)).astype(dtype), rng.normal(size=(n, lanes)).astype(dtype)
    found, fails = solved(plan, lanes, dtype, entries, factor, right)
    assert not fails.any()
    for lane in range(lanes):
        matrix = DIAGONAL * np.eye(n)
        matrix[rows, columns] += factor[0, lane] * entries[:, lane]
        size = np.abs(matrix) @ np.abs(found[:, lane]) + np.abs(right[:, lane])
        assert (np.abs(matrix @ found[:, lane] - right[:, lane]) < 100 * np.finfo(dtype).eps * size).all()


@pytest.mark.parametrize("n", [3, 40])
def test_a_zero_pivot_is_noticed(n):
    """Pivots near zero, which would need a change of rows, in one lane of four."""
    rows, columns = pattern("band", n, None)
    entries = np.random.default_rng(1).normal(size=(len(rows), 4))
    entries[(rows == columns) & (rows == 0), 1] = DIAGONAL / 0.3 * (1 - 1e-14)
    plan = planned(rows, columns, n, n**3)
    _, fails = solved(plan, 4, float, entries, -np.full((1, 4), 0.3), np.random.default_rng(0).normal(size=(n, 4)))
    np.testing.assert_array_equal(fails, [0, 1, 0, 0])


def test_bands_are_cheap():
    rows, columns = pattern("band", 300, None)
    assert planned(rows, columns, 300, 10**6).operations <= 4 * 300
    assert planned(rows, columns, 300, 500) is None


def test_order_of_an_arrow():
    """The row that is full comes last."""
    plan = planned(*pattern("arrow", 20, None), 20, 10**6)
    assert 0 in plan.order[-2:]
    assert plan.operations < 3 * 20


def test_large_full_systems_are_refused():
    places = np.arange(1600)
    rows, columns = np.repeat(places, 60), (np.repeat(places, 60) * 7 + np.tile(np.arange(60) ** 2, 1600)) % 1600
    with pytest.raises(UnsupportedError, match="has 1600 components"):
        stage_systems(Shape(1600, 1, 8, np.dtype(float)), rows, columns, Numbers((DIAGONAL,)))
    assert isinstance(stage_systems(Shape(1600, 1, 8, np.dtype(float)), places, places, Numbers((DIAGONAL,))), Sparse)


@pytest.mark.parametrize("n", [3, 40])
def test_what_is_not_finite_is_noticed(n):
    rows, columns = pattern("band", n, None)
    entries = np.random.default_rng(1).normal(size=(len(rows), 4))
    entries[-1, 2] = np.nan
    plan = planned(rows, columns, n, n**3)
    _, fails = solved(plan, 4, float, entries, -np.full((1, 4), 0.3), np.ones((n, 4)))
    np.testing.assert_array_equal(fails, [0, 0, 1, 0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [3, 40])
def test_numbers_near_underflow_are_no_failures(n, dtype):
    rows, columns = pattern("band", n, None)
    rng = np.random.default_rng(1)
    entries, factor = rng.normal(size=(len(rows), 4)).astype(dtype), np.full((1, 4), -0.3, dtype)
    right = (np.finfo(dtype).smallest_subnormal * rng.integers(100, 1000, (n, 4))).astype(dtype)
    _, fails = solved(planned(rows, columns, n, n**3), 4, dtype, entries, factor, right)
    assert not fails.any()


def test_work():
    """Two substances on a square of 18 by 18: a hundredth of the operations with a full matrix."""
    places = np.arange(18 * 18).reshape(18, 18)
    near = [places, *(np.roll(places, way, axis) for way in (1, -1) for axis in (0, 1))]
    rows = np.concatenate([places.ravel() + 324 * k for k in (0, 1) for _ in range(6)])
    columns = np.concatenate([one.ravel() + 324 * k for k in (0, 1) for one in [*near, places + 324 - 648 * k]])
    operations, size, is_sparse = work(rows, columns, 648)
    assert is_sparse
    assert size < 648**2 / 8
    assert operations < 648**3 / 3 / 50
    every = np.indices((7, 7)).reshape(2, -1)
    assert work(*every, 7) == (7**3 // 3, 49, False)
