"""The resources of a device that a CUDA kernel needs: registers, stack, memory. They are found without a device."""

from __future__ import annotations

import re
from dataclasses import dataclass

from parscan._kernels.cuda.cubin import Capability, compile_ptx

__all__ = ["Capability", "Resources", "assemble", "compile_ptx", "known_capabilities"]


@dataclass(frozen=True)
class Resources:
    """
    A kernel as machine code of one architecture, and what it needs.

    Parameters
    ----------
    code : bytes
        As a driver loads it.
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
    registers: int
    spilled: int
    stack: int
    shared: int


def known_capabilities() -> list[Capability]:
    """The compute capabilities that the installed toolkit knows."""
    from cuda.bindings import nvrtc  # noqa: PLC0415 - only where kernels are compiled

    _, known = nvrtc.nvrtcGetSupportedArchs()
    return [divmod(capability, 10) for capability in sorted(known)]


def assemble(ptx: str, name: str) -> Resources:
    """Machine code of the one kernel in a PTX text, for an architecture of this name."""
    from cuda.core import Linker, LinkerOptions, ObjectCode  # noqa: PLC0415

    options = LinkerOptions(arch=name, ptxas_options="-v", verbose=True)
    linker = Linker(ObjectCode.from_ptx(ptx.encode()), options=options)
    code = linker.link("cubin").code
    log = linker.get_info_log()
    spilled = [int(count) for count in re.findall(r"(\d+) bytes spill", log)]
    return Resources(
        code=bytes(code),
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
