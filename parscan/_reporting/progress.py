"""Progress reports of a solve: a bar, lines of text, or calls of a user's function."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol, TypeAlias

from .announce import has_terminal

FIRST, SHARE = 1.0, 0.05
"""Seconds before the first line of text; time between later lines, as a share of the time so far."""


@dataclass(frozen=True)
class Progress:
    """The progress of a solve: the argument of a function that is passed as ``progress``.

    Parameters
    ----------
    done, total : float
        Solved steps of a recurrence, and all steps; for an ODE, lengths of the solved part and of the span.
    method : str
        The current method, ``"newton"`` or ``"Radau"`` for example; ``"sequential"`` is the loop.
    window : int
        Number of steps, or intervals of a mesh, that the method solves at once; 1 for sequential solvers.
    iterations : int
        Iterations so far.
    correction : float or None
        Largest correction of the last iteration in units of the tolerance; None without iterations.
    seconds : float
        Time since the solve began.
    remaining : float or None
        Estimated seconds for the rest, at the mean speed so far; None until the first window is complete.
    """

    done: float
    total: float
    method: str
    window: int
    iterations: int
    correction: float | None
    seconds: float
    remaining: float | None


Show: TypeAlias = Callable[[Progress], object]
"""A callback that shows or keeps the progress."""

Watcher: TypeAlias = bool | Show
"""The `progress` argument: a flag or a callback."""

LENGTH = "{l_bar}{bar}| [{elapsed}<{remaining}{postfix}]"
"""tqdm's bar without numbers, for lengths."""


class Report(Protocol):
    """Callback invoked by solvers; uses only values that are already on the host."""

    def __call__(
        self, done: float, *, method: str, window: int, iterations: int = 0, correction: float | None = None
    ) -> None:
        """Report the progress."""


def check_watcher(progress: Watcher) -> None:
    """Raise unless `progress` is a flag or a function."""
    if not (callable(progress) or isinstance(progress, int)):
        raise TypeError(
            f"`progress` must be True, False or a function that takes a parscan.Progress, got {progress!r}."
        )


def watch(progress: Watcher, total: float, unit: str | None) -> AbstractContextManager[Report | None]:
    """Give the callback for a solver; None if the user wants no progress.

    `unit` is the noun for the things counted by `total`, None if that is a length. A bar is closed even after an
    exception.
    """
    return _reports(progress, total, unit) if callable(progress) or progress else nullcontext()


@contextmanager
def _reports(progress: Watcher, total: float, unit: str | None) -> Iterator[Report]:
    """Callbacks that add the times."""
    begin = time.perf_counter()
    with nullcontext(progress) if callable(progress) else _screen(total, unit) as show:

        def report(
            done: float, *, method: str, window: int, iterations: int = 0, correction: float | None = None
        ) -> None:
            seconds = time.perf_counter() - begin
            remaining = seconds * (total - done) / done if done and total < inf else None
            show(Progress(done, total, method, window, iterations, correction, seconds, remaining))

        yield report


def _screen(total: float, unit: str | None) -> AbstractContextManager[Show]:
    """A bar on a terminal, if tqdm is installed; else lines of text."""
    if has_terminal():
        try:
            from tqdm import tqdm  # noqa: PLC0415 - optional, and slow to import
        except ImportError:
            pass
        else:
            return _bar(tqdm, total, unit)
    return _lines(unit)


@contextmanager
def _bar(tqdm: Any, total: float, unit: str | None) -> Iterator[Show]:
    """A bar of tqdm's."""
    form = {"bar_format": LENGTH} if unit is None else {"unit": unit, "unit_scale": True}
    # Without `miniters`, the bar would not be redrawn during the iterations of a window.
    with tqdm(total=total, dynamic_ncols=True, miniters=0, file=sys.stderr, **form) as bar:

        def show(progress: Progress) -> None:
            bar.set_description_str(progress.method, refresh=False)
            bar.set_postfix_str(_details(progress), refresh=False)
            bar.update(progress.done - bar.n)

        yield show


@contextmanager
def _lines(unit: str | None) -> Iterator[Show]:
    """Lines of text at growing distances, and one at the end."""
    shown: Progress | None = None
    last: Progress | None = None

    def show(progress: Progress) -> None:
        nonlocal shown, last
        last = progress
        due = FIRST if shown is None else shown.seconds + max(FIRST, SHARE * shown.seconds)
        if progress.seconds >= due:
            shown = progress
            _print(progress, unit)

    yield show
    if last is not None and last is not shown:  # not after an exception
        _print(last, unit)


def _print(progress: Progress, unit: str | None) -> None:
    """One line."""
    if sys.stderr is None:  # in programs without a console
        return
    share = f"{100 * progress.done / progress.total:3.0f}%"
    counted = " of the span" if unit is None else f", {progress.done} of {progress.total} {unit}s"
    left = "" if progress.remaining is None else f", {progress.remaining:.1f} s left"
    work = ", ".join(filter(None, [progress.method, _details(progress)]))
    print(f"parscan: {share}{counted}: {work}; {progress.seconds:.1f} s{left}", file=sys.stderr, flush=True)


def _details(progress: Progress) -> str:
    """Iterations, window and correction in words, without those that are missing."""
    correction = progress.correction
    words = {
        f"iteration {progress.iterations}": progress.iterations > 0,
        f"window {progress.window}": progress.window > 1,
        f"correction {correction:.2g}" if correction is not None else "": correction is not None,
    }
    return ", ".join(word for word, counts in words.items() if counts)
