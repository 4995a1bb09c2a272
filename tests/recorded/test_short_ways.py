"""Frequent calls that are recorded by a short way: their results are those of the long one, and of NumPy."""

from itertools import product

import numpy as np
import pytest

from parscan._recorded import array, functions, libraries, reductions, results
from parscan._recorded.record import NotRecordedError, record

RNG = np.random.default_rng(8)

WHERES = {
    "values": lambda y: np.where(y > 0.5, y - 0.4, y * 1.1),
    "a number first": lambda y: np.where(y > 0.5, 1.0, y),
    "a number last": lambda y: np.where(y > 0.5, y, np.float64(2.5)),
    "whole numbers": lambda y: np.where(y > 0.5, y, 3),
    "two whole numbers": lambda y: np.where(y > 0.5, 1, 3) / 2,
    "two numbers": lambda y: np.where(y > 0.5, 0.1, -0.0) * y,
    "zeros of both signs": lambda y: np.copysign(1.0, np.where(y > 0.5, 0.0, np.where(y > 0.2, -0.0, y))),
    "one of a row": lambda y: np.where(y[..., :1] > 0.5, y, 2 * y),
    "values of one": lambda y: np.where(y > 0.5, y[..., :1], -y),
    "entries": lambda y: np.stack([np.where(y[..., 0] > 0.5, y[..., -1], 0.0), y[..., 0]], -1),
    "a known condition": lambda y: np.where(np.array([True, False, True])[: y.shape[-1]], y, 1.0),
    "single precision": lambda y: np.where(y > 0.5, y.astype(np.float32), np.float32(0.1)).astype(float),
    "mixed precision": lambda y: np.where(y > 0.5, y.astype(np.float32), y),
    "truths": lambda y: np.where(y > 0.5, y > 0.7, y < 0.2).astype(float),
    "a condition of numbers": lambda y: np.where(y - y, y, 2.0),
    "complex numbers": lambda y: np.abs(np.where(y > 0.5, 1j * y, y)),
    "lists": lambda y: np.where(y > 0.5, [1.0, 2.0, 3.0][: y.shape[-1]], y),
    "many": lambda y: np.where(np.tile(y, 20) > 0.5, np.tile(y, 20), 0.0),
}


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("name", WHERES)
def test_where(name, n, monkeypatch):
    function = WHERES[name]
    examples = [np.full((1, n), 0.3)]
    program = record(function, examples).program
    monkeypatch.setattr(libraries, "SHORT", {})
    assert record(function, examples).program.fingerprint == program.fingerprint
    for y in RNG.uniform(size=(20, 1, n)):
        expected = function(y)
        [found] = program(y[None])
        np.testing.assert_array_equal(found[0], expected)
        assert found.dtype == expected.dtype


A, B = np.float64(0.7), np.float32(0.7)

UFUNCS = {
    "a number of NumPy before": lambda y: A * y - A / y,
    "a number of NumPy after": lambda y: y * A - y / A,
    "numbers of single precision": lambda y: B * y.astype(np.float32) + y.astype(np.float32) * B,
    "numbers of both precisions": lambda y: A * y.astype(np.float32) + y * B,
    "comparisons": lambda y: np.where(np.greater(A, y), y, 0.0) + np.where(np.less(y, A), y, 0.0),
    "zero and one": lambda y: np.float64(1) * y + (np.float64(0) - y) * np.float64(1) + (y - np.float64(-0.0)),
    "constants": lambda y: np.sin(np.array([0.1, 0.2, 0.3])[: y.shape[-1]]) * y + np.add(A, 1.0) * np.ones(y.shape) * A,
    "constants in part": lambda y: np.stack([y[..., 0], 0 * y[..., 0] + A], -1)[..., :1] * np.exp(y),
    "entries of constants": lambda y: np.array([1.0, 0.0, 2.0])[: y.shape[-1]] * y,
    "equal values": lambda y: np.sin(y) * np.sin(y) + np.sin(y[..., :1]) * np.cos(y),
    "one and several": lambda y: np.maximum(y[..., :1], y) + y[..., :1] ** y,
    "squares": lambda y: np.square(y) + np.square(y > 0.5) + np.square((3 * y).astype(int)) - np.square(A),
    "squares of complex numbers": lambda y: np.square(y + 1j).imag,
    "angles": lambda y: np.radians(y) + np.deg2rad(y) - np.degrees(y) * np.rad2deg(y),
    "reciprocals": lambda y: np.reciprocal(y) + np.reciprocal(y + 1j).real,
    "single precision": lambda y: np.square(y.astype(np.float32)) + np.radians(y.astype(np.float32)),
    "methods": lambda y: np.add.reduce(np.square(y), -1, keepdims=True) + np.multiply.outer(A, y),
    "many": lambda y: A * np.tile(y, 20)[..., : y.shape[-1]] + np.square(np.tile(y, 20))[..., : y.shape[-1]],
}


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("name", UFUNCS)
def test_ufuncs(name, n, monkeypatch):
    function = UFUNCS[name]
    examples = [np.full((1, n), 0.3)]
    program = record(function, examples).program
    with monkeypatch.context() as patch:
        for module in (libraries, functions):
            patch.setattr(module, "QUICK", {})
        patch.setattr(libraries, "COMPOSED", ())
        patch.setattr(results, "_new_pairs", lambda graph, name, dtype, *pair: results._new_tuple(
            graph, name, dtype, pair, None))  # fmt: skip
        patch.setattr(array, "single_entered_anew", lambda graph, name, dtype, one: results.entered_anew(
            graph, name, dtype, (one,)))  # fmt: skip
        assert record(function, examples).program.fingerprint == program.fingerprint
    for y in RNG.uniform(0.1, 1, size=(20, 1, n)):
        expected = function(y)
        [found] = program(y[None])
        np.testing.assert_allclose(found[0], expected, rtol=1e-6 if "single" in name or "both" in name else 1e-15)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("step", [np.sin, lambda y: 0.3 * y], ids=["of one", "of two"])
