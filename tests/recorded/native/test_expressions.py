"""The language of drivers, against NumPy: every operator, function and loop, for scalars and vectors."""

import llvmlite.binding as llvm
import numpy as np
import pytest

from parscan._recorded.native.driver import Fields, Machine, Module
from parscan._recorded.native.libm import has_fma

WIDTHS = [1, 2, 4, 8]
FLOATS = [np.float64, np.float32]


def run(write, fields, steps=0, **given):
    """Values of the fields after a driver that `write(code, arrays)` writes; `arrays` are by names."""
    module = Module(np.zeros(1), [], fields)
    arrays = {name: fields.array(module.code, name, *shape[1:2]) for name, (_, _, shape) in fields.all.items()}
    write(module.code, arrays)
    driver = module.driver()
    llvm.parse_assembly(driver.kernel.text).verify()
    machine = Machine(driver, [])
    memory = machine.memory()
    views = machine.views(memory)
    for name, value in given.items():
        views[name][...] = value
    machine.run(memory, steps)
    return views


def applied(function, dtype, result, width, *values):
    """What a function of several values gives, in a result of some dtype."""
    fields = Fields()
    for k in range(len(values)):
        fields.add(f"given{k}", dtype, 1, width)
    fields.add("found", result, 1, width)

    def write(code, arrays):
        arrays["found"][0] = function(code, *(arrays[f"given{k}"][0] for k in range(len(values))))

    return run(write, fields, **{f"given{k}": value for k, value in enumerate(values)})["found"][0]


SPECIAL = np.array([0.5, -1.25, 3.0, 0.0, -0.0, np.inf, -np.inf, np.nan])
OTHERS = np.array([2.0, 2.5, -0.75, -1.0, 0.0, np.nan, 4.0, 1.0])

BINARY = {
    "add": (lambda code, x, y: x + y, np.add, None),
    "right": (lambda code, x, y: 1.5 + x - 2 * y, lambda x, y: x.dtype.type(1.5) + x - x.dtype.type(2) * y, None),
    "subtract": (lambda code, x, y: x - y, np.subtract, None),
    "multiply": (lambda code, x, y: x * y, np.multiply, None),
    "divide": (lambda code, x, y: x / y, np.divide, None),
    "inverse": (lambda code, x, y: 1 / x - (3 - y), lambda x, y: 1 / x - (3 - y), None),
    "negative": (lambda code, x, y: -x, lambda x, y: -x, None),
    "abs": (lambda code, x, y: code.abs(x), lambda x, y: np.abs(x), None),
    "sqrt": (lambda code, x, y: code.sqrt(x), lambda x, y: np.sqrt(x), None),
    "pow": (lambda code, x, y: code.pow(x, y), np.power, None),
    "copysign": (lambda code, x, y: code.copysign(x, y), np.copysign, None),
    "minimum": (lambda code, x, y: code.minimum(x, y), lambda x, y: np.where(x < y, x, y), None),
    "maximum": (lambda code, x, y: code.maximum(x, y), lambda x, y: np.where(x > y, x, y), None),
    "where": (lambda code, x, y: code.where(x > y, x, 7.0), lambda x, y: np.where(x > y, x, 7), None),
    "less": (lambda code, x, y: x < y, np.less, bool),
    "less equal": (lambda code, x, y: x <= y, np.less_equal, bool),
    "greater": (lambda code, x, y: x > y, np.greater, bool),
    "greater equal": (lambda code, x, y: x >= y, np.greater_equal, bool),
    "equal": (lambda code, x, y: x.equals(y), np.equal, bool),
    "differ": (lambda code, x, y: x.differs(y), np.not_equal, bool),
    "finite": (lambda code, x, y: code.is_finite(x), lambda x, y: np.isfinite(x), bool),
    "both": (lambda code, x, y: (x > 0) & (y > 0), lambda x, y: (x > 0) & (y > 0), bool),
    "one": (lambda code, x, y: (x > 0) | (y > 0), lambda x, y: (x > 0) | (y > 0), bool),
    "not": (lambda code, x, y: ~(x > 0) ^ (y > 0), lambda x, y: ~(x > 0) ^ (y > 0), bool),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", BINARY)
def test_operators(name, width, dtype):
    function, oracle, result = BINARY[name]
    for first in range(0, 8, width):
        x, y = (one[first : first + width].astype(dtype) for one in (SPECIAL, OTHERS))
        found = applied(function, dtype, result or dtype, width, x, y)
        with np.errstate(all="ignore"):
            expected = oracle(x, y)
        np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps, atol=0)
        assert found.dtype == expected.dtype
        if result is None and name != "pow":
            real = ~np.isnan(expected)
            assert (np.signbit(found) == np.signbit(expected))[real].all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("width", WIDTHS)
def test_fma_rounds_once(width, dtype):
    small = np.ldexp(2 * np.arange(width, dtype=dtype) + 1, -30 if dtype is np.float64 else -14)
    found = applied(lambda code, x: code.fma(x, x, -1.0), dtype, dtype, width, 1 + small)
    twice = (1 + small) ** 2 - 1
    assert (found == small * (2 + small)).all() or not has_fma()
    assert (found == twice).all() or has_fma()
    assert (small * (2 + small) != twice).all()


