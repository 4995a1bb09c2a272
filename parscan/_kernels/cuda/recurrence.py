"""Affine recurrences side by side, as CUDA kernels take them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..._arrays.namespace import Array
from .operand import Operand


@dataclass(frozen=True)
class Recurrence:
    """
    Independent recurrences of one length and order, with steps in the order of evaluation.

    Parameters
    ----------
    A, b : Operand
        Coefficients, with strides of (step, sequence, row, column), and offsets, with (step, sequence, row).
    start : array, shape (sequences * n,)
        States before the first step.
    started : bool
        Whether there is a start. Without one, `start` holds zeros, and the first coefficient is not used.
    length, sequences, n : int
        Steps, recurrences, and the order of the matrices.
    """

    A: Operand
    b: Operand
    start: Array
    started: bool
    length: int
    sequences: int
    n: int

    def known(self, chunk: int, chunks: int) -> tuple[Array | int, ...]:
        """First arguments of every scanning kernel."""
        sizes = (self.length, chunk, chunks, self.sequences)
        return (*self.A.arguments, *self.b.arguments, int(self.started), *sizes)

    def backwards(self) -> Recurrence:
        """The same recurrences with the last step first."""
        return replace(self, A=self.A.backwards(self.length), b=self.b.backwards(self.length))
