"""What machine code is written for: this processor with its vectors, or one thread of a device, which has none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_thread: ContextVar[bool] = ContextVar("is_thread", default=False)


def is_thread() -> bool:
    """Whether code is being written for one thread of many."""
    return _is_thread.get()


@contextmanager
def one_thread() -> Iterator[None]:
    """Write code for one thread of many: single numbers, little memory, and no function of vectors."""
    token = _is_thread.set(True)
    try:
        yield
    finally:
        _is_thread.reset(token)
