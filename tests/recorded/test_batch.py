"""The program of one member of a batch, where members do not depend on each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parscan._recorded.batch import decoupled
from parscan._recorded.record import record

RNG = np.random.default_rng(0)
WEIGHTS = RNG.standard_normal((12, 12))


def member_of(function, *examples, axes, result_axes=(0,)):
    """The member of a recorded function, and the function's values with those of the member."""
    program = record(function, examples).program
    return program, decoupled(program, axes, [result_axes])


def check(function, *examples, axes, result_axes=(0,), exact=True):
    """Assert that all members by the program of one are the whole."""
    program, member = member_of(function, *examples, axes=axes, result_axes=result_axes)
    assert member is not None
    arguments = [RNG.uniform(0.2, 3.0, np.shape(example)) for example in examples]
    (whole,) = program(*(a[None] for a in arguments))
    count = int(np.prod([whole.shape[1:][k] for k in result_axes]))

    def stacked(array, some):
        if not some:
            return np.broadcast_to(array, (count, *array.shape))
        moved = np.moveaxis(array, some, range(len(some)))
        return moved.reshape((count, *moved.shape[len(some) :]))

    (found,) = member.program(*map(stacked, arguments, axes), *member.tables)
    expected = stacked(whole[0], result_axes)
    if exact:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    return member


def bucket(y, x, k):
    s, g = y[..., 0], y[..., 1]
    q = np.maximum(s - k * 3, 0) + 0.1 * s
    s = s + x[..., 1] - q - np.minimum(s * 0.2, x[..., 0])
    g = g + q * k - g / (10 * k)
    return np.stack([np.maximum(s, 0), np.where(g > 0, np.sqrt(g), 0)], axis=-1)


@pytest.mark.parametrize("count", [1, 2, 7, 16, 17, 500])
def test_parameters_of_each_member_are_a_table(count):
    k = np.linspace(0.5, 1.5, count)
    member = check(lambda y, x: bucket(y, x, k), np.zeros((count, 2)), np.zeros(2), axes=[(0,), ()])
    if count > 1:
        (table,) = member.tables
        assert table.shape == (count, 3)
        assert any((column == k).all() for column in table.T)
    assert member.program.operations == 17


def test_parameters_that_all_members_have_stay_constants():
    member = check(lambda y: np.sin(0.3 * y) + np.full((40, 1), 7.0), np.zeros((40, 3)), axes=[(0,)])
    assert member.tables == ()
    assert [a.shape for a in member.program.arguments] == [(3,)]


@pytest.mark.parametrize("neutral", [0.0, 1.0])
@pytest.mark.parametrize(
    ("function", "operations"),
    [
        (lambda y, p: y * p, 1),
        (lambda y, p: p * np.sin(y), 2),
        (lambda y, p: y / p, 1),
        (lambda y, p: np.exp(y - p), 2),
        (lambda y, p: y * p[::-1] * p + y, 3),
        (lambda y, p: (y - p) / (p + 1) * p, 3),
        (lambda y, p: -p * y * p, 2),
        (lambda y, p: p * (y * y) + p * y * p, 5),
        (lambda y, p: p * (y / (p * y * p)), 4),
    ],
)
def test_operations_that_one_member_does_not_need(function, operations, neutral):
    """A product with 1 is not recorded, but the other members have it."""
    p = np.array([0.5, neutral, 3.0, 2.5])
    with np.errstate(all="ignore"):
        member = check(lambda y: function(y, p), np.zeros(4), axes=[(0,)])
    assert member.program.operations == operations


def test_members_that_need_different_parts_of_a_product():
    """Several of its factors are 1, others for each member."""
    p, q = np.array([1.0, 0.5, 3.0, 1.0, 2.5]), np.array([2.0, 1.0, 1.0, 1.0, 0.5])
    member = check(lambda y: p * y * q * p * q - y / (q * y / p), np.zeros(5), axes=[(0,)])
    assert member.program.operations <= 11


