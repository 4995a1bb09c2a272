"""What the emulator of CUDA kernels finds: faults put in by hand, each in one line of a kernel of parscan's."""

import inspect
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest
from cuda_emulator import ORDERS, EmulatedError, guarded

from parscan._kernels.cuda import affine_scan, choice
from parscan._kernels.generic import affine_scan as sequential


@dataclass(frozen=True)
class Fault:
    """One occurrence of a text in a file is replaced; a kernel of a way to scan then has the fault, at an order."""

    way: str
    kernel: str
    n: int
    file: str
    place: int
    text: str
    replacement: str = ""


def columns(*replaced):
    return Fault("columns", "summarise", 7, "column_kernels", *replaced)


def marching(*replaced):
    return Fault("columns", "march", 7, "march_kernels", *replaced)


def threads(kernel, *replaced):
    return Fault("threads", kernel, 2, "thread_kernels", *replaced)


def tiles(*replaced):
    return Fault("tiles", "march", 1, "tiles", *replaced)


BARRIER = "            cuda.syncthreads()\n"

FAULTS = {
    "columns: no barrier before a matrix is multiplied": columns(1, BARRIER),
    "columns: no barrier before a matrix is replaced": columns(2, BARRIER),
    "columns: a column too many": columns(1, "            if j < n:\n", "            if j <= n:\n"),
    "columns: a row too many": columns(1, "block * ROWS + r < n", "block * ROWS + r <= n"),
    "columns: no mask of idle groups": columns(1, "        if idle < chunk:\n", "        if True:\n"),
    "march: no barrier before the first state is read": marching(1, "= state\n        cuda.syncthreads()", "= state"),
    "march: no barrier before sums are read": marching(1, BARRIER),
    "march: no barrier before a state is read": marching(2, BARRIER),
    "march: no barrier before the last sums are read": marching(
        1, "own, partial, mine, i)\n        cuda.syncthreads()\n", "own, partial, mine, i)\n"
    ),
    "march: a row too many": marching(1, "row + uint32(k * classes) < uint32(n)", "True"),
    "march: a column too many": marching(1, "column + uint32(c * LANES) < uint32(n)", "True"),
    "march: no mask of idle steps": marching(1, "if is_row and t >= idle:", "if is_row:"),
    "march: no mask of the last lane": marching(1, "if is_row and t >= idle:", "if t >= idle:"),
    "march: no mask of idle groups": marching(1, "if is_row and idle < chunk:", "if is_row:"),
    "march: no place for idle groups": Fault(
        "columns", "march", 7, "groups", 1, "index if exists else uint32(0)", "index"
    ),
    "threads: a step too many": threads("march", 1, "if begin + u < last:", "if begin + u <= last:"),
    "threads: no mask of the last steps": threads("march", 1, "elif t < last:", "else:"),
    "threads: no mask of the last threads": threads("summarise", 1, "            return\n", "            pass\n"),
    "tiles: no barrier before steps are replaced": tiles(1, BARRIER),
    "tiles: no barrier before steps are read": tiles(2, BARRIER),
    "tiles: no barrier before states are read": tiles(4, BARRIER),
    "tiles: no barrier before maps are read": tiles(
        1, "        cuda.syncthreads()\n\n    return compose", "\n    return compose"
    ),
    "tiles: no mask of the last steps": tiles(
        1, "if begin <= first + i < end else filler", "if begin <= first + i else filler"
    ),
}


MADE_BY = {"tiles": "tile_kernels", "groups": "march_kernels"}
"""Files of kernels, by those of functions that they are made by."""


def scan_of(fault):
    """A function that makes the kernel with the fault."""
    module = import_module(f"parscan._kernels.cuda.{fault.file}")
    parts = inspect.getsource(module).split(fault.text)
    assert len(parts) > fault.place
    changed = fault.text.join(parts[: fault.place]) + fault.replacement + fault.text.join(parts[fault.place :])
    kernels = made = _module(module, changed, fault)
    if fault.file in MADE_BY:  # kernels are made by functions of that file
        module = import_module(f"parscan._kernels.cuda.{MADE_BY[fault.file]}")
        kernels = _module(module, inspect.getsource(module), fault)
        kernels.__dict__.update({name: vars(made)[name] for name in vars(made) if name.startswith("make_")})
    return getattr(kernels, f"{fault.kernel}_kernel")


def _module(module, source, fault):
    """A module like another, with a name of its own, by which no kernel of it is taken for one without the fault."""
    changed = ModuleType(f"{module.__name__}.{fault}")
    changed.__package__ = module.__package__
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(import_module("sys").modules, changed.__name__, changed)  # dataclasses look for it
        exec(compile(source, str(module.__file__), "exec"), changed.__dict__)
    return changed


def found(emulator, n):
    """What is wrong in some order of the threads; None if nothing is."""
    rng = np.random.default_rng(0)
    shape = (131, 3, n) if n > 1 else (9001,)
    A, b = rng.standard_normal((*shape, n) if n > 1 else shape) / (2 * n), rng.standard_normal(shape)
    expected = sequential.affine_scan(A, b)
    for emulator.order in ORDERS:
        for _ in range(2):
            emulator.launched.append("nothing")  # the other arrays begin after forbidden memory
            try:
                states = affine_scan.affine_scan(A, b)
            except EmulatedError as error:
                return str(error)
            if not np.allclose(states, expected, rtol=1e-11, atol=1e-11):
                return "states are wrong"
            if not all(emulator.finite):
                return "maps are not finite"
    return None


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(emulator, monkeypatch, tune, fault):
    fault = FAULTS[fault]
    tune(shortest=4)
    way = next(way for way in choice.WAYS if way.name == fault.way)
    monkeypatch.setitem(way.kernels, fault.kernel, scan_of(fault))
    told = found(emulator, fault.n)
    print(told)
    assert told is not None


@pytest.mark.parametrize("n", [1, 2, 7])
def test_without_a_fault_nothing_is_found(emulator, tune, n):
    tune(shortest=4)
    assert found(emulator, n) is None


def test_arrays_lie_beside_forbidden_memory():
    x = np.arange(5000.0)
    for behind in (False, True):
        copy = guarded(x, behind)
        assert np.array_equal(copy, x)
        assert (copy.ctypes.data if behind else copy.ctypes.data + copy.nbytes) % 4096 == 0
