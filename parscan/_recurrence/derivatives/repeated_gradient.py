"""
Gradients that are repeated: by the recording of an earlier one.

The first gradient finds out how the step is recorded with its parameters as variables, and compares the record with the
step. If it is the same function, with arguments of the same kinds, and all else that the function reads is the same, as
a glance shows, none of this has to be done again.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any

from ..._functions.parameters import BRANCHES, Chosen, Tree
from .recorded_gradient import ByParameters, opened_step
from .solution import Solution

if TYPE_CHECKING:
    from ..._recorded.glance import Look
    from ..._recorded.record import Recording

KEPT = 32
"""Gradients that can be repeated."""

NUMBERS = (int, float, complex, type(None))
"""Types of parameters without a shape."""


@dataclass(frozen=True)
class Known:
    """
    What the first gradient found.

    Parameters
    ----------
    function : weakref
        To the step.
    chosen : Chosen
        The parameters.
    keys : tuple of int
        Indices of those that are further arguments, ascending.
    others : tuple
        Tokens of the other arguments.
    recording : Recording
        Of the step with them as arguments.
    look : callable
        Whether the step reads what it read when it was recorded.
    """

    function: Callable[[], Any]
    chosen: Chosen
    keys: tuple[int, ...]
    others: tuple[Any, ...]
    recording: Recording
    look: Look


_known: OrderedDict[Any, Known] = OrderedDict()


def recalled(solution: Solution, params: Any) -> tuple[Chosen, ByParameters] | None:
    """Parameters, and the step recorded with them, if this repeats an earlier gradient; None if it has to be found."""
    from ..._recorded.memo import HELD  # noqa: PLC0415 - slow to import

    if not _known or (key := _key(solution, params)) is None or (one := _known.get(key)) is None:
        return None
    function, found = solution.step.function, one.function()
    if (found is function or found == function) and HELD in one.recording.notes and _is_same(solution, one):
        return one.chosen, ByParameters(solution, one.keys, one.recording)
    _known.pop(key, None)
    return None


def _is_same(solution: Solution, one: Known) -> bool:
    """Whether the step reads what it read when it was recorded."""
    try:
        return _others(solution, one.keys) == one.others and one.look(solution.step.value)
    except Exception:  # what cannot be read is not as before
        return False


def note(solution: Solution, params: Any, chosen: Chosen, exact: ByParameters) -> None:
    """Note the parameters of a gradient, and the step recorded with all of them."""
    from ..._recorded.memo import witness_of  # noqa: PLC0415 - slow to import

    function, key, witness = solution.step.function, _key(solution, params), witness_of(exact.recording)
    if key is None or witness is None:
        return
    try:
        reference = (weakref.WeakMethod if type(function) is MethodType else weakref.ref)(function)
        others = _others(solution, exact.keys)
        look = witness.look(opened_step(solution, exact.keys), len(others), solution.step.value)
    except Exception:  # there are no such references, or other arguments may change
        return
    if look is None:
        return
    _known[key] = Known(reference, chosen, exact.keys, others, exact.recording, look)
    while len(_known) > KEPT:
        _known.popitem(last=False)


def _others(solution: Solution, keys: tuple[int, ...]) -> tuple[Any, ...]:
    """Tokens of the other arguments; raises if one of them may change."""
    from ..._recorded.comparable import token  # noqa: PLC0415 - slow to import

    return tuple([token(one) for key, one in enumerate(solution.step.args) if key not in keys])


def _key(solution: Solution, params: Any) -> Any:
    """What has to be the same in repeated gradients, besides what the function reads; None if there are none."""
    step = solution.step
    if step.has_jacobian or solution.compiles is False:
        return None
    function, x = step.function, step.x
    own = (id(function.__self__), id(function.__func__)) if type(function) is MethodType else (id(function),)
    asked = (params, *map(type, params)) if type(params) is tuple else (params, type(params))
    inputs = tuple(map(_kind, x)) if type(x) is tuple else _kind(x)
    try:
        key = own, asked, _kind(solution.y0), type(x), inputs, tuple(map(_kind, step.args))
        hash(key)
    except (AttributeError, TypeError):  # of another type, or with no hash
        return None
    return key


def _kind(tree: Tree) -> Any:
    """The kind of a parameter, with those of its parts."""
    kind = type(tree)
    if kind in BRANCHES:
        parts = tree.items() if kind is dict else enumerate(tree)
        return kind, tuple([(key, type(key), _kind(part)) for key, part in parts])
    if kind in NUMBERS:
        return kind
    return kind, tree.shape, tree.dtype
