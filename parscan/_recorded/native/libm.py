"""Addresses of functions of the C library: scalar ones, and those on vectors of glibc's `libmvec`."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache
from typing import Any

from . import target

WIDEST = {"e": 64, "d": 32, "b": 16}
"""Bytes of the vectors that the functions of a kind take, by the letter in their names."""

FEATURES = {"e": "avx512f", "d": "avx2", "b": "sse2"}
"""What the processor must have for them."""


NUMBER = 8
"""Bytes of a number in double precision: the widest "vectors" of a thread."""


@cache
def address(function: str) -> int:
    """Address of a function of one element of the C library; 0 if there is none."""
    return _address(_library("m"), function)


def vector_symbol(function: str, bytes_each: int, width: int, arity: int) -> str:
    """Name of a function of vectors; "" if there is none, or what code is written for cannot run it."""
    return "" if target.is_thread() else _vector_symbol(function, bytes_each, width, arity)


@cache
def _vector_symbol(function: str, bytes_each: int, width: int, arity: int) -> str:
    for letter, size in WIDEST.items():
        if size == bytes_each * width and features().get(FEATURES[letter]):
            name = f"_ZGV{letter}N{width}{'v' * arity}_{function}"
            return name if vector_address(name) else ""
    return ""


@cache
def vector_address(name: str) -> int:
    """Address of a function of `libmvec`; 0 if there is none."""
    return _address(_library("mvec"), name)


SCALAR = "parscan_"
"""What code writes before the names of functions of one element, which LLVM would know otherwise."""


def address_of(name: str) -> int:
    """Address of a function, by its name in code; 0 if there is none."""
    return address(name.removeprefix(SCALAR)) if name.startswith(SCALAR) else vector_address(name)


@cache
def features() -> dict[str, bool]:
    """Features of the processor."""
    import llvmlite.binding as llvm  # noqa: PLC0415 - slow to load

    try:
        return dict(llvm.get_host_cpu_features())
    except RuntimeError:  # of LLVM, on processors where it does not know how to ask
        return {}


def has_fma() -> bool:
    """Whether what code is written for rounds `a*b + c` once, in one instruction."""
    return target.is_thread() or bool(features().get("fma") or features().get("avx512f") or features().get("neon"))


def vector_bytes() -> int:
    """Bytes of the widest vectors of what code is written for."""
    if target.is_thread():
        return NUMBER
    return 64 if features().get("avx512f") else 32 if features().get("avx2") else 16


def _address(library: Any, name: str) -> int:
    try:
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except AttributeError:
        return 0


def _files(name: str) -> Iterator[str | None]:
    """Names of the file of a library, the most likely one first."""
    yield f"lib{name}.so.6"
    yield f"lib{name}.so.1"
    from ctypes.util import find_library  # noqa: PLC0415 - slow to load, and it asks other processes

    yield find_library(name)


@cache
def _library(name: str) -> Any:
    """A library of the C runtime; those of the process where it has none of that name."""
    for file in _files(name):
        try:
            if file:
                return ctypes.CDLL(file)
        except OSError:
            continue
    try:
        return ctypes.CDLL(None) if name == "m" else None
    except TypeError:  # Windows
        return ctypes.cdll.msvcrt
