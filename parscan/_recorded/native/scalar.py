"""
Functions of one number, written out so that few of their operations wait for each other.

Steps of a recurrence wait for the step before, and calls of the C library take the more time the fewer there are of
them. The argument is reduced by a whole multiple of a constant, whose parts are subtracted by fused operations
(W. J. Cody, W. Waite, "Software Manual for the Elementary Functions", 1980). The exponential function then has a table
(P. T. P. Tang, ACM Transactions on Mathematical Software 15, 1989). Polynomials pair neighbouring terms (G. Estrin,
1960). Errors are below three units of the last place. Arguments that are large, tiny or not finite are left to the
C library: the processor expects them to be rare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from .layout import address
from .text import SHORT, Operand, Register, literal

Function = Callable[[Operand, Register], Register]

MAGIC = 1.5 * 2.0**52
"""A number whose sum with a whole number has that in its last bits."""

ENTRIES = 1024

FINER = np.exp2(np.arange(2 * ENTRIES) / (2 * ENTRIES))
POWERS = FINER[::2].copy()
"""Powers of two, which code reads."""

TABLES = {"parscan_powers": POWERS, "parscan_twice_powers": 2 * POWERS, "parscan_powers_finer": FINER,
          "parscan_twice_powers_finer": 2 * FINER}  # fmt: skip
"""By their names in code."""

LOG, REST_OF_LOG = float.fromhex("0x1.62e42fefa39efp-1"), 2.3190468138462996e-17
"""The logarithm of two, in two parts."""

HALF = 0.5 + 0.8284 * (LOG / (2 * ENTRIES)) ** 2 / 24
"""In place of one half in `1 + r + r**2/2 + r**3/6`: the error for `|r| <= log(2)/2048` is the least, 0.4 units of the
last place."""

LARGEST_EXPONENT = 708.0
"""Arguments up to which the exponential function is a number of full precision."""

QUARTER = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
"""A quarter turn, in three parts."""

LEAST_ANGLE, LARGEST_ANGLE = 1e-150, 2.0**17
"""Angles that are reduced here."""

SINE = (-0.16666666666666666, 0.008333333333330948, -0.0001984126983675857, 2.755731610255057e-06,
        -2.5051131844614108e-08, 1.5918129266803394e-10)  # fmt: skip
"""Of a polynomial in `r**2` that equals `(sin(r) - r) / r**3` at Chebyshev's points of an eighth of a turn."""

SINE_OF_MORE = (-0.16666666666666666, 0.008333333333333316, -0.00019841269841254795, 2.7557319219115013e-06,
                -2.505210761086116e-08, 1.6058976915095007e-10, -7.643957622560617e-13,
                2.7312868913092354e-15)  # fmt: skip
"""As `SINE`, for up to a quarter turn."""

LARGEST_SINE, LARGEST_COSINE = 1.5707, 0.7853
"""Angles up to which these polynomials serve."""

COSINE = (0.041666666666666664, -0.0013888888888887398, 2.4801587298765686e-05, -2.7557317271728623e-07,
          2.087614626815952e-09, -1.1382632407965617e-11)  # fmt: skip
"""The same for `(cos(r) - 1 + r**2 / 2) / r**4`."""

LIKELY = "!0"
"""Name of the weights of a branch that is nearly always taken."""


LARGEST_FACTOR = 2.0**60
"""Powers of two by which arguments were multiplied, and their inverses, that are taken into the reduction."""


LARGEST_TERM = 2.0**20
"""Terms of arguments that are constants, up to which their part of the reduction is done beforehand."""


def exp(w: Operand, x: Register) -> Register:
    """The exponential function: `2**(k/1024)` times a polynomial of the rest."""
    return _unless_unusual(w, "exp", _has_usual_exponent(w, x), x, _exp)


