"""What a recurrence's solve says, by the way that it takes and by all layers of checks."""

import sys
import warnings
from dataclasses import fields

import numpy as np
import pytest

import parscan
from parscan._engine.march import Record
from parscan._recurrence.report import build_result

solve = sys.modules["parscan._recurrence.solve"]


def told(*given, residual=True, **options):
    """All that a solve says: its result, or its error, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            sol = parscan.solve_recurrence(*given, **options)
        except Exception as error:
            found = [type(error), str(error), getattr(error, "__notes__", ())]
        else:
            found = [getattr(sol, field.name) for field in fields(sol) if field.name not in ("y", "_solution")]
            assert not sol.success or np.isfinite(sol.y).all()
            found += [sol.y.dtype, sol.y.shape, sol.y.tobytes(), type(sol.y), set(vars(sol)), repr(sol)]
            found += [str(sol.residual)] if residual and isinstance(sol.y, np.ndarray) else []
    return found, [(one.category, str(one.message), one.filename) for one in caught]


def all_of_it(*given, **options):
    """The same with all checks and layers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solve, "brief_loop", lambda *_: None)
        patch.setattr(solve, "usual_task", lambda *_: None)
        patch.setattr(
            solve,
            "result_of_loop",
            lambda trajectory, looped, found, choice, _: build_result(
                found.step, trajectory, Record(looped=looped, reached=trajectory.shape[0]), found, choice, 0
            ),
        )
        return told(*given, **options)
