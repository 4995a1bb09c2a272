"""
A right-hand side at many points on a CUDA device: a thread evaluates it, and its Jacobian, at one time and state.

All values are in registers. They are written as soon as they are known, to rows of memory in the order in which the
linear algebra behind it reads them.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ..linearised import Linearised
from ..program import Program
from .device import DeviceKernel, WrittenOut, device_code, device_kernel, thread_of
from .expressions import Array, Value
from .same_text import structure
from .text import UnsupportedError

KEPT = 32
"""Kernels that are kept for programs of the same structure."""

MOST = {"d": 1300, "f": 2600}
"""Operations that are written out, by the dtype: with more, threads have too few registers."""

STATES = {"d": 24, "f": 48}
"""Components of states that a thread carries."""

_lock = threading.Lock()
_kept: OrderedDict[Any, DeviceKernel] = OrderedDict()

if hasattr(os, "register_at_fork"):  # a child must not find the lock taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def points(
    program: Program, places: Linearised | None = None, *, of_members: bool = False, pairs: bool = False
) -> DeviceKernel:  # fmt: skip
    """
    The kernel of a right-hand side: that of a program with the same text, if there was one lately.

    Its arguments are, after the constants: `points`, their number; with members, how many there are; the times, one for
    all members; the states of all points; the parameters of all points, or of each member; the values and, with
    Jacobians, their rows, which are whole arrays. All are in C order. A point belongs to the member that is the
    remainder of its number.

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
    return _found(_Writer.at_points, program, places, of_members=of_members, pairs=pairs)


def stages(
    program: Program, places: Linearised | None, *, of_members: bool = False, pairs: bool = False
) -> DeviceKernel:  # fmt: skip
    """
    The kernel of a right-hand side at the stages of intervals, as `points` is kept.

    A thread forms the state of a stage of a member from the slopes of the interval. Its arguments are `points`, the
    number of all stages of all members; the numbers of members, and of stages of an interval; the times of the stages,
    (intervals, stages); the lengths of the intervals; the matrix of the method, (stages, stages); the states at nodes,
    (nodes, members, n); the slopes, (intervals, stages, members, n); the parameters; the values less the slopes, and
    the Jacobians, as condensing needs them: (intervals, members, stages, n) and (intervals, members, stages, n, n).
    """
    return _found(_Writer.at_stages, program, places, of_members=of_members, pairs=pairs)


def _found(
    write: Callable[[_Writer], DeviceKernel], program: Program, places: Linearised | None, *, of_members: bool,
    pairs: bool,
) -> DeviceKernel:  # fmt: skip
    where = None if places is None else (places.rows.tobytes(), places.columns.tobytes())
    key = write.__name__, structure(program), where, of_members, pairs
    with _lock:
        found = _kept.pop(key, None)
    found = found.of(program) if found else write(_Writer(program, places, of_members=of_members, pairs=pairs))
    with _lock:
        _kept[key] = found
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found


class _Writer:
    """Writes kernels of a right-hand side; the parameters are those of `points`."""

    def __init__(self, program: Program, places: Linearised | None, *, of_members: bool, pairs: bool) -> None:
        state = program.arguments[1]
        _refuse_large(program, state)
        self.program, self.of_members, self.has_matrices = program, of_members, places is not None
        self.size, self.dtype = prod(state.shape), state.dtype
        self.own = None if places is None else _places(places, self.size, pairs=pairs)
        self.code = device_code()
        self.step, self.thread = WrittenOut(program, self.code), thread_of(self.code)

    def at_points(self) -> DeviceKernel:
        """See `points`."""
        code, thread = self.code, self.thread
        with code.if_(thread < code.argument("points")):
            moment = thread / code.argument("members") if self.of_members else thread
            member = thread - moment * code.argument("members") if self.of_members else None
            state = self.row("a1", thread)
            self.evaluate(moment, [state[k] for k in range(self.size)], member, [])
        return self.kernel(["i64 %points", *["i64 %members"] * self.of_members], ["a0", "a1"])

    def at_stages(self) -> DeviceKernel:
        """See `stages`."""
        code, thread = self.code, self.thread
        size, stages, members = self.size, code.argument("stages"), code.argument("members")
        with code.if_(thread < code.argument("points")):
            of_all = thread / stages
            stage, interval = thread - of_all * stages, of_all / members
            member, moment = of_all - interval * members, interval * stages + stage
            begin, sums = self.row("y", of_all), [code.variable(0.0, self.dtype) for _ in range(size)]
            weights = code.reals("%weights", self.dtype).after(stage * stages)
            with code.for_(stages) as other:
                slope = self.row("slopes", (interval * stages + other) * members + member)
                for k, one in enumerate(sums):
                    one.set(code.fma(weights[other], slope[k], one.get()))
            length = code.reals("%lengths", self.dtype)[interval]
            own = self.row("slopes", moment * members + member)
            state = [code.fma(length, one.get(), begin[k]) for k, one in enumerate(sums)]
            self.evaluate(moment, state, member if self.of_members else None, [own[k] for k in range(size)])
        numbers = ["i64 %points", "i64 %members", "i64 %stages"]
        return self.kernel(numbers, ["a0", "lengths", "weights", "y", "slopes"])

    def row(self, name: str, place: Value) -> Array:
        """A state in memory."""
        return self.code.reals(f"%{name}", self.dtype).after(place * self.size)

    def evaluate(self, moment: Value, state: Sequence[Value], member: Value | None, less: Sequence[Value]) -> None:
        """Write one evaluation at a state, whose values are written less some others."""
        code, program = self.code, self.program
        time = code.reals("%a0", program.arguments[0].dtype)[moment]
        parameters = []
        for k, one in enumerate(program.arguments[2:], 2):
            array, count = code.reals(f"%a{k}", one.dtype), prod(one.shape)
            array = array if member is None else array.after(member * count)
            parameters.append([array[j].register for j in range(count)])
        values, writes = self.row("values", self.thread), _Writes(self.step)
        for place, node in enumerate(np.ravel(program.results[0]).tolist()):
            writes.add(node, values, place, less[place] if less else None)
        if self.own is not None:
            matrices = code.reals("%matrices", self.dtype).after(self.thread * self.own.shape[0])
            for place, number in enumerate(self.own.tolist()):
                if number < 0:
                    matrices[place] = 0.0
                else:
                    writes.add(int(program.results[1][number]), matrices, place)
        self.step.then = writes.write
        self.step([time.register], [one.register for one in state], *parameters)

    def kernel(self, numbers: Sequence[str], first: Sequence[str]) -> DeviceKernel:
        """The kernel with these arguments, the parameters and the results."""
        given = [f"ptr %{name}" for name in (*first, *(f"a{k}" for k in range(2, len(self.program.arguments))))]
        results = ["ptr %values", *["ptr %matrices"] * self.has_matrices]
        return device_kernel(self.code, [*numbers, *given, *results], [self.step], results)


class _Writes:
    """Where values of nodes are written as soon as they are known."""

    def __init__(self, step: WrittenOut) -> None:
        self._step = step
        self._places: dict[int, list[tuple[Array, int, Value | None]]] = {}

    def add(self, node: int, array: Array, place: int, less: Value | None = None) -> None:
        """The value of a node, perhaps less another one, at a place of an array."""
        self._places.setdefault(node, []).append((array, place, less))

    def write(self, first: int, count: int) -> None:
        """Write the values of nodes in a row."""
        for node in range(first, first + count):
            for array, place, less in self._places.pop(node, ()):
                value = Value(array.code, self._step.value(node), array.dtype, 1)
                array[place] = value if less is None else value - less


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
