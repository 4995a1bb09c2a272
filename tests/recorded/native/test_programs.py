"""Machine code of whole programs, against their evaluation by NumPy: one call at a time, and several in lanes."""

from types import FunctionType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parscan._recorded.differentiate import jacobian
from parscan._recorded.native.evaluate import Evaluator
from parscan._recorded.native.lanes import Lanes
from parscan._recorded.native.layout import Layout, Multiplied
from parscan._recorded.record import record

UNARY = ["negative", "absolute", "tanh", "sin", "cos", "exp", "arctan", "sign", "floor", "expm1", "cbrt", "arcsinh"]
BINARY = ["add", "subtract", "multiply", "maximum", "minimum", "hypot", "arctan2", "fmax", "copysign", "logaddexp"]


def compare(program, *arguments, rtol=1e-12):
    expected = program(*arguments)
    ways = [Evaluator(program, several=several)(*arguments) for several in (False, True)]
    for found in ways:
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)


MATRIX = np.random.default_rng(0).normal(size=(33, 100))


def part(draw, one):
    found = one[draw([0, 1]) :: draw([1, 2, 3])]
    return found if found.size else one


KINDS = {
    "unary": lambda draw, one, other: getattr(np, draw(UNARY))(one * 0.5),
    "binary": lambda draw, one, other: getattr(np, draw(BINARY))(one, other),
    "roll": lambda draw, one, other: np.roll(one, draw([-3, -1, 0, 1, 2])),
    "join": lambda draw, one, other: np.concatenate([one, other])[:90],
    "where": lambda draw, one, other: np.where(one > other, one, 0.25),
    "scale": lambda draw, one, other: np.arange(1, one.size + 1) / one.size * one + 0.1,
    "sum": lambda draw, one, other: np.sum(one * other) + one,
    "convert": lambda draw, one, other: (one > 0).astype(float) + np.clip(one, -9, 9).astype(int),
    "reverse": lambda draw, one, other: one[::-1],
    "search": lambda draw, one, other: 0.1 * np.searchsorted(np.array([-1.0, 0.0, 0.5, 2.0]), one),
    "product": lambda draw, one, other: MATRIX[: draw([1, 2, 3, 5, 8, 13, 24, 33]), : one.size] / one.size @ one,
    "table": lambda draw, one, other: np.linspace(-1, 1, 9)[np.clip(np.floor(one), -4, 4).astype(int)],
    "part": lambda draw, one, other: part(draw, one),
}  # fmt: skip


def drawn(draw, arrays):
    """A new array made of some others by one operation of NumPy; `draw` chooses an entry of a list."""
    one, other = (arrays[draw(range(len(arrays)))] for _ in range(2))
    size = min(one.size, other.size)
    one, other = (one[:size], other[-size:]) if draw([False, True]) else (one[-size:], other[:size])
    found = KINDS[draw(list(KINDS))](draw, one, other)
    return np.tanh(found) if draw([False, True]) else found * 0.5


class Again:
    """Choices that were made before."""

    def __init__(self, choices):
        self.choices, self.place = choices, 0

    def __call__(self, entries):
        self.place += 1
        return self.choices[self.place - 1]


def compare_random_program(data):
    sizes = data.draw(st.sampled_from([1, 2, 3, 8, 17, 40])), data.draw(st.sampled_from([1, 4, 16, 33]))
    steps, choices = data.draw(st.integers(1, 8)), []

    def draw(entries):
        choices.append(data.draw(st.sampled_from(entries)))
        return choices[-1]

    def run(draw, y, x):
        arrays = [y, x]
        for _ in range(steps):
            arrays.append(drawn(draw, arrays))
        return np.concatenate(arrays[-2:])

    rng = np.random.default_rng(1)
    arguments = [rng.normal(size=(11, size)) * 2 for size in sizes]
    expected = run(draw, *(one[0] for one in arguments))
    made = list(choices)

    def function(y, x):
        return run(Again(made), y, x)

    program = record(function, [np.zeros(size) for size in sizes]).program
    compare(program, *arguments)
    np.testing.assert_allclose(program(*arguments)[0][0], expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_some_random_programs(data):
    compare_random_program(data)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_programs(data):
    compare_random_program(data)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "size", [3, 9, 15, 16, 17, 32, 64, *(pytest.param(n, marks=pytest.mark.slow) for n in (100, 200))]
)
def test_products(size, dtype):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(size, size)).astype(dtype)
    other = rng.normal(size=(3 * size, size)).astype(dtype)

    def function(y):
        return np.concatenate(
            [
                matrix @ y,
                y @ matrix,
                other @ y,
                y @ other.T,
                np.sum(y[:, None] * y, axis=0)[:1],
                (y @ y)[None],
                other[:2] @ y,
            ]
        )

    program = record(function, [np.zeros(size, dtype)]).program
    compare(program, rng.normal(size=(9, size)).astype(dtype), rtol=1e-12 if dtype == np.float64 else 2e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(40, 40), (33, 100), (7, 200), (200, 33), (201, 70)])
