"""
Exponential functions written out, for vectors on which the C library has none, or has slower ones.

`exp(x) = 2**k exp(r)`, with a whole `k` and `|r| <= log(2)/2`. A polynomial gives `exp(r) - 1`, and a factor `2**k` is
made of its bits. With a table of `2**(j/16)` in two registers, `r` is 16 times smaller, and few terms are left (Tang,
ACM Transactions on Mathematical Software 15, 1989). All are within three units of the last place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from . import libm
from .text import BETTER, NEVER, WRITTEN_OUT, Operand, Register, literal, vector


@dataclass(frozen=True)
class Numbers:
    """Properties of a dtype that the functions use."""

    terms: tuple[float, ...]
    """Of a polynomial in `r` that differs least from `(exp(r) - 1 - r) / r**2`, the errors times `r**2`."""
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
        (0.5000000000000012, 0.166666666666667, 0.04166666666651546, 0.008333333333307298, 0.0013888888947005064,
         0.0001984126991716729, 2.480148995389756e-05, 2.7557216503627365e-06, 2.76312761018681e-07,
         2.5117794352641916e-08),
        6.93147180369123816490e-01, 1.90821492927058770002e-10, 1.5 * 2.0**52, 52, 1023, -746.0, 710.0, 2.0**-28,
    ),
    "f": Numbers(
        (0.5000000095578226, 0.1666651830544551, 0.04166620449140061, 0.008368953637343673, 0.0013950581461656144),
        0.693359375, -2.12194440e-4, 1.5 * 2.0**23, 23, 127, -105.0, 89.0, 2.0**-13,
    ),
}  # fmt: skip

PARTS = 16
"""Entries of the table, as many as two registers of eight numbers have."""

TERMS = (0.5000000000000006, 0.16666666664416932, 0.041666666659638765, 0.00833347195189683, 0.0013889129204615756)
"""`Numbers.terms` for `|r| <= log(2) / (2 PARTS)`, in double precision."""


def exp(w: Operand, x: Register) -> Register:
    """The exponential function."""
    n = NUMBERS[w.dtype.char]
    x = _limited(w, x, n.lowest, n.highest)
    if not _has_tables(w):
        k, rest = _reduced(w, x)
        return _times_power_of_two(w, w.do("fadd", rest, w.number(1.0)), k)
    bits, k, r = _divided(w, x, 1 / PARTS)
    part = w.in_vectors(_entries, bits)
    return _times_power_of_two(w, _fused(w, part, _exp_less_one(w, r, TERMS), part), k, 1 / PARTS)


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
    n, size, half = NUMBERS[w.dtype.char], w.llvm("fabs", x), w.number(0.5)
    small = w.compare("ult", size, w.number(n.small))
    size = w.choose(w.compare("olt", size, w.number(22.0)), size, w.number(22.0))
    size = w.choose(small, w.number(0.0), size)  # processors are slow near the smallest number
    bits, _, r = _divided(w, size, 0.5)
    scale = _of_bits(w, bits)
    # All is half as large, with half of `exp(2 r) - 1`.
    rest = _exp_less_one(w, r, [term * 2.0 ** (j + 1) for j, term in enumerate(n.terms)])
    found = _fused(w, scale, rest, _fused(w, scale, half, w.number(-0.5)))
    found = w.llvm("copysign", w.do("fdiv", found, w.do("fadd", found, w.number(1.0))), x)
    return w.choose(small, x, found)


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


def _entries(w: Operand, bits: Register) -> Register:
    """`2**(j/16)` for the last four bits `j`."""
    kind, whole, name = w.kind, vector("i64", w.width), "llvm.x86.avx512.vpermi2var.pd.512"
    low, high = (
        "<"
        + ", ".join(f"double {literal(2.0 ** (j / PARTS), w.dtype)}" for j in range(first, first + PARTS // 2))
        + ">"
        for first in (0, PARTS // 2)
    )
    places = w.text.new(f"bitcast {kind} {bits} to {whole}")
    return w.text.call(name, kind, [(kind, low), (whole, places), (kind, high)])


WRITTEN_OUT.update(exp=exp, expm1=expm1, tanh=tanh)
BETTER.update(tanh=0, exp=64 if libm.vector_bytes() == 64 else NEVER)
