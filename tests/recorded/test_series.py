"""Taylor series of recorded functions: against Cauchy's integrals of the same functions of complex numbers."""

import numpy as np
import pytest
from scipy import special

from parscan._recorded.operations import OPERATIONS
from parscan._recorded.record import record
from parscan._recorded.refusal import Refused
from parscan._recorded.series import OWN_RULES, coefficients, series

ORDER = 12

LIMIT = 10_000


def inner(u):
    return 0.4 + 0.3 * np.sin(u)


UNARY = {
    "negative": np.negative, "sqrt": np.sqrt, "cbrt": lambda z: z ** (1 / 3), "exp": np.exp, "exp2": lambda z: 2.0**z,
    "expm1": np.expm1, "log": np.log, "log2": lambda z: np.log(z) / np.log(2),
    "log10": lambda z: np.log(z) / np.log(10), "log1p": lambda z: np.log(1 + z),
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "arcsin": np.arcsin,
    "arccos": np.arccos, "arctan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "arcsinh": np.arcsinh, "arctanh": np.arctanh, "expit": lambda z: 1 / (1 + np.exp(-z)), "erf": special.erf,
    "erfc": lambda z: 1 - special.erf(z),
}  # fmt: skip
"""Operations of one number, as functions of complex numbers."""

BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
    "power": lambda x, y: np.exp(y * np.log(x)), "hypot": lambda x, y: np.sqrt(x * x + y * y),
    "arctan2": lambda y, x: np.arctan(y / x), "logaddexp": lambda x, y: np.log(np.exp(x) + np.exp(y)),
}  # fmt: skip

NONE = {
    "absolute", "where", "maximum", "minimum", "fmax", "fmin", "copysign", "remainder", "fmod", "floor_divide", "floor",
    "ceil", "trunc", "rint", "sign", "heaviside", "signbit", "isnan", "isfinite", "isinf", "less", "less_equal",
    "greater", "greater_equal", "equal", "not_equal", "logical_and", "logical_or", "logical_xor", "logical_not",
}  # fmt: skip
"""Operations on states that have no series."""


def found_by(fun, start, t=0.0, *parameters):
    given = [np.zeros(()), np.zeros(len(start)), *map(np.asarray, parameters)]
    return coefficients(series(record(fun, given).program, LIMIT), ORDER, t, start, *parameters)


def by_cauchy(function, at, radius=0.5, count=256):
    """Coefficients of a function of complex numbers, by its values on a circle."""
    angles = 2 * np.pi * np.arange(count) / count
    values = function(at + radius * np.exp(1j * angles))
    return (np.fft.fft(values) / count).real[:ORDER] / radius ** np.arange(ORDER)


def check(found, expected):
    """Coefficients of an integral, and of its integrand."""
    np.testing.assert_allclose(found[1:] * np.arange(1, ORDER + 1), expected, rtol=1e-9, atol=1e-9)


def test_every_operation_has_a_series_or_none():
    assert {*UNARY, *BINARY, "arccosh"} | NONE == OPERATIONS.keys()
    assert OWN_RULES.keys() <= {*UNARY, *BINARY, "where"}


def operation(name):
    return getattr(special if name in ("expit", "erf", "erfc") else np, name)


@pytest.mark.parametrize("name", UNARY)
def test_operations_of_one_number(name):
    found = found_by(lambda t, y: np.array([1.0 + 0 * y[0], operation(name)(inner(y[0]))]), [0.3, 0.0])
    check(found[:, 1], by_cauchy(lambda u: UNARY[name](inner(u)), 0.3))


def test_arccosh():
    found = found_by(lambda t, y: np.array([1.0 + 0 * y[0], np.arccosh(1.5 + inner(y[0]))]), [0.3, 0.0])
    check(found[:, 1], by_cauchy(lambda u: np.arccosh(1.5 + inner(u)), 0.3))


@pytest.mark.parametrize("constant", [None, 0, 1])
@pytest.mark.parametrize("name", BINARY)
def test_operations_of_two_numbers(name, constant):
    """Both change, or one is a parameter."""

    def both(u, p):
        return [p if constant == k else one for k, one in enumerate((inner(u), 1.2 + np.cos(u)))]

    found = found_by(lambda t, y, p: np.array([1.0 + 0 * y[0], operation(name)(*both(y[0], p))]), [0.3, 0.0], 0.0, 0.7)
    check(found[:, 1], by_cauchy(lambda u: BINARY[name](*both(u, 0.7 + 0 * u)), 0.3))


@pytest.mark.parametrize("exponent", [-3, -2, -1, 0, 1, 2, 3, 4, 5, 0.5, 1.5, -1.5, np.pi])
def test_powers(exponent):
    found = found_by(lambda t, y: np.array([1.0 + 0 * y[0], inner(y[0]) ** exponent]), [0.3, 0.0])
    check(found[:, 1], by_cauchy(lambda u: inner(u) ** exponent, 0.3))


def test_the_time():
    found = found_by(lambda t, y: np.array([np.sin(3.0 * t) * t + 0 * y[0]]), [0.0], 0.4)
    check(found[:, 0], by_cauchy(lambda t: np.sin(3.0 * t) * t, 0.4))


def test_solutions():
    """Closed forms: y' = y², and y'' = -y."""
    found = found_by(lambda t, y: y * y, [0.5])
    np.testing.assert_allclose(found[:, 0], 0.5 ** np.arange(1, ORDER + 2), rtol=1e-14)
    found = found_by(lambda t, y: np.array([y[1], -y[0]]), [1.0, 0.0])
    np.testing.assert_allclose(found[:4], [[1, 0], [0, -1], [-1 / 2, 0], [0, 1 / 6]], rtol=1e-15)


def test_products_of_matrices():
    matrix = np.random.default_rng(0).standard_normal((9, 9)) / 3
    found, y = found_by(lambda t, y: matrix @ y, np.arange(9.0)), np.arange(9.0)
    for k in range(1, ORDER + 1):
        y = matrix @ y / k
        np.testing.assert_allclose(found[k], y, rtol=1e-10, atol=1e-12)


def test_what_depends_on_the_time_alone_may_jump():
    """Between jumps and kinks, the series are those of one side."""
    table = np.array([0.0, 1.0, 3.0])

    def fun(t, y):
        return np.array([
            np.where(t < 1.0, np.sin(t), 2.0) * y[0], np.floor(3 * t) * t, np.abs(t - 1.0), np.maximum(t, 0.3) * t,
            np.interp(t, table, [1.0, 5.0, 2.0]), np.where(t > 1.0, y[0], t * t),
        ])  # fmt: skip

    def smooth(t, y):
        return np.array([np.sin(t) * y[0], 1.0 * t, 1.0 - t, t * t, 1.0 + 4.0 * t, t * t])

    start = np.arange(1.0, 7.0)
    np.testing.assert_allclose(found_by(fun, start, 0.5), found_by(smooth, start, 0.5), rtol=1e-13, atol=1e-15)


STATES = {
    "absolute": np.abs, "where": lambda y: np.where(y > 0, y, -y), "maximum": lambda y: np.maximum(y, 1.0),
    "remainder": lambda y: y % 1.0, "floor": lambda y: np.floor(y) * y,
    "interp": lambda y: np.interp(y, [0.0, 1.0], [0.0, 2.0]), "sign": lambda y: np.sign(y) * np.sqrt(y),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_jumps_and_kinks_of_states_have_no_series(name):
    with pytest.raises(Refused, match="of what changes with the solution, which has no Taylor series"):
        found_by(lambda t, y: STATES[name](y), [0.5])
