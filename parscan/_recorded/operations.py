"""The table of scalar operations: values, derivatives, and spelling in LLVM.

Adding an operation is adding a row. Tests run over all rows.

Where a derivative does not exist, the table gives: 0 for step functions (`floor`, `sign`, conditions) and for
`absolute` at 0; the derivative of the first operand for the maximum and the minimum of equal numbers; at the edge of a
domain the limit from inside, which may be infinite; NaN for `hypot` and `arctan2` at the origin. Outside of a domain,
where the value is NaN, the derivative may be any number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Operation:
    """
    A scalar operation.

    Attributes
    ----------
    name : str
        Name of the NumPy function.
    value : callable
        The operation on arrays: a NumPy ufunc, or a function of arrays with the same promotion of dtypes.
    partials : tuple of callables
        For each operand, its partial derivative, a function `(*operands, result)` of recorded arrays; None if it is
        zero. An empty tuple: all are zero.
    chooses : callable or None
        For an operation whose result is one of its last two operands: a function `(*operands, result) -> condition`
        that is true where it is the first of them. The derivative is that of the chosen operand; the other one may be
        infinite or NaN.
    llvm : str
        Spelling, see `native/text.py`.
    """

    name: str
    value: Callable[..., Any]
    partials: tuple[Callable[..., Any] | None, ...] = ()
    chooses: Callable[..., Any] | None = None
    llvm: str = ""

    @property
    def arity(self) -> int:
        """Number of operands."""
        return int(getattr(self.value, "nin", 3))


def _by_divisor(x: Any, y: Any, r: Any) -> Any:
    """The derivative of a quotient by its divisor; that of `1 / y`, as in a sigmoid, takes no other division."""
    is_inverse = np.ndim(x.ids) == 0 and x.graph.value(int(x.ids)) == 1
    return -(r * r) if is_inverse else -r / y


def _rows() -> list[Operation]:
    sign, where, equal = np.sign, np.where, np.equal
    root_pi = 2.0 / np.sqrt(np.pi)
    one, minus_one = lambda *_: 1.0, lambda *_: -1.0
    return [
        Operation("add", np.add, (one, one), llvm="fadd"),
        Operation("subtract", np.subtract, (one, minus_one), llvm="fsub"),
        Operation("multiply", np.multiply, (lambda x, y, r: y, lambda x, y, r: x), llvm="fmul"),
        Operation("divide", np.divide, (lambda x, y, r: 1.0 / y, _by_divisor), llvm="fdiv"),
        Operation("negative", np.negative, (minus_one,), llvm="fneg"),
        Operation("absolute", np.absolute, (lambda x, r: sign(x),), llvm="@llvm.fabs"),
        Operation("sqrt", np.sqrt, (lambda x, r: 0.5 / r,), llvm="@llvm.sqrt"),
        Operation("cbrt", np.cbrt, (lambda x, r: 1.0 / (3.0 * r * r),), llvm="libm cbrt"),
        Operation(
            "power",
            np.power,
            # `x**0` does not change with `x`, nor `0**p` with `p > 0`: the formulas alone have NaN there
            (
                lambda x, p, r: p * where(equal(p, 0), 1.0, x ** (p - 1.0)),
                lambda x, p, r: r * np.log(where(equal(x, 0), 1.0, x)),
            ),
            llvm="libm pow",
        ),
        Operation("exp", np.exp, (lambda x, r: r,), llvm="libm exp"),
        Operation("exp2", np.exp2, (lambda x, r: r * np.log(2.0),), llvm="libm exp2"),
        Operation("expm1", np.expm1, (lambda x, r: np.exp(x),), llvm="libm expm1"),
        Operation("log", np.log, (lambda x, r: 1.0 / x,), llvm="libm log"),
        Operation("log2", np.log2, (lambda x, r: 1.0 / (x * np.log(2.0)),), llvm="libm log2"),
        Operation("log10", np.log10, (lambda x, r: 1.0 / (x * np.log(10.0)),), llvm="libm log10"),
        Operation("log1p", np.log1p, (lambda x, r: 1.0 / (1.0 + x),), llvm="libm log1p"),
        Operation("sin", np.sin, (lambda x, r: np.cos(x),), llvm="libm sin"),
        Operation("cos", np.cos, (lambda x, r: -np.sin(x),), llvm="libm cos"),
        Operation("tan", np.tan, (lambda x, r: 1.0 + r * r,), llvm="libm tan"),
        Operation("arcsin", np.arcsin, (lambda x, r: 1.0 / np.sqrt((1.0 - x) * (1.0 + x)),), llvm="libm asin"),
        Operation("arccos", np.arccos, (lambda x, r: -1.0 / np.sqrt((1.0 - x) * (1.0 + x)),), llvm="libm acos"),
        Operation("arctan", np.arctan, (lambda x, r: 1.0 / (1.0 + x * x),), llvm="libm atan"),
        Operation(
            "arctan2",
            np.arctan2,
            (lambda y, x, r: x / (x * x + y * y), lambda y, x, r: -y / (x * x + y * y)),
            llvm="libm atan2",
        ),
        Operation("hypot", np.hypot, (lambda x, y, r: x / r, lambda x, y, r: y / r), llvm="hypot"),
        Operation("sinh", np.sinh, (lambda x, r: np.cosh(x),), llvm="libm sinh"),
        Operation("cosh", np.cosh, (lambda x, r: np.sinh(x),), llvm="libm cosh"),
        Operation("tanh", np.tanh, (lambda x, r: (1.0 - r) * (1.0 + r),), llvm="libm tanh"),
        Operation("arcsinh", np.arcsinh, (lambda x, r: 1.0 / np.hypot(1.0, x),), llvm="libm asinh"),
        Operation("arccosh", np.arccosh, (lambda x, r: 1.0 / np.sqrt((x - 1.0) * (x + 1.0)),), llvm="libm acosh"),
        Operation("arctanh", np.arctanh, (lambda x, r: 1.0 / ((1.0 - x) * (1.0 + x)),), llvm="libm atanh"),
        Operation(
            "logaddexp",
            np.logaddexp,
            (lambda x, y, r: np.exp(x - r), lambda x, y, r: np.exp(y - r)),
            llvm="logaddexp",
        ),
        Operation("where", np.where, chooses=lambda c, x, y, r: c, llvm="select"),
        Operation("maximum", np.maximum, chooses=lambda x, y, r: (x >= y) | np.isnan(x), llvm="@llvm.maximum"),
        Operation("minimum", np.minimum, chooses=lambda x, y, r: (x <= y) | np.isnan(x), llvm="@llvm.minimum"),
        Operation("fmax", np.fmax, chooses=lambda x, y, r: (x >= y) | np.isnan(y), llvm="@llvm.maxnum"),
        Operation("fmin", np.fmin, chooses=lambda x, y, r: (x <= y) | np.isnan(y), llvm="@llvm.minnum"),
        Operation(
            "copysign",
            np.copysign,
            (lambda x, y, r: where(np.signbit(x) ^ np.signbit(r), -1.0, 1.0), None),
            llvm="@llvm.copysign",
        ),
        Operation("remainder", np.remainder, (one, lambda x, y, r: -(x // y)), llvm="remainder"),
        Operation("fmod", np.fmod, (one, lambda x, y, r: -np.rint((x - r) / y)), llvm="frem"),
        Operation("floor_divide", np.floor_divide, llvm="floor_divide"),
        Operation("floor", np.floor, llvm="@llvm.floor"),
        Operation("ceil", np.ceil, llvm="@llvm.ceil"),
        Operation("trunc", np.trunc, llvm="@llvm.trunc"),
        Operation("rint", np.rint, llvm="@llvm.rint"),
        Operation("sign", np.sign, llvm="sign"),
        Operation("heaviside", np.heaviside, (None, lambda x, y, r: where(equal(x, 0), 1.0, 0.0)), llvm="heaviside"),
        Operation("signbit", np.signbit, llvm="signbit"),
        Operation("isnan", np.isnan, llvm="isnan"),
        Operation("isfinite", np.isfinite, llvm="isfinite"),
        Operation("isinf", np.isinf, llvm="isinf"),
        Operation("less", np.less, llvm="fcmp olt"),
        Operation("less_equal", np.less_equal, llvm="fcmp ole"),
        Operation("greater", np.greater, llvm="fcmp ogt"),
        Operation("greater_equal", np.greater_equal, llvm="fcmp oge"),
        Operation("equal", np.equal, llvm="fcmp oeq"),
        Operation("not_equal", np.not_equal, llvm="fcmp une"),
        Operation("logical_and", np.logical_and, llvm="and"),
        Operation("logical_or", np.logical_or, llvm="or"),
        Operation("logical_xor", np.logical_xor, llvm="xor"),
        Operation("logical_not", np.logical_not, llvm="not"),
        Operation("expit", _of_scipy("expit"), (lambda x, r: r * (1.0 - r),), llvm="expit"),
        Operation("erf", _of_scipy("erf"), (lambda x, r: root_pi * np.exp(-x * x),), llvm="libm erf"),
        Operation("erfc", _of_scipy("erfc"), (lambda x, r: -root_pi * np.exp(-x * x),), llvm="libm erfc"),
    ]


class _of_scipy:  # noqa: N801 - a function with an attribute
    """A function of one operand of `scipy.special`, which is slow to import."""

    nin = 1

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, x: Any) -> Any:
        from scipy import special  # noqa: PLC0415 - slow to import

        return getattr(special, self.name)(x)


OPERATIONS: dict[str, Operation] = {row.name: row for row in _rows()}
"""All operations by name."""
