"""Every row of the table of operations: values as NumPy's bit for bit, and derivatives."""

import itertools
from functools import partial

import numpy as np
import pytest
from scipy import special
from told import told

from parscan._recorded.array import RecordingArray, apply, as_recording
from parscan._recorded.differentiate import cotangents, jacobian
from parscan._recorded.graph import CONSTANT, Graph
from parscan._recorded.operations import OPERATIONS
from parscan._recorded.record import NotRecordedError, record
from parscan._recorded.refusal import Refused

LOGICAL = ("logical_and", "logical_or", "logical_xor", "logical_not")
NUMERIC = [name for name in OPERATIONS if name not in LOGICAL and name != "where"]
INTEGER = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "negative",
    "absolute",
    "power",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "remainder",
    "fmod",
    "floor_divide",
    "sqrt",
    "exp",
    "floor",
    "sign",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "equal",
    "not_equal",
    "isnan",
    "isfinite",
]


def of_numpy(name):
    return getattr(np, name, None) or getattr(special, name)


def special_values(dtype):
    """NaN, zeros, infinities, denormals, the largest numbers, edges of domains, and numbers between."""
    limits = np.finfo(dtype)
    some = [
        0.0,
        limits.smallest_subnormal,
        limits.tiny,
        limits.eps,
        0.3,
        0.5,
        1.0 - limits.epsneg,
        1.0,
        1 + limits.eps,
        1.5,
        2.0,
        3.0,
        np.pi / 2,
        7.25,
        88.0,
        89.0,
        709.0,
        710.0,
        745.0,
        2.0**24 + 1,
        2.0**31,
        limits.max / 2,
        limits.max,
        np.inf,
    ]
    return np.array([*some, *(-np.array(some)), np.nan], dtype=dtype)


def every(name, dtype):
    """All tuples of special values, as arrays."""
    values = special_values(dtype)
    return [np.array(one, dtype) for one in zip(*itertools.product(values, repeat=OPERATIONS[name].arity), strict=True)]


def assert_same_bits(found, expected, zeros=True, ulps=0):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    nan = np.isnan(found)
    np.testing.assert_array_equal(nan, np.isnan(expected))
    if ulps:
        np.testing.assert_array_max_ulp(found[~nan], expected[~nan], ulps)
        return
    np.testing.assert_array_equal(found[~nan], expected[~nan])
    if zeros and found.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(found[~nan]), np.signbit(expected[~nan]))


def evaluated(function, arrays):
    """Values of the recorded function for the arrays as they are, and for one entry of them at a time."""
    program = record(function, arrays).program
    (together,) = program(*(a[None] for a in arrays))
    program = record(function, [a[0] for a in arrays]).program
    (singly,) = program(*arrays)
    return together[0], singly


@pytest.mark.parametrize("name", NUMERIC)
def test_values(name):
    # which zero of two is the larger one is open in NumPy: its vectorised loops and the others disagree
    zeros = name not in ("maximum", "minimum", "fmax", "fmin")
    for dtype in ("float32", "float64"):
        arrays, function = every(name, dtype), of_numpy(name)
        with np.errstate(all="ignore"):
            expected = function(*arrays)
        for found in evaluated(function, arrays):
            with told(dtype):
                assert_same_bits(found, expected, zeros)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_of_where(dtype):
    x, y = (np.array(one, dtype) for one in zip(*itertools.product(special_values(dtype), repeat=2), strict=True))
    condition = np.arange(x.size) % 3 == 0
    for found in evaluated(np.where, [condition, x, y]):
        assert_same_bits(found, np.where(condition, x, y))


@pytest.mark.parametrize("name", LOGICAL)
def test_values_of_logical_operations(name):
    arrays = [
        np.array(one) for one in zip(*itertools.product([True, False], repeat=OPERATIONS[name].arity), strict=True)
    ]
    arrays, function = [np.tile(a, 9) for a in arrays], getattr(np, name)
    for found in evaluated(function, arrays):
        assert_same_bits(found, function(*arrays))


@pytest.mark.parametrize("name", INTEGER)
def test_values_of_integers(name):
    some = [0, 1, 2, 3, 7, 1000] + ([-1, -2, -7] if name != "power" else [])
    for dtype in ("int32", "int64"):
        pairs = itertools.product(some, repeat=OPERATIONS[name].arity)
        arrays, function = [np.array(one, dtype) for one in zip(*pairs, strict=True)], of_numpy(name)
        with np.errstate(all="ignore"):
            expected = function(*arrays)
        for found in evaluated(function, arrays):
            with told(dtype):
                assert_same_bits(found, expected)


