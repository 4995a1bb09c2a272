"""
A right-hand side at many points on a CUDA device: a thread evaluates it, and its Jacobian, at one time and state.

All values are in registers. They are written as soon as they are known, to rows of memory in the order in which the
linear algebra behind it reads them.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from math import prod
from typing import Any

import numpy as np

from ..linearised import Linearised
from ..program import Program
from .device import DeviceKernel, WrittenOut, device_code, device_kernel, thread_of
from .device_march import MOST, STATES
from .expressions import Array, Code, Value
from .same_text import structure
from .text import UnsupportedError

KEPT = 32
"""Kernels that are kept for programs of the same structure."""

_lock = threading.Lock()
_kept: OrderedDict[Any, DeviceKernel] = OrderedDict()

if hasattr(os, "register_at_fork"):  # a child must not find the lock taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def points(
    program: Program, places: Linearised | None = None, *, of_members: bool = False, pairs: bool = False
) -> DeviceKernel:  # fmt: skip
    """The kernel, as `written` makes it: that of a program with the same text, if there was one lately."""
    where = None if places is None else (places.rows.tobytes(), places.columns.tobytes())
    key = structure(program), where, of_members, pairs
    with _lock:
        found = _kept.pop(key, None)
    found = written(program, places, of_members=of_members, pairs=pairs) if found is None else found.of(program)
    with _lock:
        _kept[key] = found
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found


def written(program: Program, places: Linearised | None, *, of_members: bool, pairs: bool) -> DeviceKernel:
    """
    Write the kernel of a right-hand side.

    Its arguments are, after the constants: `points`, their number; with members, how many there are; the times, one for
    all members; the states of all points; the parameters of all points, or of each member; the values and, with
    Jacobians, their rows. All are in C order. A point belongs to the member that is the remainder of its number.

    Parameters
    ----------
    program : Program
        `(t, y, *parameters) -> f`, or `-> (f, entries)` with Jacobians.
    places : Linearised or None
        Where the entries stand.
    of_members : bool
        Whether members have their own parameters.
    pairs : bool
        Whether states are complex, in pairs: of the derivatives by parts, those by real parts are written, as pairs.

    Raises
    ------
    UnsupportedError
        If it has too many operations or components for the registers of a thread.
    """
    state = program.arguments[1]
    size = prod(state.shape)
    _refuse_large(program, state)
    code = device_code()
    step, thread, given = WrittenOut(program, code), thread_of(code), code.argument("points")
    with code.if_(thread < given):
        moment = thread / code.argument("members") if of_members else thread
        member = thread - moment * code.argument("members") if of_members else code.number(0, np.int64)
        rows = [moment, thread, *[member] * (len(program.arguments) - 2)]
        loaded = [
            _row(code, f"a{k}", row, prod(one.shape), one.dtype)
            for k, (row, one) in enumerate(zip(rows, program.arguments, strict=True))
        ]
        values = code.reals("%values", state.dtype).after(thread * size)
        writes = _Writes(step)
        for place, node in enumerate(np.ravel(program.results[0]).tolist()):
            writes.add(node, values, place)
        if places is not None:
            own = _places(places, size, pairs=pairs)
            matrices = code.reals("%matrices", state.dtype).after(thread * prod(own.shape))
            for place, number in enumerate(own.tolist()):
                if number < 0:
                    matrices[place] = 0.0
                else:
                    writes.add(int(program.results[1][number]), matrices, place)
        step.then = writes.write
        step(*[[row[i].register for i in range(prod(one.shape))]
               for row, one in zip(loaded, program.arguments, strict=True)])  # fmt: skip
    names = [f"a{k}" for k in range(len(program.arguments))] + ["values"] + ["matrices"] * (places is not None)
    numbers = ["i64 %points", *["i64 %members"] * of_members]
    return device_kernel(code, [*numbers, *(f"ptr %{name}" for name in names)], [step])


class _Writes:
    """Where values of nodes are written as soon as they are known."""

    def __init__(self, step: WrittenOut) -> None:
        self._step = step
        self._places: dict[int, list[tuple[Array, int]]] = {}

    def add(self, node: int, array: Array, place: int) -> None:
        """The value of a node at a place of an array."""
        self._places.setdefault(node, []).append((array, place))

    def write(self, first: int, count: int) -> None:
        """Write the values of nodes in a row."""
        for node in range(first, first + count):
            for array, place in self._places.pop(node, ()):
                array[place] = Value(array.code, self._step.value(node), array.dtype, 1)


def _row(code: Code, name: str, row: Value, size: int, dtype: Any) -> Array:
    return code.reals(f"%{name}", dtype).after(row * size)


def _places(places: Linearised, size: int, *, pairs: bool) -> Any:
    """For each number of a Jacobian in memory, that of its entry; -1 where it is zero."""
    found = np.full((size, size), -1, dtype=np.intp)
    found[places.rows, places.columns] = np.arange(places.rows.shape[0])
    if not pairs:
        return found.ravel()
    return np.moveaxis(found.reshape(size // 2, 2, size // 2, 2)[..., 0], 1, 2).ravel()


def _refuse_large(program: Program, state: Any) -> None:
    char = state.dtype.char
    if program.operations > MOST[char]:
        raise UnsupportedError(f"has {program.operations} operations, more than a thread has registers for")
    if prod(state.shape) > STATES[char]:
        raise UnsupportedError(f"has {prod(state.shape)} components, more than a thread has registers for")
