"""The launches of the single-pass scan, which is off until a GPU has judged it.

Deleting it is deleting the files `lookback*.py`, and in `choice.py` the class `SinglePass` with its row.
"""

from __future__ import annotations

from ..._arrays.namespace import dtype_name
from . import launch
from .choice import SinglePass
from .lookback_words import workspace_size
from .lookback_workspace import workspace
from .operand import Operand
from .recurrence import Recurrence
from .tiles import tile_of


def in_one_pass(way: SinglePass, r: Recurrence, out: Operand) -> None:
    """One kernel scans all tiles, a second one repairs those that are not finite."""
    dtype, device = dtype_name(r.start.dtype), launch.LAUNCHER
    scan, repair = (way.kernels[name](dtype, r.n) for name in ("scan", "repair"))
    tile = tile_of(dtype)
    chunks = -(-r.length // tile.steps)
    with workspace(r.start, device.stream(), workspace_size(dtype, chunks)) as shared:
        arguments = (*r.known(tile.steps, chunks), r.start, shared, *out.arguments)
        device.launch(scan, chunks, tile.threads, *arguments)
        device.launch(repair, 1, tile.threads, *arguments)
