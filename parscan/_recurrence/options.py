"""How a user wants a problem to be solved."""

from __future__ import annotations

from dataclasses import dataclass

from .systems.damping import Clipping


@dataclass(frozen=True)
class Options:
    """What a user asks for beside the problem; what was left open is None."""

    method: str
    max_iterations: int
    segment_length: int | None = None
    window: int | None = None
    damping: Clipping | None = None
