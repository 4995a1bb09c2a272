"""Jacobians that were right at earlier solves: short loops, which do not use them, check them seldom."""

from __future__ import annotations

import weakref
from typing import Any

from ..._functions.step import Step

EVERY = 8
"""A Jacobian is checked again at every eighth solve, because closures and globals may have changed."""

_known: weakref.WeakKeyDictionary[Any, tuple[list[Any], int]] = weakref.WeakKeyDictionary()
"""For each Jacobian that was right: the step and its further arguments, and the number of solves since."""


def checked_before(step: Step) -> bool:
    """Whether the Jacobian was right at an earlier solve with the same functions and further arguments."""
    try:
        kept, uses = _known[step.given_jacobian]
    except (KeyError, TypeError):  # TypeError: it has no weak references, or no hash
        return False
    given = [step.function, *step.args]
    if len(kept) != len(given) or not all(map(_is_same, kept, given)):
        return False
    _known[step.given_jacobian] = kept, uses + 1
    return (uses + 1) % EVERY > 0


def note_checked(step: Step) -> None:
    """Remember that the Jacobian is right; nothing is kept alive by this."""
    given = [step.function, *step.args]
    try:
        kept = [one if type(one) in (int, float) else weakref.ref(one) for one in given]
        _known[step.given_jacobian] = kept, 0
    except TypeError:  # something has no weak references
        return


def _is_same(kept: Any, given: Any) -> bool:
    """Whether an argument is that of an earlier solve."""
    return bool(kept() is given if type(kept) is weakref.ref else type(kept) is type(given) and kept == given)
