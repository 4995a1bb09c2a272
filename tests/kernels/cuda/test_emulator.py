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


def columns(kernel, *replaced):
    return Fault("columns", kernel, 7, "column_kernels", *replaced)


def threads(kernel, *replaced):
    return Fault("threads", kernel, 2, "thread_kernels", *replaced)


def tiles(*replaced):
    return Fault("tiles", "march", 1, "tiles", *replaced)


BARRIER = "            cuda.syncthreads()\n"

FAULTS = {
    "columns: no barrier before a matrix is multiplied by a matrix": columns("summarise", 1, BARRIER),
    "columns: no barrier before a matrix is replaced": columns("summarise", 2, BARRIER),
    "columns: no barrier before a matrix is multiplied by a state": columns("march", 3, BARRIER),
    "columns: no barrier before a state is replaced": columns("march", 4, BARRIER),
    "columns: a lane too many": columns("march", 1, "(thread, n * n, width)", "(thread, n * n + 1, width)"),
    "columns: no mask of the last matrices": columns(
        "march", 3, "            if t < last:\n", "            if True:\n"
    ),
    "columns: no mask of the last states": columns("march", 1, "if t < last and i < n:", "if i < n:"),
    "columns: no mask of the last lane": columns("march", 1, "if t < last and i < n:", "if t < last:"),
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


def scan_of(fault):
    """A function that makes the kernel with the fault."""
    module = import_module(f"parscan._kernels.cuda.{fault.file}")
    parts = inspect.getsource(module).split(fault.text)
    assert len(parts) > fault.place
    changed = fault.text.join(parts[: fault.place]) + fault.replacement + fault.text.join(parts[fault.place :])
    kernels = made = _module(module, changed, fault)
    if fault.file == "tiles":  # they are made by functions of that file
        module = import_module("parscan._kernels.cuda.tile_kernels")
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
