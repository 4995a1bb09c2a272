"""
Exponential functions written out, for vectors on which the C library has none, or has slower ones.

`exp(x) = 2**k exp(r)`, with a whole `k` and `|r| <= log(2)/2`. A polynomial gives `exp(r) - 1`, and a factor `2**k` is
made of its bits. With a table of `2**(j/16)` in two registers, `r` is 16 times smaller, and few terms are left (Tang,
ACM Transactions on Mathematical Software 15, 1989). All are within three units of the last place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import isqrt, log

import numpy as np

from . import libm
from .text import BETTER, NEVER, WRITTEN_OUT, Operand, Register, literal, vector


@dataclass(frozen=True)
class Numbers:
    """Properties of a dtype that the functions use."""

    terms: tuple[float, ...]
    """Of a polynomial in `r` for `(exp(r) - 1 - r) / r**2` with the least relative error of `exp(r) - 1`."""
    high: float
    """The first bits of log(2), whose product with `k` is exact."""
    low: float
    """The others."""
    magic: float
    """A number whose sum with a small whole number has this number in its last bits."""
    fraction: int
    """Bits of the fraction."""
    bias: int
    """Of the exponent."""
    lowest: float
    """`exp` of it, and of anything below, is 0."""
    highest: float
    """`exp` of it, and of anything above, is infinite."""
    small: float
    """`tanh` of anything below it in size is that, to less than a tenth of a unit of the last place."""


NUMBERS = {
    "d": Numbers(
        (0.5000000000000006, 0.16666666666666685, 0.04166666666657362, 0.008333333333314624, 0.001388888893238076,
         0.0001984126990294825, 2.4801504443750943e-05, 2.7557228036122765e-06, 2.7626327357220064e-07,
         2.51144449816872e-08),
        6.93147180369123816490e-01, 1.90821492927058770002e-10, 1.5 * 2.0**52, 52, 1023, -746.0, 710.0, 2.0**-28,
    ),
    "f": Numbers(
        (0.5000000062656397, 0.16666542551290872, 0.041666279149247, 0.00836664366350003, 0.0013946651077236636),
        0.693359375, -2.12194440e-4, 1.5 * 2.0**23, 23, 127, -105.0, 89.0, 2.0**-13,
    ),
}  # fmt: skip

PARTS = 16
"""Entries of the table, as many as two registers of eight numbers have."""

DIGITS = 200
"""Binary digits of the numbers from which the table is made."""

_exact = [isqrt(isqrt(isqrt(isqrt(1 << (j + 16 * DIGITS))))) for j in range(PARTS)]
POWERS = tuple(one / (1 << DIGITS) for one in _exact)
"""`2**(j/16)`."""

ERRORS = tuple((one - int(near * 2**DIGITS)) / (1 << DIGITS + 1) for one, near in zip(_exact, POWERS, strict=True))
"""Half of their rounding errors."""

FEW_TERMS = (0.5000000000000006, 0.16666666664416932, 0.041666666659638765, 0.00833347195189683, 0.0013889129204615756)
"""As `Numbers.terms`, for `|r| <= log(2) / (2 PARTS)`; the largest error of `exp(r)` is least."""

TERMS = (0.5000000000000003, 0.16666666666666677, 0.04166666666188922, 0.008333333332417538, 0.0013889092545695668,
         0.00019841553858196718)  # fmt: skip
"""The same, with the least relative error of `exp(r) - 1`."""


def exp(w: Operand, x: Register) -> Register:
    """The exponential function."""
    n = NUMBERS[w.dtype.char]
    x = _limited(w, x, n.lowest, n.highest)
    if not _has_tables(w):
        k, rest = _reduced(w, x)
        return _times_power_of_two(w, w.do("fadd", rest, w.number(1.0)), k)
    bits, k, r = _divided(w, x, 1 / PARTS)
    part = w.in_vectors(partial(_entries, POWERS), bits)
    return _times_power_of_two(w, _fused(w, part, _exp_less_one(w, r, FEW_TERMS), part), k, 1 / PARTS)


def expm1(w: Operand, x: Register) -> Register:
    """`exp(x) - 1`, as the sum of `exp(r) - 1` and `1 - 2**-k`, times `2**k`."""
    n = NUMBERS[w.dtype.char]
    k, rest = _reduced(w, _limited(w, x, -40.0, n.highest))
    above = w.compare("olt", k, w.number(n.bias - 1.0))
    inverse = _power_of_two(w, w.do("fneg", w.choose(above, k, w.number(n.bias - 1.0))))
    found = _times_power_of_two(w, w.do("fadd", rest, w.do("fsub", w.number(1.0), inverse)), k)
    return w.choose(w.compare("ueq", x, w.number(0.0)), x, found)  # also where it is NaN: -0.0 stays what it is


def tanh(w: Operand, x: Register) -> Register:
    """`(exp(2 x) - 1) / (exp(2 x) + 1)` of the absolute value, with the sign; `x` itself where that is tiny, or NaN."""
    n, size = NUMBERS[w.dtype.char], w.llvm("fabs", x)
    small = w.compare("ult", size, w.number(n.small))
    size = w.choose(w.compare("olt", size, w.number(22.0)), size, w.number(22.0))
    size = w.choose(small, w.number(0.0), size)  # processors are slow near the smallest number
    found = _half_less_one(w, size)
    found = w.llvm("copysign", w.do("fdiv", found, w.do("fadd", found, w.number(1.0))), x)
    return w.choose(small, x, found)


def _half_less_one(w: Operand, x: Register) -> Register:
    """Half of `exp(2 x) - 1` for numbers that are not negative."""
    has_tables = _has_tables(w)
    bits, _, r = _divided(w, x, 0.5 / PARTS if has_tables else 0.5)
    terms = TERMS if has_tables else NUMBERS[w.dtype.char].terms
    rest = _exp_less_one(w, r, [term * 2.0 ** (j + 1) for j, term in enumerate(terms)])  # half of `exp(2 r) - 1`
    if not has_tables:
        scale = _of_bits(w, bits)
        return _fused(w, scale, rest, _fused(w, scale, w.number(0.5), w.number(-0.5)))
    scale, error = (_with_exponent(w, w.in_vectors(partial(_entries, given), bits), bits) for given in (POWERS, ERRORS))
    return _fused(w, scale, rest, w.do("fadd", _fused(w, scale, w.number(0.5), w.number(-0.5)), error))


def _limited(w: Operand, x: Register, low: float, high: float) -> Register:
    """The number within limits; NaN stays what it is."""
    x = w.choose(w.compare("ogt", x, w.number(high)), w.number(high), x)
    return w.choose(w.compare("olt", x, w.number(low)), w.number(low), x)


def _reduced(w: Operand, x: Register) -> tuple[Register, Register]:
    """The whole number `k`, as a floating-point number, and `exp(r) - 1`."""
    _, k, r = _divided(w, x, 1.0)
    return k, _exp_less_one(w, r, NUMBERS[w.dtype.char].terms)


def _divided(w: Operand, x: Register, part: float) -> tuple[Register, Register, Register]:
    """
    The number of times that `part log(2)` is in `x`, and the rest `r`; `part` is a power of two.

    The number stands in the last bits of the first register; the second one is this number.
    """
    n = NUMBERS[w.dtype.char]
    bits = _fused(w, x, w.number(1 / (part * log(2.0))), w.number(n.magic))
    k = w.do("fsub", bits, w.number(n.magic))
    r = w.do("fsub contract", x, w.do("fmul contract", k, w.number(part * n.high)))
    return bits, k, w.do("fsub contract", r, w.do("fmul contract", k, w.number(part * n.low)))


def _exp_less_one(w: Operand, r: Register, given: Sequence[float]) -> Register:
    """`r + r**2 (c0 + c1 r + ...)`."""
    terms = [w.number(one) for one in given]
    square = power = w.do("fmul", r, r)
    factor = r
    while len(terms) > 1:  # neighbours together, so that few additions wait for others
        pairs = [_fused(w, terms[j + 1], factor, terms[j]) for j in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[len(terms) // 2 * 2 :]
        factor, power = power, w.do("fmul", power, power) if len(terms) > 2 else power
    return _fused(w, terms[0], square, r)


def _fused(w: Operand, a: Register, x: Register, b: Register) -> Register:
    return w.do("fadd contract", w.do("fmul contract", a, x), b)


def _power_of_two(w: Operand, k: Register) -> Register:
    """`2**k` for a whole number, by its bits."""
    return _of_bits(w, w.do("fadd", k, w.number(NUMBERS[w.dtype.char].magic)))


def _of_bits(w: Operand, bits: Register) -> Register:
    """`2**k` for a whole number in the last bits of a register."""
    n, whole = NUMBERS[w.dtype.char], np.dtype(f"int{8 * w.dtype.itemsize}")
    kind = vector(f"i{8 * w.dtype.itemsize}", w.width)
    bits = w.text.new(f"bitcast {w.kind} {bits} to {kind}")
    bits = w.text.new(f"add {kind} {bits}, {literal(n.bias, whole, w.width)}")
    bits = w.text.new(f"shl {kind} {bits}, {literal(n.fraction, whole, w.width)}")
    return w.text.new(f"bitcast {kind} {bits} to {w.kind}")


def _times_power_of_two(w: Operand, value: Register, k: Register, part: float = 1.0) -> Register:
    """`2**floor(part k)` times a value, even if that is denormal or infinite; `part` is 1 without tables."""
    if _has_tables(w):
        k = k if part == 1.0 else w.do("fmul", k, w.number(part))
        return w.in_vectors(_scaled, value, k)
    half = w.llvm("rint", w.do("fmul", k, w.number(0.5)))
    return w.do("fmul", w.do("fmul", value, _power_of_two(w, half)), _power_of_two(w, w.do("fsub", k, half)))


# Instructions on whole registers


def _has_tables(w: Operand) -> bool:
    """Whether the processor looks up entries in two registers for each element of a register."""
    return w.dtype.char == "d" and w.width * w.dtype.itemsize >= 64 and libm.vector_bytes() == 64


def _scaled(w: Operand, value: Register, k: Register) -> Register:
    kind, name = w.kind, "llvm.x86.avx512.mask.scalef.pd.512"
    given = [(kind, value), (kind, k), (kind, "zeroinitializer"), ("i8", "-1"), ("i32", "4")]
    return w.text.call(name, kind, given)


def _entries(given: Sequence[float], w: Operand, bits: Register) -> Register:
    """Entries of a table for the last four bits."""
    kind, whole, name = w.kind, vector("i64", w.width), "llvm.x86.avx512.vpermi2var.pd.512"
    low, high = (
        "<" + ", ".join(f"double {literal(one, w.dtype)}" for one in given[first : first + PARTS // 2]) + ">"
        for first in (0, PARTS // 2)
    )
    places = w.text.new(f"bitcast {kind} {bits} to {whole}")
    return w.text.call(name, kind, [(kind, low), (whole, places), (kind, high)])


def _with_exponent(w: Operand, value: Register, bits: Register) -> Register:
    """A value times `2**m`, where `m` stands in front of the last four bits; 0 becomes a number that is nearly 0."""
    whole, kind = np.dtype(np.int64), vector("i64", w.width)
    bits = w.text.new(f"bitcast {w.kind} {bits} to {kind}")
    bits = w.text.new(f"and {kind} {bits}, {literal(-PARTS, whole, w.width)}")
    bits = w.text.new(f"shl {kind} {bits}, {literal(52 - 4, whole, w.width)}")
    value = w.text.new(f"bitcast {w.kind} {value} to {kind}")
    return w.text.new(f"bitcast {kind} {w.text.new(f'add {kind} {value}, {bits}')} to {w.kind}")


WRITTEN_OUT.update(exp=exp, expm1=expm1, tanh=tanh)
BETTER.update(tanh=0, exp=64 if libm.vector_bytes() == 64 else NEVER)
