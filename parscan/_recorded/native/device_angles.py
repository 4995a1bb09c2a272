"""
Circular functions in single precision, for devices: NVIDIA's use double precision where angles are large.

Angles are reduced by a quarter turn in three parts (W. J. Cody, W. Waite, "Software Manual for the Elementary
Functions", 1980). Large ones are products of whole numbers with as many bits of 2/π as matter (M. H. Payne,
R. N. Hanek, ACM SIGNUM Newsletter 18, 1983). Errors are below three units of the last place, of the
tangent below five.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .text import Operand, Register, Text

FLOAT = np.dtype(np.float32)

QUARTER = (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15)
"""A quarter turn, in three numbers of single precision."""

BITS = (0x00A2F983, 0x6E4E4415, 0x29FC2757, 0xD1F534DD, 0xC0DB6295, 0x993C4390, 0x41FE5163)
"""Those of 2/π after the point, behind eight zeros."""

SMALL, LARGE = 0.785, 2.0**17
"""Angles that are not reduced, and those that are reduced by bits."""

SINE = (-0.16666664656310706, 0.008332747104372873, -0.00019587639035783348)
"""Of a polynomial in `r**2` that equals `(sin(r) - r) / r**3` at Chebyshev's points of an eighth of a turn."""

COSINE = (0.04166666465348729, -0.001388830186727028, 2.4547689709403184e-05)
"""The same for `(cos(r) - 1 + r**2 / 2) / r**4`."""

NAMES = ("sin", "cos", "tan")


def definition(name: str, called: str) -> tuple[str, dict[str, str]]:
    """The text of a function of `NAMES`, which gets another name, and declarations of those that it calls."""
    text, x = Text(), "%x"
    w = Operand(text, FLOAT, 1)
    size = w.llvm("fabs", x)
    whole, near = _nearly(w, x)
    quarters, r = _either(w, w.compare("ult", size, w.number(LARGE)), (whole, near), lambda: _by_bits(w, x))
    is_small = w.compare("olt", size, w.number(SMALL))
    r = w.choose(is_small, x, r)
    quarters = text.select(is_small, "0", quarters, "i64", 1)
    square = w.do("fmul", r, r)
    sine = w.llvm("fma", w.do("fmul", square, r), _polynomial(w, square, SINE), r)
    sine = w.choose(w.compare("oeq", square, w.number(0.0)), r, sine)  # -0.0 stays what it is
    cosine = w.llvm("fma", square, w.number(-0.5), w.number(1.0))
    cosine = w.llvm("fma", w.do("fmul", square, square), _polynomial(w, square, COSINE), cosine)
    if name == "cos":
        quarters = text.new(f"add i64 {quarters}, 1")
    is_odd = text.new(f"trunc i64 {quarters} to i1")
    if name == "tan":
        one = w.choose(is_odd, w.do("fneg", cosine), sine)
        found = w.do("fdiv", one, w.choose(is_odd, sine, cosine))
    else:
        found = w.choose(is_odd, cosine, sine)
        is_negative = text.new(f"trunc i64 {text.new(f'lshr i64 {quarters}, 1')} to i1")
        found = w.choose(is_negative, w.do("fneg", found), found)
    lines = [
        f"define internal float @{called}(float %x) nounwind willreturn {{",
        "entry:",
        *text.lines,
        f"  ret float {found}",
        "}",
    ]
    return "\n".join(lines), text.declarations


def _nearly(w: Operand, x: Register) -> tuple[Register, Register]:
    """The nearest whole number of quarter turns, and the rest, of an angle that is not large."""
    k = w.llvm("rint", w.do("fmul", x, w.number(2 / np.pi)))
    k = w.choose(w.compare("olt", w.llvm("fabs", k), w.number(LARGE)), k, w.number(0.0))
    r = x
    for part in QUARTER:
        r = w.llvm("fma", k, w.number(-part), r)
    return w.text.new(f"fptosi float {k} to i64"), r


