"""Programs at the points of a trajectory: by NumPy at first, by machine code where that pays."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from .._arrays.namespace import Array, array_namespace, quiet
from .._recorded.budget import Ledger
from .verify import apart

if TYPE_CHECKING:
    from .._recorded.native.evaluate import Evaluator
    from .._recorded.program import Program

LARGEST = 20_000
"""Operations in the text of machine code, at most."""

NUMBERS = 1 << 18
"""Numbers that NumPy computes at once."""

OF_A_BLOCK, OF_A_NUMBER = 5e-6, 3e-9
"""Seconds that NumPy takes for each block of operations, and for each number."""

COMPARED = 4
"""Points at which machine code is compared with NumPy."""

CODES = Ledger()
"""That of this process: time that NumPy took without machine code."""


class AtPoints:
    """
    A program, evaluated for many points at once.

    Parameters
    ----------
    program : Program
    shared : tuple of int
        Numbers of arguments that are the same at all points.
    several : bool, optional
        Whether machine code evaluates several points at a time; by default, where its results are stored faster so.
    """

    def __init__(self, program: Program, shared: tuple[int, ...] = (), *, several: bool | None = None) -> None:
        self.program, self._shared, self._several = program, shared, several
        self._code: Evaluator | None = None
        self._is_refused = program.written > LARGEST
        self._is_compared = False

    def prepare(self, points: int) -> None:
        """Compile, if evaluations at so many points, with earlier ones, take as long as that."""
        if self._code is not None or self._is_refused:
            return
        size = max(self.program.size, 1)
        seconds = points * size * OF_A_NUMBER
        seconds += len(self.program.blocks) * OF_A_BLOCK * -(-points // max(1, NUMBERS // size))
        if not (CODES.pays_loading(seconds) and CODES.pays(self.program, seconds)):
            return
        from .._recorded.native.evaluate import Evaluator  # noqa: PLC0415 - slow to import
        from .._recorded.native.text import UnsupportedError  # noqa: PLC0415

        try:
            self._code = Evaluator(self.program, several=self._several, shared=self._shared)
        except UnsupportedError:
            self._is_refused = True

    def __call__(self, *arguments: Array) -> tuple[Array, ...]:
        """Results `(m, *shape)` of arguments `(m, *shape)`; those that are shared are given once."""
        code = self._code
        if code is None:
            return self._by_numpy(*arguments)
        found = code(*arguments)
        if not self._is_compared and found[0].shape[0]:
            self._is_compared = True
            few = [one if k in self._shared else one[:COMPARED, ...] for k, one in enumerate(arguments)]
            if _differ(self._by_numpy(*few), found):
                self._code, self._is_refused = None, True
                return self._by_numpy(*arguments)
        return found

    def _by_numpy(self, *arguments: Array) -> tuple[Array, ...]:
        """The same by NumPy, for as many points at once as a cache holds."""
        xp = array_namespace(arguments[0])
        count = next(len(one) for k, one in enumerate(arguments) if k not in self._shared)
        most = max(1, NUMBERS // max(self.program.size, 1))
        parts = []
        for begin in range(0, max(count, 1), most):
            end = min(begin + most, count)
            rows = [
                xp.broadcast_to(one[None, ...], (end - begin, *one.shape)) if k in self._shared else one[begin:end, ...]
                for k, one in enumerate(arguments)
            ]
            shaped = [
                xp.astype(xp.reshape(row, (end - begin, prod(one.shape))), one.dtype, copy=False)
                for row, one in zip(rows, self.program.arguments, strict=True)
            ]
            with quiet():
                parts.append(self.program(*shaped))
        return parts[0] if len(parts) == 1 else tuple(xp.concat(list(some)) for some in zip(*parts, strict=True))


def _differ(expected: tuple[Array, ...], found: tuple[Array, ...]) -> bool:
    """Whether results of machine code differ from those of NumPy at the first points."""
    for one, other in zip(expected, found, strict=True):
        xp = array_namespace(one)
        if one.size and one.dtype.kind == "f" and bool(xp.any(apart(xp, other[: one.shape[0], ...], one))):
            return True
    return False


def pairs(array: Any) -> Any:
    """Complex arrays as those of their parts, as programs take them; others as they are."""
    from .._recorded.pairs import as_pairs  # noqa: PLC0415 - slow to import

    if array.dtype.kind == "c":
        return as_pairs(array_namespace(array).reshape(array_namespace(array).ascontiguousarray(array), array.shape))
    return array
