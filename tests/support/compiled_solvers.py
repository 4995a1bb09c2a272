"""Runs of compiled solvers of ODEs, and how members end, if they fail and if they do not."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from parscan._recorded.linearised import linearised
from parscan._recorded.native.members import COUNTS
from parscan._recorded.native.status import Status
from parscan._recorded.record import record
from tests.support.stiff_problems import PROBLEMS

MOST = 20_000
"""Attempts of steps, after which a member ends."""

FAILURES = {
    "blow-up": (lambda t, y: y * y, 1.0, 2.0, Status.STEP_TOO_SMALL),
    "not a number": (lambda t, y: np.where(t < 0.5, y, np.nan * y), 1.0, 2.0, Status.NOT_FINITE),
    "root": (lambda t, y: np.sqrt(0.5 - t) + 0 * y, 1.0, 2.0, Status.NOT_FINITE),
}
"""Functions, initial values, final times and what the solvers end with."""


def whole_log(run: Any) -> list[Any]:
    """All rows that a run writes, in a few calls of it."""
    log = []
    while run.advance(7):
        log.append(run.log)
    log.append(run.log)
    return [np.concatenate(part) for part in zip(*log, strict=True)] if run.log else []


class StiffRuns:
    """Runs of a compiled solver of stiff problems, and of its reference, with tolerances of this size by default."""

    def __init__(self, compiled: Any, reference: Any, rtol: float) -> None:
        self.compiled, self.reference, self.rtol = compiled, reference, rtol
        self.solver = cache(self._solver)

    def _solver(self, fun: Any, n: int, form: Any = None, dtype: Any = np.float64) -> Any:
        recording = record(fun, [np.zeros((), dtype), np.zeros(n, dtype)])
        return self.compiled(recording.program, linearised(recording), form)

    def solve(self, name: str, form: Any = None, span: Any = None, y0: Any = None, **options: Any) -> Any:
        """A run, and all rows that it writes."""
        fun, start, end, _ = PROBLEMS[name]
        y0 = np.atleast_2d(start if y0 is None else y0)
        run = self.solver(fun, y0.shape[1], form).start(*(span or (0.0, end)), y0, **(self._tolerances(name) | options))
        return run, whole_log(run)

    def references(self, name: str, span: Any = None, **options: Any) -> Any:
        """What the reference gives."""
        fun, y0, end, _ = PROBLEMS[name]
        given = self._tolerances(name) | options
        return self.reference.solve(fun, span or (0.0, end), y0, given.pop("rtol"), given.pop("atol"), **given)

    def _tolerances(self, name: str) -> dict[str, Any]:
        return {"rtol": self.rtol, "atol": self.rtol * PROBLEMS[name][3]}


def check_end(solver: Any, y0: float, end: float, status: Status) -> None:
    """Five members of one component must end alike, with a finite state, and at the end only if they finished."""
    run = solver.start(0.0, end, np.full((5, 1), y0), rtol=1e-6, atol=1e-8, most=MOST)
    while run.advance(100_000):
        pass
    assert (run.counts[:, 0] == status).all()
    assert np.isfinite(run.y).all()
    assert (run.t == end).all() == (status == Status.FINISHED)
    if status == Status.STEP_TOO_SMALL:
        np.testing.assert_allclose(run.t, 1.0, atol=1e-5)
    attempts = run.counts[:, COUNTS.index("accepted")] + run.counts[:, COUNTS.index("rejected")]
    assert (attempts == MOST).all() == (status == Status.TOO_MANY_STEPS)


def check_comparison(solver: Any, alone: Any, y0: Any, end: float, times: Any = None) -> None:
    """A second solve with larger tolerances ends as one of its own; the first one is not changed by it."""
    run, given = solver.lend(), {"rtol": 1e-6, "atol": 1e-8, "times": times}
    logs = []
    for looser in (10.0, 0.0, 10.0):
        run.begin(0.0, end, y0, **given, max_step=(0.5, 0.7), looser=looser)
        assert not run.advance(10_000)
        logs.append((*run.log, run.slopes, *(() if times is None else (run.values[0],)), run.counts[:1].copy()))
    for other in logs[1:]:
        for one, two in zip(logs[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
    assert not logs[0][0].any()
    for number, share in enumerate((1.0, 10.0)):
        options = {"rtol": share * given["rtol"], "atol": share * given["atol"], "max_step": (0.5, 0.7)[number]}
        expected = alone.start(0.0, end, np.atleast_2d(y0), **options)
        while expected.advance(10_000):
            pass
        np.testing.assert_allclose(run.y[number], expected.y[0], rtol=1e-12)
        assert run.t[number] == end
        np.testing.assert_array_equal(run.counts[number, :3], expected.counts[0, :3])
    if times is not None:
        np.testing.assert_array_equal(np.isfinite(logs[0][-2]), True)
        assert run.values.shape[0] == 2
        np.testing.assert_array_equal(np.isfinite(run.values[1]), True)
        np.testing.assert_allclose(run.values[1, :9], run.values[0, :9], atol=1e-3)  # later on, errors may grow
