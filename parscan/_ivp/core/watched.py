"""How far a solution has come, told by all that solves: windows of a mesh, and solvers that step."""

from __future__ import annotations

from ..._reporting.progress import Report


class Reached:
    """Reports times, as lengths of the span from its begin on; `error` is what a user's function raised at it."""

    def __init__(self, method: str, begin: float, report: Report) -> None:
        self.error: Exception | None = None
        self._method, self._begin, self._report = method, begin, report

    def __call__(self, time: float, window: int = 1, iterations: int = 0, correction: float | None = None) -> None:
        """Tell the time that is reached, the intervals in work at once, the iterations and the last correction."""
        done = abs(time - self._begin)
        try:
            self._report(done, method=self._method, window=window, iterations=iterations, correction=correction)
        except Exception as error:
            self.error = error
            raise


def reached_by(method: str, begin: float, report: Report | None) -> Reached | None:
    """What a method tells; nothing if nobody wants to know."""
    return None if report is None else Reached(method, begin, report)
