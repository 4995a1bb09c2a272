"""Devices, streams, memory and loaded code of the stand-in for CuPy, see `cupy_stand_in.py`.

Code that is loaded must have been provided beforehand, with a function that does on the host what its kernel does on
a device: `DEVICE.provide(code, entry, run)`. The stand-in then launches it as CuPy does, by `cuda.function.Module`,
`RawModule` or `RawKernel`.
"""

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from cupy_surface import recorded, signature

MOST_THREADS = 1024
MOST_BLOCKS = 2**31 - 1, 65535, 65535
"""Threads of a block, and blocks along each axis of a grid, that every device takes."""

SIGNATURES = recorded()["cuda"]


class State:
    """
    What the device has, and what was done with it.

    Attributes
    ----------
    current : int
        The current device.
    count : int
        Number of devices.
    free : int
        Bytes of free memory.
    capability : str
        Digits of the compute capability.
    launched : list of tuple
        Name, grid and block of every launch of loaded code.
    provided : dict
        By the content of the code, then by the name of a kernel in it, what it does: `run(grid, block, arguments)`,
        where arguments are whole numbers, among them addresses, and floats.
    """

    def __init__(self):
        self.reset()

    def reset(self):
        """As a new process finds it."""
        self.current, self.count, self.free, self.capability, self.processors = 0, 2, 8 << 30, "90", 132
        self.launched, self.provided, self._of_thread = [], {}, threading.local()

    @property
    def streams(self):
        """Those that this thread has entered."""
        vars(self._of_thread).setdefault("streams", [])
        return self._of_thread.streams

    def provide(self, code, entry, run):
        """From now on, code of this content can be loaded, and has a kernel of this name."""
        self.provided.setdefault(_content(code), {})[entry] = run


DEVICE = State()


def _content(code):
    return code.encode() if isinstance(code, str) else bytes(code)


class Device:
    """A device; within its context it is the current one."""

    def __init__(self, device=None):
        self.id = DEVICE.current if device is None else int(device)
        self._before = []

    def __int__(self):
        return self.id

    def __enter__(self):
        self._before.append(DEVICE.current)
        DEVICE.current = self.id
        return self

    def __exit__(self, *_):
        DEVICE.current = self._before.pop()

    def __eq__(self, other):
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self):
        return hash(self.id)

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def use(self):
        DEVICE.current = self.id

    def synchronize(self):
        """Nothing is left to wait for."""

    compute_capability = property(lambda self: DEVICE.capability)
    attributes = property(lambda self: {"MultiProcessorCount": DEVICE.processors})


class Stream:
    """A stream; within its context it is the current one. Nothing runs at the same time."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else 2 if ptds else id(self)

    def __enter__(self):
        DEVICE.streams.append(self)
        return self

    def __exit__(self, *_):
        DEVICE.streams.pop()

    def use(self):
        DEVICE.streams.append(self)

    def synchronize(self):
        """Nothing is left to wait for."""


Stream.null, Stream.ptds = Stream(null=True), Stream(ptds=True)


def get_current_stream(device_id=-1):
    return DEVICE.streams[-1] if DEVICE.streams else Stream.null


class MemoryPool:
    """A pool that keeps nothing."""

    def get_limit(self):
        return 0

    def free_bytes(self):
        return 0

    def used_bytes(self):
        return 0

    def total_bytes(self):
        return 0

    def free_all_blocks(self, stream=None):
        """There are none."""


class Function:
    """A kernel that was loaded."""

    def __init__(self, entry, run):
        self._entry, self._run = entry, run

    def __call__(self, grid, block, args, shared_mem=0, stream=None, enable_cooperative_groups=False):
        if not all(isinstance(x, tuple) for x in (grid, block, args)):
            raise TypeError(f"grid, block and arguments must be tuples, not {grid}, {block}, {args}")
        blocks, threads = (tuple(sizes) + (1,) * (3 - len(sizes)) for sizes in (grid, block))
        if not all(0 < n <= most for n, most in zip(blocks, MOST_BLOCKS, strict=True)):
            raise ValueError(f"invalid grid {grid}")
        if not 0 < np.prod(threads) <= MOST_THREADS:
            raise ValueError(f"invalid block {block}")
        DEVICE.launched.append((self._entry, grid, block))
        self._run(grid, block, tuple(map(_argument, args)))


def _argument(x):
    """What a kernel gets for an argument."""
    if type(x).__module__ == "cupy":
        return x.data.ptr
    if isinstance(x, int | float | np.number | np.bool):
        return x
    if isinstance(x, np.ndarray) and x.size == 1 and x.dtype.kind == "V":  # a structure, by its value
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def _loaded(code, what):
    if _content(code) not in DEVICE.provided:
        raise RuntimeError(f"{what}: no kernel image is available for execution on the device")
    return DEVICE.provided[_content(code)]


class Module:
    """Code in the memory of a device."""

    def __init__(self):
        self._entries = None

    def load(self, cubin):
        if not isinstance(cubin, bytes):
            raise TypeError(f"Expected bytes, got {type(cubin).__name__}")
        self._entries = _loaded(cubin, "CUDA_ERROR_NO_BINARY_FOR_GPU")

    def load_file(self, filename):
        self._entries = _loaded(Path(filename).read_bytes(), "CUDA_ERROR_NO_BINARY_FOR_GPU")

    def get_function(self, name):
        if not isinstance(name, str):
            raise TypeError(f"Expected str, got {type(name).__name__}")
        if name not in (self._entries or {}):
            raise RuntimeError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return Function(name, self._entries[name])


class RawModule:
    """Source text, or a file with machine code, of which kernels are taken by their names."""

    def __init__(self, *arguments, **options):
        given = signature(SIGNATURES["RawModule.__init__"]).bind(*arguments, **options).arguments
        if (given.get("code") is None) == (given.get("path") is None):
            raise TypeError("Exactly one of `code` and `path` must be given.")
        self._code = given["code"] if given.get("code") is not None else Path(given["path"]).read_bytes()

    def get_function(self, name):
        entries = _loaded(self._code, "CUDA_ERROR_NO_BINARY_FOR_GPU")
        if name not in entries:
            raise RuntimeError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return Function(name, entries[name])


class RawKernel(Function):
    """A kernel from its source text and its name."""

    def __init__(self, *arguments, **options):
        given = signature(SIGNATURES["RawKernel.__init__"]).bind(*arguments, **options).arguments
        super().__init__(given["name"], RawModule(given["code"]).get_function(given["name"])._run)


RUNTIME = SimpleNamespace(
    getDevice=lambda: DEVICE.current,
    getDeviceCount=lambda: DEVICE.count,
    memGetInfo=lambda: (DEVICE.free, 10 * DEVICE.free),
    runtimeGetVersion=lambda: 13000,
    driverGetVersion=lambda: 13000,
    getDeviceProperties=lambda device: {
        "name": b"a stand-in for a device", "totalGlobalMem": 10 * DEVICE.free,
        "multiProcessorCount": DEVICE.processors,
    },
)  # fmt: skip
