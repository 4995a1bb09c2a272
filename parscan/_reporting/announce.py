"""Says on a terminal what parscan does besides solving, if that takes more than a second."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

AFTER = 1.0
"""Seconds after which to say it."""


def has_terminal() -> bool:
    """Whether someone may read stderr; programs without a console, and some that replace it, have none."""
    try:
        return bool(sys.stderr.isatty())
    except (AttributeError, ValueError):  # None, a stand-in, or a closed file
        return False


def announce(work: str) -> None:
    """Say on a terminal what begins now, and takes long."""
    if has_terminal():
        print(f"parscan: {work} …", file=sys.stderr, flush=True)


@contextmanager
def announced(work: str) -> Iterator[None]:
    """Say on a terminal what is done within this context, if it takes longer than `AFTER`."""
    if not has_terminal():
        yield
        return
    timer = Timer(AFTER, announce, (work,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
