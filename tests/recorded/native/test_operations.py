"""Machine code of every operation of the table, against NumPy."""

import numpy as np
import pytest
from of_operations import BOOLEANS, EXACT, SPECIAL, pairs, ulps

from parscan._recorded.array import apply
from parscan._recorded.native.evaluate import Evaluator
from parscan._recorded.native.lanes import Lanes
from parscan._recorded.operations import OPERATIONS
from parscan._recorded.record import record


def recorded(name, elements, dtype):
    """A program of one operation on arrays of some elements."""
    arity = OPERATIONS[name].arity
    examples = [np.zeros(elements, dtype=dtype) for _ in range(arity)]

    def function(*arguments):
        if name in BOOLEANS:
            arguments = [argument > 0.5 for argument in arguments]
        if name == "where":
            arguments = [arguments[0] > 0.5, *arguments[1:]]
        return apply(name, *arguments)

    return record(function, examples).program


def check(found, expected, name, dtype):
    assert found.dtype == expected.dtype
    limit = 0.0 if name in EXACT else 16.0 if name == "logaddexp" else 4.0  # a sum that may cancel
    far = ulps(found, expected)
    worst = int(np.argmax(far))
    assert far.ravel()[worst] <= limit, (found.ravel()[worst], expected.ravel()[worst], worst)
    if expected.dtype.kind == "f" and name not in ("maximum", "minimum", "fmax", "fmin"):
        both = (found == 0) & (expected == 0)
        assert (np.signbit(found) == np.signbit(expected))[both].all()


@pytest.mark.slow
@pytest.mark.pairs(name=OPERATIONS.keys(), elements=[1, 3, 8, 37], dtype=[np.float64, np.float32])
def test_an_operation_gives_what_numpy_gives(name, elements, dtype):
    program = recorded(name, elements, dtype)
    one, other = pairs(dtype)
    count = -(-one.size // elements)
    given = [np.resize(one, (count, elements)), np.resize(other, (count, elements)),
             np.resize(one[::-1], (count, elements))][: OPERATIONS[name].arity]  # fmt: skip
    (expected,) = program(*given)
    for several in (False, True):
        (found,) = Evaluator(program, several=several)(*given)
        check(found, expected, name, dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("elements", [1, 4, pytest.param(37, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["exp", "expm1", "tanh", "expit"])
def test_functions_that_are_written_out(name, elements, dtype, monkeypatch):
    from parscan._recorded.native import text

    monkeypatch.setattr(text, "BETTER", dict.fromkeys(text.WRITTEN_OUT, 0))
    program = recorded(name, elements, dtype)
    rng, edge = np.random.default_rng(0), np.log(np.finfo(dtype).max)
    values = np.concatenate([pairs(dtype)[0], rng.normal(size=5000), rng.uniform(-1.05, 1.05, 5000) * edge,
                             rng.normal(size=500) * 1e-3, 10 ** rng.uniform(-40, 0, 500)]).astype(dtype)  # fmt: skip
    given = np.resize(values, (-(-values.size // elements), elements))
    (expected,) = program(given)
    for several in (False, True):
        check(Evaluator(program, several=several)(given)[0], expected, name, dtype)
    beside = np.empty((1, *given.shape), dtype)
    Lanes(program, chain=0, several=True).run(None, [given[None]], [beside], 0, 1)  # several vectors
    check(beside[0], expected, name, dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("elements", [1, 8, pytest.param(37, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide"])
def test_remainders_are_exact(name, elements, dtype):
    """Quotients of all sizes, and those that are nearly whole."""
    program = recorded(name, elements, dtype)
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        y = (rng.normal(size=20_000) * 10 ** rng.uniform(-5, 5, 20_000)).astype(dtype)
        whole = np.rint(10 ** rng.uniform(0, 9, 20_000)).astype(dtype)
        near = np.nextafter(y * whole, np.where(rng.random(20_000) < 0.5, -np.inf, np.inf).astype(dtype))
        x = np.where(rng.random(20_000) < 0.3, y * whole, np.where(rng.random(20_000) < 0.5, near, y[::-1])).astype(
            dtype
        )
    count = -(-x.size // elements)
    given = [np.resize(x, (count, elements)), np.resize(y, (count, elements))]
    (expected,) = program(*given)
    np.testing.assert_array_equal(Evaluator(program)(*given)[0], expected)


@pytest.mark.parametrize("elements", [1, 8, pytest.param(37, marks=pytest.mark.slow)])
@pytest.mark.parametrize("limit", [0.0, 2.5, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_limits_that_are_constants(name, limit, elements):
    function = getattr(np, name)
    program = record(lambda y: np.stack([function(y, limit), function(limit, y)]), [np.zeros(elements)]).program
    values = np.resize(np.asarray(SPECIAL), (len(SPECIAL), elements))
    (found,) = Evaluator(program)(values)
    np.testing.assert_array_equal(found, np.stack([function(values, limit), function(limit, values)], axis=1))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("elements", [1, 8, pytest.param(37, marks=pytest.mark.slow)])
@pytest.mark.parametrize("exponent", [0.5, 1.5, 2.5, -0.5, -1.5, 1 / 3, 2, 7, -3])
def test_powers_that_are_constants(exponent, elements, dtype):
    program = record(lambda y: y**exponent, [np.zeros(elements, dtype)]).program
    values = np.concatenate([pairs(dtype)[0], np.exp(np.random.default_rng(0).normal(size=999)).astype(dtype)])
    given = np.resize(values, (-(-values.size // elements), elements))
    for several in (False, True):
        (found,) = Evaluator(program, several=several)(given)
        with np.errstate(all="ignore"):
            expected = given**exponent
        check(found, expected, "power", dtype)


DIVISORS = [
    2.0,
    -0.25,
    3.0,
    0.1,
    1e-310,
    5e-324,
    2.0**-126,
    2.0**-1022,
    2.0**126,
    2.0**127,
    2.0**1023,
    0.0,
    np.inf,
    np.nan,
]


@pytest.mark.parametrize("divisor", DIVISORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lanes", [1, None])
def test_division_by_a_constant(divisor, dtype, lanes):
    with np.errstate(all="ignore"):
        x, number = pairs(dtype)[0], dtype(divisor)
        program = record(lambda x: x / number, [x[:1]]).program
        (found,) = Evaluator(program)(x[:, None])
        assert_bits(found[:, 0], x / number)


def assert_bits(found, expected):
    assert found.dtype == expected.dtype
    alike = found.view(f"u{found.itemsize}") == expected.view(f"u{found.itemsize}")
    assert np.all(alike | (np.isnan(found) & np.isnan(expected)))
