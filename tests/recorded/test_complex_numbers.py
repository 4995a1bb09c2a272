"""Complex numbers in recorded functions: every operation gives what NumPy gives, in Python and as machine code."""

import cmath
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parscan import trace
from parscan._recorded.array import RecordingArray
from parscan._recorded.complex_functions import CMATH
from parscan._recorded.complex_numbers import CHOICES, COMPLEX_RESULTS, REAL_RESULTS, parts
from parscan._recorded.graph import FEW, Graph
from parscan._recorded.limits import limits
from parscan._recorded.native.evaluate import evaluate
from parscan._recorded.operations import OPERATIONS
from parscan._recorded.pairs import as_pairs, from_pairs
from parscan._recorded.record import NotRecordedError, record

FINITE = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-9, 3.0]
SPECIAL = [0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan]
NAMES = sorted({*COMPLEX_RESULTS, *REAL_RESULTS, *CHOICES} - {"where"})

OTHERS = {
    "square": np.square,
    "reciprocal": np.reciprocal,
    "conj": np.conj,
    "angle": np.angle,
    "z ** 2": lambda z: z**2,
    "z ** 3": lambda z: z**3,
    "z ** 7": lambda z: z**7,
    "z ** -1": lambda z: z**-1,
    "z ** -2": lambda z: z**-2,
    "z ** 0": lambda z: z**0,
    "z ** 0.5": lambda z: z**0.5,
    "z ** 1.7": lambda z: z**1.7,
    "z ** (1+2j)": lambda z: z ** (1 + 2j),
    "2 ** z": lambda z: 2.0**z,
    "power(z, -1)": lambda z: np.power(z, -1),
    "-1.5 * z": lambda z: -1.5 * z,
    "z / -1.5": lambda z: z / -1.5,
    "1 / z": lambda z: 1 / z,
    "z + 0": lambda z: z + 0,
    "0 - z": lambda z: 0 - z,
    "z * 1j": lambda z: z * 1j,
    "sqrt(-1.0 * z.real + 0j)": lambda z: np.sqrt(-1.0 * (z.real + 0j)),
    "exp(1j * z.real)": lambda z: np.exp(1j * z.real),
    "real": np.real,
    "imag": np.imag,
}
"""Functions of one operand that are no operations of the table."""

SIGNS_OF_ZEROS = ("power", "sign", "z ** 3", "z ** 7", "2 ** z", "power(z, -1)")
"""Where zeros may have other signs than in NumPy."""


def pairs_of(values):
    return np.array([complex(a, b) for a in values for b in values])


def recorded_values(function, *arguments):
    recording = record(function, arguments)
    found = recording.program(*(as_pairs(one[None]) for one in arguments))[0][0]
    return from_pairs(found, recording.dtype)


def operation(name):
    if name in OTHERS:
        return OTHERS[name], 1
    ufunc = getattr(np, name)
    return ufunc, ufunc.nin


def arguments(values, arity):
    numbers = pairs_of(values)
    return (numbers,) if arity == 1 else (np.repeat(numbers, len(numbers)), np.tile(numbers, len(numbers)))


def equal_parts(one, other):
    return (one == other) | (np.isnan(one) & np.isnan(other))


def agree(found, wanted, rtol=2e-14):
    """Whether numbers are equal to rounding, relative to the size of the complex number."""
    if wanted.dtype == bool:
        return found == wanted
    with np.errstate(all="ignore"):
        is_near = np.abs(found - wanted) <= rtol * np.abs(wanted)
    return is_near | (equal_parts(found.real, wanted.real) & equal_parts(found.imag, wanted.imag))


def signs(numbers):
    return np.signbit(np.where(numbers.real == 0, numbers.real, 1)), np.signbit(
        np.where(numbers.imag == 0, numbers.imag, 1)
    )


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_finite_numbers(name):
    function, arity = operation(name)
    given = arguments(FINITE, arity)
    found, wanted = recorded_values(function, *given), function(*given)
    assert found.dtype == wanted.dtype
    assert agree(found, wanted).all()
    if name not in SIGNS_OF_ZEROS:
        for one, other in zip(signs(found), signs(wanted), strict=True):
            assert (one == other).all()


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_random_numbers(name):
    function, arity = operation(name)
    rng = np.random.default_rng(1)
    size = 10.0 ** rng.uniform(-2, 1.3, 300)
    numbers = size * np.exp(2j * np.pi * rng.uniform(size=300))
    given = (numbers, numbers[::-1].copy() / 10)[:arity]
    found, wanted = recorded_values(function, *given), function(*given)
    assert agree(found, wanted, 3e-14 if name != "power" else 1e-12).all()


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_infinities_and_nan_give_the_same_or_nan(name):
    function, arity = operation(name)
    given = arguments(SPECIAL, arity)
    found, wanted = recorded_values(function, *given), function(*given)
    assert (agree(found, wanted) | np.isnan(found)).all()


