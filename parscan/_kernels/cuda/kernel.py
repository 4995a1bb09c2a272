"""CUDA kernels: a body, and the fixed types of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, wraps
from typing import Any

from numba import types

DTYPES = ("float32", "float64", "complex64", "complex128")
"""Dtypes of the numbers that kernels compute with."""

INTEGER = types.int64
"""Type of every index and length: arrays may have more than 2^31 numbers."""

uint32 = types.uint32
"""Type of numbers of threads, and of what is divided by few instructions; sums and products of such have 64 bits."""

int32 = types.int32
"""Type of numbers of steps of a chunk, of which there are less than 2^31; see `choice.LONGEST`."""

place = types.uint64
"""Type of an index that is not negative: Numba tests the sign of a signed index, as Python counts from the end."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """
    A function that runs on every thread.

    Arrays are passed as bare pointers: a launch needs nothing of an array but its address, and a compiled kernel has
    plain C parameters.

    Parameters
    ----------
    body : callable
        Code of a thread.
    arguments : tuple
        Types of the arguments, each :data:`INTEGER` or made by :func:`pointer`.
    origin : tuple
        The function that made the kernel, by its name, and what it was called with.
    """

    body: Callable[..., None]
    arguments: tuple[Any, ...]
    origin: tuple[Any, ...] = ()

    @property
    def signature(self) -> Any:
        """The types as a signature of Numba."""
        return types.void(*self.arguments)


def maker(make: Callable[..., Kernel]) -> Any:
    """Decorate a function that makes a kernel from plain values: equal calls return one kernel, with its origin."""

    @cache
    @wraps(make)
    def made(*values: Any, **named: Any) -> Kernel:
        name = f"{make.__module__}.{make.__qualname__}"
        return replace(make(*values, **named), origin=(name, values, tuple(sorted(named.items()))))

    return made


def scalar_type(dtype: str) -> Any:
    """Numba's type of a dtype; called with a number, it converts it."""
    return getattr(types, dtype)


def pointer(dtype: str) -> Any:
    """Type of an array argument."""
    return types.CPointer(scalar_type(dtype))


def operand(dtype: str, axes: int) -> tuple[Any, ...]:
    """Types of an array with its offset and strides; see :class:`parscan._kernels.cuda.operand.Operand`."""
    return (pointer(dtype), *(INTEGER,) * (1 + axes))


def recurrence(dtype: str) -> tuple[Any, ...]:
    """Types of the first arguments of scanning kernels; see :attr:`parscan._kernels.cuda.recurrence.Recurrence`."""
    return (*operand(dtype, 4), *operand(dtype, 3), *(INTEGER,) * 5)
