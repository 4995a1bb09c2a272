"""Functions of one number that steps wait for, against NumPy in higher precision and at special values."""

import numpy as np
import pytest

from parscan._recorded.native import libm, text
from parscan._recorded.native.kernel import FEW_CALLS, kernel
from parscan._recorded.native.loop import Loop
from parscan._recorded.record import record


def twice_of_half(x):
    """Both powers of two are taken into the exponential function, in steps with two conditions."""
    return np.where(x > 1e308, x, np.where(x < -1e308, 0.0, 2.0 * np.exp(x / 2.0)))


def of_sum(x):
    """The part of the reduction that is the constant's is done beforehand."""
    return np.exp(x + 0.3711)


def twice_of_sum(x):
    return np.where(x > 1e308, x, np.where(x < -1e308, 0.0, 2.0 * np.exp((x - 50.003) / 2.0)))


FUNCTIONS = {"exp": np.exp, "twice exp": twice_of_half, "exp of a sum": of_sum, "twice exp of a sum": twice_of_sum,
             "sin": np.sin, "cos": np.cos}  # fmt: skip
IN_PARTS = {
    "exp of a sum": lambda x: np.exp((x + 0.3711).astype(np.longdouble)),
    "twice exp of a sum": lambda x: 2 * np.exp(((x - 50.003) / 2.0).astype(np.longdouble)),
}
"""In higher precision, of sums that are rounded as in double precision."""

QUARTERS = np.arange(1, 83_000) * (np.pi / 2)
ARGUMENTS = {
    "exp": (1.0, 20.0, 707.9, 760.0),
    "twice exp": (1.0, 20.0, 1415.8, 1417.0, 1520.0),
    "exp of a sum": (1.0, 20.0, 708.2, 760.0),
    "twice exp of a sum": (1.0, 20.0, 1470.0),
    "sin": (0.5, 1.6, 30.0, 131_000.0, 1e7),
    "cos": (0.5, 1.6, 30.0, 131_000.0, 1e7),
}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1e-310, 1e-200, 1e-150, 1e-20, 708.0, -708.0, 709.5,
           710.0, -744.0, -745.5, -800.0, 1.5707, 1.5708, 0.7853, 0.7854, 2.0**17, 1e300, -1e300]  # fmt: skip


def computed(function, x):
    """Values by the code of a loop, whose step does not look at its state."""
    program = record(lambda _, x: function(x), [np.zeros(1), x[:1]]).program
    out = np.empty((len(x), 2))[:, :1]  # rows apart: the loop does not end at infinities
    Loop(program).run(np.zeros(1), [x[:, None]], out, 0, len(x))
    return out[:, 0]


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no higher precision")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_within_three_units_of_the_last_place(name):
    rng, function = np.random.default_rng(0), FUNCTIONS[name]
    x = np.concatenate([rng.uniform(-most, most, 20_000) for most in ARGUMENTS[name]])
    x = np.concatenate([x, np.nextafter(QUARTERS, np.inf), QUARTERS]) if "exp" not in name else x
    found = computed(function, x)
    with np.errstate(all="ignore"):
        expected = function(x.astype(np.longdouble)) if name not in IN_PARTS else IN_PARTS[name](x)
        unit = np.spacing(np.maximum(np.abs(expected.astype(float)), np.finfo(float).tiny))
        off = np.abs(found.astype(np.longdouble) - expected) / unit
        beyond = np.isinf(expected.astype(float))
    assert np.max(off[~beyond]) <= 3
    np.testing.assert_array_equal(np.isinf(found), beyond)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values_are_those_of_numpy(name):
    x = np.array(SPECIAL)
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name](x)
    found = computed(FUNCTIONS[name], x)
    np.testing.assert_allclose(found, expected, rtol=7e-16, atol=5e-324)
    zeros = expected == 0
    np.testing.assert_array_equal(np.signbit(found[zeros]), np.signbit(expected[zeros]))