@pytest.mark.few(20)
@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_machine_code_agrees(name):
    function, arity = operation(name)
    rng = np.random.default_rng(2)
    given = [rng.normal(size=(5, 7)) + 1j * rng.normal(size=(5, 7)) for _ in range(arity)]
    recording = record(function, [one[0] for one in given])
    found = evaluate(recording.program, *map(as_pairs, given))[0]
    wanted = function(*given)
    assert agree(from_pairs(found, recording.dtype), wanted, 1e-12 if name == "power" else 1e-13).all()


CMATH_ROWS = {
    "log": ["cmath.log(z)", "cmath.log(z, 2.0)", "cmath.log(2 + z, z)"],
    "polar": ["cmath.polar(z)[0] + cmath.polar(z)[1]"],
    "rect": ["cmath.rect(abs(z), 0.3)", "cmath.rect(float(z.real), z.imag)"],
    "sqrt": ["cmath.sqrt(z)", "cmath.sqrt(-z.real * z.real)", "cmath.exp(2j * cmath.pi * z.real) / cmath.sqrt(2)"],
}


@pytest.mark.parametrize("text", [row for name in CMATH for row in CMATH_ROWS.get(name, [f"cmath.{name}(z)"])])
def test_functions_of_cmath(text):
    function = eval(f"lambda z: np.array([{text}])", {"cmath": cmath, "np": np})

    def each(y):
        return function(y[0])

    for z in (1.2 - 0.7j, -0.3 + 2j, -1.5 + 0j):
        found = recorded_values(each, np.array([z]))
        wanted = each(np.array([z]))
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-14)


def test_functions_of_cmath_that_raise_give_nan():
    found = recorded_values(lambda y: np.array([cmath.log(v) for v in y]), np.array([1.0, 0j]))
    assert np.isnan(found).all()
    with pytest.raises(NotRecordedError, match="calls `cmath.acos`"):
        record(lambda y: cmath.acos(y[0]), [np.zeros(1, complex)])
    assert recorded_values(lambda y: y * cmath.acos(0.5), np.ones(1, complex))[0] == cmath.acos(0.5)


def test_numbers_of_python_raise_where_python_does():
    z = np.array([1 + 1j, 0j])
    assert np.isnan(recorded_values(lambda y: np.array([1 / complex(v) for v in y]), z)).all()
    assert np.isfinite(recorded_values(lambda y: np.array([1 / complex(y[0]), 2]), z)).all()


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_sizes_neither_overflow_nor_vanish_by_machine_code(dtype):
    limits_of = np.finfo(dtype)
    rng = np.random.default_rng(3)
    exponents = rng.uniform(np.log10(limits_of.tiny) - 5, np.log10(limits_of.max) - 1, (4000, 1))
    numbers = (rng.normal(size=(4000, 2)) * 10.0**exponents * 10.0 ** rng.uniform(-9, 0, (4000, 2))).view(complex)
    z = np.concatenate([numbers, pairs_of(SPECIAL)[:, None]]).astype(dtype)
    found = evaluate(record(np.abs, [z[0]]).program, as_pairs(z))[0]
    wanted = np.abs(z)
    assert (equal_parts(found, wanted) | (np.abs(found - wanted) <= 2 * np.spacing(wanted))).all()


def test_single_precision_stays():
    z = np.array([1 + 2j, -0.5j], np.complex64)
    found = recorded_values(lambda z: np.exp(1j * z) / (2 * z + 1), z)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, np.exp(1j * z) / (2 * z + 1), rtol=1e-6)


def test_operations_that_are_not_recorded_are_named():
    with pytest.raises(NotRecordedError, match="calls `arcsin` on complex numbers"):
        record(np.arcsin, [np.zeros(1, complex)])
    missing = [name for name, row in OPERATIONS.items() if _takes_complex(row.value) and name not in NAMES]
    assert missing == [
        "arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "logical_and", "logical_or", "logical_xor",
    ]  # fmt: skip


def _takes_complex(value):
    if not isinstance(value, np.ufunc):
        return False
    try:
        value.resolve_dtypes((*[np.dtype(complex)] * value.nin, None))
    except TypeError:
        return False
    return True