def test_products_of_tiny_numbers_are_rounded_once(shape, dtype):
    rng, limits = np.random.default_rng(0), np.finfo(dtype)
    matrix = rng.normal(size=shape).astype(dtype)
    matrix[0, 0], matrix[1, :2], matrix[2, 1] = 0.0, limits.max, limits.tiny
    program = record(lambda y: matrix @ y, [np.zeros(shape[1], dtype)]).program
    sizes = float(limits.tiny) * 2.0 ** np.array([-50, -20, -3, 0, 1, 3, 14, 15, 16, 62, 63, 64, 65, 80, 120])
    x = (rng.normal(size=(16 * len(sizes), shape[1])) * np.repeat(sizes, 16)[:, None]).astype(dtype)
    large = matrix.astype(np.float64) @ (x.T.astype(np.float64) * 2.0**40)
    rounding = shape[1] * limits.eps * (abs(matrix).astype(np.float64) @ (abs(x.T).astype(np.float64) * 2.0**40))
    for several in (False, True):
        found = Evaluator(program, several=several)(x)[0].T.astype(np.float64) * 2.0**40
        assert (abs(found - large) <= rounding + float(limits.smallest_subnormal) * 2.0**40).all()


@pytest.mark.parametrize("several", [False, True])
def test_products_of_tiny_numbers_beside_others(several):
    matrix = np.random.default_rng(0).normal(size=(40, 50))
    program = record(lambda y: matrix @ y, [np.zeros(50)]).program
    for special in (0.0, -0.0, 1.0, 1e-300, 5e-324, np.inf, -np.inf, np.nan):
        for other in (0.0, -0.0, 1e-310, -1e-310):
            x = np.full((9, 50), other)
            x[:, 17] = special
            (found,), (expected,) = Evaluator(program, several=several)(x), program(x)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=60 * 5e-324)
            if special == other == 0:
                np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


def halves(u):
    """Loops of their own after `u` is known."""
    return np.concatenate([np.tanh(u[:7]), np.sin(u[7:])])


TOGETHER = {
    "offset": lambda z, y: halves(z + OFFSET[: z.size]),
    "several": lambda z, y: halves(0.5 * (z - y[0]) - z * OFFSET[: z.size]),
    "elsewhere as well": lambda z, y: halves(z + OFFSET[: z.size]) + z[::-1],
    "two products": lambda z, y: halves(z - MATRIX[: z.size, : y.size] @ np.cos(y)),
    "of another one": lambda z, y: halves(SQUARE[: z.size, : z.size] @ np.sin(z) - z),
}
APART = {
    "in another order": lambda z, y: halves(z + z[::-1]),
    "a part": lambda z, y: np.append(z[0], halves(z[1:] + OFFSET[1 : z.size])),
    "a result": lambda z, y: z + OFFSET[: z.size],
    "with a function": lambda z, y: halves(np.cos(z + OFFSET[: z.size])),
}
OFFSET, SQUARE = np.random.default_rng(1).normal(size=33), np.random.default_rng(2).normal(size=(33, 33))


@pytest.mark.slow
@pytest.mark.pairs(name=[*TOGETHER, *APART], rows=[17, 20, 33], dtype=[np.float64, np.float32])
def test_products_with_what_follows_them(name, rows, dtype):
    arrays = {"OFFSET": OFFSET.astype(dtype), "SQUARE": SQUARE.astype(dtype), "MATRIX": MATRIX.astype(dtype)}
    given = (TOGETHER | APART)[name]
    follows, matrix = FunctionType(given.__code__, {"np": np, "halves": halves, **arrays}), arrays["MATRIX"][:rows, :30]
    program = record(lambda y: follows(matrix @ y, y), [np.zeros(30, dtype)]).program
    for lanes, width in ((1, 8), (8, 8), (32, 32)):
        parts = Layout(program, lanes, width).parts
        assert any(isinstance(part, Multiplied) and part.then is not None for part in parts) == (name in TOGETHER)
    y = np.random.default_rng(3).normal(size=(70, 30)).astype(dtype)
    rtol = 1e-12 if dtype is np.float64 else 2e-4
    compare(program, y, rtol=rtol)
    found = np.empty((1, *program(y)[0].shape), dtype)
    Lanes(program, chain=0, several=True).run(None, [y[None]], [found], 0, 1)
    np.testing.assert_allclose(found[0], program(y)[0], rtol=rtol, atol=rtol)


def test_products_of_matrices_that_are_computed():
    def function(y, a):
        square = np.sin(a)
        return np.concatenate([square @ y, y @ square, square.T @ y, (square[:3] @ y), np.outer(y, y).ravel()])

    rng = np.random.default_rng(0)
    for size in (4, 9, 20):
        program = record(function, [np.zeros(size), np.zeros((size, size))]).program
        compare(program, rng.normal(size=(9, size)), rng.normal(size=(9, size, size)))