def test_limits_count_each_element(step):
    def function(y):
        for _ in range(10):
            y = step(y)
        return y

    example, size = np.full((1, 3), 0.3), record(function, [np.full((1, 3), 0.3)]).graph.size
    assert record(function, [example], limit=size).graph.size == size
    for limit in (size - 1, size - 2, size - 3, size - 17):
        with pytest.raises(NotRecordedError, match=f"has more than {limit} operations"):
            record(function, [example], limit=limit)


def one_by_one(y):
    found = np.zeros(1)
    found[0] = y[0, 0]
    found[-1] = 2 * found[0]
    return found[None]


def by_two_places(y):
    found = np.zeros((1, 1))
    found[0, -1] = 3 * y[-1, 0]
    return found


def into_a_copy(y):
    """The copy is another array, the other name is not."""
    one = np.ones(1)
    other, copy = one, one.copy()
    one[0] = y[0, 0]
    copy[0] += other[0]
    return np.stack([other, copy]).reshape(1, 2)[:, 1:]


def into_a_view(y):
    """Whoever has a view sees what is written, both ways."""
    one = np.zeros((1, 1))
    row, turned = one[0], one.T
    one[0, 0] = y[0, 0]
    row[0] = row[0] + turned[0, 0]
    return one * turned


def into_a_view_of_the_state(y):
    y = y.copy()
    first = y[..., 0]
    y[0, 0] = 2 * first[0]
    first[0] = first[0] + 1.0
    return y


def from_ones(y):
    row = np.ones(3)
    row[1] = y[0, 0]
    row[-1] *= row[1]
    return row.sum() * np.ones((1, 1)) + np.zeros(())


WRITES = [one_by_one, by_two_places, into_a_copy, into_a_view, into_a_view_of_the_state, from_ones]


@pytest.mark.parametrize("function", WRITES)
def test_one_element_is_written(function):
    program = record(function, [np.zeros((1, 1))]).program
    for y in RNG.uniform(size=(5, 1, 1)):
        np.testing.assert_array_equal(program(y[None])[0][0], function(y))


@pytest.mark.parametrize("place", [3, -4, (1, 0), (..., 3)])
@pytest.mark.parametrize("shape", [(1,), (3,)])
def test_places_out_of_range(shape, place):
    def reads(y):
        part = y[:]
        return y * part[place]

    def writes(y):
        part = y[:]
        part[place] = 1.0
        return y

    for function in (reads, writes):
        with pytest.raises(IndexError):
            function(np.zeros(shape))
        with pytest.raises(NotRecordedError, match="IndexError"):
            record(function, [np.zeros(shape)])


@pytest.mark.parametrize("place", [1, -2, (0, 1), (0, 0, 0), False, (False, 0)])
def test_other_places_are_as_in_numpy(place):
    def function(y):
        found = np.zeros((1, 1))
        found[place] = y[0, 0]
        return found

    try:
        expected = function(np.full((1, 1), 0.3))
    except IndexError:
        with pytest.raises((IndexError, NotRecordedError)):
            record(function, [np.zeros((1, 1))])
        return
    np.testing.assert_array_equal(record(function, [np.zeros((1, 1))]).program(np.full((1, 1, 1), 0.3))[0][0], expected)


KEYS = [0, -1, 1, ..., slice(None), slice(None, None, -1), slice(1, None), (..., 0), (..., -1), (0, ...),
        (slice(None), 1), (slice(None), slice(0, 2)), (None, 0), (1, 0), (..., slice(None, None, 2)),
        np.int64(1)]  # fmt: skip

TURNS = [np.transpose, np.ravel, np.copy, lambda one: one[::-1], lambda one: one.reshape(-1), lambda one: one * 1.5,
         np.zeros_like, lambda one: np.stack([one, one])]  # fmt: skip