def test_the_exponential_of_imaginary_numbers_costs_no_real_one():
    assert "exp" not in trace(lambda t: np.exp(2j * t), np.zeros(1)).operations
    assert "exp" in trace(np.exp, np.zeros(1, complex)).operations


def test_products_with_zero_are_zero_within_limits():
    graph = Graph()
    x = RecordingArray(graph, graph.argument(0, (3,), float), float)
    assert limits(graph, (x * 0.0 - 0.0).ids) == (0.0, 0.0)
    assert limits(graph, (np.clip(x, -2.0, 3.0) * np.clip(x, 1.0, 4.0)).ids) == (-8.0, 12.0)
    assert limits(graph, (-np.clip(x, -2.0, 3.0)).ids) == (-3.0, 2.0)
    assert limits(graph, (x * x).ids) == (-np.inf, np.inf)


@pytest.mark.parametrize("size", [1, FEW, FEW + 1])
def test_equal_pairs_are_one_node(size):
    graph = Graph()
    real = RecordingArray(graph, graph.argument(0, (size, 2), float), float)
    z = real.view(complex)
    nodes = graph.size
    assert np.array_equal(z.ids, real.view(complex).ids)
    assert graph.size == nodes
    for part, own in zip(parts(z), (0, 1), strict=True):
        assert np.array_equal(part.ids[:, 0], real.ids[:, own])


def test_constants_are_found_again():
    values = np.array([[1 + 2j, complex(-0.0, np.inf)], [complex(np.nan, -0.0), 0]])
    for array in (values, np.tile(values, (1, 9)), values[0, 0]):
        graph = Graph()
        found = RecordingArray(graph, graph.constants(array, complex), complex).constants
        assert found.dtype == complex
        assert found.tobytes() == np.ascontiguousarray(array).tobytes()


def written(z):
    found = np.zeros(z.shape, dtype=complex)
    found[::2] = z[::2] * 1j
    found[0] += z[-1].conj()
    found.real = np.where(found.real > 0, found.real, 0.5)
    return found


ONE = {
    "exp": lambda v: np.exp(0.3j * v),
    "phase": lambda v: v * np.exp(1j * np.abs(v)),
    "conj": np.conj,
    "swap": lambda v: v.imag + 1j * v.real,
    "sqrt": lambda v: np.sqrt(v + 3),
    "log": lambda v: np.log(v + 3),
    "inverse": lambda v: 1 / (v + 3j),
    "real": lambda v: v.real * v,
    "square": lambda v: v**2 / 4,
    "sin": lambda v: np.sin(v / 4),
    "tanh": lambda v: np.tanh(v / 4),
    "roll": lambda v: np.roll(v, 1),
    "sum": lambda v: v + np.sum(v) / v.size,
    "matrix": lambda v: MATRIX[: v.size, : v.size] @ v,
    "write": written,
    "angle": lambda v: np.angle(v + 3) * v,
}
TWO = {
    "add": np.add,
    "multiply": lambda v, w: v * w / 4,
    "divide": lambda v, w: v / (w + 4j),
    "where": lambda v, w: np.where(v.real > w.imag, v, 2j * w),
    "vdot": lambda v, w: v + np.vdot(v, w) / v.size,
    "stack": lambda v, w: np.sum(np.stack([v, w]), axis=0),
    "promoted": lambda v, w: v * w.real + 1j,
}
MATRIX = (np.random.default_rng(5).standard_normal((20, 20)) + 1j) / 20


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.sampled_from([*ONE, *TWO]), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=6),
    st.sampled_from([1, 3, 17]),
    st.booleans(),
)
def test_random_programs(lines, size, real):
    rng = np.random.default_rng(7)
    x = rng.uniform(-2, 2, (3, size))
    y = x + 1j * rng.uniform(-2, 2, (3, size))

    def function(y, x):
        found = [y, x]
        for name, first, second in lines:
            v, w = found[-1 - first % 3 % len(found)], found[second % len(found)]
            found.append(TWO[name](v, w) if name in TWO else ONE[name](v + 0j))
        return found[-1].real if real else found[-1] + found[-2]

    recording = record(function, [y[0], x[0]])
    wanted = np.stack([function(one, other) for one, other in zip(y, x, strict=True)])
    for run in (recording.program, lambda *given: evaluate(recording.program, *given)):
        found = from_pairs(run(as_pairs(y), x)[0], recording.dtype)
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-11 * max(1, np.abs(wanted).max()))
