"""The CUDA kernels on a machine without a device: what Numba makes of them, compiled for this processor.

Threads, warps, blocks and tiles are as large as on a device. What it cannot show: NVIDIA's compiler and assembler, the
launch itself, weak memory ordering, speed.
"""

import ctypes
import hashlib
import itertools
import json
import mmap
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np

from parscan._arrays import disk
from parscan._kernels.cuda import cubin
from parscan._kernels.cuda.launch import Launcher
from parscan._kernels.cuda.primitives import WIDE

FOLDER = Path(__file__).parent
ORDERS = ("forwards", "backwards", "shuffled")
"""Orders in which threads take turns, and blocks run."""

PATIENCE = 60
"""Seconds after which a block that waits is taken to wait for ever."""

COMPILER = shutil.which("cc")
MISSING = (
    "needs numba-cuda and the CUDA toolkit"
    if find_spec("numba_cuda") is None
    else "needs a C compiler, named cc"
    if COMPILER is None
    else None
)
"""Why kernels cannot be emulated here; None if they can."""


EDGE = 16 * mmap.PAGESIZE
"""Bytes on either side of an array that are forbidden: threads read far apart."""

UNUSED = 255
"""Bytes beside an array that are not forbidden: floating-point numbers of such bytes are no numbers."""

FORBIDDEN = 0
"""Protection of memory that must not be read or written."""


class EmulatedError(AssertionError):
    """What a kernel must not do."""


class Emulator(Launcher):
    """
    Runs kernels on arrays of NumPy, or of array-api-strict, which stands in for CuPy.

    Parameters
    ----------
    order : str
        One of `ORDERS`.
    processors : int
        Multiprocessors of the device.
    at_once : int
        Blocks that run at the same time.
    in_place : bool
        Whether kernels get the arrays themselves; otherwise copies, between pages of memory that is forbidden.

    Attributes
    ----------
    launched : list of str
        Names of the kernels that were launched.
    wide : list of bool
        Whether they read several neighbouring numbers at once, as those of `parscan._kernels.cuda.choice` do that are
        called wide.
    finite : list of bool
        Whether all maps of chunks were finite, for each launch that made them: a scan mends those that are not, and
        would hide faults.
    """

    def __init__(self, order="forwards", processors=2, at_once=1, in_place=False):
        self.order, self.count, self.at_once, self.in_place = order, processors, at_once, in_place
        self.launched, self.wide, self.finite = [], [], []

    def processors(self):
        return self.count

    def stream(self):
        return 0

    def address(self, array):
        """Copies that wide kernels get are aligned as the arrays are."""
        return _address(getattr(array, "_array", array))

    def launch(self, kernel, blocks, threads, *arguments):
        assert len(arguments) == len(kernel.arguments)
        assert 1 <= threads <= 1024
        assert 1 <= blocks < 2**31
        self.launched.append(kernel.body.__name__)
        self.wide.append(bool(kernel.origin) and ("wide", True) in kernel.origin[2])
        code = compiled(kernel)
        places = Places(arguments, self.in_place, behind=len(self.launched) % 2, aligned=self.wide[-1])
        number = ORDERS.index(self.order)
        blocks = (np.arange, lambda n: np.arange(n)[::-1], np.random.default_rng(blocks).permutation)[number](blocks)
        if kernel.body.__name__ == "scan":
            blocks.sort()  # its tiles take their numbers as they start
        ctypes.c_int32.in_dll(runtime(), "emulated_failed").value = 0
        messages = [ctypes.create_string_buffer(256) for _ in range(self.at_once)]
        workers = [
            threading.Thread(target=code.run, args=(blocks[i :: self.at_once], threads, places, number, message))
            for i, message in enumerate(messages)
        ]
        if self.at_once == 1:
            workers[0].run()
        else:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        for message in messages:
            if message.value:
                raise EmulatedError(f"{kernel.body.__name__}: {message.value.decode()}")
        places.give_back()
        if kernel.body.__name__ == "summarise":
            self.finite.append(all(np.isfinite(getattr(x, "_array", x)).all() for x in arguments[-2:]))


class Places:
    """The arguments of a kernel in memory, arrays by their addresses."""

    def __init__(self, arguments, in_place, behind, aligned=False):
        arrays = {id(x): getattr(x, "_array", x) for x in arguments if not isinstance(x, int)}
        for x in arrays.values():
            assert x.ndim == 1
            assert x.flags.c_contiguous
        self.copies = [] if in_place else [(x, *guarded(x, behind, aligned)) for x in arrays.values()]
        held = {id(x): copy for x, copy, _ in self.copies}
        numbers = [x if isinstance(x, int) else _address(held.get(id(arrays[id(x)]), arrays[id(x)])) for x in arguments]
        self.values = np.array(numbers, np.int64)
        self.addresses = _address(self.values) + 8 * np.arange(len(numbers), dtype=np.int64)

    def give_back(self):
        """Copy what the kernel may have written into the arrays."""
        for x, copy, beside in self.copies:
            if any((part != UNUSED).any() for part in beside):
                raise EmulatedError("numbers were written beside an array")
            if not np.array_equal(x.view(np.uint8), copy.view(np.uint8)):
                x[...] = copy


