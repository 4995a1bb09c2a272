"""How members of compiled solvers of ODEs end, if they fail and if they do not."""

from __future__ import annotations

from typing import Any

import numpy as np

from parscan._recorded.native.members import COUNTS, Status

MOST = 20_000
"""Attempts of steps, after which a member ends."""

FAILURES = {
    "blow-up": (lambda t, y: y * y, 1.0, 2.0, Status.STEP_TOO_SMALL),
    "not a number": (lambda t, y: np.where(t < 0.5, y, np.nan * y), 1.0, 2.0, Status.NOT_FINITE),
    "root": (lambda t, y: np.sqrt(0.5 - t) + 0 * y, 1.0, 2.0, Status.NOT_FINITE),
}
"""Functions, initial values, final times and what the solvers end with."""


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
