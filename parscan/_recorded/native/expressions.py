"""A small language for drivers of recorded functions: numbers, memory, loops and branches that write LLVM's text.

A driver is Python code that reads like the algorithm; running it once writes the text:

    y, h = rows[0][i], step.get()
    total = code.number(0.0)
    for weight, slope in zip(weights, slopes):
        total = code.fma(slope, weight, total)
    rows[1][i] = code.fma(h, total, y)

Values are scalars, or vectors of as many elements as they are wide: a number per lane, or neighbouring components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from .text import Register, Text, in_memory, literal, vector, word

FLOAT, WHOLE, TRUTH = np.dtype(np.float64), np.dtype(np.int64), np.dtype(bool)

FLOATS = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv"}
WHOLES = {"+": "add", "-": "sub", "*": "mul", "/": "sdiv", "&": "and", "|": "or", "^": "xor"}
ORDERS = {
    "<": ("olt", "slt"), "<=": ("ole", "sle"), ">": ("ogt", "sgt"), ">=": ("oge", "sge"), "==": ("oeq", "eq"),
    "!=": ("une", "ne"),
}  # fmt: skip
"""How operators are spelled for floating-point numbers and for integers."""


@dataclass(frozen=True, eq=False)
class Value:
    """
    A number, or several of them, in a register.

    Operators take values of the same dtype, and Python numbers; a scalar joins a vector in all elements. Comparisons
    give Booleans, which `&`, `|` and `~` combine. Comparisons with NaN are false, but `!=`.
    """

    code: Code
    register: Register
    dtype: np.dtype[Any]
    width: int

    @property
    def kind(self) -> str:
        """Type in LLVM's language."""
        return vector(word(self.dtype), self.width)

    def __add__(self, other: Number) -> Value:
        return self.code.binary("+", self, other)

    def __radd__(self, other: Number) -> Value:
        return self.code.binary("+", other, self)

    def __sub__(self, other: Number) -> Value:
        return self.code.binary("-", self, other)

    def __rsub__(self, other: Number) -> Value:
        return self.code.binary("-", other, self)

    def __mul__(self, other: Number) -> Value:
        return self.code.binary("*", self, other)

    def __rmul__(self, other: Number) -> Value:
        return self.code.binary("*", other, self)

    def __truediv__(self, other: Number) -> Value:
        return self.code.binary("/", self, other)

    def __rtruediv__(self, other: Number) -> Value:
        return self.code.binary("/", other, self)

    def __and__(self, other: Number) -> Value:
        return self.code.binary("&", self, other)

    def __or__(self, other: Number) -> Value:
        return self.code.binary("|", self, other)

    def __xor__(self, other: Number) -> Value:
        return self.code.binary("^", self, other)

    def __invert__(self) -> Value:
        return self.code.binary("^", self, True if self.dtype == TRUTH else -1)

    def __neg__(self) -> Value:
        if self.dtype.kind != "f":
            return 0 - self
        return self.code.assigned(f"fneg {self.kind} {self.register}", self.dtype, self.width)

    def __lt__(self, other: Number) -> Value:
        return self.code.compared("<", self, other)

    def __le__(self, other: Number) -> Value:
        return self.code.compared("<=", self, other)

    def __gt__(self, other: Number) -> Value:
        return self.code.compared(">", self, other)

    def __ge__(self, other: Number) -> Value:
        return self.code.compared(">=", self, other)

    def equals(self, other: Number) -> Value:
        """Whether numbers are equal; `==` compares Python objects."""
        return self.code.compared("==", self, other)

    def differs(self, other: Number) -> Value:
        """Whether numbers are not equal; true for NaN."""
        return self.code.compared("!=", self, other)

    def to(self, dtype: Any) -> Value:
        """The value in another dtype."""
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self
        found = self.code.text.converted(self.register, self.dtype, dtype, self.width)
        return Value(self.code, found, dtype, self.width)

    def wide(self, width: int) -> Value:
        """A scalar in all elements of a vector; a vector of this width as it is."""
        if self.width == width:
            return self
        if self.width != 1:
            raise ValueError(f"a vector of {self.width} does not fit {width} lanes")
        found = self.code.text.splat(self.register, word(self.dtype), width)
        return Value(self.code, found, self.dtype, width)

    def element(self, place: int) -> Value:
        """One element of a vector."""
        if self.width == 1:
            return self
        return Value(self.code, self.code.text.element(self.register, self.kind, place), self.dtype, 1)


