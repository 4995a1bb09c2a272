"""Advice after a solve that was slow or failed."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable

from .._engine.march import Record
from .._engine.termination import Termination
from .._reporting.place import users_level
from ..warnings import SlowConvergenceWarning

MANY_ITERATIONS = 50
"""Number of iterations in a window from which on a warning is given."""

ADVICE = {
    Termination.CONVERGED: "pass a `jac`, a `guess` or a smaller `window`, or let method='auto' choose",
    Termination.STALLED: "the recurrence forgets its past too slowly for this method; try method='newton'",
    Termination.NOT_FINITE: "the guess is far off; pass a `guess`, a smaller `window` or damping=parscan.Clipping()",
    Termination.RAISED: "the step rejects guessed states; pass a `guess` or a smaller `window`",
    Termination.EXHAUSTED: "raise `max_iterations`, choose a smaller `window` or another method, or leave it to 'auto'",
    Termination.GREW: "small changes grow along this trajectory (see `sol.lyapunov`); little is gained on the loop",
    Termination.LATE: "the iterations take longer than the loop; a `jac` or `structure`, where none is given, may help",
}
"""Advice for each reason for which a window ended."""


JUMPS = (
    "`step` jumps (as by np.where, np.sign or np.floor of the state), and iterations from a guess do not settle beside "
    "jumps: take method='sequential', or make the jump smooth"
)
"""Advice if jumps of the step are the reason."""


def advice(record: Record, jumps: Callable[[], bool]) -> str:
    """Advice after a march that the loop had to finish; `jumps()` returns whether the step jumps."""
    if jumps():
        return JUMPS
    last = record.solves[-1].method if record.solves else ""
    failures = Counter(attempt.termination for attempt in record.solves if attempt.method == last)
    failures.pop(Termination.CONVERGED, None)
    return ADVICE[failures.most_common(1)[0][0]] if failures else ADVICE[Termination.CONVERGED]


def warn_if_slow(method: str, record: Record, steps: int, jumps: Callable[[], bool]) -> None:
    """Warn the caller of `solve_recurrence` if the named method left steps to the loop, or took many iterations."""
    most = max((len(attempt.history) for attempt in record.solves), default=0)
    if record.looped:
        trouble = f"the loop had to evaluate {record.looped} of {steps} steps"
    elif most >= MANY_ITERATIONS:
        trouble = f"it took up to {most} iterations in a window"
    else:
        return
    text = f'method="{method}": {trouble}; {advice(record, jumps)}.'
    warnings.warn(text, SlowConvergenceWarning, stacklevel=users_level())