def twice_exp(w: Operand, x: Register) -> Register:
    """Twice the exponential function, which takes no operation more."""

    def of_libm() -> Register:
        return w.do("fmul", w.number(2.0), w.text.call_libm("exp", w.dtype, x))

    usual = _has_usual_exponent(w, x)
    return either(w, usual, lambda: _exp(w, x, "parscan_twice_powers"), of_libm, likely=True)


def _has_usual_exponent(w: Operand, x: Register) -> Register:
    usual = w.compare("olt", w.llvm("fabs", x), w.number(LARGEST_EXPONENT))
    given, factor = _factor(w, x)
    term = w.text.sums.get(given)
    if term is None:
        return usual
    return w.both(usual, w.compare("olt", w.llvm("fabs", term[1]), w.number(LARGEST_TERM / abs(factor))))


def _factor(w: Operand, x: Register) -> tuple[Register, float]:
    """A register and a power of two whose product is the argument."""
    given, factor = w.text.scaled.get(x, (x, 1.0))
    return (given, factor) if 1 / LARGEST_FACTOR <= abs(factor) <= LARGEST_FACTOR else (x, 1.0)


def _exp(w: Operand, x: Register, table: str = "parscan_powers") -> Register:
    """
    Of a sum with a constant, the part of `k` that is the constant's is known beforehand, and the sum is not waited for.

    Both parts are rounded, so that `r` may be twice as large. A table of twice as many entries makes up for that.
    """
    given, factor = _factor(w, x)
    entries, first = ENTRIES, w.number(MAGIC)
    if term := w.text.sums.get(given):
        given, constant, sign = term
        entries, table = 2 * ENTRIES, f"{table}_finer"
        first = w.llvm("fma", constant, w.number(sign * factor * (entries / LOG)), first)
    bits = w.llvm("fma", given, w.number(factor * (entries / LOG)), first)
    k = w.do("fsub", bits, w.number(MAGIC))
    r = w.llvm("fma", k, w.number(-LOG / entries), x)
    rest = w.do("fsub", r, w.do("fmul", k, w.number(REST_OF_LOG / entries)))
    less_one = w.llvm("fma", w.do("fmul", r, r), w.llvm("fma", r, w.number(1 / 6), w.number(HALF)), rest)
    power = _power(w, bits, table)
    return w.llvm("fma", power, less_one, power)


def _power(w: Operand, bits: Register, name: str) -> Register:
    """
    `2**(k/1024)`: the last bits of `k` are the place in the table, the others are added to the exponent.

    That is added in a vector, where the entry is needed, for it takes time to bring a number there.
    """
    table, entries = TABLES[name], len(TABLES[name])
    text, kind, ones = w.text, "<2 x i64>", literal(entries.bit_length() - 1, np.dtype(np.int64), 2)
    text.external[name] = address(table)
    text.declarations[name] = f"@{name} = external constant [{entries} x double]"
    place = text.new(f"and i64 {text.new(f'bitcast double {bits} to i64')}, {entries - 1}")
    entry = text.new(f"load double, ptr {text.new(f'getelementptr double, ptr @{name}, i64 {place}')}, align 8")
    parts = []
    for one in (entry, bits):
        first = text.new(f"insertelement <2 x double> zeroinitializer, double {one}, i64 0")
        parts.append(text.new(f"bitcast <2 x double> {first} to {kind}"))
    whole = text.new(f"lshr {kind} {parts[1]}, {ones}")
    exponent = text.new(f"shl {kind} {whole}, {literal(52, np.dtype(np.int64), 2)}")
    found = text.new(f"bitcast {kind} {text.new(f'add {kind} {parts[0]}, {exponent}')} to <2 x double>")
    return text.element(found, "<2 x double>", 0)


def sin(w: Operand, x: Register) -> Register:
    """The sine; up to a quarter turn, the angle is not reduced."""
    return _of_angles(w, "sin", x, LARGEST_SINE, _sine)


def cos(w: Operand, x: Register) -> Register:
    """The cosine; up to an eighth of a turn, the angle is not reduced."""
    return _of_angles(w, "cos", x, LARGEST_COSINE, _cosine)