BINARY = [name for name, row in OPERATIONS.items() if row.arity == 2 and name not in LOGICAL]


NUMBERS = [0.1, 3, np.float32(0.1), np.float64(0.1), np.int32(3), np.array(0.1)]


@pytest.mark.parametrize("name", BINARY)
def test_numbers_of_python_take_the_dtype_of_the_array(name):
    function = getattr(np, name)
    for dtype, other in itertools.product(("float32", "float64"), NUMBERS):
        x, before, after = (
            np.array([0.3, 1.7, -2.5], dtype),
            partial(function, other),
            lambda x, o=other: function(x, o),
        )
        ulps = 2 if name == "power" and other == 3 else 0  # small whole exponents are products
        for place, recorded in (("before", before), ("after", after)):
            with np.errstate(all="ignore"):
                expected = recorded(x)
            with told(dtype, other, place):
                for found in evaluated(recorded, [x]):
                    assert_same_bits(found, expected, ulps=ulps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("other", [0.1, 3, np.float32(0.1), np.float64(0.1)], ids=repr)
def test_numbers_of_python_in_where_take_the_dtype_of_the_array(dtype, other):
    x = np.array([0.3, -1.7], dtype)
    for function in (lambda x: np.where(x > 0, x, other), lambda x: np.where(x > 0, other, x)):
        for found in evaluated(function, [x]):
            assert_same_bits(found, function(x))


@pytest.mark.parametrize("name", NUMERIC)
def test_constants_are_folded_into_their_values(name):
    for dtype, count in itertools.product(("float32", "float64"), (7, None)):
        graph = Graph()
        arrays = [a[:count] for a in every(name, dtype)]
        found = apply(name, *(as_recording(graph, a) for a in arrays))
        with np.errstate(all="ignore"):
            expected = of_numpy(name)(*arrays)
        with told(dtype, count):
            assert {block.operation for block in graph.blocks} == {CONSTANT}
            assert_same_bits(found.constants, expected, name not in ("maximum", "minimum", "fmax", "fmin"))


@pytest.mark.parametrize("name", ["add", "arctan2", "where"])
def test_numbers_of_more_precision_are_refused(name):
    y = RecordingArray(graph := Graph(), graph.argument(0, (), "d"), "d")
    with pytest.raises(Refused, match="calculates with"):
        apply(name, *[y] * (OPERATIONS[name].arity - 1), np.longdouble(1))


@pytest.mark.parametrize("name", OPERATIONS)
def test_names_are_those_of_the_functions(name):
    row = OPERATIONS[name]
    assert row.name == name
    assert row.arity == getattr(of_numpy(name), "nin", 3)
    assert row.llvm


# Derivatives

INSIDE = {
    "sqrt": [0.3, 2.0],
    "log": [0.3, 2.0],
    "log2": [0.3, 2.0],
    "log10": [0.3, 2.0],
    "log1p": [-0.4, 0.0, 3.0],
    "arcsin": [-0.7, 0.0, 0.4],
    "arccos": [-0.7, 0.0, 0.4],
    "arctanh": [-0.7, 0.0, 0.4],
    "arccosh": [1.2, 3.0],
    "cbrt": [-2.0, 0.4],
    "absolute": [-2.0, 0.4],
}
"""Points inside of the domains of functions of one operand."""

EVERYWHERE = [-2.3, -0.7, 0.4, 1.2, 2.6]

PAIRS = [(1.3, 0.6), (-1.3, 0.6), (0.7, -2.1), (-0.7, -2.1), (2.4, 2.6)]

ANALYTIC = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "negative",
    "sqrt",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "arccosh",
    "arctanh",
    "power",
    "expit",
    "erf",
    "erfc",
]

DIFFERENTIABLE = [name for name, row in OPERATIONS.items() if (row.partials or row.chooses) and name != "where"]


def points(name):
    """Points inside of the domain, as arrays."""
    if OPERATIONS[name].arity == 1:
        return [np.array(INSIDE.get(name, EVERYWHERE))]
    return [
        np.abs(one) if name == "power" and k == 0 else np.array(one) for k, one in enumerate(zip(*PAIRS, strict=True))
    ]


