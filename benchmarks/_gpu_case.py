"""Cases of the GPU benchmark: what is run, named before there is a device, and what is kept of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from _gpu_platform import Platform
from _harness import Target

Array = Any
PATIENCE = 10.0
"""Seconds that make one run of a contender enough."""


class AbsentError(Exception):
    """A contender that cannot take part here: the reason."""


@dataclass(frozen=True)
class Contender:
    """
    Something that is timed.

    Parameters
    ----------
    run : callable
        Returns its answer, or None if there is nothing to compare.
    bytes : float
        Bytes that it has to move, for the share of a copy's speed; 0: this says nothing about it.
    moved : float
        Bytes that the kernels move, if these are more.
    inner : int
        Runs that are asked for back to back.
    scale : float
        What the time of a run is multiplied by, if it does only a part of the work.
    """

    run: Callable[[], Any]
    bytes: float = 0.0
    moved: float = 0.0
    inner: int = 1
    scale: float = 1.0


@dataclass(frozen=True)
class Prepared:
    """
    A case on a platform.

    Parameters
    ----------
    makers : mapping of callable
        A function for each contender, which prepares it; it raises `AbsentError` if that cannot be.
    deviation : callable or None
        Largest relative error of an answer; None: the difference from the first contender's.
    most : float
        Largest deviation of a right answer.
    """

    makers: Mapping[str, Callable[[], Contender]]
    deviation: Callable[[Array], float] | None = None
    most: float = 1e-3


@dataclass(frozen=True)
class Entry:
    """
    A case of the benchmark, which has the same name on a device and in a dry run, where it is smaller.

    Parameters
    ----------
    part : str
        Part of the benchmark.
    name : str
        The problem, with its sizes on a device.
    contenders : tuple of str
        Who solves it; the first gives the reference.
    prepare : callable
        Makes the case on a platform.
    targets : tuple of Target
        Ratios that shall be reached.
    """

    part: str
    name: str
    contenders: tuple[str, ...]
    prepare: Callable[[Platform], Prepared]
    targets: tuple[Target, ...] = ()


@dataclass
class Row:
    """What was measured of a contender; `first` is the time of its first run, with all that is compiled for it."""

    contender: str
    first: float
    seconds: float
    deviation: float | None
    is_wrong: bool = False
    share: float | None = None
    share_of_moved: float | None = None


@dataclass
class Record:
    """What is kept of a case."""

    part: str
    name: str
    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Contenders that are not there, with reasons."""

    failed: dict[str, str] = field(default_factory=dict)
    """Contenders that raised an exception."""

    targets: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing failed, and no answer is wrong."""
        return not self.failed and not any(row.is_wrong for row in self.rows)

    def table(self) -> str:
        """The case for reading: seconds of the first run, milliseconds, deviation, GB/s' share of a copy's."""
        width = max(map(len, (*(row.contender for row in self.rows), *self.left_out, *self.failed)), default=0)
        lines = [f"{self.part}: {self.name}"]
        for row in self.rows:
            off = "" if row.deviation is None else f"{row.deviation:.1e}{' WRONG' if row.is_wrong else ''}"
            shares = "".join(f"{share:7.2f}" for share in (row.share, row.share_of_moved) if share is not None)
            lines.append(f"  {row.contender:<{width}} {row.first:8.2f} s {row.seconds * 1e3:11.4f} ms {off:>8}{shares}")
        lines += [f"  {name:<{width}} left out: {reason}" for name, reason in self.left_out.items()]
        lines += [f"  {name:<{width}} FAILED: {reason}" for name, reason in self.failed.items()]
        for one in self.targets:
            reached = "PASS" if one["ratio"] >= one["at_least"] else "short"
            lines.append(f"  {reached}: {one['fast']} {one['ratio']:.2f}x of {one['slow']} ({one['at_least']:g}x)")
        return "\n".join(lines)


def measure(entry: Entry, platform: Platform, repeats: int, end: float) -> Record:
    """
    Time all contenders in turn, after a first run of each, which is checked.

    One that fails does not end the others, and none is begun after the time `end`.
    """
    record = Record(entry.part, entry.name)
    try:
        prepared = entry.prepare(platform)
    except AbsentError as reason:
        record.left_out = dict.fromkeys(entry.contenders, str(reason))
        return record
    except Exception as error:
        record.failed = dict.fromkeys(entry.contenders, _told(error))
        return record
    assert tuple(prepared.makers) == entry.contenders
    begun = _first_runs(prepared, platform, record, end)
    for _ in range(repeats):
        for row, contender in begun:
            if row.first < PATIENCE and time.monotonic() < end:
                row.seconds = min(row.seconds, contender.scale * platform.seconds(contender.run, contender.inner))
    for row, contender in begun:
        if not isfinite(row.seconds):  # that one run was enough, or all there was time for
            row.seconds = row.first
        if contender.bytes:
            row.share = contender.bytes / row.seconds / platform.rate
            row.share_of_moved = max(contender.bytes, contender.moved) / row.seconds / platform.rate
    record.targets = list(_judged(entry, record))
    return record


def _first_runs(prepared: Prepared, platform: Platform, record: Record, end: float) -> list[tuple[Row, Contender]]:
    """Run each contender once; what cannot be is noted in the record."""
    begun, reference = [], None
    for name, make in prepared.makers.items():
        if record.rows and time.monotonic() >= end:
            record.left_out[name] = "the budget was spent"
            continue
        answers: list[Any] = []
        try:
            contender = make()
            first = platform.seconds(lambda run=contender.run, kept=answers: kept.append(run()))  # type: ignore[misc]
            answer = answers.pop()
            reference = answer if reference is None else reference
            off = prepared.deviation or (lambda x, known=reference: platform.deviation(x, known))  # type: ignore[misc]
            deviation = None if answer is None else off(answer)
        except AbsentError as reason:
            record.left_out[name] = str(reason)
        except Exception as error:
            record.failed[name] = _told(error)
        else:
            is_wrong = deviation is not None and not deviation <= prepared.most
            record.rows.append(Row(name, contender.scale * first, float("inf"), deviation, is_wrong))
            begun.append((record.rows[-1], contender))
    return begun


def _judged(entry: Entry, record: Record) -> Any:
    seconds = {row.contender: row.seconds for row in record.rows}
    for target in entry.targets:
        slow = (target.slow,) if isinstance(target.slow, str) else target.slow
        known = [seconds[name] for name in slow if name in seconds]
        if target.fast in seconds and known:
            ratio = min(known) / seconds[target.fast]
            yield {"fast": target.fast, "slow": ", ".join(slow), "at_least": target.at_least, "ratio": ratio}


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