def _of_angles(w: Operand, name: str, x: Register, small: float, function: Function) -> Register:
    """A circular function by another one where the angle is small, and is not reduced."""
    size = w.llvm("fabs", x)
    usual = w.both(w.compare("olt", size, w.number(LARGEST_ANGLE)), w.compare("ogt", size, w.number(LEAST_ANGLE)))
    is_small = w.compare("olt", size, w.number(small))
    of_any = partial(_of_angle, int(name == "cos"))

    def value(w: Operand, x: Register) -> Register:
        return either(w, is_small, lambda: function(w, x), lambda: of_any(w, x))

    return _unless_unusual(w, name, usual, x, value)


def _sine(w: Operand, x: Register) -> Register:
    square = w.do("fmul", x, x)
    return w.llvm("fma", w.do("fmul", square, x), _polynomial(w, square, SINE_OF_MORE), x)


def _cosine(w: Operand, x: Register) -> Register:
    square = w.do("fmul", x, x)
    near = w.llvm("fma", square, w.number(-0.5), w.number(1.0))
    return w.llvm("fma", w.do("fmul", square, square), _polynomial(w, square, COSINE), near)


def _of_angle(ahead: int, w: Operand, x: Register) -> Register:
    text = w.text
    bits = w.llvm("fma", x, w.number(1 / QUARTER[0]), w.number(MAGIC))
    k = w.do("fsub", bits, w.number(MAGIC))
    r = w.llvm("fma", k, w.number(-QUARTER[1]), w.llvm("fma", k, w.number(-QUARTER[0]), x))
    rest = w.do("fsub", r, w.do("fmul", k, w.number(QUARTER[2])))
    square = w.do("fmul", r, r)
    sine = w.llvm("fma", w.do("fmul", square, r), _polynomial(w, square, SINE), rest)
    cosine = _cosine(w, r)
    turns = text.new(f"bitcast double {bits} to i64")
    turns = text.new(f"add i64 {turns}, {ahead}") if ahead else turns
    is_cosine = text.new(f"trunc i64 {turns} to i1")
    is_negative = text.new(f"trunc i64 {text.new(f'lshr i64 {turns}, 1')} to i1")
    found = w.choose(is_cosine, cosine, sine)
    return w.choose(is_negative, w.do("fneg", found), found)


def _polynomial(w: Operand, x: Register, terms: Sequence[float]) -> Register:
    """A sum of terms times powers, neighbours together."""
    found, power = list(map(w.number, terms)), x
    while len(found) > 1:
        pairs = [w.llvm("fma", power, found[j + 1], found[j]) for j in range(0, len(found) - 1, 2)]
        found = pairs + found[len(found) // 2 * 2 :]
        power = w.do("fmul", power, power) if len(found) > 1 else power
    return found[0]


def _unless_unusual(w: Operand, name: str, usual: Register, x: Register, function: Function) -> Register:
    """A function where the argument is usual, and that of the C library elsewhere."""
    return either(w, usual, lambda: function(w, x), lambda: w.text.call_libm(name, w.dtype, x), likely=True)


def either(
    w: Operand, condition: Register, one: Callable[[], Register], other: Callable[[], Register], *, likely: bool = False
) -> Register:
    """One of two values, of which the other one is not computed."""
    text, done, branches = w.text, w.text.name("done"), []
    labels = [text.name("one"), text.name("other")]
    text.declarations[LIKELY] = f'{LIKELY} = !{{!"branch_weights", i32 100000, i32 1}}'
    weights = f", !prof {LIKELY}" if likely else ""
    text.do(f"br i1 {condition}, label %{labels[0]}, label %{labels[1]}{weights}")
    for label, value in zip(labels, (one, other), strict=True):
        text.begin(label)
        branches.append(f"[ {value()}, %{text.label} ]")
        text.do(f"br label %{done}")
    text.begin(done)
    return text.new(f"phi double {', '.join(branches)}")


SHORT.update(exp=exp, sin=sin, cos=cos)
