"""What a solve has seen, kept for its derivatives: copies of small arrays, which tell for sure that nothing changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..._arrays.elementwise import same
from ..._arrays.namespace import Array, array_namespace, copy, itemsize, library
from ..._functions.step import Inputs

if TYPE_CHECKING:
    from ..._recorded.record import Recording

LARGEST = 1 << 16
"""Bytes of an array up to which it is copied. The copy of a larger one would be a tenth of a fast solve, and more."""


@dataclass(frozen=True)
class Seen:
    """
    Copies of the arrays of a solve, and the recording of its step.

    Parameters
    ----------
    copies : tuple
        Of the trajectory and the inputs: bytes of arrays of NumPy, otherwise arrays.
    recording : Recording, optional
        One that is kept: it is found again only while all that the function reads is as it was.
    """

    copies: tuple[Any, ...]
    recording: Recording | None = None

    def holds(self, trajectory: Array, x: Inputs) -> bool:
        """Whether the arrays are unchanged."""
        return all(map(_is_same, self.copies, _arrays(trajectory, x)))


def seen(trajectory: Array, x: Inputs, recording: Recording | None = None) -> Seen | None:
    """What a solve has seen; None if its arrays are too large for copies."""
    arrays, copies = _arrays(trajectory, x), []
    for one in arrays:
        if one.size * itemsize(one.dtype) > LARGEST:
            return None
        copies.append(_copied(one))
    return Seen(tuple(copies), recording)


def _arrays(trajectory: Array, x: Inputs) -> tuple[Array, ...]:
    return (trajectory, *(() if x is None else x if isinstance(x, tuple) else (x,)))


def _copied(array: Array) -> Any:
    return array.tobytes() if library(array) == "numpy" else copy(array)


def _is_same(copied: Any, array: Array) -> bool:
    if isinstance(copied, bytes):
        return bool(array.tobytes() == copied)
    xp = array_namespace(array)
    return bool(xp.all(same(xp, copied, array)))
