"""Memory of recording arrays: what is written to a view is in the array, and nowhere else."""

import sys
from functools import partial

import numpy as np
import pytest

from parscan._recorded.array import QUICK
from parscan._recorded.functions import SIMPLE
from parscan._recorded.record import NotRecordedError, record

SHAPES = [(1,), (1, 1), (2,), (1, 4), (2, 2), (3, 1, 2), (20,)]
"""Arrays of one element, of a few, and of many are recorded differently."""


def writes_to_a_view(y):
    z = y + 1.0
    view = z[...]
    view *= y
    return z - y


def writes_to_a_part(y):
    z = 2.0 * y
    z[..., 0] = y[..., 0] - 0.5
    z[..., :1] += 1.0
    return z + y


def writes_to_the_transpose(y):
    z = -y
    transposed = z.T
    transposed[...] = transposed + 1.0
    return z


def writes_to_a_reshaped_array(y):
    z = y * y
    z.reshape(-1)[0] = 5.0
    return z * y


def writes_to_rows(y):
    z = np.sin(y)[None]
    for row in z:
        row[...] = row + 1.0
    return z[0] + y


def writes_to_entries_in_a_row(y):
    z = y - 0.5
    z.flat[-1] = y.flat[0]
    return z


def has_two_names(y):
    z = y / 2.0
    other = z
    other += y
    return z * other


def changes_a_copy(y):
    z = y + 1.0
    copies = [z.copy(), np.array(z), +z, z.astype(float)]
    copies[0] -= y
    for copy in copies:
        copy[...] = 0.0
    return z


def computes_the_same_twice(y):
    one, other = y + 1.0, y + 1.0
    one *= 3.0
    one[..., 0] = 0.0
    return other + (y + 1.0)


def takes_out(y):
    z = np.exp(y)
    np.add(z, y, out=z[...])
    np.multiply(z, 2.0, z)
    return z


def swaps_parts(y):
    z = y + 0.0
    z[..., 0], z[..., -1] = z[..., -1].copy(), z[..., 0].copy()
    return z


def broadcasts(y):
    one = (y + 1.0).reshape(-1)[:1]
    z = one * y + y * one
    z += one[..., None][0]
    return z + one[None, 0]


def writes_to_numbers(y):
    one, other, third = np.zeros(()), np.zeros(()), np.zeros(())
    one[one > 0] = 5.0  # it is not written to
    other[other == 0] = y.max()
    third[third == 1] = np.ones(1)
    other[...] = other + third
    return y * other + one


FUNCTIONS = [
    writes_to_a_view,
    writes_to_a_part,
    writes_to_the_transpose,
    writes_to_a_reshaped_array,
    writes_to_rows,
    writes_to_entries_in_a_row,
    has_two_names,
    changes_a_copy,
    computes_the_same_twice,
    takes_out,
    swaps_parts,
    broadcasts,
    writes_to_numbers,
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_what_is_written_is_where_numpy_writes_it(function, shape, rng):
    y = rng.uniform(0.1, 1.0, (3, *shape))
    found = record(function, [y[0]]).program(y)[0]
    np.testing.assert_allclose(found, [function(one.copy()) for one in y], rtol=1e-15)


def broadcast(one, other):
    try:
        np.broadcast_shapes(one, other)
    except ValueError:
        return False
    return True


FORMS = [(), (1,), (1, 1), (1, 1, 1), (3,), (1, 3), (3, 1), (2, 1, 3), (17,), (2, 9), (0,), (2, 0)]
PAIRS = [(one, other) for one in FORMS for other in FORMS if broadcast(one, other)]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=str)
def test_shapes_are_numpys(one, other, rng):
    """Of results of operations, whose memory nobody has seen, and of views."""
    given = [rng.standard_normal((2, *shape)) for shape in (one, other)]

    def function(a, b):
        first, second = a + 1.0, np.cos(b)
        before = np.maximum(first, second) - first / second
        views = first[...] * second[..., None][..., 0]
        return np.where(before > views, views, before)

    found = record(function, [part[0] for part in given]).program(*given)[0]
    wanted = np.array([function(*parts) for parts in zip(*given, strict=True)])
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


