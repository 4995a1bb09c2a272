"""Kernels of devices that are written in LLVM's language: what tests need to write, run and assemble them."""

import re
from typing import Any, NamedTuple

import numpy as np
import pytest

from parscan._recorded.native.device import WrittenOut, device_code, device_kernel, thread_of
from parscan._recorded.native.expressions import Value
from parscan._recorded.tangents import along


def _has_libdevice():
    try:
        from cuda.pathfinder import find_bitcode_lib

        return bool(find_bitcode_lib("device"))
    except (ImportError, RuntimeError):
        return False


needs_libdevice = pytest.mark.skipif(not _has_libdevice(), reason="NVIDIA's libdevice is not installed")


def evaluating(program):
    """A kernel whose thread `t` evaluates a program with row `t` of each argument."""
    code = device_code()
    thread, step, given = thread_of(code), WrittenOut(program, code), []
    for k, argument in enumerate(program.arguments):
        size = int(np.prod(argument.shape))
        row = code.reals(f"%a{k}", argument.dtype).after(thread * size)
        given.append([row[i].register for i in range(size)])
    for k, (values, dtype) in enumerate(zip(step(*given), program.dtypes, strict=True)):
        row = code.reals(f"%r{k}", dtype).after(thread * len(values))
        for i, value in enumerate(values):
            row[i] = Value(code, value, np.dtype(dtype), 1)
    names = [*(f"a{k}" for k in range(len(program.arguments))), *(f"r{k}" for k in range(len(program.results)))]
    return device_kernel(code, [f"ptr %{name}" for name in names], [step])


def evaluated(program, *arguments):
    """The results of that kernel, by the CPU."""
    rows = [np.ascontiguousarray(one, given.dtype) for one, given in zip(arguments, program.arguments, strict=True)]
    outs = [
        np.empty((len(rows[0]), *ids.shape), dtype) for ids, dtype in zip(program.results, program.dtypes, strict=True)
    ]
    evaluating(program).host()(np.arange(len(rows[0])), *rows, *outs)
    return outs


def calls(ptx):
    """Functions that a PTX text leaves to others."""
    return re.findall(r"^\.extern.*", ptx, re.MULTILINE)


def doubles(ptx):
    """Instructions on numbers in double precision."""
    return re.findall(r"^.*\.f64.*", ptx, re.MULTILINE)


def gru(dtype, n):
    """A gated recurrent unit of `n` states and as many inputs, and its first arguments."""
    rng = np.random.default_rng(0)
    W, U = (rng.normal(size=(3, n, n)).astype(dtype) / dtype(n) for _ in range(2))

    def step(y, x):
        z, r = (1 / (1 + np.exp(-(y @ U[k] + x @ W[k]))) for k in range(2))
        return z * y + (1 - z) * np.tanh((r * y) @ U[2] + x @ W[2])

    return step, [rng.normal(size=(1, n)).astype(dtype), rng.normal(size=(1, n)).astype(dtype)]


AROUND = 30
"""Rows before and after arrays that must not change."""


def around(array):
    """An array in memory with rows that must not change around it, and its view."""
    memory = np.full((array.shape[0] + 2 * AROUND, *array.shape[1:]), 77, array.dtype)
    memory[AROUND:-AROUND] = array
    return memory, memory[AROUND:-AROUND]


