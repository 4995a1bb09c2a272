"""An implicit problem ready for a march: its index, a consistent start, and what was decided, in words."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from ..._arrays.namespace import Array, all_finite, quiet, random_moves
from .index import Index, SingularError, index_of, places
from .pencil import Pencils, Recorded
from .problem import ImplicitProblem
from .start import Start, consistent

SPREAD = 0.02
"""Changes of the state, as a share of its largest component, at which the pencil is looked at once more."""

NEARBY = 2
"""States that are changed so."""

CONSISTENT = ("project", "assume")
"""Values of `consistent`."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """
    A problem with its index and a consistent start.

    Parameters
    ----------
    problem : ImplicitProblem
        With `index`, and consistent `y0` and `yp0`.
    pencils : Pencils
    index : Index
    start : Start
    decisions : tuple of str
    """

    problem: ImplicitProblem
    pencils: Pencils
    index: Index
    start: Start
    decisions: tuple[str, ...]


def prepared(problem: ImplicitProblem, recorded: Recorded | str, *, moves: bool) -> Prepared:
    """
    The problem with its index and start; the state of the start is not changed unless it `moves`.

    `recorded` are the recorded equations, or why there are none, as the end of a sentence.

    Raises
    ------
    ValueError
        If the equations are singular or of an index above 3, or no consistent start is found.
    """
    slopes = np.zeros(problem.n) if problem.yp0 is None else problem.yp0
    _reject_no_tolerance(problem)
    _reject_not_finite(problem, slopes)
    pencils = Pencils(problem, recorded)
    pencils.reject_mistaken(problem.span[0], problem.y0, slopes)
    index = _index(problem, pencils, problem.y0, slopes)
    if problem.mass is None and problem.yp0 is None:
        _reject_vanishing(problem, pencils, index)
    start = consistent(problem, pencils, index, moves=moves)
    if start.moved.size:
        index = _index(problem, pencils, start.y0, start.yp0)
    ready = replace(problem, y0=start.y0, yp0=start.yp0, index=index.of_components)
    words = index.words, start.words(problem.y0), pencils.way
    return Prepared(ready, pencils, index, start, tuple(each for each in words if each))


def _reject_no_tolerance(problem: ImplicitProblem) -> None:
    """Raise if no error of a component is small enough."""
    none = np.flatnonzero(~(problem.bound(problem.y0) > 0))
    if none.size:
        raise ValueError(
            f"`atol` is zero for components {places(none)} of `y0`, which are zero: no error of these is within the "
            "tolerances; pass a positive `atol` for them."
        )


def _reject_not_finite(problem: ImplicitProblem, slopes: Array) -> None:
    """Raise if the equations are not finite at the start; what `fun` raises, the user sees at once."""
    with quiet():
        bad = np.flatnonzero(~np.isfinite(problem.residual(problem.span[0], problem.y0, slopes)))
    if bad.size:
        with_slopes, mend = "", "mend `fun` or `y0`"
        if problem.mass is None and problem.yp0 is None:
            with_slopes, mend = ", with `yp` zero", f"{mend}, or pass `yp0`"
        raise ValueError(f"`fun` is not finite at the start, in rows {places(bad)}{with_slopes}: {mend}.")


def _reject_vanishing(problem: ImplicitProblem, pencils: Pencils, index: Index) -> None:
    """Raise if the derivatives by slopes vanish where these are zero, as those of their squares do."""
    speed = SPREAD * (np.abs(problem.y0) + np.max(np.abs(problem.y0), initial=0.0) + SPREAD)
    with suppress(SingularError, np.linalg.LinAlgError):
        pair = pencils(problem.span[0], problem.y0, speed * random_moves((problem.n,), speed, seed=1))
        other = index_of(*pair, is_exact=pencils.is_exact)
        if other.of_problem < index.of_problem:
            raise ValueError(
                "the equations are of another kind where the derivatives `yp` are zero: they are not linear in `yp`, "
                "and may have several solutions; pass `yp0` to choose one."
            )


def _index(problem: ImplicitProblem, pencils: Pencils, y: Array, slopes: Array) -> Index:
    """
    The index at the start, with the highest index of each component there and at states nearby.

    Where a component is zero at the start, the equations may not couple it to others.
    """
    t, n, exact = problem.span[0], problem.n, pencils.is_exact
    size = SPREAD * float(np.max(np.abs(y), initial=0.0)) or SPREAD
    speed = SPREAD * float(np.max(np.abs(slopes), initial=0.0)) or SPREAD
    found, refused = list[Index](), list[SingularError]()
    for k in range(1 + NEARBY):
        moved = k * random_moves((n,), y, seed=k) * size / NEARBY
        changed = k * random_moves((n,), y, seed=k + NEARBY) * speed / NEARBY
        try:
            with quiet():
                pair = pencils(t, y + moved, slopes + changed)
                if not all(map(all_finite, pair)):
                    raise SingularError("the derivatives of `fun` are not finite")
                found.append(index_of(*pair, is_exact=exact))
        except SingularError as error:
            refused.append(error)
        except Exception:
            if k == 0:
                raise
        if found and found[0].of_problem < 2:
            return found[0]
    if not found:
        raise SingularError(f"At the start, {refused[0]}") from refused[0]
    first = found[0]
    alike = [one.of_components for one in found if one.of_problem == first.of_problem]
    return Index(first.of_problem, np.max(alike, axis=0))
