"""Progress reports of all solvers: windows of a mesh, and steps."""

from __future__ import annotations

from ..._reporting.progress import Report


class Reached:
    """Reports the length of the solved part of the span. `error` is an exception of the user's progress function."""

    def __init__(self, method: str, begin: float, report: Report) -> None:
        self.error: Exception | None = None
        self._method, self._begin, self._report = method, begin, report

    def __call__(self, time: float, window: int = 1, iterations: int = 0, correction: float | None = None) -> None:
        """Report the time reached, the intervals of the present window, the iterations and the last correction."""
        done = abs(time - self._begin)
        try:
            self._report(done, method=self._method, window=window, iterations=iterations, correction=correction)
        except Exception as error:
            self.error = error
            raise


def reached_by(method: str, begin: float, report: Report | None) -> Reached | None:
    """The reports of a method; None without a progress function."""
    return None if report is None else Reached(method, begin, report)
