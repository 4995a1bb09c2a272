"""CUDA kernels compiled to machine code, and the resources of a device that they need: registers, stack, memory.

Numba compiles a kernel to PTX, and the linker of the CUDA toolkit assembles the PTX to a cubin. Neither needs a device
or a driver, so a kernel can be examined for any architecture on any machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from parscan._kernels.cuda.kernel import Kernel

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
        Registers of a thread.
    spilled : int
        Bytes written to memory and read again because there are too few registers.
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
    """The one match of a pattern in a text; `otherwise`, if given, where there is no match."""
    found = re.findall(pattern, text) or [otherwise]
    if len(found) != 1 or found[0] is None:
        raise RuntimeError(f"the CUDA toolkit gave {found} instead of one match of {pattern!r} in:\n{text}")
    return str(found[0])
