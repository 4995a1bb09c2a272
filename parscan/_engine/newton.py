"""Newton's loop: correct, record, test. It knows no method, problem or array library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from .termination import Termination


@dataclass(frozen=True)
class Ending:
    """Why an iteration ends, and a remark for the message."""

    termination: Termination
    note: str = ""


class Ended(Exception):  # noqa: N818 - a signal within the package, no error
    """Raised where a correction cannot be completed, or gains nothing; its `ending` says why."""

    def __init__(self, termination: Termination, note: str = "") -> None:
        super().__init__(termination.value)
        self.ending = Ending(termination, note)


class Iteration(ABC):
    """A problem under correction, with the convergence rule that ends it.

    It keeps the iterate; the loop keeps the history.
    """

    @abstractmethod
    def correct(self) -> tuple[int, float]:
        """One Newton iteration on the whole iterate: the solved nodes or intervals, and the largest correction.

        Corrections are in tolerances. Where it raises `Ended`, the iterate stays.
        """

    @abstractmethod
    def terminate(self, history: list[float]) -> Ending | None:
        """Why the iteration ends after these corrections, if it does. It may raise `Ended`, too."""


def iterate(
    iteration: Iteration, report: Callable[[int, int, float], None] | None = None
) -> tuple[Ending, tuple[float, ...]]:
    """Correct until the iteration's own rule ends it; returns why, and the largest correction of every iteration.

    `report` receives the number of solved nodes or intervals, that of iterations, and the last correction, after every
    iteration.
    """
    history: list[float] = []
    ending = None
    while ending is None:
        try:
            solved, size = iteration.correct()
            history.append(size)
            if report is not None:
                report(solved, len(history), size)
            ending = iteration.terminate(history)
        except Ended as signal:
            ending = signal.ending
    return ending, tuple(history)
