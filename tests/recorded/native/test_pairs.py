"""Complex numbers in drivers: operators, and the linear systems of all diagonals at once, against NumPy."""

import numpy as np
import pytest

from parscan._recorded.native.driver import Fields, Machine, Module
from parscan._recorded.native.elimination import Held, Shape
from parscan._recorded.native.numbers_of_systems import Numbers
from parscan._recorded.native.pairs import Pairs
from parscan._recorded.native.stage_systems import Full, Small, Sparse, stage_systems

WIDTH = 4

OPERATIONS = {
    "sum": (lambda code, x, y, r: x + y, lambda x, y, r: x + y),
    "difference": (lambda code, x, y, r: x - y, lambda x, y, r: x - y),
    "product": (lambda code, x, y, r: x * y, lambda x, y, r: x * y),
    "quotient": (lambda code, x, y, r: x / y, lambda x, y, r: x / y),
    "inverse": (lambda code, x, y, r: 1.0 / x, lambda x, y, r: 1 / x),
    "negative": (lambda code, x, y, r: -x, lambda x, y, r: -x),
    "by a real one": (lambda code, x, y, r: x / r, lambda x, y, r: x / r),
    "real times complex": (lambda code, x, y, r: r * x, lambda x, y, r: r * x),
    "real minus complex": (lambda code, x, y, r: 2.0 - x, lambda x, y, r: 2 - x),
    "all complex": (lambda code, x, y, r: code.fma(x, y, x), lambda x, y, r: x * y + x),
    "complex times real": (lambda code, x, y, r: code.fma(x, r, y), lambda x, y, r: x * r + y),
    "real first": (lambda code, x, y, r: code.fma(r, x, y), lambda x, y, r: x * r + y),
    "plus real": (lambda code, x, y, r: code.fma(x, y, r), lambda x, y, r: x * y + r),
    "real product": (lambda code, x, y, r: code.fma(r, r, y), lambda x, y, r: r * r + y),
    "choice": (lambda code, x, y, r: code.where(r > 0.0, x, y), lambda x, y, r: np.where(r > 0, x, y)),
    "size": (lambda code, x, y, r: code.abs(x) + 0.0 * x, lambda x, y, r: abs(x.real) + abs(x.imag)),
    "elements": (
        lambda code, x, y, r: code.joined([x.element((k + 1) % WIDTH) for k in range(WIDTH)]),
        lambda x, y, r: np.roll(x, -1),
    ),
    "constants": (
        lambda code, x, y, r: x * code.constants([1j, 2.0, -3j, 1 + 1j], np.float64),
        lambda x, y, r: x * [1j, 2, -3j, 1 + 1j],
    ),
    "of the same memory": (lambda code, x, y, r: x + code.pair(r) * code.pair(1j), lambda x, y, r: x + 1j * r),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name):
    written, expected = OPERATIONS[name]
    fields = Fields()
    fields.add("r", np.float64, WIDTH)
    begin = fields.size
    for one in "xyz":
        fields.add(one, np.float64, WIDTH)
    plane = fields.size - begin
    fields.add("imaginary", np.float64, plane // 8)
    module = Module(np.zeros(0), [], fields)
    code = Pairs.beside(module.code, plane)
    x, y, z = (fields.array(code, one, WIDTH) for one in "xyz")
    z[0] = written(code, x[0], y[0], code.reals(fields.array(module.code, "r").pointer, np.float64, WIDTH)[0])
    machine = Machine(module.driver(), [])
    memory = machine.memory()
    views, rng = machine.views(memory), np.random.default_rng(0)
    numbers = rng.normal(size=(3, WIDTH))
    x, y = numbers[:2] + 1j * rng.normal(size=(2, WIDTH))
    views["r"][...] = numbers[2]
    apart = plane // 8 - views["imaginary"].size
    assert apart == 0
    for k, value in enumerate((x, y)):
        views["xy"[k]][...] = value.real
        views["imaginary"][k * (plane // 24) : k * (plane // 24) + WIDTH] = value.imag
    machine.run(memory, 1)
    found = views["z"] + 1j * views["imaginary"][2 * (plane // 24) : 2 * (plane // 24) + WIDTH]
    np.testing.assert_allclose(found, expected(x, y, numbers[2]), rtol=1e-14, atol=1e-15)


DIAGONALS = 8.9, 8.5 + 3.3j, 7.1 + 6.6j, 4.4 + 10.2j


def pattern(kind, n, rng):
    if kind == "full":
        return np.ones((n, n), dtype=bool)
    return np.abs(np.arange(n)[:, None] - np.arange(n)) <= 1


@pytest.mark.parametrize("has_mass", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("kind", "n", "way"),
    [("full", 1, Small), ("full", 3, Small), ("band", 4, Small), ("full", 7, Full), ("full", 21, Full),
     ("band", 8, Sparse), ("band", 120, Sparse)],
)  # fmt: skip
def test_systems(kind, n, way, dtype, has_mass):
    """
    Solutions of `(d I - h J) x = r`, or `(d M + h J) x = r`, for four numbers `d`, one of which is real.

    Rows change places.
    """
    rng, h = np.random.default_rng(n), 0.7
    rows, columns = np.nonzero(pattern(kind, n, rng))
    entries = rng.normal(size=len(rows)).astype(dtype)
    if way is not Sparse and n > 1:
        entries[(rows == columns) & (rows == 0)] = DIAGONALS[0] / h  # a pivot that is zero
    masses = rng.normal(size=len(rows)).astype(dtype)
    masses[rows == n - 1] = 0.0  # an algebraic equation
    masses[(rows == columns) & (rows < n - 1)] += 4
    if has_mass:
        entries[(rows == columns) & (rows == n - 1)] += 4
        entries[(rows == columns) & (rows == 0) & (n > 1)] = -masses[0] * DIAGONALS[0] / h if way is not Sparse else 0.0
    fields, numbers = Fields(), Numbers(DIAGONALS, has_mass=has_mass)
    fields.add("masses", dtype, len(rows))
    fields.add("entries", dtype, len(rows))
    fields.add("factor", dtype, 1)
    begin = fields.size
    fields.add("right", dtype, n, WIDTH)
    fields.add("change", dtype, n, WIDTH)
    systems = stage_systems(Shape(n, WIDTH, 1, np.dtype(dtype)), rows, columns, numbers)
    assert type(systems) is way
    systems.extend(fields)
    numbers.plane = fields.size - begin
    fields.add("imaginary", np.uint8, numbers.plane)
    module = systems.module = Module(np.zeros(0), systems.routines(), fields)
    systems.factorise(module.code.number(h, dtype))
    pairs = numbers.code(module.code)
    systems.solve(*(Held(fields.array(pairs, name, WIDTH), n <= 4) for name in ("right", "change")))
    machine = Machine(module.driver(), [])
    memory = machine.memory()
    views = machine.views(memory)
    views["entries"][...], views["masses"][...] = entries, masses
    right = (rng.normal(size=(n, WIDTH)) + 1j * rng.normal(size=(n, WIDTH))).astype(np.result_type(dtype, 1j))
    second = views["imaginary"].view(dtype)
    views["right"][...], second[: n * WIDTH] = right.real, right.imag.ravel()
    machine.run(memory, 1)
    place = (fields.offset("change") - begin) // np.dtype(dtype).itemsize
    found = views["change"] + 1j * second[place : place + n * WIDTH].reshape(n, WIDTH)
    J, M = np.zeros((n, n)), np.zeros((n, n))
    J[rows, columns], M[rows, columns] = entries, masses
    matrices = [d * M + h * J if has_mass else d * np.eye(n) - h * J for d in DIAGONALS]
    expected = [np.linalg.solve(matrix, right[:, k]) for k, matrix in enumerate(matrices)]
    np.testing.assert_allclose(found.T, expected, rtol=0, atol=2e4 * np.finfo(dtype).eps)