Number = Value | float | int | bool


@dataclass(frozen=True, eq=False)
class Variable:
    """A place of its own for a value that changes; it may be set and read anywhere in the function."""

    code: Code
    pointer: Register
    dtype: np.dtype[Any]
    width: int

    def get(self) -> Value:
        """Its value now."""
        return self.code.load(self.pointer, self.dtype, self.width)

    def set(self, value: Number) -> None:
        """Give it a value."""
        self.code.store(self.code.value(value, self.dtype, self.width), self.pointer)


@dataclass(frozen=True, eq=False)
class Array:
    """
    Numbers in memory: item `i`, of `width` numbers side by side, begins `i * stride` numbers after the first.

    `array[i]` reads an item, and `array[i] = value` writes one; `i` is a Python integer or a value.
    """

    code: Code
    pointer: Register
    dtype: np.dtype[Any]
    width: int = 1
    stride: int = 0
    """0 for items side by side."""

    def at(self, place: Value | int) -> Register:
        """Pointer to an item."""
        return self.code.offset(self.pointer, place, (self.stride or self.width) * self.dtype.itemsize)

    def __getitem__(self, place: Value | int) -> Value:
        return self.code.load(self.at(place), self.dtype, self.width)

    def __setitem__(self, place: Value | int, value: Number) -> None:
        self.code.store(self.code.value(value, self.dtype, self.width), self.at(place))

    def __iter__(self) -> Iterator[Value]:
        raise TypeError("an array in memory has no end")

    def after(self, place: Value | int) -> Array:
        """The array from an item on."""
        return Array(self.code, self.at(place), self.dtype, self.width, self.stride)

    def of(self, width: int, stride: int = 0) -> Array:
        """The same memory in items of another width."""
        return Array(self.code, self.pointer, self.dtype, width, stride)


@dataclass
class Branch:
    """What was written under a condition, for `else_`."""

    end: int
    """Line that leaves the branch."""
    otherwise: str


