"""Products with matrices larger than the nearest cache, whose rows loops pass the other way round from step to step."""

import numpy as np
import pytest

from parscan._recorded.native import kernel as _kernel
from parscan._recorded.native import products as _products
from parscan._recorded.native.libm import vector_bytes
from parscan._recorded.native.loop import Loop
from parscan._recorded.record import record

STEPS = 7


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """Small matrices count as large ones, and no text is taken from another test."""
    monkeypatch.setattr(_products, "NEAR", 0)
    _kernel._kept.clear()
    yield
    _kernel._kept.clear()


@pytest.fixture
def passes(monkeypatch):
    """Products that are passed there and back."""
    found, real = [], _products.Products._there_and_back

    def noted(self, block, *rest):
        found.append(block.operands[0].shape)
        real(self, block, *rest)

    monkeypatch.setattr(_products.Products, "_there_and_back", noted)
    return found


def looped(program, y0, *inputs, steps=STEPS):
    out = np.empty((steps, *y0.shape), y0.dtype)
    Loop(program).run(y0, inputs, out, 0, steps)
    return out


WIDTH = vector_bytes() // 8
ROWS = [
    WIDTH,
    WIDTH + 1,
    2 * WIDTH - 1,
    3 * WIDTH,
    4 * WIDTH,
    4 * WIDTH + 3,
    7 * WIDTH,
    8 * WIDTH - 1,
    12 * WIDTH + 4,
    13 * WIDTH,
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 2, 3, *ROWS])
def test_steps_are_those_of_numpy_and_the_same_both_ways(n, dtype, passes):
    rng = np.random.default_rng(n)
    weights = (rng.standard_normal((n, n)) / np.sqrt(n)).astype(dtype)
    y0, few = rng.standard_normal(n).astype(dtype), np.finfo(dtype).eps * 64
    program = record(lambda y: np.tanh(y @ weights), [y0[None]]).program
    out = looped(program, y0)
    np.testing.assert_allclose(out[0], np.tanh(y0 @ weights), rtol=few, atol=few)
    np.testing.assert_allclose(out[1:], np.tanh(out[:-1] @ weights), rtol=few, atol=few)
    for t in range(1, STEPS):  # which the second step, and every other one, passes the other way round
        np.testing.assert_array_equal(looped(program, out[t - 1], steps=1)[0], out[t])
    assert passes == ([(n, n)] * 1 if n >= 4 else [])


@pytest.mark.parametrize("rows", [2 * WIDTH, 3 * WIDTH + 5, 5 * WIDTH, 9 * WIDTH + 1])
def test_what_follows_a_product_and_several_products(rows, passes):
    """A network whose hidden states are more or fewer than its states, with offsets and with inputs."""
    rng, n = np.random.default_rng(rows), 20
    inward, outward = rng.standard_normal((n, rows)) / 5, rng.standard_normal((rows, n)) / 5
    offset, x = rng.standard_normal(rows), rng.standard_normal((STEPS, n))

    def step(y, x):
        hidden = np.tanh(y @ inward + offset)
        return 0.5 * y - hidden @ outward + 0.1 * x

    y = rng.standard_normal(n)
    out = looped(record(step, [y[None], x[:1]]).program, y, x)
    for t in range(STEPS):
        y = step(y, x[t])
        np.testing.assert_allclose(out[t], y, rtol=1e-12, atol=1e-12)
    assert sorted(set(passes)) == sorted({(rows, n), (n, rows)})


def test_tiny_states(passes):
    rng = np.random.default_rng(0)
    n = 5 * WIDTH + 2
    weights, y0 = rng.standard_normal((n, n)) / np.sqrt(n), rng.standard_normal(n)
    program = record(lambda y: y @ weights, [y0[None]]).program
    found, expected = looped(program, 2.0**-1030 * y0), looped(program, y0)
    np.testing.assert_allclose(found * 2.0**1000, expected * 2.0**-30, rtol=1e-8, atol=2.0**-64)
    assert passes


def test_other_constants_have_the_same_code(passes):
    rng = np.random.default_rng(0)
    n = 4 * WIDTH + 3
    for _ in range(3):
        weights, y0 = rng.standard_normal((n, n)) / np.sqrt(n), rng.standard_normal(n)
        out = looped(record(lambda y, weights=weights: np.tanh(y @ weights), [y0[None]]).program, y0)
        np.testing.assert_allclose(out[1:], np.tanh(out[:-1] @ weights), rtol=1e-12, atol=1e-13)
    assert len(passes) == 1


def test_matrices_that_change_are_passed_one_way(passes):
    rng = np.random.default_rng(0)
    n = 4 * WIDTH
    matrices, y = rng.standard_normal((STEPS, n, n)) / np.sqrt(n), rng.standard_normal(n)

    def step(y, A):
        return np.tanh((A @ y[..., None])[..., 0])

    out = looped(record(step, [y[None], matrices[:1]]).program, y, matrices)
    for t in range(STEPS):
        y = step(y[None], matrices[t : t + 1])[0]
        np.testing.assert_allclose(out[t], y, rtol=1e-12, atol=1e-13)
    assert not passes


def test_very_large_matrices_are_passed_one_way(monkeypatch, passes):
    monkeypatch.setattr(_products, "FAR", 1000)
    y0 = np.ones(40)
    looped(record(lambda y: np.eye(40) @ y, [y0]).program, y0)
    assert not passes
