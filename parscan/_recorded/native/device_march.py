"""
Segments of recurrences on a CUDA device: a thread marches a segment of a sequence, with some columns of its propagator.

States and columns are in registers from the first step to the last, or, where these are too few, in memory of the
thread. Other threads have the other columns, and evaluate the same states. A whole sequence is a segment, too: that is
the loop over a batch.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ..graph import CONSTANT
from ..program import Program
from .device import BY_VALUE, CalledKernel, DeviceKernel, WrittenOut, device_code, device_kernel, thread_of
from .device_angles import DeviceText
from .expressions import WHOLE, Array, Code, Value, Variable
from .routine import routine
from .same_text import structure
from .target import one_thread
from .text import UnsupportedError

FITS = {
    "d": ((12, 24, 1300), (16, 32, 650)),
    "f": ((16, 48, 2600), (32, 8, 2600), (32, 48, 1700)),
}
"""
What the registers of a thread are enough for, by the dtype: so many entries of propagators, components, and operations
of a step that is written out. A thread has 255 registers of 32 bits. Found by assembling steps of several kinds.
"""

MANY = {"d": 800, "f": 2000}
"""Operations from which on a step must not be written out with constants in memory: those that multiply the state and
all columns would be read once for all of them, and take all registers."""

ENTRIES = {"d": 12, "f": 32}
"""Entries of propagators up to which a thread has more than one column."""

COLUMNS = {"d": 3, "f": 5}
"""Columns of propagators that a thread carries in registers at most."""

MOST = 1300
"""Operations of a step in memory that are written out; products, and operations on many numbers, are loops."""

WIDEST = 64
"""Components of a step in memory at most."""

LARGEST = 1 << 14
"""Bytes of a thread's memory at most: devices set it aside for all threads that they could run at a time."""


@dataclass(frozen=True)
class Columns:
    """
    How threads share the products of a segment: `count` columns each, of `width`.

    Column `j` of row `i` has the place `i width + j` among the entries.
    """

    width: int
    count: int

    @property
    def parts(self) -> int:
        """Threads of a segment."""
        return self.width // self.count

    def identity(self, n: int) -> list[float]:
        """The product before the first step: entries of rows of `n` components."""
        return [float(j == i or self.width == 1) for i in range(n) for j in range(self.width)]


