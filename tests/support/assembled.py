"""Machine code of PTX texts by NVIDIA's toolkit, and what it says of registers."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass
class Assembled:
    """Registers and bytes of memory of a thread, and bytes that functions spill, by their names."""

    registers: int
    stack: int
    spills: dict[str, int]


def assembled(text, capability):
    """Assemble a text for a compute capability."""
    from cuda.core import Linker, LinkerOptions, ObjectCode

    options = LinkerOptions(arch="sm_{}{}".format(*capability), ptxas_options=["-v"], verbose=True)
    linker = Linker(ObjectCode.from_ptx(text.encode()), options=options)
    assert linker.link("cubin").code
    told = linker.get_info_log()
    registers, stack = re.findall(r"used (\d+) registers, used \d+ barriers, (\d+) stack", told)[-1]
    spills = re.findall(r"properties for (\w+)\s+ptxas\s+\.\s+\d+ bytes stack frame, (\d+) bytes spill stores", told)
    return Assembled(int(registers), int(stack), {name: int(size) for name, size in spills})
