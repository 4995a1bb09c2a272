"""
Segments of recurrences on a CUDA device: a thread marches a segment of a sequence, with some columns of its propagator.

States and columns are in registers from the first step to the last. A whole sequence is a segment, too: that is the
loop over a batch.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ..program import Program
from .device import DeviceKernel, WrittenOut, device_code, device_kernel, thread_of
from .expressions import Array, Code, Value, Variable
from .same_text import structure
from .text import UnsupportedError

MOST = {"d": 1300, "f": 2600}
"""Operations of a step that is written out, by the dtype: with more, threads have too few registers."""

ENTRIES = {"d": 12, "f": 32}
"""Entries of propagators that a thread carries at most: it has 255 registers of 32 bits."""

COLUMNS = {"d": 3, "f": 5}
"""Columns of propagators that a thread carries at most."""

STATES = {"d": 24, "f": 48}
"""Components of states that a thread carries, and of their derivatives if those are a diagonal."""


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


def columns_of(n: int, dtype: Any, *, diagonal: bool = False) -> Columns:
    """How threads share the propagators of `n` components; those of a diagonal are one column."""
    if diagonal:
        return Columns(1, 1)
    char = np.dtype(dtype).char
    most = max(min(ENTRIES[char] // n, COLUMNS[char]), 1)
    return Columns(n, max(k for k in range(1, n + 1) if n % k == 0 and k <= most))


@dataclass(frozen=True)
class March:
    """
    A kernel that marches segments.

    Its arguments are, after the constants: `steps`, the number of all steps; `length`, that of a segment; `most`, that
    of steps which are taken in a segment, unless it ends before; `segments` and `sequences`, their numbers. Then, for
    the states that are written, the first states, the products if there are some, and each input: an address, and the
    bytes between neighbouring steps, segments, sequences and, for states and products, elements. First states and
    products have no steps.

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
    Write the kernel of a step.

    Parameters
    ----------
    program : Program
        `(y, *x) -> y'`; with columns `(y, S, *x) -> (y', S')`, where `S` has the columns of a part.
    columns : Columns, optional

    Raises
    ------
    UnsupportedError
        If the step has too many operations or components for the registers of a thread.
    """
    state = program.arguments[0]
    _refuse_large(program, state, columns)
    code = device_code()
    step, thread = WrittenOut(program, code), thread_of(code)
    steps, length, most, segments, sequences = (code.argument(one) for one in SIZES)
    parts = columns.parts if columns else 1
    with code.if_(thread < segments * sequences * parts):
        place = _Place(code, *_divided(code, thread, sequences, parts))
        y = [code.variable(one) for one in place.read("start", prod(state.shape), state.dtype)]
        entries = prod(program.arguments[1].shape) if columns else 0
        products: Any = place.products(columns, state.dtype, entries) if columns else []
        carried = [code.variable(products[k]) for k in range(entries)]
        inputs = program.arguments[1 + bool(columns) :]
        begin = place.segment * length
        count = code.minimum(most, steps - begin)
        with code.for_(count) as t:
            rows = [place.row(f"x{k}", t, one) for k, one in enumerate(inputs)]
            states = [
                [one.get().register for one in y],
                *([[one.get().register for one in carried]] if columns else []),
            ]
            after, *more = step(*states, *rows)
            _keep(code, y, after)
            if columns:
                _keep(code, carried, more[0])
            with code.if_(place.part.equals(0)):
                place.write("out", t, y)
        for k, one in enumerate(carried):
            products[k] = one.get()
    arguments = [f"i64 %{one}" for one in SIZES]
    for name in ("out", "start", *(["products"] if columns else []), *(f"x{k}" for k in range(len(inputs)))):
        arguments += [f"ptr %{name}", *(f"i64 %{name}_{one}" for one in strides_of(name))]
    return March(device_kernel(code, arguments, [step]), parts, len(inputs))


SIZES = ("steps", "length", "most", "segments", "sequences")


def strides_of(name: str) -> Sequence[str]:
    """Names of the distances of an argument."""
    if name in ("start", "products"):
        return ("segment", "sequence", "element")
    return ("step", "segment", "sequence", "element") if name == "out" else ("step", "segment", "sequence")


def _refuse_large(program: Program, state: Any, columns: Columns | None) -> None:
    numbers = prod(state.shape)
    if state.dtype.char not in ENTRIES:
        raise UnsupportedError(f"has states of {state.dtype}")
    if program.operations > MOST[state.dtype.char]:
        raise UnsupportedError(f"has {program.operations} operations, more than a thread has registers for")
    if numbers > STATES[state.dtype.char]:
        raise UnsupportedError(f"has {numbers} components, more than a thread has registers for")
    if columns and columns.width > 1 and prod(program.arguments[1].shape) > ENTRIES[state.dtype.char]:
        raise UnsupportedError("has more entries of derivatives than a thread has registers for")


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

    def products(self, columns: Columns, dtype: Any, entries: int) -> _Entries:
        """The entries of this part of the products."""
        base = self._at("products")
        first = self.part * columns.count * self.code.argument("products_element")
        places = [k // columns.count * columns.width + k % columns.count for k in range(entries)]
        base = self.code.offset(base, first, 1)
        return _Entries([self._element("products", base, place, dtype) for place in places])

    def row(self, name: str, t: Value, argument: Any) -> list[str]:
        """Registers with the elements of an input in a step."""
        code = self.code
        base = code.offset(self._at(name), t * code.argument(f"{name}_step"), 1)
        row = code.reals(base, argument.dtype)
        return [row[k].register for k in range(prod(argument.shape))]

    def write(self, name: str, t: Value, values: Sequence[Variable]) -> None:
        """Write the elements of a step."""
        base = self.code.offset(self._at(name), t * self.code.argument(f"{name}_step"), 1)
        for k, value in enumerate(values):
            self._element(name, base, k, value.dtype)[0] = value.get()


class _Entries:
    """Numbers in memory, one by one."""

    def __init__(self, places: Sequence[Array]) -> None:
        self._places = places

    def __getitem__(self, k: int) -> Value:
        return self._places[k][0]

    def __setitem__(self, k: int, value: Value) -> None:
        self._places[k][0] = value
