"""
Several copies of a step in a row, in place of one that branches to itself.

A processor predicts a branch by where it stands in the code and by those before it. In copies of a short step, each
branch stands in several places, and fewer of them are taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

COPIES, LONGEST = 8, 40
"""Steps in a row, and lines of a step up to which it is copied."""

FEWEST = 2
"""Branches within a step from which on it is copied: with one, nothing is gained."""

Phi = tuple[str, str, str, str]
"""A value that a step takes from the one before: name, type, first value, following value."""

NAME, DEFINED, LABEL = re.compile(r"%\w+"), re.compile(r"  (%\w+) = "), re.compile(r"(\w+):$")


def is_short(lines: Sequence[str], branches: int) -> bool:
    """Whether copies of a step with some branches pay."""
    return branches >= FEWEST and len(lines) <= LONGEST


def in_a_row(lines: Sequence[str], phis: Sequence[Phi], again: str) -> tuple[list[str], list[Phi], str]:
    """
    Copies of a step: their lines, what the first one takes from the last one, and the block in which that ends.

    Parameters
    ----------
    lines : sequence of str
        Of the step, whose first block is "step". The last one branches to it, or to "exit".
    phis : sequence of tuples
        See `Phi`.
    again : str
        The block in which the step ends.
    """
    own = {match[1] for line in lines if (match := DEFINED.match(line))} | {"%step"}
    own |= {f"%{match[1]}" for line in lines if (match := LABEL.match(line))}
    taken = {name: name for name, *_ in phis}
    written: list[str] = []
    for k in range(COPIES):
        names = taken | {name: f"{name}_{k}" if k else name for name in own}
        if k:
            written.append(f"step_{k}:")
        for line in lines[:-1]:
            label = LABEL.match(line)
            written.append(f"{names[f'%{label[1]}'][1:]}:" if label else _renamed(line, names))
        following = f"%step_{k + 1}" if k + 1 < COPIES else "%step"
        written.append(_renamed(lines[-1], names | {"%step": following}))
        taken = {name: names.get(after, after) for name, *_, after in phis}
    found = [(name, kind, first, taken[name]) for name, kind, first, _ in phis]
    return written, found, f"{again}_{COPIES - 1}"


def _renamed(line: str, names: dict[str, str]) -> str:
    return NAME.sub(lambda found: names.get(found[0], found[0]), line)
