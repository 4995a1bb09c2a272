"""A progress bar over time: tqdm's where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(total: int, *, enabled: bool, unit: str = "step") -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many of `total` units are solved."""
    try:
        if not enabled:
            raise ImportError
        from tqdm import tqdm  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        yield _ignore
        return
    with tqdm(total=total, unit=unit, unit_scale=True, dynamic_ncols=True) as bar:

        def show(solved: int) -> None:
            bar.update(solved - bar.n)

        yield show


def _ignore(_: int) -> None:
    """Nothing to show."""