@pytest.mark.parametrize("count", [3, 40])
def test_matrix_products_stay_products(count):
    member = check(
        lambda h, x: np.tanh(h @ WEIGHTS + x),
        np.zeros((count, 12)),
        np.zeros((count, 12)),
        axes=[(0,), (0,)],
        exact=False,
    )
    assert [block.count for block in member.program.blocks if block.operation == "product"] == [12]
    assert len(member.program.blocks) < 32


def test_matrices_of_each_member():
    matrices = RNG.standard_normal((5, 12, 12))
    member = check(lambda h: np.matmul(matrices, h[..., None])[..., 0], np.zeros((5, 12)), axes=[(0,)], exact=False)
    assert member.tables[0].shape == (5, 144)
    assert [block.count for block in member.program.blocks if block.operation == "product"] == [12]


def test_products_within_a_member():
    check(lambda h: np.sum(h * h, axis=1, keepdims=True) * h, np.zeros((30, 12)), axes=[(0,)])
    check(lambda h: np.einsum("bi,bj->bij", h, h), np.zeros((30, 4)), axes=[(0,)], exact=False)


def test_any_axes():
    check(lambda y: np.cumsum(y, axis=0), np.zeros((3, 5, 4)), axes=[(1, 2)], result_axes=(1, 2))
    check(lambda y: np.swapaxes(y, 0, 1) ** 2, np.zeros((3, 20)), axes=[(1,)], result_axes=(0,))
    check(lambda y: y[None] * 2, np.zeros((20, 3)), axes=[(0,)], result_axes=(1,))
    check(lambda y: y * 2, np.zeros((1, 20, 3)), axes=[(-2,)], result_axes=(-2,))


def test_tables_and_whole_numbers():
    table = np.linspace(0.0, 1.0, 9) ** 2
    steps = np.arange(30) % 4
    member = check(lambda y: table[np.clip(np.floor(y), 0, 4).astype(int) + steps], np.zeros(30), axes=[(0,)])
    assert member.tables[0].dtype.kind == "i"
    choice = np.arange(30) % 3 == 0
    member = check(lambda y: np.where(choice, np.sin(y), np.cos(y)), np.zeros(30), axes=[(0,)])
    assert member.tables[0].dtype == bool


def test_one_dtype_beside_another():
    y, p = np.zeros((20, 2), np.float32), np.linspace(0.5, 1.0, 20)[:, None]
    program = record(lambda y: (y * p).astype(np.float32) + y, [y]).program
    member = decoupled(program, [(0,)], [(0,)])
    y = RNG.standard_normal((20, 2)).astype(np.float32)
    (found,) = member.program(y, *member.tables)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, program(y[None])[0][0])


@pytest.mark.parametrize("count", [5, 40])
@pytest.mark.parametrize(
    "function",
    [
        lambda y: y - np.mean(y, axis=0),
        lambda y: np.roll(y, 1, axis=0),
        lambda y: y[::-1],
        lambda y: y + y[:1],
        lambda y: np.cumsum(y, axis=0),
        lambda y: np.where(np.max(y) > 1, y, -y),
        lambda y: np.concatenate([y[:1], np.sin(y[1:])]),
        lambda y: np.broadcast_to(y[0], y.shape),
        lambda y: np.stack([np.roll(y, k, axis=0) for k in range(4)]).sum(axis=0),
    ],
)
def test_members_that_depend_on_each_other_or_differ(function, count):
    _, member = member_of(function, np.zeros((count, 2)), axes=[(0,)])
    assert member is None


def test_a_result_of_all_members_has_none():
    program = record(lambda y: np.sum(y, axis=0), [np.zeros((5, 2))]).program
    assert decoupled(program, [(0,)], [()]) is None


def test_a_chain_of_mixtures_ends_early():
    """Without a bound it would look at 2**40 vectors."""

    def mixed(y):
        for k in range(40):
            y = y + np.roll(y, 2 ** (k % 6) % 50) * 0.5
        return y

    _, member = member_of(mixed, np.zeros(64), axes=[(0,)])
    assert member is None