class Marched:
    """
    A recurrence in segments, in one of several layouts, with rows around every array that must not change.

    Parameters
    ----------
    program : Program
        Of the step of one sequence.
    steps, length, sequences : int
        Steps, those of a segment, and sequences.
    """

    def __init__(self, program, steps, length, sequences, layout="time first"):
        self.program, self.steps, self.length, self.sequences, self.layout = program, steps, length, sequences, layout
        self.segments, rng = -(-steps // length), np.random.default_rng(steps)
        state, *inputs = program.arguments
        self.n, self.dtype = int(np.prod(state.shape)), state.dtype
        self.starts = rng.normal(size=(self.segments, sequences, self.n)).astype(self.dtype)
        self.inputs = [
            (4 * rng.normal(size=(steps, sequences, int(np.prod(one.shape))))).astype(one.dtype) for one in inputs
        ]

    def expected(self, width):
        """States of all steps, and the propagators of the segments by their columns, by NumPy."""
        out = np.empty((self.steps, self.sequences, self.n), self.dtype)
        seeds = np.eye(self.n) if width > 1 or self.n == 1 else np.ones((self.n, 1))
        products = np.tile(seeds.astype(self.dtype), (self.segments, self.sequences, 1, 1))
        derived = along(self.program, seeds.shape[1])
        for segment in range(self.segments):
            y = self.starts[segment]
            for t in range(segment * self.length, min((segment + 1) * self.length, self.steps)):
                after, products[segment] = derived(y, products[segment], *(x[t] for x in self.inputs))
                y = after.reshape(len(y), self.n)
                out[t] = y
        return out, products

    def placed(self, array, axes):
        """An array in memory, whose axes have letters, with rows that must not change around it, and its view."""
        order = {
            "time first": "tgsk",
            "backwards": "tgsk",
            "sequences first": "stgk",
            "components first": "ktgs",
        }[self.layout]
        order = [axes.index(letter) for letter in order if letter in axes]
        turned = np.transpose(array, order)
        memory, view = around(turned)
        view = np.transpose(view, np.argsort(order))
        if self.layout == "backwards" and "t" in axes:
            view = view[::-1]
            view[...] = array
        return memory, view

    def check(self, made, columns=None):
        """Raise unless a kernel gives what NumPy gives, and writes nothing else."""
        found = marched(made, self, columns)
        out, products = self.expected(columns.width if columns else 1)
        limits = {"rtol": 400 * np.finfo(self.dtype).eps, "atol": 100 * np.finfo(self.dtype).eps}
        np.testing.assert_allclose(found.out, out, **limits)
        if columns:
            np.testing.assert_allclose(found.products.reshape(products.shape), products, **limits)
        for memory in found.memories:
            assert (memory[:AROUND] == 77).all()
            assert (memory[-AROUND:] == 77).all()


class Found(NamedTuple):
    """What a kernel wrote, and the memory around it."""

    out: Any
    products: Any
    ends: Any
    memories: list


def marched(made, problem, columns=None, *, ends=False):
    """Run a kernel on this processor, in whole blocks of threads in random order."""
    shape = (problem.steps, problem.sequences, problem.n)
    memory, out = problem.placed(np.zeros(shape, problem.dtype), "tsk")
    memories = [memory]
    last_memory, last = problem.placed(np.zeros((problem.segments, *shape[1:]), problem.dtype), "gsk")
    step, sequence, element = out.strides
    given = [out, step, problem.length * step, sequence, element]
    if ends:
        given, memories = [last, 0, *last.strides], [last_memory]
    start_memory, starts = problem.placed(problem.starts, "gsk")
    memories.append(start_memory)
    given += [starts, *starts.strides]
    products, kept, identity = None, [], []
    if columns:
        memory, row = around(np.array([columns.identity(problem.n)], problem.dtype))
        memories.append(memory)
        identity = [row]
        shape = problem.segments, problem.sequences, problem.n * columns.width
        whole = np.full(shape, np.nan, problem.dtype)  # is written only
        memory, products = problem.placed(whole, "gsk")
        memories.append(memory)
        given += [products, *products.strides]
    for x in problem.inputs:
        first = "sequences" in problem.layout
        memory, row = around(np.swapaxes(x, 0, 1) if first else x)
        row = np.swapaxes(row, 0, 1) if first else row
        if problem.layout == "backwards":
            row = row[::-1]
            row[...] = x
        given += [row, row.strides[0], problem.length * row.strides[0], row.strides[1]]
        kept.append(memory)  # until the kernel has run
    threads = made.threads(problem.segments, problem.sequences)
    order = np.random.default_rng(0).permutation(-(-threads // 32) * 32)
    sizes = problem.steps, problem.length, problem.length, problem.segments, problem.sequences
    made.kernel.host()(order, *sizes, *identity, *given)
    firsts = np.arange(problem.segments) * problem.length + problem.length - 1
    at_ends = last if ends else out[np.minimum(firsts, problem.steps - 1)]
    return Found(out, products, at_ends, memories)