def test_powers_of_two_are_taken_into_the_exponential_function():
    def text_of(function):
        return kernel(record(lambda _, x: function(x), [np.zeros(1)] * 2).program, chain=1).text

    text = text_of(twice_of_half)
    assert ("@parscan_twice_powers" in text) == libm.has_fma()
    assert ("@parscan_twice_powers_finer" in text_of(twice_of_sum)) == libm.has_fma()
    assert "finer" not in text
    assert "parscan_twice_powers" not in text_of(lambda x: np.where(x > 9.0, x, np.where(x < -9.0, x, 3 * np.exp(x))))

    def used_twice(x):
        rate = np.exp(x)
        return np.where(x > 9.0, x, np.where(x < -9.0, x, 2.0 * rate + rate))

    assert "parscan_twice_powers" not in text_of(used_twice)
    x = np.linspace(-3.0, 3.0, 50)
    np.testing.assert_allclose(computed(used_twice, x), used_twice(x), rtol=4e-16)


@pytest.mark.parametrize("term", [0.0, 700.0, -1e5, 2.0**20, -3e6, 1e300, np.inf, np.nan])
def test_arguments_that_are_sums_with_a_constant(term):
    """Constants of any size; the sum may have lost all digits of the other number."""
    x = np.concatenate([SPECIAL, np.linspace(-720.0, 720.0, 999) - (term if abs(term) < 1e7 else 0.0)])
    for function in (lambda x: np.exp(x + term), lambda x: np.exp(x - -term), lambda x: np.exp((term + x) / 1.0)):
        with np.errstate(all="ignore"):
            expected = function(x)
        np.testing.assert_allclose(computed(function, x), expected, rtol=7e-16, atol=5e-324)


@pytest.mark.parametrize("term", [0.37, 1e5 / 3])
@pytest.mark.parametrize("power", [20, 36, 45, 60])
def test_sums_with_a_constant_that_are_multiplied_by_large_powers_of_two(power, term):
    """The constant's part of the reduction would have lost its last digits."""

    def function(x):
        return np.exp((x - term) / 2.0**-power)

    near, far = np.arange(-40, 41) * np.spacing(term), np.linspace(-700, 700, 99) / 2.0**power
    x = term + np.concatenate([near, far])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(computed(function, x), function(x), rtol=7e-16, atol=5e-324)


@pytest.mark.parametrize("factor", [2.0**-70, -0.25, 4.0, 2.0**70])
def test_arguments_that_are_products_with_a_power_of_two(factor):
    with np.errstate(all="ignore"):
        x = np.array([*SPECIAL, *np.linspace(-900.0, 900.0, 999)]) / factor
        expected = np.exp(x / (1 / factor))
    found = computed(lambda x: np.exp(x / (1 / factor)), x)
    np.testing.assert_allclose(found, expected, rtol=7e-16, atol=5e-324)


def test_few_functions_are_written_out():
    """In steps that wait for each other, on processors with fused operations; elsewhere the C library is called."""

    def chain(length):
        def step(y):
            for _ in range(length):
                y = np.exp(-y)
            return y

        return record(step, [np.zeros(1)]).program

    few, many = chain(FEW_CALLS), chain(FEW_CALLS + 1)
    written = "@parscan_powers" in kernel(few, chain=1).text
    assert written == libm.has_fma()
    for other in (kernel(few, chain=0), kernel(many, chain=1)):
        assert "@parscan_powers" not in other.text
        assert "@parscan_exp" in other.text


def test_without_fused_operations_the_library_is_called(monkeypatch):
    monkeypatch.setattr(text, "SHORT", {})
    x = np.linspace(-3.0, 3.0, 50)
    np.testing.assert_allclose(computed(lambda x: np.exp(0.51 * x), x), np.exp(0.51 * x), rtol=4e-16)


def test_functions_in_branches_and_at_the_end_of_steps():
    """Code of several blocks, within branches and handed over from step to step."""

    def step(y, x):
        q, p = y[..., 0], y[..., 1]
        p = p - 0.05 * np.sin(q)
        q = np.where(x[..., 0] > 0.5, q + 0.1 * p, np.cos(q) + np.exp(-q * q))
        return np.stack([q, p - 0.05 * np.sin(q)], -1)

    x = np.random.default_rng(1).random((300, 1))
    y, expected, found = np.array([0.4, -0.2]), [], np.empty((300, 2))
    Loop(record(step, [y[None], x[:1]]).program).run(y, [x], found, 0, 300)
    for t in range(300):
        y = step(y, x[t])
        expected.append(y)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
