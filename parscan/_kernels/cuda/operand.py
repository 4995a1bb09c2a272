"""Arrays as kernels see them: memory, an offset, and a stride per axis.

Reversal and broadcasting are strides: no kernel knows of them, and nothing is copied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..._arrays.namespace import Array, array_namespace, contiguous


@dataclass(frozen=True)
class Operand:
    """
    Contiguous memory, seen through strides.

    Parameters
    ----------
    memory : array, shape (N,)
        The numbers.
    offset : int
        Where the first is.
    strides : tuple of int
        Numbers from one step to the next, from one sequence to the next, and of the axes of a state or a matrix; zero
        where one number stands for all.
    """

    memory: Array
    offset: int
    strides: tuple[int, ...]

    def backwards(self, length: int) -> Operand:
        """The same with the last of `length` steps first."""
        step, *others = self.strides
        return replace(self, offset=self.offset + (length - 1) * step, strides=(-step, *others))

    @property
    def arguments(self) -> tuple[Array | int, ...]:
        """As a kernel takes them."""
        return (self.memory, self.offset, *self.strides)


def operand(x: Array, shape: tuple[int, ...], inner: int) -> Operand:
    """
    An array that broadcasts to `shape`, `(T, *batch, ...)` with `inner` axes behind the batch.

    Its time axis, its batch as a whole and each inner axis may be of length 1, and stay so; a batch that broadcasts
    only in part is written out.
    """
    xp = array_namespace(x)
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
