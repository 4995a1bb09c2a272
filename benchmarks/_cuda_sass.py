"""Instructions of a device that a CUDA kernel has in its loops, from its machine code by NVIDIA's disassembler."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FUSED = ("FFMA", "DFMA")
"""Instructions that multiply and add."""

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


def loops(code: bytes) -> list[tuple[range, list[str]]]:
    """The places of every loop, and its instructions by their names, without those of loops inside it."""
    found, labels = instructions(code)
    ranges = set()
    for place, instruction in enumerate(found):
        target = re.search(r"\bBRA\b.*?(\.L_x_\d+)", instruction)
        if target and labels.get(target[1], place + 1) <= place:
            ranges.add(range(labels[target[1]], place + 1))
    names = [re.sub(r"^@!?U?P\w+\s+", "", one).split(" ")[0].split(".")[0] for one in found]
    return [
        (whole, [names[place] for place in whole if not any(place in one for one in ranges if _is_inside(one, whole))])
        for whole in ranges
    ]


def _is_inside(one: range, other: range) -> bool:
    return one != other and one.start in other and one[-1] in other


def per_multiply_add(code: bytes, multiply_adds: int, rounds: int = 1) -> float:
    """
    Instructions for each fused multiplication and addition in a step of the loop over time, all of them.

    That is the largest loop around most of them. The loop inside that has them runs as often as the `multiply_adds` of
    a step need; one in between runs `rounds` times.
    """

    def fused(loop: list[str]) -> int:
        return sum(name in FUSED for name in loop)

    found = loops(code)
    inner, most = max(found, key=lambda loop: fused(loop[1]))
    around = sorted((loop for loop in found if loop[0] == inner or _is_inside(inner, loop[0])), key=lambda x: len(x[0]))
    inside = [loop for loop in found if _is_inside(loop[0], around[-1][0])]
    assert len(inside) == len(around) - 1 <= 2, "loops that are not known"
    assert multiply_adds % fused(most) == 0
    counts = (*(multiply_adds // fused(most), rounds)[: len(inside)], 1)
    assert len(inside) > 0 or fused(most) == multiply_adds
    return sum(count * len(loop) for count, (_, loop) in zip(counts, around, strict=True)) / multiply_adds
