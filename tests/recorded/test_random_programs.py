"""Random functions of NumPy: recorded they are the functions, and their derivatives are those of the functions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_programs import ANY, MATRIX, SIZES, SMOOTHLY, arguments

from parscan._recorded.array import as_recording
from parscan._recorded.differentiate import cotangents, jacobian
from parscan._recorded.graph import Graph
from parscan._recorded.record import record
from parscan._recorded.structure import is_affine


def dense(recording, given, argument=0):
    """The Jacobian by forward mode, and its pattern."""
    rows, columns, values = jacobian(recording.graph, recording.result, recording.arguments[argument])
    found = np.zeros((recording.result.size, recording.arguments[argument].size))
    pattern = np.zeros(found.shape, dtype=bool)
    found[rows, columns] = recording.extract(values)(*(a[None] for a in given))[0][0]
    pattern[rows, columns] = True
    return found, pattern


def by_reverse_mode(recording, given, argument=0):
    found = np.zeros((recording.result.size, recording.arguments[argument].size))
    inputs = np.ravel(recording.arguments[argument].ids)
    for row in range(recording.result.size):
        seed = recording.result.cast(np.eye(recording.result.size)[row])
        nodes = cotangents(recording.graph, recording.result.ids, seed.ids)(inputs)
        some = recording.result.with_ids(nodes[nodes >= 0])
        found[row, nodes >= 0] = recording.extract(some)(*(a[None] for a in given))[0][0]
    return found


def complex_steps(function, given, argument=0):
    columns = []
    for k in range(given[argument].size):
        moved = [a.astype(complex) for a in given]
        moved[argument][k] += 1e-30j
        columns.append(function(*moved).imag / 1e-30)
    return np.stack(columns, axis=-1)


def differences(function, given, argument=0):
    columns = []
    for k in range(given[argument].size):
        total = 0.0
        for h in (1e-6, -1e-6):
            moved = [a.copy() for a in given]
            moved[argument][k] += h
            total = total + function(*moved) / (2 * h)
        columns.append(total)
    return np.stack(columns, axis=-1)


@given(ANY, SIZES, st.integers(0, 9), st.sampled_from(["float32", "float64"]))
def test_recorded_they_are_the_functions(function, size, seed, dtype):
    given_ = arguments(size, seed).astype(dtype)
    with np.errstate(all="ignore"):
        expected = function(*given_)
    program = record(function, list(given_)).program
    (found,) = program(*(a[None] for a in given_))
    assert found[0].dtype == expected.dtype
    assert found[0].shape == expected.shape
    accuracy = 1e-12 if dtype == "float64" else 1e-3
    np.testing.assert_allclose(found[0], expected, rtol=accuracy, atol=accuracy)
    several = np.random.default_rng(1).uniform(-1, 1, (2, 3, size)).astype(dtype)
    (found,) = program(*several)
    with np.errstate(all="ignore"):
        expected = np.stack([function(*one) for one in np.moveaxis(several, 1, 0)])
    np.testing.assert_allclose(found, expected, rtol=accuracy, atol=accuracy)


@given(SMOOTHLY, SIZES, st.integers(0, 9), st.integers(0, 1))
def test_derivatives_are_those_by_complex_steps(function, size, seed, argument):
    given_ = arguments(size, seed)
    recording = record(function, list(given_))
    found, pattern = dense(recording, given_, argument)
    expected = complex_steps(function, given_, argument)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10 * (1 + np.abs(expected).max()))
    assert pattern[expected != 0].all()
    if size <= 5:
        reverse = by_reverse_mode(recording, given_, argument)
        np.testing.assert_allclose(reverse, expected, rtol=1e-9, atol=1e-10 * (1 + np.abs(expected).max()))


@given(ANY, SIZES, st.integers(0, 9))
def test_derivatives_of_choices_are_those_by_differences(function, size, seed):
    given_ = arguments(size, seed)
    recording = record(function, list(given_))
    found, pattern = dense(recording, given_)
    with np.errstate(all="ignore"):
        expected = differences(function, given_)
    if np.isfinite(expected).all():
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * (1 + np.abs(expected).max()))
    if size <= 5:
        reverse = by_reverse_mode(recording, given_)
        np.testing.assert_allclose(reverse, found, rtol=1e-9, atol=1e-10)
        assert pattern[reverse != 0].all()


@given(SMOOTHLY, st.integers(1, 4), st.integers(0, 9))
def test_second_derivatives(function, size, seed):
    given_ = arguments(size, seed)
    recording = record(function, list(given_))
    rows, columns, first = jacobian(recording.graph, recording.result, recording.arguments[0])
    if not first.size:
        return
    rows2, columns2, second = jacobian(recording.graph, first, recording.arguments[0])
    found = np.zeros((first.size, size))
    found[rows2, columns2] = recording.extract(second)(*(a[None] for a in given_))[0][0]

    def entries(y, x):
        return complex_steps_of_entries(function, y, x)[rows, columns]

    expected = differences(entries, given_)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * (1 + np.abs(expected).max()))
    # and the product of a vector with the Jacobian, differentiated forwards
    bars = recording.result.cast(np.linspace(1, 2, recording.result.size))
    nodes = cotangents(recording.graph, recording.result.ids, bars.ids)(np.ravel(recording.arguments[0].ids))
    some = recording.result.with_ids(nodes[nodes >= 0])
    rows3, columns3, third = jacobian(recording.graph, some, recording.arguments[0])
    hessian = np.zeros((some.size, size))
    hessian[rows3, columns3] = recording.extract(third)(*(a[None] for a in given_))[0][0]
    whole = np.zeros((recording.result.size, size, size))
    whole[rows, columns] = found
    contracted = np.einsum("i,ijk->jk", np.linspace(1, 2, recording.result.size), whole)[nodes >= 0]
    np.testing.assert_allclose(hessian, contracted, rtol=1e-9, atol=1e-9 * (1 + np.abs(contracted).max()))


def complex_steps_of_entries(function, y, x):
    return complex_steps(function, [y, x])


@given(ANY, SIZES)
def test_affine_functions_have_constant_derivatives(function, size):
    recording = record(function, list(arguments(size, 0)))
    if is_affine(recording.program, 0):
        one, _ = dense(recording, arguments(size, 1))
        other = dense(recording, [arguments(size, 2)[0], arguments(size, 1)[1]])[0]
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def assert_same_programs(one, other):
    assert len(one.blocks) == len(other.blocks)
    for a, b in zip(one.blocks, other.blocks, strict=True):
        assert (a.operation, a.first, a.count, a.dtype) == (b.operation, b.first, b.count, b.dtype)
        assert len(a.operands) == len(b.operands)
        for left, right in zip(a.operands, b.operands, strict=True):
            np.testing.assert_array_equal(left, right)
        if a.operation == "constant":
            assert a.data.tobytes() == b.data.tobytes()
    for left, right in zip(one.results, other.results, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.slow
@given(ANY, SIZES)
def test_twice_recorded_they_are_the_same(function, size):
    given_ = list(arguments(size, 0))
    assert_same_programs(record(function, given_).program, record(function, given_).program)


@pytest.mark.slow
@given(SMOOTHLY, ANY, SIZES)
def test_what_is_not_needed_is_not_in_the_program(function, other, size):
    given_ = list(arguments(size, 0))
    program = record(lambda y, x: (other(x, y), function(y, x), other(y, y))[1], given_).program
    needed = record(function, given_).program
    assert program.operations == needed.operations
    assert program.size <= needed.size + size * 2
    (found,), (expected,) = (p(*(a[None] for a in given_)) for p in (program, needed))
    np.testing.assert_array_equal(found, expected)


@given(SMOOTHLY, SIZES)
def test_what_is_constant_is_folded(function, size):
    """Of constants nothing is left to compute, and the values are those of NumPy."""
    y, x = arguments(size, 0)
    graph = Graph()
    found = as_recording(graph, function(as_recording(graph, y), as_recording(graph, x)))
    np.testing.assert_allclose(found.constants, function(y, x), rtol=1e-12, atol=1e-12)


# Nodes that are equal, and nodes that only look so


def test_constants_are_equal_by_dtype_and_bits():
    graph = Graph()
    nodes = [
        as_recording(graph, value).ids
        for value in (0.0, -0.0, 1.0, True, 1, np.float32(1.0), np.int32(1), np.nan, np.inf, -np.inf, False, 0)
    ]
    assert len(set(nodes)) == len(nodes)
    again = [
        as_recording(graph, value).ids for value in (0.0, -0.0, 1.0, True, 1, np.float32(1.0), np.int32(1), np.nan)
    ]
    assert again == nodes[:8]


@pytest.mark.parametrize("count", [1, 20])
def test_signs_of_zeros_are_kept(count):
    y = np.array([0.0, -0.0, 1.0, -1.0] * count)
    for function in (
        lambda y: y + 0.0,
        lambda y: y - 0.0,
        lambda y: y + -0.0,
        lambda y: y - -0.0,
        lambda y: 0.0 - y,
        lambda y: -y,
        lambda y: y * 0.0,
        lambda y: y * -0.0,
        lambda y: y * 1.0,
        lambda y: y / 1.0,
        lambda y: y / -1.0,
        lambda y: y * -1,
        lambda y: np.copysign(1.0, y * 0.0) + np.copysign(1.0, y * -0.0),
        lambda y: y**1,
        lambda y: y**3,
        lambda y: y**0,
        lambda y: 1 / (y * 0.0),
        lambda y: np.where(y > 0, -0.0, 0.0),
        lambda y: np.sqrt(y * 0 - 0.0),
        lambda y: y * True,
    ):
        with np.errstate(all="ignore"):
            expected = function(y)
        (found,) = record(function, [y]).program(y[None])
        np.testing.assert_array_equal(found[0], expected)
        np.testing.assert_array_equal(np.signbit(found[0]), np.signbit(expected))


@pytest.mark.parametrize("count", [1, 20])
def test_products_with_zero_keep_what_is_not_a_number(count):
    y = np.array([np.nan, np.inf, -np.inf, 2.0] * count)
    zeros = np.zeros((y.size, y.size))
    for function in (lambda y: 0 * y, lambda y: zeros @ y, lambda y: zeros[:2] @ y, lambda y: y - y, lambda y: y / y):
        with np.errstate(all="ignore"):
            expected = function(y)
        (found,) = record(function, [y]).program(y[None])
        np.testing.assert_array_equal(found[0], expected)


def test_equal_operations_are_one_node():
    program = record(lambda y: np.sin(y[0]) * np.sin(y[0]) + np.sin(y[0]), [np.zeros(2)]).program
    assert program.operations == 3
    program = record(lambda y: np.sin(y) + np.sin(y), [np.zeros(30)]).program
    assert program.operations == 60


def test_a_jacobian_needs_only_what_leads_to_the_result():
    recording = record(lambda y, x: y * x, [np.zeros(2), np.zeros(2)])
    sizes = []
    for argument in (0, 1, 0):
        jacobian(recording.graph, recording.result, recording.arguments[argument])
        sizes.append(recording.graph.size)
    assert sizes[-1] == sizes[-2]


@pytest.mark.parametrize("size", [3, 30])
def test_a_product_that_is_not_chosen(size):
    def function(y):
        return np.where(y > 0, MATRIX[:size, :size] @ np.sqrt(y), 2 * y)

    y = -np.ones(size)
    recording = record(function, [y])
    np.testing.assert_array_equal(dense(recording, [y])[0], 2 * np.eye(size))
    np.testing.assert_array_equal(by_reverse_mode(recording, [y]), 2 * np.eye(size))
    given_ = [np.linspace(0.5, 2, size)]
    expected = differences(function, given_)
    np.testing.assert_allclose(dense(recording, given_)[0], expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(by_reverse_mode(recording, given_), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("size", [3, 33])
def test_a_node_that_occurs_often(size):
    """The cotangent of a number that multiplies a long array is a sum of as many terms: by pairs, not one by one."""
    recording = record(lambda y, k: np.sin(y * k[0]), [np.zeros(size), np.zeros(1)])
    before = len(recording.graph.blocks)
    given_ = [np.linspace(0, 1, size), np.array([1.3])]
    expected = given_[0] * np.cos(given_[0] * 1.3)
    bars = recording.result.filled(1.0)
    nodes = cotangents(recording.graph, recording.result.ids, bars.ids)(np.ravel(recording.arguments[1].ids))
    (found,) = recording.extract(recording.result.with_ids(nodes))(*(a[None] for a in given_))
    np.testing.assert_allclose(found[0], [expected.sum()], rtol=1e-14)
    assert len(recording.graph.blocks) - before < 60


@pytest.mark.parametrize(
    ("function", "operations"),
    [
        (lambda y: y**5, 3),
        (lambda y: y**2.5, 2),
        (lambda y: 1.0 * y / 1.0 - 0.0, 0),
        (lambda y: np.where(True, y, 2.0) + 1, 0),
        (lambda y: 3.0 * y, 0),
        (lambda y: y * y, 1),
        (lambda y: MATRIX @ y, 0),
        (lambda y: np.sin(y) + y, 2),
        (lambda y: y - np.roll(y, 1), 0),
    ],
)
def test_derivatives_of_long_arrays_have_few_operations(function, operations):
    recording = record(function, [np.zeros(40)])
    _, _, values = jacobian(recording.graph, recording.result, recording.arguments[0])
    program = recording.extract(values)
    assert sum(b.operation not in ("input", "constant") and b.count > 1 for b in program.blocks) == operations


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3,), ()])
def test_no_elements_and_no_calls(shape):
    y = np.linspace(0.5, 2, int(np.prod(shape))).reshape(shape)
    for function in (lambda y: y * 2, np.sum, lambda y: y + np.sum(np.ravel(y)[:0])):
        program = record(function, [y]).program
        np.testing.assert_array_equal(program(y[None])[0][0], function(y))
        assert program(y[None][:0])[0].shape == (0, *np.shape(function(y)))


@pytest.mark.slow
@given(SMOOTHLY, SIZES, st.integers(0, 9), st.booleans())
def test_derivatives_in_single_precision(function, size, seed, mixed):
    """They are of the result's dtype, and near those in double precision."""
    y, x = arguments(size, seed)
    given_ = [y.astype(np.float32), x if mixed else x.astype(np.float32)]
    recording = record(function, given_)
    assert recording.result.dtype == (np.float64 if function(*given_).dtype == np.float64 else np.float32)
    found, pattern = dense(recording, given_)
    expected, same = dense(record(function, [y, x]), [y, x])
    np.testing.assert_array_equal(pattern, same)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * (1 + np.abs(expected).max()))


def test_whole_numbers_have_no_derivatives():
    recording = record(lambda y, k: y * k + 2 * k, [np.zeros(3), np.zeros(3, dtype=int)])
    assert jacobian(recording.graph, recording.result, recording.arguments[1])[0].size == 0
    assert jacobian(recording.graph, recording.result, recording.arguments[0])[0].size == 3
