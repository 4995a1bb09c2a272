"""CUDA kernels as machine code of a device: compiled by Numba, assembled by the toolkit, and kept on disk.

Numba compiles a kernel to PTX, and the toolkit's linker assembles that to a cubin. Neither needs a device or a driver.
Both take about a second, which later processes save.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..._arrays import disk
from .kernel import Kernel

Capability = tuple[int, int]
"""A compute capability, (9, 0) for example; its architecture is called sm_90."""

PACKAGES = ("numba-cuda", "numba", "llvmlite", "cuda-core")
"""Packages whose versions, beside those of the toolkit, determine the machine code of a kernel."""


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
    """

    code: bytes
    entry: str


def cubin(kernel: Kernel, capability: Capability) -> Cubin:
    """The machine code of a kernel, from disk if a process has compiled it before."""
    name = key(kernel, capability)
    entry, separator, code = (disk.load(name) or b"").partition(b"\n")
    if separator:
        return Cubin(code, entry.decode())
    ptx = compile_ptx(kernel, capability)
    made = Cubin(link(ptx, capability), entry_of(ptx))
    disk.save(name, made.entry.encode() + b"\n" + made.code)
    return made


def key(kernel: Kernel, capability: Capability) -> str:
    """Name of a kernel's machine code: everything that determines it."""
    parts = (_source(), list(_constants(kernel.body)), _toolkit(), kernel.origin, kernel.signature, capability)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def architecture(capability: Capability) -> str:
    """Name that the toolkit has for a compute capability."""
    return "sm_{}{}".format(*capability)


def compile_ptx(kernel: Kernel, capability: Capability) -> str:
    """PTX of a kernel for a compute capability; it can be assembled for that one and every newer one."""
    from numba import cuda  # noqa: PLC0415 - only where kernels are compiled

    text, _ = cuda.compile_ptx(kernel.body, kernel.signature, cc=capability)
    return str(text)


def link(ptx: str, capability: Capability) -> bytes:
    """Machine code for a PTX text."""
    from cuda.core import Linker, LinkerOptions, ObjectCode  # noqa: PLC0415

    linker = Linker(ObjectCode.from_ptx(ptx.encode()), options=LinkerOptions(arch=architecture(capability)))
    return bytes(linker.link("cubin").code)


def entry_of(ptx: str) -> str:
    """Name of the one kernel in a PTX text."""
    (entry,) = re.findall(r"\.entry\s+([\w$]+)", ptx)
    return str(entry)


@cache
def _source() -> str:
    """Digest of the code that makes kernels: that of this folder, and what it imports of the house."""
    folder = Path(__file__).parent
    files = (*sorted(folder.glob("*.py")), folder.parents[1] / "_arrays" / "namespace.py")
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _constants(function: Any) -> Iterator[Any]:
    """The plain values that a function for devices uses, and those of the functions that it calls."""
    function = getattr(function, "py_func", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    for value in (*held, *(function.__globals__.get(name) for name in code.co_names)):
        if isinstance(value, int | float | str | tuple):
            yield value
        elif hasattr(value, "py_func"):
            yield from _constants(value)


@cache
def _toolkit() -> tuple[str, ...]:
    """Versions of all that compiles a kernel."""
    from cuda.bindings import nvjitlink  # noqa: PLC0415
    from cuda.pathfinder import load_nvidia_dynamic_lib  # noqa: PLC0415

    compiler = Path(load_nvidia_dynamic_lib("nvvm").abs_path)  # it does not tell its own version
    stamp = (str(compiler), str(compiler.stat().st_size), str(compiler.stat().st_mtime_ns))
    return (platform.python_version(), *map(_installed, PACKAGES), *stamp, str(nvjitlink.version()))


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not from a package"