class Code:
    """
    Writes a function.

    Attributes
    ----------
    text : Text
        Its lines, and what it calls.
    variables : list of str
        Lines that make variables.
    """

    def __init__(self, text: Text | None = None) -> None:
        self.text = text or Text()
        self.variables: list[str] = []
        self._pointers: dict[tuple[str, Register, int], Register] = {}
        """Pointers by the block that computes them, what they are after, and the bytes between."""
        self._bases: dict[Register, tuple[Register, int]] = {}

    def function(self, name: str, arguments: Sequence[str], attributes: str = "") -> str:
        """The text of the function, whose arguments are given in LLVM's language, when all is written."""
        lines = [
            f"define void @{name}({', '.join(arguments)}) nounwind {attributes} {{",
            "entry:",
            *self.variables,
            *self.text.lines,
            "  ret void",
            "}",
        ]
        return "\n".join(lines) + "\n"

    @contextmanager
    def another_function(self) -> Iterator[None]:
        """Write lines of another function, then go on with this one."""
        kept = self.text, self.variables, self._pointers, self._bases
        self.text, self.variables, self._pointers, self._bases = Text(), [], {}, {}
        self.text.declarations, self.text.external = kept[0].declarations, kept[0].external
        yield
        self.text, self.variables, self._pointers, self._bases = kept

    # Values

    def number(self, value: float | int | bool, dtype: Any = FLOAT, width: int = 1) -> Value:
        """A number known beforehand."""
        dtype = np.dtype(dtype)
        return Value(self, literal(value, dtype, width), dtype, width)

    def vector(self, values: Sequence[float], dtype: Any = FLOAT) -> Value:
        """Numbers known beforehand, one in each element."""
        dtype = np.dtype(dtype)
        found = ", ".join(f"{word(dtype)} {literal(one, dtype)}" for one in values)
        return Value(self, f"<{found}>", dtype, len(values))

    def value(self, value: Number, dtype: Any, width: int = 1) -> Value:
        """A value or a Python number, as wide as said; a value has the dtype already."""
        if not isinstance(value, Value):
            return self.number(value, dtype, width)
        if value.dtype != dtype:
            raise TypeError(f"{value.dtype} instead of {dtype}")
        return value.wide(width)

    def argument(self, name: str, dtype: Any = WHOLE) -> Value:
        """An argument of the function that is a number."""
        return Value(self, f"%{name}", np.dtype(dtype), 1)

    def assigned(self, expression: str, dtype: np.dtype[Any], width: int) -> Value:
        """The value of an expression of LLVM's language."""
        return Value(self, self.text.new(expression), dtype, width)

    def alike(self, *given: Number) -> list[Value]:
        """Values of one dtype and width, of values and Python numbers."""
        first = next(one for one in given if isinstance(one, Value))
        width = max(one.width for one in given if isinstance(one, Value))
        return [self.value(one, first.dtype, width) for one in given]

    def binary(self, operator: str, one: Number, other: Number) -> Value:
        """The value of an operator."""
        one, other = self.alike(one, other)
        verb = (FLOATS if one.dtype.kind == "f" else WHOLES)[operator]
        return self.assigned(f"{verb} {one.kind} {one.register}, {other.register}", one.dtype, one.width)

    def compared(self, operator: str, one: Number, other: Number) -> Value:
        """Whether an order holds."""
        one, other = self.alike(one, other)
        is_float = one.dtype.kind == "f"
        test = f"fcmp {ORDERS[operator][0]}" if is_float else f"icmp {ORDERS[operator][1]}"
        return self.assigned(f"{test} {one.kind} {one.register}, {other.register}", TRUTH, one.width)

    def fma(self, one: Number, other: Number, more: Number) -> Value:
        """`one * other + more`, rounded once where the processor can do that."""
        return self._function("fmuladd", one, other, more)

    def abs(self, value: Value) -> Value:
        """Absolute value."""
        return self._function("fabs", value)

    def sqrt(self, value: Value) -> Value:
        """Square root."""
        return self._function("sqrt", value)

    def inverse_root(self, value: Value, halvings: int) -> Value:
        """
        One over the square root of the square root … of a number in double precision that is not negative, roughly.

        It is right to 1 %, for four halvings or more, and takes far less time than roots and a division. The bits of a
        number are about its logarithm, in units of the last bit; the polynomial mends that of the result. 0 gives a
        large number; infinity and NaN give a small one.
        """
        mantissa, kind, text = 52, vector("i64", value.width), self.text
        bits = Value(self, text.new(f"bitcast {value.kind} {value.register} to {kind}"), WHOLE, value.width)
        shifted = text.new(f"lshr {kind} {bits.register}, {literal(halvings, WHOLE, value.width)}")
        one = 1023 << mantissa
        bits = one + (one >> halvings) - Value(self, shifted, WHOLE, value.width)
        part = (bits & ((1 << mantissa) - 1)) | one
        found, part = (
            Value(self, text.new(f"bitcast {kind} {whole.register} to {value.kind}"), FLOAT, value.width)
            for whole in (bits, part)
        )
        return found * self.fma(part - 3.0, 0.2288 * part, 1.0 + 2 * 0.2288)

    def rough_power(self, value: Value, exponent: float) -> Value:
        """
        A power of a number in double precision that is not negative, with a small exponent, roughly.

        It is right to 1 % for exponents of size 1/16 or less, and takes far less time than the C library. The bits of a
        number are about its logarithm, in units of the last bit; the polynomial mends that of the result. 0 and
        infinity give finite numbers.
        """
        mantissa, kind, text = 52, vector("i64", value.width), self.text
        one = 1023 << mantissa
        bits = Value(self, text.new(f"bitcast {value.kind} {value.register} to {kind}"), WHOLE, value.width)
        found = ((bits - one).to(FLOAT) * exponent).to(WHOLE) + one
        part = (found & ((1 << mantissa) - 1)) | one
        power, rest = (
            Value(self, text.new(f"bitcast {kind} {whole.register} to {value.kind}"), FLOAT, value.width)
            for whole in (found, part)
        )
        return power * self.fma(rest - 3.0, 0.2288 * rest, 1.0 + 2 * 0.2288)

    def copysign(self, size: Number, sign: Number) -> Value:
        """The size of one number with the sign of another."""
        return self._function("copysign", size, sign)

    def _function(self, name: str, *given: Number) -> Value:
        values = self.alike(*given)
        dtype, width = values[0].dtype, values[0].width
        return Value(self, self.text.intrinsic(name, dtype, width, *(one.register for one in values)), dtype, width)

    def pow(self, base: Number, exponent: Number) -> Value:
        """A power, by the C library."""
        base, exponent = self.alike(base, exponent)
        found = self.text.of_libm("pow", base.dtype, base.width, base.register, exponent.register)
        return Value(self, found, base.dtype, base.width)

    def minimum(self, one: Number, other: Number) -> Value:
        """The smaller number; the second one if there is NaN."""
        one, other = self.alike(one, other)
        return self.where(one < other, one, other)

    def maximum(self, one: Number, other: Number) -> Value:
        """The larger number; the second one if there is NaN."""
        one, other = self.alike(one, other)
        return self.where(one > other, one, other)

    def where(self, condition: Value, one: Number, other: Number) -> Value:
        """The first number where a condition holds, the second one elsewhere."""
        one, other = self.alike(one, other)
        width = max(condition.width, one.width)
        one, other, condition = one.wide(width), other.wide(width), condition.wide(width)
        found = self.text.select(condition.register, one.register, other.register, one.kind, width)
        return Value(self, found, one.dtype, width)

    def is_finite(self, value: Value) -> Value:
        """Whether a number is neither infinite nor NaN."""
        return self.abs(value) < np.inf

    # Over the elements of a vector

    def any(self, condition: Value) -> Value:
        """Whether a condition holds somewhere."""
        return self._reduced("or", condition)

    def all(self, condition: Value) -> Value:
        """Whether a condition holds everywhere."""
        return self._reduced("and", condition)

    def _reduced(self, verb: str, values: Value) -> Value:
        if values.width == 1:
            return values
        name = f"llvm.vector.reduce.{verb}.v{values.width}{word(values.dtype)}"
        found = self.text.call(name, word(values.dtype), [(values.kind, values.register)])
        return Value(self, found, values.dtype, 1)

    def sum(self, values: Value) -> Value:
        """Sum of all elements."""
        if values.dtype.kind == "f":
            return Value(self, self.text.total(values.register, values.dtype, values.width), values.dtype, 1)
        return self._reduced("add", values)

    def joined(self, values: Sequence[Value]) -> Value:
        """A vector of scalars."""
        found = self.text.joined([one.register for one in values], word(values[0].dtype))
        return Value(self, found, values[0].dtype, len(values))

    # Memory

    def variable(self, first: Number, dtype: Any = FLOAT, width: int = 1) -> Variable:
        """A variable with its first value."""
        if isinstance(first, Value):
            dtype, width = first.dtype, first.width
        dtype = np.dtype(dtype)
        name = f"%{self.text.name('variable')}"
        self.variables.append(
            f"  {name} = alloca {vector(in_memory(dtype), width)}, align {min(64, dtype.itemsize * width)}"
        )
        found = Variable(self, name, dtype, width)
        found.set(first)
        return found

    def array(self, pointer: Register, dtype: Any, width: int = 1, stride: int = 0) -> Array:
        """An array in memory."""
        return self.reals(pointer, dtype, width, stride)

    def reals(self, pointer: Register, dtype: Any, width: int = 1, stride: int = 0) -> Array:
        """An array in memory that has real numbers, whatever kind of numbers is written for."""
        return Array(self, pointer, np.dtype(dtype), width, stride)

    def pointer(self, base: Register, offset: int) -> Register:
        """Pointer to some bytes after another."""
        return self.offset(base, offset, 1)

    def offset(self, base: Register, place: Value | int, size: int) -> Register:
        """Pointer to an item of some bytes."""
        if isinstance(place, int):
            return self._beside(base, place * size)
        shift = place * size if size != 1 else place
        return self.text.new(f"getelementptr i8, ptr {base}, i64 {shift.register}")

    def _beside(self, base: Register, distance: int) -> Register:
        """Pointer to some bytes after another; computed once in each block of lines."""
        base, before = self._bases.get(base, (base, 0))
        distance += before
        if not distance:
            return base
        key = self.text.label, base, distance
        if key not in self._pointers:
            found = self._pointers[key] = self.text.new(f"getelementptr i8, ptr {base}, i64 {distance}")
            self._bases[found] = base, distance
        return self._pointers[key]

    def load(self, pointer: Register, dtype: np.dtype[Any], width: int = 1) -> Value:
        """Numbers in memory, aligned as single ones are."""
        kind = vector(in_memory(dtype), width)
        found = self.text.new(f"load {kind}, ptr {pointer}, align {dtype.itemsize}")
        if dtype == TRUTH:
            found = self.text.new(f"trunc {kind} {found} to {vector('i1', width)}")
        return Value(self, found, dtype, width)

    def load_pointer(self, pointer: Register) -> Register:
        """A pointer in memory."""
        return self.text.new(f"load ptr, ptr {pointer}, align 8")

    def store(self, value: Value, pointer: Register) -> None:
        """Write numbers to memory."""
        kind, register = vector(in_memory(value.dtype), value.width), value.register
        if value.dtype == TRUTH:
            register = self.text.new(f"zext {value.kind} {register} to {kind}")
        self.text.do(f"store {kind} {register}, ptr {pointer}, align {value.dtype.itemsize}")

    def call(self, function: str, *pointers: Register) -> None:
        """Call a function of this module with pointers."""
        self.text.do(f"call void @{function}({', '.join(f'ptr {one}' for one in pointers)})")

    # Control

    @contextmanager
    def for_(self, count: Value | int, first: Value | int = 0, step: int = 1) -> Iterator[Value]:
        """A loop over the integers from `first` to below `count`."""
        first, count = self.value(first, WHOLE), self.value(count, WHOLE)
        text, before = self.text, self.text.label
        head, body, done = text.name("for"), text.name("body"), text.name("done")
        place = Value(self, f"%{text.name('i')}", WHOLE, 1)
        text.do(f"br label %{head}")
        text.begin(head)
        text.lines.append("")  # where the phi function will be
        line = len(text.lines) - 1
        text.do(f"br i1 {(place < count).register}, label %{body}, label %{done}")
        text.begin(body)
        yield place
        following = place + step
        text.lines[line] = (
            f"  {place.register} = phi i64 [ {first.register}, %{before} ], [ {following.register}, %{text.label} ]"
        )
        text.do(f"br label %{head}")
        text.begin(done)

    @contextmanager
    def while_(self, condition: Callable[[], Value]) -> Iterator[None]:
        """A loop as long as a condition holds, which is evaluated before each passage."""
        text = self.text
        head, body, done = text.name("while"), text.name("body"), text.name("done")
        text.do(f"br label %{head}")
        text.begin(head)
        text.do(f"br i1 {self._scalar(condition())}, label %{body}, label %{done}")
        text.begin(body)
        yield
        text.do(f"br label %{head}")
        text.begin(done)

    @contextmanager
    def if_(self, condition: Value) -> Iterator[Branch]:
        """Lines that are executed where a condition holds."""
        text = self.text
        then, otherwise = text.name("then"), text.name("otherwise")
        text.do(f"br i1 {self._scalar(condition)}, label %{then}, label %{otherwise}")
        text.begin(then)
        branch = Branch(0, otherwise)
        yield branch
        text.do(f"br label %{otherwise}")
        branch.end = len(text.lines) - 1
        text.begin(otherwise)

    @contextmanager
    def else_(self, branch: Branch) -> Iterator[None]:
        """Lines that are executed otherwise, right after those of `if_`."""
        text, done = self.text, self.text.name("done")
        if text.lines[-1] != f"{branch.otherwise}:":
            raise ValueError("`else_` does not follow its `if_`")
        text.lines[branch.end] = f"  br label %{done}"
        yield
        text.do(f"br label %{done}")
        text.begin(done)

    def _scalar(self, condition: Value) -> Register:
        if condition.dtype != TRUTH or condition.width != 1:
            raise TypeError("a condition is one Boolean; use `any` or `all`")
        return condition.register
