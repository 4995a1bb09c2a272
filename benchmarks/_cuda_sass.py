"""Instructions of a device that a CUDA kernel has in its loops, from its machine code by NVIDIA's disassembler."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ARITHMETIC = ("FFMA", "DFMA", "FMUL", "DMUL", "FADD", "DADD")
"""Instructions that multiply, add, or both."""

PACKAGE = "nvidia/cu13/bin/nvdisasm"
"""Where the package nvidia-cuda-nvdisasm has it."""


def disassembler() -> str | None:
    """The program `nvdisasm`, on the path or from its package; None where there is none."""
    places = (str(Path(folder or ".", PACKAGE)) for folder in sys.path)
    return shutil.which("nvdisasm") or next(filter(None, map(shutil.which, places)), None)


def instructions(code: bytes) -> tuple[list[str], dict[str, int]]:
    """The instructions of a cubin, in their order, and the labels with the places that they stand before."""
    program = disassembler()
    assert program is not None
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        text = subprocess.run([program, "-c", file.name], capture_output=True, text=True, check=True).stdout
    found: list[str] = []
    labels = {}
    for line in text.splitlines():
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            labels[label[1]] = len(found)
        elif instruction := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(.*?);", line):
            found.append(instruction[1])
    return found, labels


def loops(code: bytes) -> Iterator[list[str]]:
    """The instructions of every loop, by their names, without those of loops inside it."""
    found, labels = instructions(code)
    ranges = set()
    for place, instruction in enumerate(found):
        target = re.search(r"\bBRA\b.*?(\.L_x_\d+)", instruction)
        if target and labels.get(target[1], place + 1) <= place:
            ranges.add(range(labels[target[1]], place + 1))
    for whole in ranges:
        inside = [other for other in ranges if other != whole and other.start in whole and other[-1] in whole]
        own = [found[place] for place in whole if not any(place in other for other in inside)]
        yield [re.sub(r"^@!?U?P\w+\s+", "", one).split(" ")[0].split(".")[0] for one in own]


def per_multiply_add(code: bytes) -> float:
    """Instructions for each multiplication, addition or both, in the loop that has the most of these."""

    def arithmetic(loop: list[str]) -> int:
        return sum(name in ARITHMETIC for name in loop)

    loop = max(loops(code), key=arithmetic)
    return len(loop) / arithmetic(loop)