def poisoned(shape, dtype=float, device=None):
    """An array of numbers that are no numbers, or of whole numbers -1."""
    x = np.empty(shape, dtype)
    x.reshape(-1).view(np.uint8).fill(UNUSED)
    return x


def _address(x):
    return x.ctypes.data


def guarded(x, behind=True, aligned=False):
    """A copy of an array between two pieces that must not be touched: right `behind` the first, or before the last.

    If `aligned`, it is aligned to 16 bytes as the array is. The bytes beside it that are not forbidden, which are
    returned, are no numbers.
    """
    page, edge = mmap.PAGESIZE, EDGE
    unit, places = (WIDE, x.ctypes.data % WIDE) if aligned else (1, 0)
    size = -(-(max(x.nbytes, 1) + WIDE) // page) * page
    memory = mmap.mmap(-1, size + 2 * edge)
    base = np.frombuffer(memory, np.uint8)
    first = edge + (places if behind else (size - x.nbytes - places) // unit * unit + places)
    base[edge : edge + size] = UNUSED
    copy = base[first : first + x.nbytes].view(x.dtype)
    copy[...] = x
    for begin in (0, size + edge):
        assert _libc().mprotect(ctypes.c_void_p(_address(base) + begin), ctypes.c_size_t(edge), FORBIDDEN) == 0
    return copy, (base[edge:first], base[first + x.nbytes : edge + size])


@cache
def _libc():
    return ctypes.CDLL(None, use_errno=True)


class _Launch(ctypes.Structure):
    _fields_ = (
        ("body", ctypes.c_void_p),
        ("arguments", ctypes.c_void_p),
        ("threads", ctypes.c_int32),
        ("order", ctypes.c_int32),
        ("patience", ctypes.c_int32),
        ("seed", ctypes.c_uint64),
        ("shared", ctypes.c_void_p),
        ("message", ctypes.c_void_p),
    )


class Code:
    """A kernel in memory, ready to run on this processor."""

    def __init__(self, object_code, shared):
        from cuda_emulator_text import ENTRY, FUNCTIONS

        builder = llvm.JITLibraryBuilder().add_object_img(object_code).add_current_process().export_symbol(ENTRY)
        for name in FUNCTIONS:
            builder.import_symbol(name, ctypes.cast(getattr(runtime(), name), ctypes.c_void_p).value)
        self._tracker = builder.link(_jit(), f"emulated{next(_NUMBERS)}")
        self._body = self._tracker[ENTRY]
        self._shared = np.array([*shared, 0], np.uint64)

    def run(self, blocks, threads, places, order, message):
        """Run blocks of threads one after another."""
        numbers = np.ascontiguousarray(blocks, np.int32)
        launch = _Launch(
            self._body, _address(places.addresses), threads, order, PATIENCE, 1, _address(self._shared),
            ctypes.addressof(message),
        )  # fmt: skip
        runtime().emulate(ctypes.byref(launch), ctypes.c_void_p(_address(numbers)), len(numbers))


_NUMBERS = itertools.count()


@cache
def compiled(kernel):
    """A kernel for this processor, kept on disk for other processes if it is one of parscan's."""
    name = _name(kernel) if kernel.origin else None
    content = disk.load(name) if name else None
    if content is None:
        from cuda_emulator_text import text

        made = text(kernel)
        content = json.dumps(made.shared).encode() + b"\n" + _object_code(made.code)
        if name:
            disk.save(name, content)
    head, _, code = content.partition(b"\n")
    return Code(code, json.loads(head))


def _name(kernel):
    sources = [(FOLDER / file).read_bytes() for file in ("cuda_emulator.py", "cuda_emulator_text.py")]
    return hashlib.sha256(b"\0".join([cubin.key(kernel, (0, 0)).encode(), *sources])).hexdigest()


def _object_code(code):
    module = llvm.parse_assembly(code)
    module.triple = llvm.get_process_triple()
    module.verify()
    builder = llvm.create_pass_builder(_machine(), llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    return bytes(_machine().emit_object(module))


@cache
def _machine():
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True)


@cache
def _jit():
    return llvm.create_lljit_compiler(_machine())


@contextmanager
def slow_messages(kind):
    """The second tile writes messages of one kind only after one was missed; yields how many of each kind were read."""
    late, seen = (
        ctypes.c_int32.in_dll(runtime(), "emulated_late"),
        (ctypes.c_int64 * 4).in_dll(runtime(), "emulated_seen"),
    )
    late.value, seen[:] = kind, (0,) * 4
    try:
        yield seen
    finally:
        late.value = 0


@cache
def runtime():
    """The compiled `cuda_emulator.c`."""
    source = FOLDER / "cuda_emulator.c"
    name = f"emulator-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}-{os.getpid()}.so"
    path = Path(disk.folder()) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    # siglongjmp out of a signal handler is what the fortified one takes for an error.
    options = ("-O2", "-U_FORTIFY_SOURCE", "-fPIC", "-shared", "-o")
    subprocess.run([COMPILER, *options, path, source], check=True)
    library = ctypes.CDLL(str(path))
    path.unlink()
    library.emulator_begins()
    return library
