"""Text of LLVM's intermediate language, written line by line, and how operations of the table are spelled in it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from math import frexp
from typing import Any

import numpy as np

from ..graph import CONVERT
from ..operations import OPERATIONS
from . import libm

Register = str
"""Name of a value: a scalar, or a vector of as many elements as the text is wide."""


class UnsupportedError(Exception):
    """A program that has no machine code; the argument is the reason, a clause without subject."""


@cache
def word(dtype: np.dtype[Any]) -> str:
    """Type of a value of this dtype in a register."""
    if dtype.char == "d":
        return "double"
    return "float" if dtype.char == "f" else "i1" if dtype.kind == "b" else f"i{8 * dtype.itemsize}"


@cache
def in_memory(dtype: np.dtype[Any]) -> str:
    """Type of a value of this dtype in memory."""
    return "i8" if dtype.kind == "b" else word(dtype)


@cache
def vector(scalar: str, width: int) -> str:
    """Type of `width` values of a type."""
    return scalar if width == 1 else f"<{width} x {scalar}>"


def literal(value: Any, dtype: np.dtype[Any], width: int = 1) -> str:
    """A number as text, the same in all elements of a vector."""
    if dtype.kind == "f":
        bits = struct.unpack("<Q", struct.pack("<d", float(dtype.type(value))))[0]
        text = f"0x{bits:016X}"
    else:
        text = str(int(value)) if dtype.kind != "b" else "true" if value else "false"
    return text if width == 1 else "<" + ", ".join([f"{word(dtype)} {text}"] * width) + ">"


WRITTEN_OUT: dict[str, Callable[..., Register]] = {}
"""Functions that need no call, by their names in the C library; `elementary.py` enters them."""

NEVER = 1 << 30
"""More bytes than any vector has."""

BETTER: dict[str, int] = {}
"""Those of them that are used even where the C library has a function, and fewest bytes of such vectors."""


SHORT: dict[str, Callable[..., Register]] = {}
"""Functions of one number in double precision that take less time than calls of the C library on processors with fused
operations, by their names there; `scalar.py` enters them."""


class Text:
    """
    Lines of a function, and the functions that it calls.

    Attributes
    ----------
    lines : list of str
        Of the body so far.
    label : str
        Of the block in which lines are being written.
    declarations : dict
        Declarations of functions that are called, by name.
    external : dict
        Addresses of those that are not LLVM's own, by name.
    waits : bool
        Whether functions of one number are written out where that makes them ready earlier; the code becomes longer.
    scaled : dict
        Registers that are products with a power of two: the other factor, and that power.
    sums : dict
        Registers that are sums of a number and a constant: both, and the sign of the constant.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.label = "entry"
        self.declarations: dict[str, str] = {}
        self.external: dict[str, int] = {}
        self.waits = False
        self.scaled: dict[Register, tuple[Register, float]] = {}
        self.sums: dict[Register, tuple[Register, Register, float]] = {}
        self._count = 0

    def name(self, prefix: str = "v") -> str:
        """A name that occurs nowhere else."""
        self._count += 1
        return f"{prefix}{self._count}"

    def new(self, expression: str) -> Register:
        """Assign an expression to a new register."""
        self._count += 1
        self.lines.append(f"  %v{self._count} = {expression}")
        return f"%v{self._count}"

    def do(self, instruction: str) -> None:
        """Write an instruction without a result."""
        self.lines.append(f"  {instruction}")

    def begin(self, label: str) -> None:
        """Begin a block."""
        self.lines.append(f"{label}:")
        self.label = label

    def call(self, function: str, result: str, given: Sequence[tuple[str, str]], attributes: str = "") -> Register:
        """Call a function, whose arguments are pairs of a type and a register."""
        if function not in self.declarations:
            types = ", ".join(kind for kind, _ in given)
            self.declarations[function] = f"declare {result} @{function}({types}) {attributes}".rstrip()
        return self.new(f"call {result} @{function}({', '.join(f'{kind} {value}' for kind, value in given)})")

    def intrinsic(self, name: str, dtype: np.dtype[Any], width: int, *given: Register) -> Register:
        """Call a function of LLVM on values of one type."""
        kind = vector(word(dtype), width)
        suffix = f"{'' if width == 1 else f'v{width}'}f{8 * dtype.itemsize}"
        return self.call(f"llvm.{name}.{suffix}", kind, [(kind, one) for one in given])

    def smaller(self, one: Register, other: Register) -> Register:
        """The smaller one of two unsigned integers."""
        return self.call("llvm.umin.i64", "i64", [("i64", one), ("i64", other)])

    def total(self, values: Register, dtype: np.dtype[Any], width: int) -> Register:
        """The sum of the elements of a vector of floating-point numbers, in any order."""
        if width == 1:
            return values
        scalar, kind = word(dtype), vector(word(dtype), width)
        name = f"llvm.vector.reduce.fadd.v{width}f{8 * dtype.itemsize}"
        self.declarations.setdefault(name, f"declare {scalar} @{name}({scalar}, {kind})")
        return self.new(f"call reassoc {scalar} @{name}({scalar} {literal(-0.0, dtype)}, {kind} {values})")

    def any_bits(self, values: Register, dtype: np.dtype[Any], width: int) -> Register:
        """The bits that any of some integers has."""
        if width == 1:
            return values
        name = f"llvm.vector.reduce.or.v{width}{word(dtype)}"
        return self.call(name, word(dtype), [(vector(word(dtype), width), values)])

    def element(self, values: Register, kind: str, place: int) -> Register:
        """An element of a vector; `kind` is the vector's type."""
        return self.new(f"extractelement {kind} {values}, i64 {place}")

    def joined(self, values: Sequence[Register], scalar: str) -> Register:
        """A vector of scalars."""
        width = len(values)
        if width == 1:
            return values[0]
        if len(set(values)) == 1:
            return self.splat(values[0], scalar, width)
        found = "poison"
        for place, value in enumerate(values):
            found = self.new(f"insertelement {vector(scalar, width)} {found}, {scalar} {value}, i64 {place}")
        return found

    def splat(self, value: Register, scalar: str, width: int) -> Register:
        """A scalar in all elements of a vector."""
        if width == 1:
            return value
        kind = vector(scalar, width)
        first = self.new(f"insertelement {kind} poison, {scalar} {value}, i64 0")
        return self.new(f"shufflevector {kind} {first}, {kind} poison, <{width} x i32> zeroinitializer")

    def part(self, values: Register, scalar: str, width: int, first: int, count: int) -> Register:
        """Elements `first` to `first + count - 1` of a vector."""
        kind = vector(scalar, width)
        if count == 1:
            return self.element(values, kind, first)
        places = ", ".join(f"i32 {place}" for place in range(first, first + count))
        return self.new(f"shufflevector {kind} {values}, {kind} poison, <{count} x i32> <{places}>")

    def appended(self, one: Register, other: Register, scalar: str, width: int) -> Register:
        """Two vectors of the same width, one after the other."""
        if width == 1:
            return self.joined([one, other], scalar)
        return self.chosen(one, other, scalar, width, range(2 * width))

    def chained(self, parts: Sequence[Register], scalar: str, width: int) -> Register:
        """Vectors of the same width, one after the other."""
        parts = list(parts)
        while len(parts) > 1:
            parts = [
                self.appended(one, other, scalar, width) for one, other in zip(parts[::2], parts[1::2], strict=True)
            ]
            width *= 2
        return parts[0]

    def transposed(self, rows: Sequence[Register], scalar: str, width: int) -> list[Register]:
        """
        Transpose square blocks that lie side by side: the first `k` elements of `k` vectors, the next `k`, and so on.

        It exchanges quarters of each block, then quarters of the quarters.
        """
        rows, size = list(rows), len(rows)
        half = size // 2
        while half:
            for i in (k for k in range(size) if not k & half):
                one, other = rows[i], rows[i + half]
                low = [k if not k & half else width + k - half for k in range(width)]
                high = [width + k if k & half else k + half for k in range(width)]
                for target, places in ((i, low), (i + half, high)):
                    rows[target] = self.chosen(one, other, scalar, width, places)
            half //= 2
        return rows

    def interleaved(self, rows: Sequence[Register], scalar: str, width: int) -> list[Register]:
        """Vectors of the first elements of some vectors, one after the other, then of the second ones, and so on."""
        if len(rows) == 1:
            return list(rows)
        pairs = zip(*(self.interleaved(rows[k::2], scalar, width) for k in (0, 1)), strict=True)
        halves = [[place for k in range(first, first + width // 2) for place in (k, width + k)]
                  for first in (0, width // 2)]  # fmt: skip
        return [self.chosen(one, other, scalar, width, places) for one, other in pairs for places in halves]

    def separated(self, rows: Sequence[Register], scalar: str, width: int) -> list[Register]:
        """The vectors that `interleaved` would turn into these."""
        if len(rows) == 1:
            return list(rows)
        pairs = list(zip(rows[::2], rows[1::2], strict=True))
        halves = [
            self.separated([self.chosen(*pair, scalar, width, range(k, 2 * width, 2)) for pair in pairs], scalar, width)
            for k in (0, 1)
        ]
        return [row for pair in zip(*halves, strict=True) for row in pair]

    def chosen(self, one: Register, other: Register, scalar: str, width: int, places: Sequence[int]) -> Register:
        """Elements of two vectors of the same width, by their places in both, one after the other."""
        kind, text = vector(scalar, width), ", ".join(f"i32 {place}" for place in places)
        return self.new(f"shufflevector {kind} {one}, {kind} {other}, <{len(places)} x i32> <{text}>")

    def of_libm(self, function: str, dtype: np.dtype[Any], width: int, *given: Register) -> Register:
        """
        Call a function of the C library, on vectors where it has one for them.

        A vector without one is halved.
        """
        scalar = word(dtype)
        kind = vector(scalar, width)
        arguments = [(kind, one) for one in given]
        if width * dtype.itemsize >= BETTER.get(function, NEVER):
            return WRITTEN_OUT[function](Operand(self, dtype, width), *given)
        if width == 1:
            if self.waits and dtype.char == "d" and function in SHORT and libm.has_fma():
                return SHORT[function](Operand(self, dtype, width), *given)
            return self.call_libm(function, dtype, *given)
        suffixed = function if dtype.char == "d" else function + "f"
        if name := libm.vector_symbol(suffixed, dtype.itemsize, width, len(given)):
            self.external[name] = libm.vector_address(name)
            return self.call(name, kind, arguments, PURE)
        if function in WRITTEN_OUT and width * dtype.itemsize <= libm.vector_bytes():
            return WRITTEN_OUT[function](Operand(self, dtype, width), *given)
        half = width // 2
        low = self.of_libm(function, dtype, half, *(self.part(one, scalar, width, 0, half) for one in given))
        high = self.of_libm(function, dtype, half, *(self.part(one, scalar, width, half, half) for one in given))
        return self.appended(low, high, scalar, half)

    def call_libm(self, function: str, dtype: np.dtype[Any], *given: Register) -> Register:
        """Call a function of the C library on numbers."""
        function = function if dtype.char == "d" else function + "f"
        name = libm.SCALAR + function  # under the function's own name, LLVM might replace the call by other code
        if name not in self.external:
            if not (found := libm.address(function)):
                raise UnsupportedError(f"calls `{function}`, which the C library of this machine does not have")
            self.external[name] = found
        kind = word(dtype)
        return self.call(name, kind, [(kind, one) for one in given], PURE)

    # Operations

    def operation(self, name: str, dtype: np.dtype[Any], result: np.dtype[Any], width: int,
                  given: Sequence[Register]) -> Register:  # fmt: skip
        """An operation of the table, or a conversion, on values of a dtype."""
        if name == CONVERT:
            return self.converted(given[0], dtype, result, width)
        spelled = SPELLED[name]
        if dtype.kind in "iu" and spelled not in ("select", "and", "or", "xor", "not"):
            return self._of_integers(name, dtype, width, given)
        if dtype.kind == "b" and name in BOOLEAN:
            return self.new(f"{BOOLEAN[name]} {vector('i1', width)} {', '.join(given)}")
        if isinstance(spelled, str):
            return self._simple(spelled, dtype, width, given)
        if dtype.kind != "f":
            raise UnsupportedError(f"calls `{name}` on {dtype}")
        return spelled(Operand(self, dtype, width), *given)

    def _simple(self, spelled: str, dtype: np.dtype[Any], width: int, given: Sequence[Register]) -> Register:
        kind = vector(word(dtype), width)
        if spelled == "select":
            return self.select(given[0], given[1], given[2], kind, width)
        if spelled in ("and", "or", "xor", "not"):
            truths = [one if dtype.kind == "b" else self.converted(one, dtype, TRUTH, width) for one in given]
            truths = truths if len(truths) == 2 else [truths[0], literal(True, TRUTH, width)]
            return self.new(f"{'xor' if spelled == 'not' else spelled} {vector('i1', width)} {truths[0]}, {truths[1]}")
        if dtype.kind != "f":
            raise UnsupportedError(f"calculates with {dtype}")
        if spelled.startswith("@llvm."):
            return self.intrinsic(spelled[6:], dtype, width, *given)
        if spelled.startswith("libm "):
            return self.of_libm(spelled[5:], dtype, width, *given)
        return self.new(f"{spelled} {kind} {', '.join(given)}")

    def term(self, name: str, kind: str, one: Register, other: Register) -> Register:
        """
        A multiplication or an addition of a sum of products.

        The processor may do both in one operation that rounds once, as in any library of linear algebra.
        """
        return self.new(f"{'fmul' if name == 'multiply' else 'fadd'} contract {kind} {one}, {other}")

    def select(self, condition: Register, one: Register, other: Register, kind: str, width: int) -> Register:
        """The first value where a condition holds, the other elsewhere."""
        return self.new(f"select {vector('i1', width)} {condition}, {kind} {one}, {kind} {other}")

    def _of_integers(self, name: str, dtype: np.dtype[Any], width: int, given: Sequence[Register]) -> Register:
        kind, zero = vector(word(dtype), width), literal(0, dtype, width)
        sign = "s" if dtype.kind == "i" else "u"
        verb = {"add": "add", "subtract": "sub", "multiply": "mul"}.get(name)
        if name in ORDER:
            verb = f"icmp {ORDER[name] if ORDER[name] in ('eq', 'ne') else sign + ORDER[name]}"
        if verb:
            found = self.new(f"{verb} {kind} {', '.join(given)}")
        elif name == "negative":
            found = self.new(f"sub {kind} {zero}, {given[0]}")
        elif name in ("maximum", "minimum", "fmax", "fmin"):
            greater = self.new(f"icmp {sign}{'gt' if name in ('maximum', 'fmax') else 'lt'} {kind} {', '.join(given)}")
            found = self.select(greater, given[0], given[1], kind, width)
        elif name == "absolute" and sign == "s":
            negative = self.new(f"icmp slt {kind} {given[0]}, {zero}")
            found = self.select(negative, self.new(f"sub {kind} {zero}, {given[0]}"), given[0], kind, width)
        elif name == "sign" and sign == "s":
            positive = self.new(f"icmp sgt {kind} {given[0]}, {zero}")
            low = self.new(f"ashr {kind} {given[0]}, {literal(8 * dtype.itemsize - 1, dtype, width)}")
            one = self.new(f"zext {vector('i1', width)} {positive} to {kind}")
            found = self.new(f"or {kind} {low}, {one}")
        elif name in ("remainder", "fmod", "floor_divide"):
            found = self._divided(name, dtype, width, given)
        else:
            raise UnsupportedError(f"calls `{name}` on {dtype}")
        return found

    def _divided(self, name: str, dtype: np.dtype[Any], width: int, given: Sequence[Register]) -> Register:
        """Quotients and remainders of integers; 0 where the divisor is 0, as in NumPy."""
        x, y = given
        kind, zero, sign = vector(word(dtype), width), literal(0, dtype, width), "s" if dtype.kind == "i" else "u"
        some = self.new(f"icmp ne {kind} {y}, {zero}")
        if sign == "s":  # the smallest integer divided by -1 is not an integer of the type
            other = self.new(f"icmp ne {kind} {y}, {literal(-1, dtype, width)}")
            safe = self.new(f"and {vector('i1', width)} {some}, {other}")
        else:
            safe = some
        divisor = self.select(safe, y, literal(1, dtype, width), kind, width)
        quotient = self.new(f"{sign}div {kind} {x}, {divisor}")
        rest = self.new(f"sub {kind} {x}, {self.new(f'mul {kind} {quotient}, {divisor}')}")
        if sign == "s" and name != "fmod":
            apart = self.new(f"icmp slt {kind} {self.new(f'xor {kind} {rest}, {divisor}')}, {zero}")
            wrong = self.new(f"and {vector('i1', width)} {apart}, {self.new(f'icmp ne {kind} {rest}, {zero}')}")
            lower = self.new(f"sub {kind} {quotient}, {literal(1, dtype, width)}")
            quotient = self.select(wrong, lower, quotient, kind, width)
            rest = self.select(wrong, self.new(f"add {kind} {rest}, {divisor}"), rest, kind, width)
        if name == "floor_divide":
            found = quotient
            if sign == "s":
                found = self.select(safe, quotient, self.new(f"sub {kind} {zero}, {x}"), kind, width)
            return self.select(some, found, zero, kind, width)
        return self.select(safe, rest, zero, kind, width)

    def converted(self, value: Register, dtype: np.dtype[Any], result: np.dtype[Any], width: int) -> Register:
        """A value in another dtype, as NumPy converts it on this processor."""
        before, after = vector(word(dtype), width), vector(word(result), width)
        if dtype.kind == "f" and result.kind == "f":
            verb = "fpext" if result.itemsize > dtype.itemsize else "fptrunc"
        elif result.kind == "b":
            test = "fcmp une" if dtype.kind == "f" else "icmp ne"
            return self.new(f"{test} {before} {value}, {literal(0, dtype, width)}")
        elif result.kind == "f":
            verb = "sitofp" if dtype.kind == "i" else "uitofp"
        elif dtype.kind == "f":
            return self._whole(value, dtype, result, width)
        elif result.itemsize == dtype.itemsize and dtype.kind != "b":
            return value
        else:
            grows = result.itemsize > dtype.itemsize or dtype.kind == "b"
            verb = ("sext" if dtype.kind == "i" else "zext") if grows else "trunc"
        return self.new(f"{verb} {before} {value} to {after}")

    def _whole(self, value: Register, dtype: np.dtype[Any], result: np.dtype[Any], width: int) -> Register:
        """A floating-point number as an integer; NaN and numbers out of range become the smallest one, as on x86."""
        if result.kind == "u" and result.itemsize == 8:
            return self._unsigned(value, dtype, result, width)
        bits = 64 if result.itemsize == 8 or (result.kind == "u" and result.itemsize == 4) else 32
        wide = np.dtype(f"int{bits}")
        limit = literal(2.0 ** (bits - 1), dtype, width)
        below = self.new(f"fcmp olt {vector(word(dtype), width)} {value}, {limit}")
        lowest = literal(-(2.0 ** (bits - 1)), dtype, width)
        above = self.new(f"fcmp oge {vector(word(dtype), width)} {value}, {lowest}")
        inside = self.new(f"and {vector('i1', width)} {below}, {above}")
        kind = vector(word(wide), width)
        found = self.new(f"fptosi {vector(word(dtype), width)} {value} to {kind}")
        found = self.select(inside, found, literal(-(2 ** (bits - 1)), wide, width), kind, width)
        return self.converted(found, wide, result, width)

    def _unsigned(self, value: Register, dtype: np.dtype[Any], result: np.dtype[Any], width: int) -> Register:
        """A floating-point number as an integer of 64 bits without sign: large ones by their distance from 2**63."""
        kind, signed = vector(word(dtype), width), np.dtype(np.int64)
        large = self.new(f"fcmp oge {kind} {value}, {literal(2.0**63, dtype, width)}")
        near = self.new(f"fsub {kind} {value}, {literal(2.0**63, dtype, width)}")
        found = self._whole(self.select(large, near, value, kind, width), dtype, signed, width)
        other = self.new(f"xor {vector('i64', width)} {found}, {literal(-(2**63), signed, width)}")
        return self.select(large, other, found, vector("i64", width), width)


TRUTH = np.dtype(bool)

PURE = "nounwind willreturn memory(none)"
"""Attributes of functions whose values depend on nothing but their arguments."""

ORDER = {"less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge", "equal": "eq", "not_equal": "ne"}

BOOLEAN = {
    "add": "or", "multiply": "and", "maximum": "or", "minimum": "and", "equal": "icmp eq", "not_equal": "icmp ne",
    "less": "icmp ult", "less_equal": "icmp ule", "greater": "icmp ugt", "greater_equal": "icmp uge",
    "fmax": "or", "fmin": "and",
}  # fmt: skip
"""How operations that differ for Booleans and numbers are spelled for Booleans."""


class Operand:
    """Writes the operations that are composed of several, on values of one dtype of floating-point numbers."""

    def __init__(self, text: Text, dtype: np.dtype[Any], width: int) -> None:
        self.text, self.dtype, self.width = text, dtype, width
        self.kind = vector(word(dtype), width)

    def number(self, value: float) -> Register:
        return literal(value, self.dtype, self.width)

    def compare(self, order: str, one: Register, other: Register) -> Register:
        return self.text.new(f"fcmp {order} {self.kind} {one}, {other}")

    def both(self, one: Register, other: Register) -> Register:
        return self.text.new(f"and {vector('i1', self.width)} {one}, {other}")

    def choose(self, condition: Register, one: Register, other: Register) -> Register:
        return self.text.select(condition, one, other, self.kind, self.width)

    def do(self, verb: str, *given: Register) -> Register:
        return self.text.new(f"{verb} {self.kind} {', '.join(given)}")

    def llvm(self, name: str, *given: Register) -> Register:
        return self.text.intrinsic(name, self.dtype, self.width, *given)

    def libm(self, name: str, *given: Register) -> Register:
        return self.text.of_libm(name, self.dtype, self.width, *given)

    def in_vectors(self, function: Callable[..., Register], *given: Register) -> Register:
        """A function of vectors as wide as the processor's, on wider ones."""
        scalar, width = word(self.dtype), libm.vector_bytes() // self.dtype.itemsize
        part = Operand(self.text, self.dtype, width)
        if width == self.width:
            return function(part, *given)
        pieces = [
            function(part, *(self.text.part(one, scalar, self.width, first, width) for one in given))
            for first in range(0, self.width, width)
        ]
        return self.text.chained(pieces, scalar, width)


def _maximum(w: Operand, x: Register, y: Register, order: str = "ogt") -> Register:
    """The first operand where it is NaN; the comparison gives the second one where that is NaN."""
    return w.choose(w.compare("uno", x, x), x, w.choose(w.compare(order, x, y), x, y))


def _minimum(w: Operand, x: Register, y: Register) -> Register:
    return _maximum(w, x, y, "olt")


def _fmax(w: Operand, x: Register, y: Register, order: str = "ogt") -> Register:
    return w.choose(w.compare("uno", y, y), x, w.choose(w.compare(order, x, y), x, y))


def _fmin(w: Operand, x: Register, y: Register) -> Register:
    return _fmax(w, x, y, "olt")


LIMITS = {"maximum": ("ogt", True), "minimum": ("olt", True), "fmax": ("ogt", False), "fmin": ("olt", False)}
"""How a value is compared with a limit, and whether the result is NaN where the value is."""

ADDITIONS = {"add", "subtract"}
"""Operations whose result is -0.0 only if both operands are zeros."""


def of_zeros(name: str, limits: Any) -> str:
    """
    What becomes of zeros, if there are any among limits that are the second operand.

    Of two zeros, NumPy's `maximum` and `minimum` give the second one. One instruction gives the first one: its sign is
    removed ("absolute"), or other instructions are needed ("others").
    """
    if name not in ("maximum", "minimum") or np.all(limits):
        return ""
    return "absolute" if name == "maximum" and not np.any(limits) and not np.signbit(limits).any() else "others"


def limited(w: Operand, name: str, x: Register, limit: Register) -> Register:
    """An operation of `LIMITS` on a value and a limit that is not NaN: one instruction of the processor."""
    order, keeps_nan = LIMITS[name]
    one, other = (limit, x) if keeps_nan else (x, limit)
    return w.choose(w.compare(order, one, other), one, other)


def root_power(w: Operand, x: Register, exponent: float) -> Register:
    """`x**1.5` or `x**2.5`, by the root, which is much faster than any other power."""
    x = w.choose(w.compare("oeq", x, w.number(-np.inf)), w.number(np.inf), x)  # as the C library
    root = w.do("fmul", x, w.llvm("sqrt", x))
    return root if exponent == 1.5 else w.do("fmul", w.llvm("fabs", x), root)


def inverse(divisor: float, dtype: np.dtype[Any]) -> float:
    """The factor whose products equal the quotients by a divisor bit by bit, if that is a power of two; 0 otherwise."""
    if abs(frexp(divisor)[0]) != 0.5 or not np.finfo(dtype).tiny <= abs(1.0 / divisor) <= np.finfo(dtype).max:
        return 0.0
    return 1.0 / divisor


def _sign(w: Operand, x: Register) -> Register:
    zero = w.number(0.0)
    below = w.choose(w.compare("olt", x, zero), w.number(-1.0), w.choose(w.compare("oeq", x, zero), zero, x))
    return w.choose(w.compare("ogt", x, zero), w.number(1.0), below)


def _heaviside(w: Operand, x: Register, y: Register) -> Register:
    zero = w.number(0.0)
    other = w.choose(w.compare("ogt", x, zero), w.number(1.0), x)
    return w.choose(w.compare("olt", x, zero), zero, w.choose(w.compare("oeq", x, zero), y, other))


def _signbit(w: Operand, x: Register) -> Register:
    kind = vector(f"i{8 * w.dtype.itemsize}", w.width)
    bits = w.text.new(f"bitcast {w.kind} {x} to {kind}")
    zero = literal(0, np.dtype(f"int{8 * w.dtype.itemsize}"), w.width)
    return w.text.new(f"icmp slt {kind} {bits}, {zero}")


def _isnan(w: Operand, x: Register) -> Register:
    return w.compare("uno", x, x)


def _isfinite(w: Operand, x: Register) -> Register:
    return w.compare("olt", w.llvm("fabs", x), w.number(np.inf))


def _isinf(w: Operand, x: Register) -> Register:
    return w.compare("oeq", w.llvm("fabs", x), w.number(np.inf))


def _wrong(w: Operand, rest: Register, y: Register) -> Register:
    """Whether a remainder other than 0 has another sign than the divisor."""
    zero = w.number(0.0)
    apart = w.text.new(
        f"xor {vector('i1', w.width)} {w.compare('olt', rest, zero)}, {w.compare('olt', y, zero)}"
    )  # fmt: skip
    return w.both(apart, w.compare("une", rest, zero))


def _remainder(w: Operand, x: Register, y: Register) -> Register:
    """As NumPy: with the sign of the divisor, also for 0."""
    zero = w.number(0.0)
    rest = _fmod(w, x, y)
    moved = w.choose(_wrong(w, rest, y), w.do("fadd", rest, y), rest)
    found = w.choose(w.compare("oeq", rest, zero), w.llvm("copysign", zero, y), moved)
    return w.choose(w.compare("oeq", y, zero), rest, found)


def _floor_divide(w: Operand, x: Register, y: Register) -> Register:
    """As NumPy, step by step: the result is whole, and not below the quotient by more than one half."""
    zero, one = w.number(0.0), w.number(1.0)
    rest, ratio = _fmod(w, x, y), w.do("fdiv", x, y)
    quotient = w.do("fdiv", w.do("fsub", x, rest), y)
    quotient = w.choose(_wrong(w, rest, y), w.do("fsub", quotient, one), quotient)
    whole = w.llvm("floor", quotient)
    low = w.compare("ogt", w.do("fsub", quotient, whole), w.number(0.5))
    whole = w.choose(low, w.do("fadd", whole, one), whole)
    whole = w.choose(w.compare("oeq", quotient, zero), w.llvm("copysign", zero, ratio), whole)
    return w.choose(w.compare("oeq", y, zero), ratio, whole)


def _logaddexp(w: Operand, x: Register, y: Register) -> Register:
    """The larger one and the logarithm of 1 + exp(-|x - y|); infinities that are equal have no difference."""
    difference = w.do("fsub", x, y)
    larger = w.choose(w.compare("ogt", difference, w.number(0.0)), x, y)
    tail = w.libm("log1p", w.libm("exp", w.do("fneg", w.llvm("fabs", difference))))
    found = w.choose(w.compare("uno", difference, difference), difference, w.do("fadd", larger, tail))
    return w.choose(w.compare("oeq", x, y), w.do("fadd", x, w.number(np.log(2.0))), found)


def _hypot(w: Operand, x: Register, y: Register) -> Register:
    """The root of the sum of squares; a power of two brings numbers to where these neither overflow nor vanish."""
    high, low, power = (2.0**500, 2.0**-450, 2.0**600) if w.dtype.char == "d" else (2.0**60, 2.0**-50, 2.0**100)
    x, y = w.llvm("fabs", x), w.llvm("fabs", y)
    larger = w.choose(w.compare("ogt", x, y), x, y)
    is_high, is_low = w.compare("ogt", larger, w.number(high)), w.compare("olt", larger, w.number(low))

    def chosen(of_high: float, of_low: float) -> Register:
        return w.choose(is_high, w.number(of_high), w.choose(is_low, w.number(of_low), w.number(1.0)))

    scale = chosen(1 / power, power)
    a, b = w.do("fmul", x, scale), w.do("fmul", y, scale)
    root = w.llvm("sqrt", w.do("fadd", w.do("fmul", a, a), w.do("fmul", b, b)))
    found = w.do("fmul", root, chosen(power, 1 / power))
    for one in (x, y):  # whatever the other one is
        found = w.choose(w.compare("oeq", one, w.number(np.inf)), one, found)
    return found


def _expit(w: Operand, x: Register) -> Register:
    one = w.number(1.0)
    return w.do("fdiv", one, w.do("fadd", one, w.libm("exp", w.do("fneg", x))))


def _fmod(w: Operand, x: Register, y: Register) -> Register:
    """
    The remainder with the sign of `x`, exact.

    Where the whole part `q` of the quotient is exact, `x - q y` has no rounding error: it is a multiple of the last
    place of `y`, and not larger than `y`. A quotient that was rounded to the next whole number is one too large. All
    other cases are left to the C library, which is slow.
    """
    if not libm.has_fma():
        return w.libm("fmod", x, y)
    quotient = w.llvm("trunc", w.do("fdiv", x, y))
    known = w.compare("olt", w.llvm("fabs", quotient), w.number(2.0**52 if w.dtype.char == "d" else 2.0**23))
    known = w.both(known, w.compare("olt", w.llvm("fabs", y), w.number(np.inf)))
    rest = w.llvm("fma", w.do("fneg", quotient), y, x)
    zero = w.number(0.0)
    beyond = w.compare("olt", w.llvm("copysign", w.number(1.0), x), zero)
    beyond = w.choose(beyond, w.do("fneg", rest), rest)
    rest = w.choose(w.compare("olt", beyond, zero), w.do("fadd", rest, w.llvm("copysign", y, x)), rest)
    rest = w.llvm("copysign", rest, x)
    text, slow, done = w.text, w.text.name("slow"), w.text.name("done")
    everywhere = known
    if w.width > 1:
        bits = text.new(f"bitcast {vector('i1', w.width)} {known} to i{w.width}")
        everywhere = text.new(f"icmp eq i{w.width} {bits}, -1")
    before = text.label
    text.do(f"br i1 {everywhere}, label %{done}, label %{slow}")
    text.begin(slow)
    other, after = w.libm("fmod", x, y), text.label
    text.do(f"br label %{done}")
    text.begin(done)
    return text.new(f"phi {w.kind} [ {rest}, %{before} ], [ {other}, %{after} ]")


COMPOSED: dict[str, Callable[..., Register]] = {
    "maximum": _maximum, "minimum": _minimum, "fmax": _fmax, "fmin": _fmin, "sign": _sign, "heaviside": _heaviside,
    "signbit": _signbit, "isnan": _isnan, "isfinite": _isfinite, "isinf": _isinf, "remainder": _remainder,
    "floor_divide": _floor_divide, "logaddexp": _logaddexp, "expit": _expit, "fmod": _fmod, "hypot": _hypot,
}  # fmt: skip

SPELLED: dict[str, Any] = {name: COMPOSED.get(name, row.llvm) for name, row in OPERATIONS.items()}
"""How operations are spelled: by a function of this module, or as the table says."""

CALLED = {name for name, row in OPERATIONS.items() if row.llvm.startswith("libm ")}
"""Operations that call a function of the C library."""
