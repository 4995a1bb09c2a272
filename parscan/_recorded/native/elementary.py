"""
Exponential functions written out, for vectors on which the C library has none, or has slower ones.

`exp(x) = 2**k exp(r)`, with a whole `k` and `|r| <= log(2)/2`. A sum of few terms gives `exp(r) - 1`, and a factor
`2**k` is made of its bits. All are within three units of the last place.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np

from .text import BETTER, WRITTEN_OUT, Operand, Register, literal, vector


@dataclass(frozen=True)
class Numbers:
    """Properties of a dtype that the functions use."""

    terms: int
    """Of `(exp(r) - 1 - r) / r**2`."""
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
        12, 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1.5 * 2.0**52, 52, 1023, -746.0, 710.0, 2.0**-28
    ),
    "f": Numbers(6, 0.693359375, -2.12194440e-4, 1.5 * 2.0**23, 23, 127, -105.0, 89.0, 2.0**-13),
}


def exp(w: Operand, x: Register) -> Register:
    """The exponential function."""
    n = NUMBERS[w.dtype.char]
    k, rest = _reduced(w, _limited(w, x, n.lowest, n.highest))
    half = w.llvm("rint", w.do("fmul", k, w.number(0.5)))
    first = w.do("fmul", w.do("fadd", rest, w.number(1.0)), _power_of_two(w, half))
    found = w.do("fmul", first, _power_of_two(w, w.do("fsub", k, half)))
    return w.choose(w.compare("uno", x, x), x, found)


def expm1(w: Operand, x: Register) -> Register:
    """`exp(x) - 1`, as the sum of `exp(r) - 1` and `1 - 2**-k`, times `2**k`."""
    n = NUMBERS[w.dtype.char]
    k, rest = _reduced(w, _limited(w, x, -40.0, n.highest))
    above = w.compare("olt", k, w.number(n.bias - 1.0))
    inverse = _power_of_two(w, w.do("fneg", w.choose(above, k, w.number(n.bias - 1.0))))
    half = w.llvm("rint", w.do("fmul", k, w.number(0.5)))
    found = w.do("fadd", rest, w.do("fsub", w.number(1.0), inverse))
    found = w.do("fmul", w.do("fmul", found, _power_of_two(w, half)), _power_of_two(w, w.do("fsub", k, half)))
    return w.choose(w.compare("ueq", x, w.number(0.0)), x, found)  # also where it is NaN: -0.0 stays what it is


def tanh(w: Operand, x: Register) -> Register:
    """`(exp(2 x) - 1) / (exp(2 x) + 1)` of the absolute value, with the sign; `x` itself where that is tiny, or NaN."""
    size = w.llvm("fabs", x)
    small = w.compare("ult", size, w.number(NUMBERS[w.dtype.char].small))
    size = w.choose(w.compare("olt", size, w.number(22.0)), size, w.number(22.0))
    size = w.choose(small, w.number(0.0), size)  # processors are slow near the smallest number
    k, rest = _reduced(w, w.do("fadd", size, size))
    scale = _power_of_two(w, k)
    found = w.do("fadd contract", w.do("fmul contract", scale, rest), w.do("fsub", scale, w.number(1.0)))
    found = w.llvm("copysign", w.do("fdiv", found, w.do("fadd", found, w.number(2.0))), x)
    return w.choose(small, x, found)


def _limited(w: Operand, x: Register, low: float, high: float) -> Register:
    x = w.choose(w.compare("olt", x, w.number(high)), x, w.number(high))
    return w.choose(w.compare("ogt", x, w.number(low)), x, w.number(low))


def _reduced(w: Operand, x: Register) -> tuple[Register, Register]:
    """The whole number `k`, as a floating-point number, and `exp(r) - 1`."""
    n = NUMBERS[w.dtype.char]
    k = w.llvm("rint", w.do("fmul", x, w.number(1 / np.log(2.0))))
    r = w.do("fsub contract", x, w.do("fmul contract", k, w.number(n.high)))
    r = w.do("fsub contract", r, w.do("fmul contract", k, w.number(n.low)))
    terms = [w.number(1 / factorial(j + 2)) for j in range(n.terms)]
    power = r
    while len(terms) > 1:  # neighbours together, so that few additions wait for others
        pairs = [_fused(w, terms[j + 1], power, terms[j]) for j in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[len(terms) // 2 * 2 :]
        power = w.do("fmul", power, power)
    return k, _fused(w, terms[0], w.do("fmul", r, r), r)


def _fused(w: Operand, a: Register, x: Register, b: Register) -> Register:
    return w.do("fadd contract", w.do("fmul contract", a, x), b)


def _power_of_two(w: Operand, k: Register) -> Register:
    """`2**k` for a whole number, by its bits."""
    n, whole = NUMBERS[w.dtype.char], np.dtype(f"int{8 * w.dtype.itemsize}")
    kind = vector(f"i{8 * w.dtype.itemsize}", w.width)
    bits = w.text.new(f"bitcast {w.kind} {w.do('fadd', k, w.number(n.magic))} to {kind}")
    bits = w.text.new(f"add {kind} {bits}, {literal(n.bias, whole, w.width)}")
    bits = w.text.new(f"shl {kind} {bits}, {literal(n.fraction, whole, w.width)}")
    return w.text.new(f"bitcast {kind} {bits} to {w.kind}")


WRITTEN_OUT.update(exp=exp, expm1=expm1, tanh=tanh)
BETTER.add("tanh")
