"""Newton's loop: correct, record, test for the end. It knows no method, problem or array library."""

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
    """Raised if a correction cannot be completed, or gains nothing; `ending` is the reason."""

    def __init__(self, termination: Termination, note: str = "") -> None:
        super().__init__(termination.value)
        self.ending = Ending(termination, note)


class Iteration(ABC):
    """The iterate of a problem, its correction, and the convergence rule that ends the loop.

    This object keeps the iterate; the loop keeps the history.
    """

    @abstractmethod
    def correct(self) -> tuple[int, float]:
        """One Newton iteration: the number of solved nodes or intervals, and the largest correction in tolerances.

        If `Ended` is raised, the iterate must be unchanged.
        """

    @abstractmethod
    def terminate(self, history: list[float]) -> Ending | None:
        """Why the loop ends after these corrections, or None if it continues. May also raise `Ended`."""


def iterate(
    iteration: Iteration, report: Callable[[int, int, float], None] | None = None
) -> tuple[Ending, tuple[float, ...]]:
    """Correct until the iteration's rule ends the loop; return why, and the largest correction of every iteration.

    After every iteration, `report` receives the number of solved nodes or intervals, the number of iterations, and the
    last correction.
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
