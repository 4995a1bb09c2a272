"""How an integration ended."""

from __future__ import annotations

from enum import IntEnum


class IvpStatus(IntEnum):
    """How an integration ended: SciPy's codes, and two more."""

    FINISHED = 0
    EVENT = 1
    FAILED = -1
    NOT_FINITE = -3
    NONDETERMINISTIC = -4

    @property
    def text(self) -> str:
        """The code in words."""
        return {
            IvpStatus.FINISHED: "The solver successfully reached the end of the integration interval.",
            IvpStatus.EVENT: "A termination event occurred.",
            IvpStatus.FAILED: "The integration could not be continued.",
            IvpStatus.NOT_FINITE: "The right-hand side left the finite numbers.",
            IvpStatus.NONDETERMINISTIC: "The solution is one of many: the functions contradict themselves.",
        }[self]