@pytest.mark.parametrize("name", sorted(name for name in SIMPLE if len(QUICK.get(name, ())) == 2))
@pytest.mark.parametrize("shape", [(), (1,), (3,), (17,)], ids=str)
def test_numbers_are_first_or_second(name, shape, rng):
    y = rng.uniform(0.5, 1.0, (4, *shape))
    ufunc = getattr(np, name)

    def function(z):
        return ufunc(2.5, z) + ufunc(z, 2.5) * 2.0 + ufunc(ufunc(z, 1) * 1.0, np.float64(0.75)) * 4.0

    found = record(function, [y[0]]).program(y)[0]
    np.testing.assert_allclose(found, [function(one) for one in y], rtol=1e-14)


def several(z):
    """Operations with one, two and three operands."""
    for _ in range(3):
        a = 0.9 * np.sin(z) + 0.1 * np.cos(z) - np.maximum(z, 0.3) * np.hypot(z, z)
        z = np.where((z > 0.2) & (z < a), 0.5 * a, 1.0 * np.where(z > 0.4, 0.3, z)) + a
    return z


def of_equal(y, times):
    """On an array whose elements are all one node."""
    return several(np.stack([y] * times)).sum(0)


def of_alike(y, times):
    """On an array whose first element and last one are one node, and others are not."""
    return several(np.stack([y, *[y + 1.0] * (times - 2), y])).sum(0)


@pytest.mark.parametrize("times", [2, 3, 8])
@pytest.mark.parametrize("function", [of_equal, of_alike])
def test_equal_elements_are_evaluated_once(function, times, rng):
    y = rng.standard_normal((5, 1))
    program = record(partial(function, times=times), [y[0]]).program
    np.testing.assert_allclose(program(y)[0], [function(one, times) for one in y], rtol=1e-13)
    one = record(several, [y[0]]).program.operations
    assert program.operations <= (1 if function is of_equal or times == 2 else 2) * one + 2 * times


def test_equal_elements_take_no_calls_each():
    few, more = (calls_of_a_record((1,), lambda y, times=times: several(np.stack([y] * times))[0]) for times in (3, 12))
    assert more <= few + 50


@pytest.mark.parametrize("shape", [(), (1,), (3,), (17,)], ids=str)
def test_conditions_are_combined(shape, rng):
    y = rng.standard_normal((6, *shape))

    def function(z):
        c, d = z > 0.1, z < 0.5
        found = [
            c & d,
            c | d,
            c ^ d,
            c & True,
            False | d,
            np.logical_and(c, d),
            c & np.array(True),
            c & (z[..., None] > 0)[..., 0],
        ]
        return np.stack([np.where(one, z, 2.0 * z) for one in found])

    found = record(function, [y[0]]).program(y)[0]
    np.testing.assert_array_equal(found, [function(one) for one in y])
    with pytest.raises(NotRecordedError, match="bits"):
        record(lambda z: z * ((z > 0.1) & 3), [y[0]])


def many(y):
    """A thousand operations."""
    a, b = y[..., 0], y[..., 1:]
    for _ in range(100):
        c = np.sin(a) * b + a / (b - 0.5)
        a, b = a - 0.1 * np.maximum(c[..., 0], 0.0), np.exp(-(c**2))
    return a + b[..., 0]


def calls_of_a_record(shape, function=many):
    """Calls of functions, Python's and those of C, while a function is recorded."""
    counted = [0]

    def count(frame, event, argument):
        counted[0] += event in ("call", "c_call")

    record(function, [np.ones(shape)])
    sys.setprofile(count)
    try:
        record(function, [np.ones(shape)])
    finally:
        sys.setprofile(None)
    return counted[0]


def test_one_element_takes_hardly_more_calls_than_a_number():
    number = calls_of_a_record((2,))
    assert number <= 17_000
    assert calls_of_a_record((1, 2)) <= 1.1 * number
    assert calls_of_a_record((1, 1, 2)) <= 1.1 * number
    assert calls_of_a_record((1, 9)) <= 70_000
