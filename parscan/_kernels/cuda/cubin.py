"""Kernels compiled to machine code ahead of their launch: what they take of a device, and a launcher that CuPy runs.

Numba makes PTX of a kernel and the linker of the CUDA toolkit makes a cubin of the PTX; neither needs a device or a
driver. So a kernel can be examined for any architecture anywhere. CuPy can load the cubin and launch it with the bare
addresses of arrays: "Numba compiles, CuPy launches".
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache

from ..._arrays import cupy as _cupy
from ..._arrays.namespace import Array
from .kernel import Kernel
from .launch import Launcher, _processors, _told, current_stream

Capability = tuple[int, int]
"""A compute capability, (9, 0) for example; its architecture is called sm_90."""


@dataclass(frozen=True)
class Cubin:
    """
    A kernel as machine code of one architecture.

    Parameters
    ----------
    code : bytes
        As a driver loads it.
    entry : str
        Name of the kernel in it.
    registers : int
        Of a thread.
    spilled : int
        Bytes written to memory and read again for want of registers.
    stack : int
        Bytes of local memory per thread.
    shared : int
        Bytes of shared memory per block.
    """

    code: bytes
    entry: str
    registers: int
    spilled: int
    stack: int
    shared: int


def architecture(capability: Capability) -> str:
    """Name that the toolkit has for a compute capability."""
    return "sm_{}{}".format(*capability)


def newest_capability() -> Capability:
    """The newest compute capability that the installed toolkit knows."""
    from cuda.bindings import nvrtc  # noqa: PLC0415 - only where kernels are compiled

    _, known = nvrtc.nvrtcGetSupportedArchs()
    return divmod(max(known), 10)


def compile_ptx(kernel: Kernel, capability: Capability) -> str:
    """PTX of a kernel for a compute capability; it can be assembled for that one and every newer one."""
    from numba import cuda  # noqa: PLC0415

    text, _ = cuda.compile_ptx(kernel.body, kernel.signature, cc=capability)
    return str(text)


def assemble(ptx: str, capability: Capability) -> Cubin:
    """Machine code of the one kernel in a PTX text."""
    from cuda.core import Linker, LinkerOptions, ObjectCode  # noqa: PLC0415

    options = LinkerOptions(arch=architecture(capability), ptxas_options="-v", verbose=True)
    linker = Linker(ObjectCode.from_ptx(ptx.encode()), options=options)
    code = linker.link("cubin").code
    log = linker.get_info_log()
    spilled = [int(count) for count in re.findall(r"(\d+) bytes spill", log)]
    return Cubin(
        code=bytes(code),
        entry=_only(r"\.entry\s+([\w$]+)", ptx),
        registers=int(_only(r"Used (\d+) registers", log)),
        spilled=sum(spilled),
        stack=int(_only(r"(\d+) bytes stack frame", log)),
        shared=int(_only(r"(\d+) bytes smem", log, otherwise="0")),
    )


def _only(pattern: str, text: str, otherwise: str | None = None) -> str:
    """What a pattern finds, which must be there exactly once, or not at all if there is something else to take."""
    found = re.findall(pattern, text) or [otherwise]
    if len(found) != 1 or found[0] is None:
        raise RuntimeError(f"the CUDA toolkit told {found} where one match of {pattern!r} was expected in:\n{text}")
    return str(found[0])


class CupyLauncher(Launcher):
    """
    Compiled by Numba-CUDA, loaded and launched by CuPy, on its current stream.

    A launch passes plain numbers through CuPy's compiled code, and knows nothing of Numba's streams and types. To take
    it: `parscan._kernels.cuda.launch._LAUNCHERS["cupy"] = CupyLauncher()`.
    """

    def processors(self) -> int:
        """Multiprocessors of CuPy's current device."""
        return _processors(_cupy.module().cuda.runtime.getDevice())

    def stream(self) -> Hashable:
        """Device and address of CuPy's current stream."""
        return current_stream()

    def launch(self, kernel: Kernel, blocks: int, threads: int, *arguments: Array | int) -> None:
        """Compile and load for the device if that has not been done, and launch."""
        function = _loaded(kernel, _cupy.module().cuda.runtime.getDevice())
        # CuPy passes Python's integers as 64 bits, which is what addresses and all other arguments are.
        function((blocks,), (threads,), tuple(x if isinstance(x, int) else x.data.ptr for x in arguments))


@cache
def _loaded(kernel: Kernel, device: int) -> Array:
    """The kernel as a function of CuPy's, for the current device."""
    cuda = _cupy.module().cuda
    digits = cuda.Device(device).compute_capability
    try:
        capability = (int(digits[:-1]), int(digits[-1]))
        cubin = assemble(compile_ptx(kernel, capability), capability)
        module = cuda.function.Module()
        module.load(cubin.code)
        return module.get_function(cubin.entry)
    except Exception as error:
        raise RuntimeError(_told(error)) from error
