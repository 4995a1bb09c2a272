"""The exception that says why a function cannot be recorded, and reasons that several files give."""

from __future__ import annotations

import threading


class Refused(Exception):  # noqa: N818 - it says what happened
    """
    A function cannot be recorded; the argument of the exception is a sentence without subject and full stop.

    It is noted in the list of `refusals`, as functions may catch all exceptions: they then do what they would not do
    with numbers. Our own code that catches it calls `settle`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        noted = refusals.noted
        if noted is not None:
            noted.append(self)

    def settle(self) -> None:
        """It is dealt with."""
        if refusals.noted is not None:
            refusals.noted[:] = [one for one in refusals.noted if one is not self]


class _Refusals(threading.local):
    """Refusals while a function is called, in this thread."""

    noted: list[Refused] | None = None


refusals = _Refusals()

BITS = "works on the bits of integers"

CUT = "makes real numbers of complex ones: use their attribute `real`"

SELECTS = "selects entries by a condition on values, which gives an array of unknown length: use np.where"
