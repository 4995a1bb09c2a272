"""Where warnings point to: the user's line that called parscan, by however many functions of its own."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

ROOT = f"{Path(__file__).parents[1]}{os.sep}"
"""Folder of the files that are not the user's."""


def users_level() -> int:
    """The `stacklevel` of a warning, given by the function that asks, with which it points to the user's line."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_code.co_filename.startswith(ROOT):
        frame, level = frame.f_back, level + 1
    return level