def differences(function, arrays, place):
    """Central differences of sixth order, with an error of 1e-11 or so."""
    h, total = 2e-3, 0.0
    for k, weight in ((1, 45.0), (2, -9.0), (3, 1.0)):
        for side in (k, -k):
            moved = [a + side * h if k == place else a for k, a in enumerate(arrays)]
            total = total + np.sign(side) * weight * function(*moved)
    return total / (60 * h)


def complex_step(function, arrays, place):
    """Derivative of an analytic function, to rounding."""
    moved = [a + 1e-30j if k == place else a for k, a in enumerate(arrays)]
    return function(*moved).imag / 1e-30


def derivatives(function, arrays, place):
    """Those of an elementwise function by forward and by reverse mode, as recorded."""
    recording = record(function, arrays)
    rows, columns, values = jacobian(recording.graph, recording.result, recording.arguments[place])
    assert (rows == columns).all()
    forward = np.zeros(arrays[0].shape, arrays[0].dtype)
    forward[rows] = recording.extract(values)(*(a[None] for a in arrays))[0][0]
    bars = recording.result.filled(1.0)
    found = cotangents(recording.graph, recording.result.ids, bars.ids)(np.ravel(recording.arguments[place].ids))
    reverse = np.zeros_like(forward)
    some = recording.result.with_ids(found[found >= 0])
    reverse[found >= 0] = recording.extract(some)(*(a[None] for a in arrays))[0][0]
    return forward, reverse


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives(name):
    for copies in (1, 5):
        arrays, function = [np.tile(a, copies) for a in points(name)], of_numpy(name)
        for place in range(len(arrays)):
            forward, reverse = derivatives(function, arrays, place)
            with told(copies, place):
                np.testing.assert_array_equal(reverse, forward)
                np.testing.assert_allclose(forward, differences(function, arrays, place), rtol=1e-9, atol=1e-10)
                if name in ANALYTIC and name not in ("expit",):
                    np.testing.assert_allclose(forward, complex_step(function, arrays, place), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives_have_the_dtype_of_the_result(name):
    arrays = [a.astype(np.float32) for a in points(name)]
    for place in range(len(arrays)):
        recording = record(of_numpy(name), arrays)
        values = jacobian(recording.graph, recording.result, recording.arguments[place])[2]
        assert values.dtype == np.float32
        assert recording.extract(values)(*(a[None] for a in arrays))[0].dtype == np.float32


@pytest.mark.parametrize("name", [name for name in NUMERIC if name not in DIFFERENTIABLE])
def test_steps_and_conditions_have_no_derivatives(name):
    recording = record(of_numpy(name), points(name))
    if recording.result.dtype.kind == "f":
        rows, _, _ = jacobian(recording.graph, recording.result, recording.arguments[0])
        assert rows.size == 0
    else:
        with pytest.raises(Refused, match="not real numbers"):
            jacobian(recording.graph, recording.result, recording.arguments[0])


INF, NAN = np.inf, np.nan
EDGES = [
    ("absolute", (0.0,), (0.0,)),
    ("absolute", (-0.0,), (0.0,)),
    ("absolute", (-INF,), (-1.0,)),
    ("sqrt", (0.0,), (INF,)),
    ("sqrt", (-1.0,), (NAN,)),
    ("cbrt", (0.0,), (INF,)),
    ("log", (0.0,), (INF,)),
    ("log", (INF,), (0.0,)),
    ("exp", (-INF,), (0.0,)),
    ("exp", (INF,), (INF,)),
    ("arcsin", (1.0,), (INF,)),
    ("arcsin", (-1.0,), (INF,)),
    ("arccos", (1.0,), (-INF,)),
    ("arccosh", (1.0,), (INF,)),
    ("arctanh", (1.0,), (INF,)),
    ("tanh", (INF,), (0.0,)),
    ("arctan", (INF,), (0.0,)),
    ("expit", (-INF,), (0.0,)),
    ("expit", (INF,), (0.0,)),
    ("erf", (INF,), (0.0,)),
    ("arcsinh", (INF,), (0.0,)),
    ("sin", (NAN,), (NAN,)),
    ("divide", (1.0, 0.0), (INF, -INF)),
    ("divide", (0.0, 2.0), (0.5, -0.0)),
    ("power", (0.0, 2.0), (0.0, 0.0)),
    ("power", (0.0, 1.0), (1.0, 0.0)),
    ("power", (0.0, 0.0), (0.0, 0.0)),
    ("power", (-2.0, 3.0), (12.0, NAN)),
    ("power", (0.0, 0.5), (INF, 0.0)),
    ("power", (-2.0, 0.0), (0.0, NAN)),
    ("arctan2", (0.0, 0.0), (NAN, NAN)),
    ("arctan2", (0.0, -1.0), (-1.0, -0.0)),
    ("hypot", (0.0, 0.0), (NAN, NAN)),
    ("logaddexp", (1.0, -INF), (1.0, 0.0)),
    ("logaddexp", (800.0, -800.0), (1.0, 0.0)),
    ("maximum", (1.0, 1.0), (1.0, 0.0)),
    ("minimum", (1.0, 1.0), (1.0, 0.0)),
    ("maximum", (NAN, 1.0), (1.0, 0.0)),
    ("maximum", (1.0, NAN), (0.0, 1.0)),
    ("minimum", (1.0, NAN), (0.0, 1.0)),
    ("minimum", (NAN, 1.0), (1.0, 0.0)),
    ("fmax", (NAN, 1.0), (0.0, 1.0)),
    ("fmax", (1.0, NAN), (1.0, 0.0)),
    ("fmin", (NAN, 1.0), (0.0, 1.0)),
    ("fmin", (1.0, NAN), (1.0, 0.0)),
    ("fmax", (2.0, 2.0), (1.0, 0.0)),
    ("maximum", (INF, 1.0), (1.0, 0.0)),
    ("copysign", (2.0, -0.0), (-1.0, 0.0)),
    ("copysign", (-2.0, -3.0), (1.0, 0.0)),
    ("copysign", (0.0, -1.0), (-1.0, 0.0)),
    ("remainder", (-1.0, INF), (1.0, 1.0)),
    ("remainder", (1.0, INF), (1.0, 0.0)),
    ("remainder", (-1.0, 3.0), (1.0, 1.0)),
    ("remainder", (1.0, 0.1), (1.0, -9.0)),
    ("fmod", (1.0, 0.1), (1.0, -9.0)),
    ("fmod", (-7.5, 2.0), (1.0, 3.0)),
    ("heaviside", (0.0, 0.5), (0.0, 1.0)),
    ("heaviside", (2.0, 0.5), (0.0, 0.0)),
]
"""At edges: one-sided derivatives where there are any; at ties the first operand is the one that is chosen."""


@pytest.mark.parametrize(("name", "operands", "expected"), EDGES)
def test_derivatives_at_edges(name, operands, expected):
    arrays = [np.array([value]) for value in operands]
    for place, value in enumerate(expected):
        for found in derivatives(of_numpy(name), arrays, place):
            np.testing.assert_array_equal(found, [value])


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_both_modes_agree_everywhere(name):
    arrays = every(name, "float64")
    for place in range(len(arrays)):
        forward, reverse = derivatives(of_numpy(name), arrays, place)
        assert_same_bits(forward, reverse, zeros=False)


@pytest.mark.parametrize("x", [-2.0, 0.0, 0.7])
@pytest.mark.parametrize("p", [-3, -1, 0, 1, 2, 3, 4, 5, 7, 0.5, 1.5, -0.5])
def test_powers_with_constant_exponents(p, x):
    with np.errstate(all="ignore"):
        expected = 0.0 if p == 0 else p * np.float64(x) ** (p - 1)
    for found in derivatives(lambda y: y**p, [np.array([x])], 0):
        if x == 0 and p in (-3, -2):
            continue  # 1 / (y y y): NaN at the pole
        np.testing.assert_allclose(found, [expected], rtol=1e-15)


def _twice(y, root):
    return np.where(y > 0, root, -root) * np.where(y > 0, root, 0.0) + y


CHOICES = {
    "where": (lambda y: np.where(y > 0, np.sqrt(y), 0.0), 0.0),
    "otherwise": (lambda y: np.where(y <= 0, 0.0, np.log(y)), 0.0),
    "maximum": (lambda y: np.maximum(np.sqrt(np.where(y > 0, y, 0.0)), 1.0), 0.0),
    "fmax": (lambda y: np.fmax(np.sqrt(y), 0.0), 0.0),
    "fmin": (lambda y: np.fmin(np.log(y), 3.0), 0.0),
    "nested": (lambda y: np.exp(np.where(y > 0, np.log(np.sqrt(y)), 2.0)) + 3 * y, 3.0),
    "scaled": (lambda y: 2 * y * np.where(y > 0, 1 / np.sqrt(y), 1.0), 2.0),
    "clipped": (lambda y: np.sqrt(np.clip(y, 1.0, None)), 0.0),
    "shared": (lambda y: _twice(y, np.sqrt(y)), np.nan),
    "in a chain": (lambda y: np.where(y > 0, np.sin(np.arctan(np.sqrt(y) * 2.0) / 3.0), y), 1.0),
}
"""Functions that choose, and their derivative at -1: what is not chosen has none there."""


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("count", [1, 20])
def test_what_is_not_chosen_does_not_matter(name, count):
    function, expected = CHOICES[name]
    for found in derivatives(function, [np.full(count, -1.0)], 0):
        np.testing.assert_array_equal(found, np.full(count, expected))
    y = np.full(count, 2.5)
    for found in derivatives(function, [y], 0):
        np.testing.assert_allclose(found, differences(function, [y], 0), rtol=1e-9, atol=1e-10)


WHOLE = {
    "logical of numbers": lambda y: np.logical_and(y, y[::-1]),
    "logical of both": lambda y: np.logical_xor(y > 0, y),
    "not a number": np.logical_not,
    "and": lambda y: (y > 0) & (y < 1),
    "and of Python": lambda y: (y > 0) & True,
    "sums of truths": lambda y: (y > 0) + (y < 1),
    "products of truths": lambda y: (y > 0) * (y < 1),
    "one minus": lambda y: 1 - (y > 0),
    "masks": lambda y: (y > 0) * np.where(np.isnan(y), 0.0, y),
    "sum": lambda y: np.sum(y > 0),
    "mean": lambda y: np.mean(y > 0),
    "product": lambda y: np.prod(y > -9),
    "cumulated": lambda y: np.cumsum(y > 0),
    "any": np.any,
    "all": lambda y: np.all(y > -9),
    "largest": lambda y: np.maximum(y > 0, y < 1),
    "squares": lambda y: np.square(y > 0),
    "absolute": lambda y: np.abs(y > 0),
    "halves": lambda y: ((y > 0) * 3) / 2,
    "whole halves": lambda y: ((y > 0) * 3) // 2,
    "powers": lambda y: ((y > 0) * 2.0) ** 3,
    "float powers": lambda y: np.float_power(y.astype(np.float32), 2),
    "fabs": lambda y: np.fabs((y > 0) * -3),
    "wrapping around": lambda y: np.where(y > 0, 100, 50).astype(np.int8) * np.int8(2),
    "clip": lambda y: np.clip((y > 0) * 3, 0, 1.5),
    "equal": lambda y: (y > 0) == True,  # noqa: E712 - as users write it
    "small sums": lambda y: np.sum(np.where(y > 0, 100, 50).astype(np.int8)),
}


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("name", WHOLE)
def test_truths_and_whole_numbers(name, count):
    y = np.array([0.5, -1.0, np.nan, 0.0] * count)
    expected = np.asarray(WHOLE[name](y))
    (found,) = record(WHOLE[name], [y]).program(y[None])
    assert found[0].dtype == expected.dtype
    np.testing.assert_array_equal(found[0], expected)


@pytest.mark.parametrize(
    "function",
    [
        lambda y: (y > 0) & 1,
        lambda y: 2 | (y > 0),
        lambda y: ((y > 0) * 3) & 2,
        lambda y: ~((y > 0) * 3),
        lambda y: np.bitwise_and((y > 0) * 3, 2),
        lambda y: np.bitwise_and.reduce((y > 0) * 3),
        lambda y: -(y > 0),
    ],
)
def test_bits_of_whole_numbers_are_refused(function):
    with pytest.raises(NotRecordedError, match="bits|not supported"):
        record(function, [np.zeros(3)])


def test_derivatives_of_inverses_divide_no_more():
    """Also at zeros and infinities, as the quotient would have it."""
    y = np.array([3.0, -0.7, 0.0, -0.0, np.inf, -np.inf, 1e-200, 1e200])
    for found in derivatives(lambda y: 1 / y, [y], 0):
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(found, -1 / y / y, rtol=1e-15)
    for numerator, count in ((1.0, 1), (2.0, 2)):
        recording = record(lambda y, a=numerator: a / y, [y])
        values = jacobian(recording.graph, recording.result, recording.arguments[0])[2]
        blocks = recording.extract(values).blocks
        assert sum(block.count for block in blocks if block.operation == "divide") == count * y.size
