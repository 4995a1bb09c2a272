"""Entries of an array where a condition on values holds: their number is not known."""

from __future__ import annotations

import operator
from typing import Any

import numpy

from .refusal import SELECTS, Refused

np: Any = numpy  # whose types do not know recording arrays


def where_selected(array: Any, mask: Any, value: Any, is_selection: bool) -> tuple[Any, Any]:
    """A condition, and values that are written where it holds, so that they broadcast to an array."""
    if mask.shape != array.shape[: mask.ndim]:
        raise Refused("writes to parts of an array by a condition of another shape")
    found, axes = array.cast(value), array.ndim - mask.ndim
    if not is_selection and found.ndim > axes and found.shape[0] != 1:
        raise Refused(SELECTS)
    found = found if is_selection or found.ndim <= axes else found[0]
    return mask[(..., *[None] * axes)] if mask.ndim else mask, found


def masked(array: Any, mask: Any) -> Any:
    if mask.shape != array.shape:
        raise Refused("selects parts of an array by a condition on values: use np.where")
    return Selection(array.copy(), mask)


class Selection:
    """
    Entries of an array where a condition on values holds, `y[y > 0]`: their number is not known.

    Operations on them, such as `y[y > 0] *= 2`, are recorded for all entries. When the results are written back to the
    same places, `where` keeps the old values of the other entries.

    Attributes
    ----------
    values : RecordingArray
        All entries, also where the condition does not hold.
    mask : RecordingArray
        The condition.
    """

    __slots__ = ("mask", "values")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: Any, mask: Any) -> None:
        self.values, self.mask = values, mask

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            raise Refused(SELECTS)
        return Selection(ufunc(*map(self._part, operands)), self.mask)

    def _part(self, operand: Any) -> Any:
        if isinstance(operand, Selection) and np.array_equal(operand.mask.ids, self.mask.ids):
            return operand.values
        if isinstance(operand, Selection) or np.ndim(operand):
            raise Refused(SELECTS)
        return operand

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise Refused(SELECTS)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise Refused(SELECTS)

    def _refuse(self, *_: Any) -> Any:
        raise Refused(SELECTS)

    __len__ = __iter__ = __getitem__ = __setitem__ = __bool__ = __float__ = __array__ = _refuse


def _of_selection(name: str, *, swapped: bool = False) -> Any:
    operation = getattr(operator, name)

    def method(self: Selection, *others: Any) -> Selection:
        parts = [self.values, *map(self._part, others)]
        return Selection(operation(*(reversed(parts) if swapped else parts)), self.mask)

    return method


for _name in ("add", "sub", "mul", "truediv", "mod", "floordiv", "pow"):
    setattr(Selection, f"__{_name}__", _of_selection(_name))
    setattr(Selection, f"__r{_name}__", _of_selection(_name, swapped=True))

for _name in ("neg", "abs", "pos"):
    setattr(Selection, f"__{_name}__", _of_selection(_name))
