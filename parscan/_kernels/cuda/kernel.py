"""What a CUDA kernel is to the rest of the package: a body, and the types of its arguments, fixed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numba import types

INTEGER = types.int64
"""Of every index and length: arrays may have more than 2^31 numbers."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """
    A function that runs on every thread.

    Arrays are taken as bare pointers: nothing of an array but its address has to be marshalled for a launch, and a
    kernel compiled so has plain C parameters, which any launcher can fill.

    Parameters
    ----------
    body : callable
        What a thread does.
    arguments : tuple
        Types of the arguments: :data:`INTEGER`, or what :func:`pointer` makes.
    """

    body: Callable[..., None]
    arguments: tuple[Any, ...]

    @property
    def signature(self) -> Any:
        """The types as Numba takes them."""
        return types.void(*self.arguments)


def scalar_type(dtype: str) -> Any:
    """Numba's type of a dtype by its name; called with a number, it makes one."""
    return getattr(types, dtype)


def pointer(dtype: str) -> Any:
    """Type of an array argument."""
    return types.CPointer(scalar_type(dtype))


def operand(dtype: str, axes: int) -> tuple[Any, ...]:
    """Types of an array with an offset and so many strides; see :class:`parscan._kernels.cuda.operand.Operand`."""
    return (pointer(dtype), *(INTEGER,) * (1 + axes))
