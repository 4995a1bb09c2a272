"""Operands of kernels: memory, an offset, and a stride per axis.

Reversal and broadcasting are expressed by strides, so that kernels need no code for them, and nothing is copied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..._arrays.namespace import Array, array_namespace, contiguous, itemsize, once


@dataclass(frozen=True)
class Operand:
    """
    Contiguous memory with strides.

    Parameters
    ----------
    memory : array, shape (N,)
        The numbers.
    offset : int
        Index of the first number.
    strides : tuple of int
        Distances between steps, between sequences, and along the axes of a state or a matrix; zero along an axis of
        length 1.
    """

    memory: Array
    offset: int
    strides: tuple[int, ...]

    def backwards(self, length: int) -> Operand:
        """The same operand with the last of `length` steps first."""
        step, *others = self.strides
        return replace(self, offset=self.offset + (length - 1) * step, strides=(-step, *others))

    def is_aligned(self, address: int, size: int) -> bool:
        """Whether, with memory at this address, every step and every sequence begins at a multiple of `size` bytes."""
        bytes_each = itemsize(self.memory.dtype)
        places = (address + self.offset * bytes_each, *(stride * bytes_each for stride in self.strides[:2]))
        return all(place % size == 0 for place in places)

    @property
    def arguments(self) -> tuple[Array | int, ...]:
        """The arguments of a kernel for this operand."""
        return (self.memory, self.offset, *self.strides)


def operand(x: Array, shape: tuple[int, ...], inner: int) -> Operand:
    """
    The operand for an array that broadcasts to `shape`, `(T, *batch, ...)` with `inner` axes after the batch.

    Axes of length 1 get a stride of zero: time, the batch as a whole, and each inner axis. If only some axes of the
    batch have length 1, they are broadcast in memory. Axes along which nothing but one number is in memory count as
    axes of length 1.
    """
    xp, x = array_namespace(x), once(x)
    last = len(shape) - inner
    batch = x.shape[1:last]
    if math.prod(batch) != 1 and batch != shape[1:last]:
        x = xp.broadcast_to(x, (x.shape[0], *shape[1:last], *x.shape[last:]))
    x = xp.reshape(x, (x.shape[0], math.prod(x.shape[1:last]), *x.shape[last:]))
    strides, numbers = [], 1
    for length in reversed(x.shape):
        strides.append(numbers if length > 1 else 0)
        numbers *= length
    return Operand(xp.reshape(contiguous(x), (-1,)), 0, tuple(reversed(strides)))


def whole_matrices(x: Array, n: int) -> Array:
    """Matrices (..., n, n) whose numbers are all in memory: a copy if a row or a column is there once for all."""
    x = once(x)
    if x.shape[-2:] == (n, n):
        return x
    xp = array_namespace(x)
    return xp.asarray(xp.broadcast_to(x, (*x.shape[:-2], n, n)), copy=True)
