"""
Several copies of a step in a row, in place of one that branches to itself.

A processor predicts a branch by where it stands in the code and by those before it. In copies of a short step, each
branch stands in several places, and fewer of them are taken. Whether there are more steps is asked once for all copies;
steps that are left over are done one by one.
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


def in_a_row(lines: Sequence[str], phis: Sequence[Phi], again: str, entry: str) -> list[str]:
    """
    Lines that evaluate all steps: copies of a step, then single steps.

    Parameters
    ----------
    lines : sequence of str
        Of the step, whose first block is "step". The last one branches to it, or to "exit", by what the one before
        it says: whether the number of the next step is below `%steps`.
    phis : sequence of tuples
        See `Phi`.
    again, entry : str
        The block in which the step ends, and the one before the first step.
    """
    own = {match[1] for line in lines if (match := DEFINED.match(line))} | {"%step"}
    own |= {f"%{match[1]}" for line in lines if (match := LABEL.match(line))}
    *body, more, back = lines
    taken, copies = {name: name for name, *_ in phis}, list[str]()
    for k in range(COPIES):
        names = taken | {name: f"{name}_{k}" for name in own} | ({} if k else {"%step": "%step"})
        copies += [f"step_{k}:", *_copied(body, names)] if k else _copied(body, names)
        if k + 1 < COPIES:
            copies.append(f"  br label %step_{k + 1}")
        taken = {name: names.get(after, after) for name, *_, after in phis}
    copies += [_renamed(line, names).replace("%steps", "%rows") for line in (more, back)]
    copies[-1] = copies[-1].replace(names["%step"], "%step").replace("%exit", "%left")
    names = {name: f"{name}_one" for name in own | {phi for phi, *_ in phis}}
    single = {name: (names[name], kind, first, names.get(after, after)) for name, kind, first, after in phis}
    return [
        f"  %rows = and i64 %steps, {-COPIES}",
        "  %some = icmp ne i64 %rows, 0",
        "  br i1 %some, label %step, label %step_one",
        "step:",
        *(_phi(name, kind, {entry: first, f"{again}_{COPIES - 1}": taken[name]}) for name, kind, first, _ in phis),
        *copies,
        "left:",
        f"  %more = icmp ult i64 {taken['%time']}, %steps",
        "  br i1 %more, label %step_one, label %exit",
        "step_one:",
        *(_phi(own_name, kind, {entry: first, "left": taken[name], f"{again}_one": after})
          for name, (own_name, kind, first, after) in single.items()),
        *_copied(lines, names),
    ]  # fmt: skip


def _phi(name: str, kind: str, values: dict[str, str]) -> str:
    """A value by the block before."""
    return f"  {name} = phi {kind} {', '.join(f'[ {value}, %{block} ]' for block, value in values.items())}"


def _copied(lines: Sequence[str], names: dict[str, str]) -> list[str]:
    """Lines with other names."""
    return [f"{names[f'%{label[1]}'][1:]}:" if (label := LABEL.match(line)) else _renamed(line, names)
            for line in lines]  # fmt: skip


def _renamed(line: str, names: dict[str, str]) -> str:
    return NAME.sub(lambda found: names.get(found[0], found[0]), line)