def columns_of(n: int, dtype: Any, *, diagonal: bool = False, single: bool = False) -> Columns:
    """How threads share the propagators of `n` components; those of a diagonal are one column.

    Columns of a thread share the evaluation of the step; with a `single` one, threads need least registers.
    """
    if diagonal:
        return Columns(1, 1)
    char = np.dtype(dtype).char
    most = 1 if single else min(ENTRIES[char] // n, COLUMNS[char])
    return Columns(n, max(k for k in range(1, n + 1) if n % k == 0 and k <= max(most, 1)))


def fits_registers(program: Program, columns: Columns | None = None) -> bool:
    """Whether a step can be written out with all its numbers in registers."""
    state = program.arguments[0]
    numbers = prod(state.shape)
    entries = prod(program.arguments[1].shape) if columns and columns.width > 1 else 0
    if program.operations > MANY[state.dtype.char] and _constants(program) * state.dtype.itemsize > BY_VALUE:
        return False
    return any(
        entries <= most and numbers <= components and program.operations <= operations
        for most, components, operations in FITS[state.dtype.char]
    )


def _constants(program: Program) -> int:
    """Number of constants."""
    return sum(block.count for block in program.blocks if block.operation == CONSTANT)


@dataclass(frozen=True)
class March:
    """
    A kernel that marches segments.

    Its arguments are, after the constants: `steps`, the number of all steps; `length`, that of a segment; `most`, that
    of steps which are taken in a segment, unless it ends before; `segments` and `sequences`, their numbers. Then, if
    there are products, the address of the numbers side by side that each of them begins with. Then, for the states
    that are written, the first states, the products if there are some, which are written, too, and each input: an
    address, and the bytes between neighbouring steps, segments, sequences and, for states and products, elements.
    First states and products have no steps.

    Thread number `(segment * sequences + sequence) * parts + part` carries one part of the columns.
    """

    kernel: DeviceKernel
    parts: int
    inputs: int

    def threads(self, segments: int, sequences: int) -> int:
        """Number of threads that have something to do."""
        return segments * sequences * self.parts


KEPT = 32
"""Kernels that are kept for programs of the same structure."""

_lock = threading.Lock()
_kept: OrderedDict[Any, March] = OrderedDict()

if hasattr(os, "register_at_fork"):  # a child must not find the lock taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def march(program: Program, columns: Columns | None = None) -> March:
    """The kernel of a step, as `written` makes it: that of a program with the same text, if there was one lately."""
    key = structure(program), columns
    with _lock:
        found = _kept.pop(key, None)
    found = written(program, columns) if found is None else replace(found, kernel=found.kernel.of(program))
    with _lock:
        _kept[key] = found
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found


def written(program: Program, columns: Columns | None = None) -> March:
    """
    Write the kernel of a step: with all numbers in registers where they fit, otherwise in the memory of each thread.

    Parameters
    ----------
    program : Program
        `(y, *x) -> y'`; with columns `(y, S, *x) -> (y', S')`, where `S` has the columns of a part.
    columns : Columns, optional

    Raises
    ------
    UnsupportedError
        If the step has too many operations or components.
    """
    if program.arguments[0].dtype.char not in FITS:
        raise UnsupportedError(f"has states of {program.arguments[0].dtype}")
    code = device_code()
    step = (_InRegisters if fits_registers(program, columns) else _InMemory)(program, code, columns)
    thread = thread_of(code)
    steps, length, most, segments, sequences = (code.argument(one) for one in SIZES)
    parts = columns.parts if columns else 1
    inputs = program.arguments[1 + bool(columns) :]
    with code.if_(thread < segments * sequences * parts):
        place = _Place(code, *_divided(code, thread, sequences, parts))
        step.begin(place)
        count = code.minimum(most, steps - place.segment * length)
        with code.for_(count) as t:
            step.advance(place, t)
            with code.if_(place.part.equals(0)):
                step.write(place, t)
        step.end(place)
    arguments = [*(f"i64 %{one}" for one in SIZES), *([f"ptr %{FIRST}"] if columns else [])]
    for name in ("out", "start", *(["products"] if columns else []), *(f"x{k}" for k in range(len(inputs)))):
        arguments += [f"ptr %{name}", *(f"i64 %{name}_{one}" for one in strides_of(name))]
    return March(step.kernel(arguments), parts, len(inputs))


class _Step(ABC):
    """How a thread has its numbers."""

    def __init__(self, program: Program, code: Code, columns: Columns | None) -> None:
        self.program, self.code, self.columns = program, code, columns
        self.n, self.dtype = prod(program.arguments[0].shape), program.arguments[0].dtype
        self.entries = prod(program.arguments[1].shape) if columns else 0
        self.inputs = program.arguments[1 + bool(columns) :]

    @abstractmethod
    def begin(self, place: _Place) -> None:
        """Read the state and the columns."""

    @abstractmethod
    def advance(self, place: _Place, t: Value) -> None:
        """Evaluate the step."""

    @abstractmethod
    def write(self, place: _Place, t: Value) -> None:
        """Write the state of a step."""

    @abstractmethod
    def end(self, place: _Place) -> None:
        """Write the columns."""

    @abstractmethod
    def kernel(self, arguments: Sequence[str]) -> DeviceKernel:
        """What was written, as a kernel."""


class _InRegisters(_Step):
    """All numbers are in registers, and the step is written out."""

    def begin(self, place: _Place) -> None:
        self.step = WrittenOut(self.program, self.code)
        self.y = [self.code.variable(one) for one in place.read("start", self.n, self.dtype)]
        self.carried: list[Variable] = []
        if self.columns:
            self.products = place.products(self.columns, self.dtype, self.entries)
            first = place.first(self.columns, self.dtype)
            self.carried = [self.code.variable(first(k)[0], self.dtype) for k in range(self.entries)]

    def advance(self, place: _Place, t: Value) -> None:
        rows = [place.row(f"x{k}", t, one) for k, one in enumerate(self.inputs)]
        held = [self.y, *([self.carried] if self.columns else [])]
        after = self.step(*[[one.get().register for one in some] for some in held], *rows)
        for variables, registers in zip(held, after, strict=False):
            _keep(self.code, variables, registers)

    def write(self, place: _Place, t: Value) -> None:
        place.write("out", t, self.y)

    def end(self, place: _Place) -> None:
        for product, one in zip(self.products if self.columns else (), self.carried, strict=True):
            product[0] = one.get()

    def kernel(self, arguments: Sequence[str]) -> DeviceKernel:
        return device_kernel(self.code, arguments, [self.step])


class _InMemory(_Step):
    """All numbers are in memory of the thread, and the step is a function with loops, as on a CPU."""

    def __init__(self, program: Program, code: Code, columns: Columns | None) -> None:
        super().__init__(program, code, columns)
        if self.n > WIDEST:
            raise UnsupportedError(f"has {self.n} components, more than a thread is given memory for")
        if program.written > MOST:
            raise UnsupportedError(f"has {program.operations} operations, too many for the code of a thread")
        with one_thread():
            self.routine = routine(STEP, program, text=DeviceText())
        sizes = [max(self.routine.scratch, 1), *(2 * [self.n * self.dtype.itemsize])]
        sizes += 2 * [self.entries * self.dtype.itemsize] if columns else []
        if sum(sizes) > LARGEST:
            raise UnsupportedError(f"needs {sum(sizes)} bytes of memory for each thread, more than {LARGEST}")
        self.scratch, *self.own = (self._memory(size) for size in sizes)

    def _memory(self, size: int) -> str:
        """Some bytes of the thread."""
        name = f"%{self.code.text.name('memory')}"
        self.code.variables.append(f"  {name} = alloca [{size} x i8], align 16")
        return name

    def _copy(self, count: int, source: Callable[[Value], Array], target: Callable[[Value], Array]) -> None:
        """Copy numbers one by one; both give an array that begins with one of them."""
        with self.code.for_(count) as k:
            target(k)[0] = source(k)[0]

    def _item(self, pointer: str) -> Callable[[Value], Array]:
        """Numbers side by side."""
        return lambda k: self.code.reals(pointer, self.dtype).after(k)

    def begin(self, place: _Place) -> None:
        self._copy(self.n, place.elements("start", self.dtype), self._item(self.own[0]))
        if self.columns:
            self._copy(self.entries, place.first(self.columns, self.dtype), self._item(self.own[2]))

    def advance(self, place: _Place, t: Value) -> None:
        rows = [place.row_at(f"x{k}", t) for k in range(len(self.inputs))]
        given = [*self.own[::2], *rows, *self.own[1::2]]
        call = ", ".join(f"ptr {one}" for one in ("%table", self.scratch, *given))
        self.code.text.do(f"call void @{STEP}({call})")
        for before, after, count in zip(self.own[::2], self.own[1::2], (self.n, self.entries), strict=False):
            self._copy(count, self._item(after), self._item(before))

    def write(self, place: _Place, t: Value) -> None:
        self._copy(self.n, self._item(self.own[0]), place.elements("out", self.dtype, t))

    def end(self, place: _Place) -> None:
        if self.columns:
            self._copy(self.entries, self._item(self.own[2]), place.entries(self.columns, self.dtype))

    def kernel(self, arguments: Sequence[str]) -> DeviceKernel:
        code, own = self.code, self.routine
        declarations = {**code.text.declarations, **own.declarations, STEP: own.text}
        external = {**code.text.external, **own.external}
        lines = (*code.variables, *code.text.lines)
        return CalledKernel(tuple(arguments), lines, declarations, external, own.table, own.sources)


STEP = "recorded_step"
"""Name of the function of a step in memory."""


SIZES = ("steps", "length", "most", "segments", "sequences")

FIRST = "first"
"""Name of the product before the first step, one for all segments: the identity is read, as the assembler, where it
knew it, took more registers than there are (GRUs of 8 states in double precision, sm_100 and sm_120)."""


def strides_of(name: str) -> Sequence[str]:
    """Names of the distances of an argument."""
    if name in ("start", "products"):
        return ("segment", "sequence", "element")
    return ("step", "segment", "sequence", "element") if name == "out" else ("step", "segment", "sequence")


def _divided(code: Code, thread: Value, sequences: Value, parts: int) -> list[Value]:
    """The segment, the sequence and the part of a thread."""
    whole = code.number(parts, np.int64)
    rest = thread / whole
    part = thread - rest * whole
    segment = rest / sequences
    return [segment, rest - segment * sequences, part]


def _keep(code: Code, variables: Sequence[Variable], registers: Sequence[str]) -> None:
    for variable, register in zip(variables, registers, strict=True):
        variable.set(Value(code, register, variable.dtype, 1))


@dataclass(frozen=True)
class _Place:
    """What belongs to a thread in memory."""

    code: Code
    segment: Value
    sequence: Value
    part: Value

    def _at(self, name: str) -> str:
        """Pointer to the first element."""
        code, base = self.code, f"%{name}"
        for distance, number in (("segment", self.segment), ("sequence", self.sequence)):
            base = code.offset(base, number * code.argument(f"{name}_{distance}"), 1)
        return base

    def _element(self, name: str, base: str, k: int, dtype: Any) -> Array:
        code = self.code
        return code.reals(code.offset(base, code.argument(f"{name}_element") * k, 1) if k else base, dtype)

    def read(self, name: str, count: int, dtype: Any) -> list[Value]:
        """Elements of an array without steps."""
        base = self._at(name)
        return [self._element(name, base, k, dtype)[0] for k in range(count)]

    def products(self, columns: Columns, dtype: Any, entries: int) -> list[Array]:
        """Arrays that begin with the entries of this part of the products."""
        base = self._at("products")
        first = self.part * columns.count * self.code.argument("products_element")
        places = [k // columns.count * columns.width + k % columns.count for k in range(entries)]
        base = self.code.offset(base, first, 1)
        return [self._element("products", base, place, dtype) for place in places]

    def first(self, columns: Columns, dtype: Any) -> Callable[[Value | int], Array]:
        """The array that begins with an entry of this part of the first product, which is given by its number."""
        numbers, before = self.code.reals(f"%{FIRST}", dtype), self.part * columns.count

        def entry(k: Value | int) -> Array:
            row = k // columns.count if isinstance(k, int) else k / columns.count
            return numbers.after(before + (k - row * columns.count) + row * columns.width)

        return entry

    def elements(self, name: str, dtype: Any, t: Value | None = None) -> Callable[[Value], Array]:
        """The array that begins with an element, which is given by its number; in a step, if there are steps."""
        base = self._at(name) if t is None else self.row_at(name, t)
        return lambda k: self.code.reals(self.code.offset(base, k * self.code.argument(f"{name}_element"), 1), dtype)

    def entries(self, columns: Columns, dtype: Any) -> Callable[[Value], Array]:
        """The array that begins with an entry of this part of the products, which is given by its number."""
        of_row, first = self.code.number(columns.count, WHOLE), self.part * columns.count
        element = self.elements("products", dtype)

        def entry(k: Value) -> Array:
            row = k / of_row
            return element(row * columns.width + (k - row * of_row) + first)

        return entry

    def row_at(self, name: str, t: Value) -> str:
        """Pointer to the elements of a step."""
        return self.code.offset(self._at(name), t * self.code.argument(f"{name}_step"), 1)

    def row(self, name: str, t: Value, argument: Any) -> list[str]:
        """Registers with the elements of an input in a step."""
        row = self.code.reals(self.row_at(name, t), argument.dtype)
        return [row[k].register for k in range(prod(argument.shape))]

    def write(self, name: str, t: Value, values: Sequence[Variable]) -> None:
        """Write the elements of a step."""
        base = self.row_at(name, t)
        for k, value in enumerate(values):
            self._element(name, base, k, value.dtype)[0] = value.get()