def mixed(y, seed):
    """Views, writes and operations by turns, and all that they leave."""
    rng = np.random.default_rng(seed)
    arrays = [y.copy(), np.zeros(3), np.ones((2, 2)), y * 2.0]
    for step in range(25):
        one, other = (arrays[int(rng.integers(len(arrays)))] for _ in range(2))
        key, how = KEYS[int(rng.integers(len(KEYS)))], int(rng.integers(6))
        try:
            if how < 2:
                arrays.append(one[key])
            elif how == 2:
                one[key] = other[key] + step
            elif how == 3:
                one[key] = float(step)
            elif how == 4:
                one += 0.5
            else:
                arrays.append(TURNS[int(rng.integers(len(TURNS)))](one))
        except (IndexError, ValueError, TypeError):
            continue
        if not np.ndim(arrays[-1]):
            arrays.pop()
    return np.concatenate([np.ravel(one) for one in arrays])


@pytest.mark.parametrize("seed", range(60))
def test_views_share_memory_as_in_numpy(seed):
    """Whoever writes to an array, or to a part of it, and in whatever order."""
    program = record(lambda y: mixed(y, seed), [np.zeros((2, 3))]).program
    y = RNG.uniform(size=(2, 3))
    np.testing.assert_array_equal(program(y[None])[0][0], mixed(y, seed))


def in_a_loop_over_itself(y):
    z = np.zeros(4)
    for i, value in enumerate(z):
        z[(i + 1) % 4] = value + y[0, i % 2] + i
    return z


def test_a_loop_over_an_array_meets_what_it_writes():
    program = record(in_a_loop_over_itself, [np.zeros((1, 2))]).program
    y = RNG.uniform(size=(1, 2))
    np.testing.assert_array_equal(program(y[None])[0][0], in_a_loop_over_itself(y))


REDUCTIONS = [np.sum, np.prod, np.max, np.min, np.mean, np.std, lambda y, **options: y.sum(**options)]


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
@pytest.mark.parametrize("shape", [(1,), (3,), (11,), (17,), (1, 3), (3, 1), (2, 4), (4, 4), (1, 1, 2)], ids=str)
def test_reductions_of_few(shape, axis, monkeypatch):
    if isinstance(axis, tuple) and len(shape) == 1:
        return
    for function in REDUCTIONS:
        for keepdims in (False, True):

            def reduced(y, function=function, keepdims=keepdims):
                return function(y * 1.5, axis=axis, keepdims=keepdims)

            y = RNG.standard_normal((4, *shape))
            program = record(reduced, [y[0]]).program
            np.testing.assert_allclose(program(y)[0], [reduced(one) for one in y], rtol=1e-13, atol=1e-15)
            with monkeypatch.context() as patch:
                patch.setattr(reductions, "FLOAT64", None)
                assert record(reduced, [y[0]]).program.fingerprint == program.fingerprint


def test_a_sum_of_negative_zeros():
    program = record(lambda y: np.copysign(1.0, np.sum(-np.abs(y[:1]))), [np.zeros(2)]).program
    assert program(np.zeros((1, 2)))[0] == np.copysign(1.0, np.sum(-np.abs(np.zeros(1))))


def views(y):
    """Arrays of several shapes: results and views, of one element and of few, and one of many."""
    return [y[0, 0], y[0, 1] * 2.0, y[0, :1], y[:, 1] * 3.0, y[:1, 1:2], y[:1, :1] * 4.0, y[0], y[0] * 5.0, y, y * 6.0,
            y.T, np.tile(y[0], 7)]  # fmt: skip


def fit(one, other):
    return all(a == b or 1 in (a, b) for a, b in zip(np.shape(one)[::-1], np.shape(other)[::-1], strict=False))


@pytest.mark.parametrize("single", [False, True])
def test_operands_of_several_shapes(single):
    y = RNG.uniform(1.0, 2.0, size=(1, 3)).astype(np.float32 if single else np.float64)

    def functions(y):
        found = []
        for one, other in product(views(y), repeat=2):
            if fit(one, other):
                less = one - other
                found += [np.ravel(less), np.ravel(np.where(one > 1.5, one, other))]
                found.append(np.asarray(np.shape(less), y.dtype))
        return np.concatenate(found)

    expected = functions(y)
    [found] = record(functions, [y]).program(y[None])
    np.testing.assert_array_equal(found[0], expected)
    assert found.dtype == expected.dtype


def test_elements_of_arrays_are_written():
    """Of those that share memory with others, of those that NumPy's array has taken the place of, and of many."""

    def function(y):
        few, first, many = y * 2.0, y[:, :1], np.tile(y[0], 7) * 3.0
        z = np.zeros((1, 8))
        z[..., 0], z[..., 1], z[..., 2] = y[..., 1], first, few[..., 2]
        z[0, 3], z[0, 4] = few[0, 1], many[4]
        z[..., 5], z[0, 6:8] = many[5:6], few[0, 1:]
        few[0, ::2] *= 3.0
        z[..., 7] = few[..., 2]
        return z

    y = RNG.uniform(size=(1, 3))
    np.testing.assert_array_equal(record(function, [y]).program(y[None])[0][0], function(y))