@pytest.mark.parametrize("halvings", [4, 5])
@pytest.mark.parametrize("width", WIDTHS)
def test_inverse_roots(width, halvings):
    x = np.geomspace(1e-300, 1e300, 4096)
    calls = [applied(lambda code, x: code.inverse_root(x, halvings), float, float, width, one)
             for one in x.reshape(-1, width)[:: 1 + 511 // width]]  # fmt: skip
    exact = (x ** -(0.5**halvings)).reshape(-1, width)[:: 1 + 511 // width]
    np.testing.assert_allclose(calls, exact, rtol=0.01)
    special = np.resize([0.0, np.inf, np.nan], 8)[:width]
    found = applied(lambda code, x: code.inverse_root(x, halvings), float, float, width, special)
    assert np.isfinite(found).all()
    assert (found[special == 0] > 1e6).all()
    assert (found[special != 0] < 1e-6).all()
    assert (found > 0).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_integers(width):
    x, y = np.arange(-3, width - 3), np.arange(5, width + 5) * 3
    found = applied(lambda code, x, y: -(x * y - 4) + (y / 2) * (x & 6) + (~x | 1), np.int64, np.int64, width, x, y)
    np.testing.assert_array_equal(found, -(x * y - 4) + (y // 2) * (x & 6) + (~x | 1))
    found = applied(lambda code, x: code.where(x < 0, x, 1).to(float) * 0.5, np.int64, float, width, x)
    np.testing.assert_array_equal(found, np.where(x < 0, x, 1) * 0.5)
    np.testing.assert_array_equal(applied(lambda code, x: (x > 0).to(int), float, int, width, x), x > 0)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_reductions(width, dtype):
    fields = Fields()
    fields.add("x", dtype, 1, width)
    fields.add("sum", dtype, 1)
    fields.add("place", np.int64, 1)
    fields.add("truths", bool, 3)

    def write(code, arrays):
        x = arrays["x"][0]
        arrays["sum"][0] = code.sum(x)
        arrays["place"][0] = code.sum((x > 1).to(int))
        for k, value in enumerate([code.any(x > 1), code.all(x > 1), code.any(x > 1e9)]):
            arrays["truths"][k] = value

    for x in (np.arange(width, dtype=dtype), np.arange(width, dtype=dtype) + 2):
        found = run(write, fields, x=x)
        assert found["sum"][0] == x.sum()
        assert found["place"][0] == (x > 1).sum()
        assert found["truths"].tolist() == [(x > 1).any(), (x > 1).all(), False]


@pytest.mark.parametrize("width", WIDTHS)
def test_elements_and_memory(width):
    fields = Fields()
    fields.add("x", float, 3, width)
    fields.add("y", float, 3, width)

    def write(code, arrays):
        x, y = arrays["x"], arrays["y"]
        value = x[2]
        y[0] = code.joined([value.element(k) for k in reversed(range(width))])
        y.after(1)[0] = x[0].element(width - 1)
        scalars = y.after(2).of(1)
        with code.for_(width) as i:
            scalars[i] = i.to(float) * x.of(1)[i]

    x = np.random.default_rng(0).normal(size=(3, width))
    y = run(write, fields, x=x)["y"]
    np.testing.assert_array_equal(y[0], x[2, ::-1])
    np.testing.assert_array_equal(y[1], x[0, -1])
    np.testing.assert_array_equal(y[2], np.arange(width) * x[0])


def test_control():
    """Prime numbers by trial division: loops in loops, branches with and without another, and variables."""
    fields = Fields()
    fields.add("found", np.int64, 100)
    fields.add("counts", np.int64, 2)

    def write(code, arrays):
        count, others = code.variable(0, np.int64), code.variable(0, np.int64)
        with code.for_(code.argument("steps"), first=2) as i:
            divisor, is_prime = code.variable(2, np.int64), code.variable(True, bool)
            with code.while_(lambda: (divisor.get() * divisor.get() <= i) & is_prime.get()):
                rest = i - i / divisor.get() * divisor.get()
                with code.if_(rest.equals(0)):
                    is_prime.set(False)
                divisor.set(divisor.get() + 1)
            with code.if_(is_prime.get()) as branch:
                arrays["found"][count.get()] = i
                count.set(count.get() + 1)
            with code.else_(branch):
                others.set(others.get() + 1)
        arrays["counts"][0], arrays["counts"][1] = count.get(), others.get()

    found = run(write, fields, steps=50)
    primes = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47]
    assert found["found"][: len(primes)].tolist() == primes
    assert found["counts"].tolist() == [len(primes), 48 - len(primes)]
    assert run(write, fields, steps=2)["counts"].tolist() == [0, 0]


def test_mistakes_are_told():
    fields = Fields()
    fields.add("x", float, 1, 2)
    code = Module(np.zeros(1), [], fields).code
    x = fields.array(code, "x", 2)[0]
    with pytest.raises(TypeError, match="int64 instead of float64"):
        x + x.to(int)
    with pytest.raises(ValueError, match="a vector of 2 does not fit 4"):
        x + code.number(1.0, width=4)
    with pytest.raises(TypeError, match="use `any` or `all`"), code.if_(x > 0):
        pass
    with pytest.raises(TypeError, match="no end"):
        list(fields.array(code, "x"))
    with code.if_(code.any(x > 0)) as branch:
        pass
    code.call("something")
    with pytest.raises(ValueError, match="does not follow"), code.else_(branch):
        pass
