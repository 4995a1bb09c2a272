"""Starts of implicit problems: the index and a consistent state, found once for equations that are recorded."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Any

from ..implicit.prepared import Prepared, prepared
from ..implicit.problem import ImplicitProblem
from .equations import RecordedEquations

KEPT = 16
"""Starts of one function that are kept."""


def prepared_once(problem: ImplicitProblem, recorded: RecordedEquations, *, moves: bool) -> Prepared:
    """
    The problem with its index and start, as `prepared` gives it; that of an earlier solve from the same state.

    Recorded equations are found again only if all that they read is as it was. The pencils are those of the earlier
    solve: they are not for marches.
    """
    if problem.jac is not None:  # what it gives may have changed
        return prepared(problem, recorded, moves=moves)
    kept: OrderedDict[Any, Prepared] = recorded.notes.setdefault("prepared", OrderedDict())
    numbers = [problem.y0, problem.yp0, problem.rtols, problem.atol, *recorded.parameters]
    key = moves, problem.span, *(one.tobytes() if hasattr(one, "tobytes") else one for one in numbers)
    known = kept.get(key)
    if known is None:
        known = kept[key] = prepared(problem, recorded, moves=moves)
        while len(kept) > KEPT:
            kept.popitem(last=False)
    start = known.problem
    again = replace(problem, y0=start.y0, yp0=start.yp0, index=start.index)
    return replace(known, problem=again)