def test_long_vectors():
    def function(y):
        inner = y[1:-1] + 0.1 * (y[2:] - 2 * y[1:-1] + y[:-2])
        ring = np.roll(y, 1) + np.roll(y, -1) - 2 * y
        return np.concatenate([0.0 * y[:1], inner, y[-1:]]) + np.tanh(ring) * np.linspace(0, 1, y.size)

    program = record(function, [np.zeros(10_000)]).program
    compare(program, np.random.default_rng(0).normal(size=(9, 10_000)))


def test_places_outside_of_a_table_give_nan():
    table = np.array([1.0, 2.0, 4.0])

    def function(y):
        return table[np.floor(y).astype(int)]

    for size in (1, 3, 40):
        program = record(function, [np.zeros(size)]).program
        values = np.resize([-3.5, -3.0, -1.0, 0.0, 2.9, 3.0, 1e30, -1e30, np.nan, np.inf], (10, size))
        compare(program, values)
        assert np.isnan(Evaluator(program)(values)[0]).any()


@pytest.mark.parametrize("size", [1, 3, 8, 20, 33])
def test_values_and_derivatives_together(size):
    matrix = MATRIX[:size, :size]

    def function(y, x):
        return np.tanh(matrix @ y + x) * y[::-1] + np.where(y > 0, np.sqrt(np.abs(y)), x)

    recording = record(function, [np.zeros(size), np.zeros(size)])
    _, _, values = jacobian(recording.graph, recording.result, recording.arguments[0])
    program = recording.extract(recording.result, values)
    compare(program, *np.random.default_rng(0).normal(size=(2, 9, size)))


def test_results_that_are_arguments_and_constants():
    def function(y, x):
        return np.concatenate([x[::2], np.arange(40.0), y, x[5:], [3.0], np.zeros(20), y[:1] + x])

    program = record(function, [np.zeros(1), np.zeros(50)]).program
    rng = np.random.default_rng(0)
    compare(program, rng.normal(size=(9, 1)), rng.normal(size=(9, 50)))


def test_results_of_other_dtypes():
    for size in (1, 3, 40):
        for function in (lambda y: y > 0, lambda y: np.floor(y).astype(int), lambda y: y.astype(np.float32) * 2):
            program = record(function, [np.zeros(size)]).program
            compare(program, np.random.default_rng(0).normal(size=(9, size)) * 3)


def test_whole_numbers():
    def function(y):
        k = np.floor(y).astype(int)
        parts = [k + 2, k * k, -k, np.abs(k), k // 3, k % 3, k % -4, k // -4, np.maximum(k, 1), np.sign(k), k - 7]
        return np.concatenate([part * 1.0 for part in parts])

    for size in (1, 5, 40):
        program = record(function, [np.zeros(size)]).program
        compare(program, np.random.default_rng(0).normal(size=(40, size)) * 9)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_any_number_of_lanes(count):
    program = record(lambda y: np.stack([y[1], np.exp(-y[0])]), [np.zeros(2)]).program
    compare(program, np.random.default_rng(0).normal(size=(count, 2)))


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_arrays_without_elements(shape):
    program = record(lambda y, x: np.tanh(y) + x, [np.zeros(shape), np.zeros(())]).program
    compare(program, np.zeros((4, *shape)), np.zeros(4))


def test_no_calls():
    program = record(lambda y: np.tanh(y) + 1, [np.zeros(3)]).program
    assert Evaluator(program)(np.zeros((0, 3)))[0].shape == (0, 3)


def test_one_number():
    program = record(lambda y, x: y * x + 1, [np.zeros(()), np.zeros((1, 1))]).program
    compare(program, np.arange(9.0), np.arange(9.0).reshape(9, 1, 1))


def mixed(y):
    truths = np.sin(y[:7]) > 0
    found = np.stack([np.sin(y[:7]), np.cos(y[:7])], axis=-1).ravel()
    return np.where(np.tile(truths, 4), np.tile(found, 2), y)


def shuffled(y):
    one = np.abs(y) + 1
    truths, other = one > 1.5, one * y
    found = np.concatenate([one, other])[np.random.default_rng(1).permutation(2 * y.size)[: y.size]]
    return np.where(truths[::-1], found, y)


@pytest.mark.parametrize("function", [mixed, shuffled])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_numbers_gathered_around_booleans(function, dtype):
    n = 28 if function is mixed else 17
    program = record(function, [np.zeros(n, dtype)]).program
    y = np.random.default_rng(0).uniform(-1, 1, (70, n)).astype(dtype)
    compare(program, y, rtol=1e-12 if dtype is np.float64 else 1e-5)
    lanes, found = Lanes(program, several=True), np.empty((1, 70, n), dtype)  # several vectors beside each other
    lanes.run(y, [], [found], 0, 1)
    np.testing.assert_allclose(found[0], program(y)[0], rtol=1e-5)
