"""Functions of the module `math` in recorded functions: those of NumPy, and the exceptions that Python raises."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy

from .array import RecordingArray
from .python_functions import PythonFunction
from .python_numbers import checked, number, whole
from .refusal import Refused

np: Any = numpy  # whose types do not know recording arrays


class MathFunction(PythonFunction):
    """A function of the module `math`, which has its NumPy counterpart for recorded values."""

    def _recorded(self, args: Any) -> Any:
        own = MATH.get(self.__name__)
        if own is None:
            raise Refused(f"calls `math.{self.__name__}`, which is not recorded")
        if self.__name__ in OF_SEQUENCES:
            return checked(own(*args)) if self.__name__ == "fsum" else number(own(*args))
        args = tuple(map(only_entry, args))
        found = own(*args)
        if self.__name__ in WHOLE:
            return whole(found)
        if isinstance(found, tuple):
            return tuple(map(number, found))
        return found if found.dtype == bool else checked(found, *args)


def only_entry(value: Any) -> Any:
    """The only entry of an array, as a number of Python."""
    if not isinstance(value, RecordingArray):
        return value
    if value.size != 1:
        raise TypeError("only length-1 arrays can be converted to Python scalars")
    if value.dtype == np.float32:
        raise Refused("calls float() or a function of the module math on a value of float32")
    return number(value.reshape(()).astype(np.float64))


def _erf(name: str) -> Callable[..., Any]:
    def record(x: Any) -> Any:
        from scipy import special  # noqa: PLC0415 - slow to import

        return getattr(special, name)(x)

    return record


MATH: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(np, name)
        for name in [
            "exp",
            "exp2",
            "expm1",
            "log2",
            "log10",
            "log1p",
            "sqrt",
            "cbrt",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "tanh",
            "arctan2",
            "copysign",
            "fmod",
            "floor",
            "ceil",
            "trunc",
            "isnan",
            "isfinite",
            "isinf",
            "degrees",
            "radians",
            "modf",
        ]
    },
    **{name: getattr(np, "arc" + name[1:]) for name in ["asin", "acos", "atan", "atan2", "asinh", "acosh", "atanh"]},
    "fabs": np.abs,
    "pow": np.float_power,
    "log": lambda x, base=None: np.log(x) if base is None else np.log(x) / np.log(base),
    "hypot": lambda *values: functools.reduce(np.hypot, values, 0.0) if len(values) != 2 else np.hypot(*values),
    "isclose": lambda a, b: (
        np.equal(a, b)
        | (np.isfinite(a) & np.isfinite(b) & (np.abs(a - b) <= np.maximum(np.abs(1e-9 * a), np.abs(1e-9 * b))))
    ),
    "erf": _erf("erf"),
    "erfc": _erf("erfc"),
}
"""How functions of the module `math` are recorded."""


def _exact_sum(values: Any) -> Any:
    """The sum with the rounding errors of all partial sums: `math.fsum`, but for errors of these errors."""
    total, errors = 0.0, 0.0
    for value in values:
        new = total + value
        part = new - total
        total, errors = new, errors + ((total - (new - part)) + (value - part))
    return np.where(np.isfinite(total), total + errors, total)


MATH |= {
    "fsum": _exact_sum,
    "prod": lambda values, start=1: functools.reduce(lambda a, b: a * b, values, start),
    "dist": lambda p, q: functools.reduce(np.hypot, (a - b for a, b in zip(p, q, strict=True)), 0.0),
    "sumprod": lambda p, q: sum(a * b for a, b in zip(p, q, strict=True)),
}

OF_SEQUENCES = ("fsum", "prod", "dist", "sumprod")
"""Functions of `MATH` that take sequences."""

WHOLE = ("floor", "ceil", "trunc")
"""Functions of `MATH` that return integers."""
