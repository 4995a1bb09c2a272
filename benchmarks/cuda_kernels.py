"""Resources of a device that every CUDA kernel needs: registers, stack, memory. Needs the toolkit, but no device.

python benchmarks/cuda_kernels.py --json benchmarks/results/cuda_kernels.json --page docs/cuda-kernels.md
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from _cuda_catalogue import catalogue
from _cuda_cubin import architecture, assemble, compile_ptx, newest_capability

from parscan._kernels.cpu.threads import available_threads

Record = dict[str, Any]

CAPABILITIES = ((7, 5), (8, 0), (9, 0))
"""Compute capabilities; the newest one of the toolkit is added."""

PACKAGES = ("numba-cuda", "numba", "nvidia-nvvm", "nvidia-nvjitlink")
"""Packages whose versions determine the figures."""

QUICK = 9
"""With `--quick`, every ninth kernel is examined."""

SAMPLE = 4
"""With `--check`, every fourth kernel is compiled for the newest architecture too, which doubles its time."""

PAGE = """# Resources of the CUDA kernels

Written by `python benchmarks/cuda_kernels.py`; the tests compile every kernel again and hold it to this table.
Nothing here has been timed: compiling needs no device.

For each architecture the registers of a thread; the largest number of spilled bytes, and of bytes of stack, of all
architectures; bytes of shared memory of a block. The kernels of float32 and complex64 contain no instruction of double
precision, and all addresses, lengths and strides have 64 bits.

PTX is compiled for {ptx}. That of the former is assembled for {older}: compiling for these gives
the same PTX, but for names. {toolkit}.

{tables}"""


def examine(index: int, newest_too: bool) -> tuple[str, Record]:
    """Compile and assemble the kernel at a place in the catalogue."""
    entry = catalogue()[index]
    kernel = entry.make()
    # The compiler makes the same PTX for all architectures but the newest.
    groups = (CAPABILITIES, (newest_capability(),)) if newest_too else (CAPABILITIES,)
    texts = {group: compile_ptx(kernel, group[0]) for group in groups}
    made = {capability: assemble(ptx, capability) for group, ptx in texts.items() for capability in group}
    return entry.name, {
        "dtype": entry.dtype,
        "hot": entry.hot,
        "double": sum(len(re.findall(r"\.f64\b", ptx)) for ptx in texts.values()),
        "narrow": sum(len(re.findall(r"\.param \.[usbf](?!64)", ptx)) for ptx in texts.values()),
        "registers": {architecture(capability): cubin.registers for capability, cubin in made.items()},
        "spilled": max(cubin.spilled for cubin in made.values()),
        "stack": max(cubin.stack for cubin in made.values()),
        "shared": max(cubin.shared for cubin in made.values()),
    }


def examine_all(indices: Sequence[int], sample: int = 1) -> Record:
    """The record of many kernels, by parallel processes; of every `sample`th for the newest architecture too."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(available_threads(), mp_context=spawn) as pool:
        newest_too = [place % sample == 0 for place in range(len(indices))]
        kernels = dict(pool.map(examine, indices, newest_too, chunksize=4))
    return {"toolkit": {package: installed(package) for package in PACKAGES}, "kernels": kernels}


def installed(package: str) -> str:
    """Version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not from a package"


def page(record: Record) -> str:
    """The page of the documentation."""
    families: dict[str, list[str]] = {}
    for name, figures in record["kernels"].items():
        family, _, rest = name.partition(", ")
        counts = [*figures["registers"].values(), figures["spilled"], figures["stack"], figures["shared"]]
        families.setdefault(family, []).append(f"| {rest} | {' | '.join(map(str, counts))} |")
    first = next(iter(record["kernels"].values()))["registers"]
    columns = (*first, "spilled", "stack", "shared")
    head = f"| numbers | {' | '.join(columns)} |\n|{'---|' * (1 + len(columns))}"
    tables = "\n\n".join("\n".join([f"## {family}\n", head, *rows]) for family, rows in families.items())
    *older, newest = first
    toolkit = "Versions: " + ", ".join(f"{package} {number}" for package, number in record["toolkit"].items())
    return PAGE.format(ptx=f"{older[0]} and {newest}", older=", ".join(older), toolkit=toolkit, tables=tables) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few kernels only")
    parser.add_argument("--check", action="store_true", help="every kernel, few of them for the newest")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the record to this file")
    parser.add_argument("--page", type=Path, metavar="PATH", help="write the page of the documentation to this file")
    options = parser.parse_args()
    indices = range(0, len(catalogue()), QUICK if options.quick else 1)
    record = examine_all(indices, SAMPLE if options.check else 1)
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if options.check:
        return
    print(page(record))
    if options.page:
        options.page.write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