APART = [
    np.sin,
    lambda v: v[..., ::-1] * 2,
    lambda v: np.where(v > 0, np.sqrt(np.abs(v)), -v),
    lambda v: np.cumsum(v, axis=-1),
    lambda v: v - np.mean(v, axis=-1, keepdims=True),
    lambda v: np.tanh(v) @ WEIGHTS[: v.shape[-1], : v.shape[-1]],
    lambda v: np.maximum(v, v[..., :1]) / (1.5 + np.cos(v)),
    lambda v: v * np.linspace(0, 1, v.shape[0])[:, None],
    lambda v: v - np.linspace(0, 1, v.shape[0])[::-1, None],
    lambda v: np.roll(v, 1, axis=-1) * np.arange(v.shape[-1]),
]
TOGETHER = [
    lambda v: v - np.mean(v, axis=0),
    lambda v: v + np.roll(v, 1, axis=0),
    lambda v: v[::-1] * v,
    lambda v: np.cumsum(v, axis=0),
]


@given(
    st.lists(st.sampled_from(APART), min_size=1, max_size=6), st.sampled_from([2, 3, 5, 16, 20, 50]), st.integers(1, 12)
)
def test_random_members(operations, count, n):
    def function(v, x):
        for operation in operations:
            v = operation(v) + 0.1 * x
        return v

    check(function, np.zeros((count, n)), np.zeros(n), axes=[(0,), ()], exact=False)


@given(
    st.lists(st.sampled_from(APART), max_size=4),
    st.sampled_from(TOGETHER),
    st.lists(st.sampled_from(APART), max_size=4),
    st.sampled_from([3, 20]),
    st.integers(1, 12),
)
def test_random_members_that_depend_on_each_other(before, together, after, count, n):
    def function(v):
        v = v + 1.0
        for operation in [*before, together, *after]:
            v = operation(v) + v
        return v

    _, member = member_of(function, np.zeros((count, n)), axes=[(0,)])
    assert member is None


def test_parts_of_arguments_whose_batch_axes_are_not_given():
    """Shared, a step apart, backwards, and in no order."""
    order = np.array([3, 0, 4, 1, 2])

    def function(y, x):
        return y + x[:1] + x[2:7] * x[6:1:-1] + x[order] + x[0:10:2]

    y, x = RNG.standard_normal(5), RNG.standard_normal(10)
    program = record(function, [y, x]).program
    member = decoupled(program, [(0,), None], [(0,)])
    assert sorted(part.stride for part in member.parts if part.places is None) == [-1, 0, 1, 2]
    assert [part.places.shape for part in member.parts if part.places is not None] == [(5, 1)]
    assert member.copied == 5
    rows = member.inputs([y[None], x[None]], 5)
    (found,) = member.program(y, *(row[0] for row in rows))
    np.testing.assert_array_equal(found, function(y, x))
    assert decoupled(program, [(0,), (0,)], [(0,)]) is None


def test_other_constants_are_other_tables():
    """As long as constants that all members share stay what they are."""

    def program(table, shared, first=0):
        return record(lambda y: table[:, None] * np.cos(y) + shared * y[:, ::-1] + y * (first + 2.0), [Y]).program

    Y, axes = np.zeros((30, 2)), ([(0,)], [(0,)])
    tables = [RNG.standard_normal(30), RNG.standard_normal(30), np.ones(30), np.where(np.arange(30) % 2, 1.0, 3.0)]
    whole = [program(table, 0.25) for table in tables]
    member = decoupled(whole[0], *axes)
    for one in whole[:2]:
        found, y = member.of(one), RNG.standard_normal((30, 2))
        assert found.program is member.program
        for some, expected in zip(found.tables, decoupled(one, *axes).tables, strict=True):
            np.testing.assert_array_equal(some, expected)
        rows = [np.broadcast_to(table, table.shape) for table in found.tables]
        np.testing.assert_array_equal(found.program(y, *rows)[0], one(y[None])[0][0])
    assert member.of(program(tables[0], 0.5)) is None
    assert member.of(program(tables[0], 0.25, 1)) is None
    assert {one.skeleton for one in whole[:2]} == {program(tables[0], 0.5).skeleton}