def _by_bits(w: Operand, x: Register) -> tuple[Register, Register]:
    """The same of a large angle: 24 bits, times those of 2/π that are neither whole turns nor too small to matter."""
    text = w.text
    bits = text.new(f"zext i32 {text.new(f'bitcast float {x} to i32')} to i64")
    exponent = text.new(f"and i64 {text.new(f'lshr i64 {bits}, 23')}, 255")
    digits = text.new(f"or i64 {text.new(f'and i64 {bits}, {(1 << 23) - 1}')}, {1 << 23}")
    first = text.new(f"sub i64 {exponent}, {150 - 6}")
    place = text.new(f"and i64 {text.new(f'lshr i64 {first}, 5')}, 3")
    shift = text.new(f"and i64 {first}, 31")
    words = [_word(text, text.new(f"add i64 {place}, {k}")) for k in range(4)]
    parts = [_shifted(text, one, other, shift) for one, other in itertools.pairwise(words)]
    high, middle, low = (text.new(f"mul i64 {digits}, {part}") for part in parts)
    product = text.new(f"add i64 {text.new(f'shl i64 {high}, 32')}, {middle}")
    product = text.new(f"add i64 {product}, {text.new(f'lshr i64 {low}, 32')}")
    quarters = text.new(f"lshr i64 {text.new(f'add i64 {product}, {1 << 61}')}, 62")
    rest = text.new(f"sub i64 {product}, {text.new(f'shl i64 {quarters}, 62')}")
    r = w.do("fmul", text.new(f"sitofp i64 {rest} to float"), w.number(np.pi / 2 * 2.0**-62))
    is_negative = w.compare("olt", x, w.number(0.0))
    r = w.choose(is_negative, w.do("fneg", r), r)
    turned = text.select(is_negative, text.new(f"sub i64 0, {quarters}"), quarters, "i64", 1)
    is_finite = w.compare("olt", w.llvm("fabs", x), w.number(np.inf))
    return turned, w.choose(is_finite, r, w.number(np.nan))


def _word(text: Text, place: Register) -> Register:
    """One of the numbers of `BITS`: these are compared one by one, as a device has no fast table."""
    found = str(BITS[0])
    for k, word in enumerate(BITS[1:], 1):
        found = text.select(text.new(f"icmp eq i64 {place}, {k}"), str(word), found, "i64", 1)
    return found


def _shifted(text: Text, one: Register, other: Register, shift: Register) -> Register:
    """32 bits of two words in a row."""
    both = text.new(f"or i64 {text.new(f'shl i64 {one}, 32')}, {other}")
    return text.new(f"lshr i64 {text.new(f'shl i64 {both}, {shift}')}, 32")


def _polynomial(w: Operand, x: Register, terms: Sequence[float]) -> Register:
    found = w.number(terms[-1])
    for term in reversed(terms[:-1]):
        found = w.llvm("fma", found, x, w.number(term))
    return found


def _either(w: Operand, condition: Register, one: tuple[Register, Register], other: Any) -> tuple[Register, Register]:
    """Two values, or two others that are rarely computed."""
    text = w.text
    before, rare, done = text.label, text.name("rare"), text.name("done")
    text.do(f"br i1 {condition}, label %{done}, label %{rare}")
    text.begin(rare)
    found, last = other(), text.label
    text.do(f"br label %{done}")
    text.begin(done)
    pairs = zip(("i64", "float"), one, found, strict=True)
    quarters, r = (text.new(f"phi {kind} [ {a}, %{before} ], [ {b}, %{last} ]") for kind, a, b in pairs)
    return quarters, r


class DeviceText(Text):
    """Text that calls these functions in place of the C library's."""

    def call_libm(self, function: str, dtype: np.dtype[Any], *given: Register) -> Register:
        """Call a function of the C library, or one of these, on numbers."""
        if dtype != FLOAT or function not in NAMES:
            return super().call_libm(function, dtype, *given)
        name = f"parscan_own_{function}f"
        if name not in self.declarations:
            found, declared = definition(function, name)
            self.declarations.update(declared | {name: found})
        return self.new(f"call float @{name}(float {given[0]})")
