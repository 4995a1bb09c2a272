"""Recordings that are kept: a function that reads what it read before is not recorded again."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from .budget import RECORDING, note, pay
from .captured import Opened
from .record import NO_WISHES, Recording, Wishes, recorded
from .witness import Witness

KEPT = 64
"""Recordings that are kept."""

LARGEST = 64 << 20
"""Bytes that they may take."""

HELD = "held"
"""Noted of recordings that are kept: whoever has one need not look for it."""

OF_A_NODE = 500
"""Bytes of a node of a graph, about."""

ALIKE = 4
"""Recordings of one function that are kept."""

_lock = threading.Lock()
_kept: OrderedDict[Any, list[tuple[Witness, Recording]]] = OrderedDict()

if hasattr(os, "register_at_fork"):  # a child must not find the lock taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def remembered(
    function: Callable[..., Any],
    examples: Sequence[Any],
    constants: Sequence[Any],
    limit: int,
    wishes: Wishes = NO_WISHES,
) -> Recording:
    """
    The recording of a function: one from before, if all that the function reads is as it was then.

    The arguments and exceptions are those of `record`. Several threads may have the recording: whoever enters
    operations into its graph must see to it that only one thread does so at a time.

    What is recorded now has to be paid, and its price is noted: see `budget.pay`.
    """
    if found := recalled(function, examples, constants, limit, wishes=wishes):
        return found
    pay("recording", RECORDING)
    begin = time.perf_counter()
    recording, copies = recorded(function, examples, constants, limit=limit, wishes=wishes)
    note("recording", time.perf_counter() - begin)
    try:
        witness = Witness(function, constants, copies)
    except Exception:  # something cannot be compared
        return recording
    key = _key(function, examples, constants, limit, wishes)
    recording.notes[HELD] = True
    with _lock:
        entries = [(witness, recording), *_kept.pop(key, ())]
        _kept[key] = entries[:ALIKE]
        _let_go(entries[ALIKE:])
        _shrink()
    return recording


def recalled(
    function: Callable[..., Any],
    examples: Sequence[Any],
    constants: Sequence[Any],
    limit: int,
    worth: float = inf,
    wishes: Wishes = NO_WISHES,
) -> Recording | None:
    """
    A recording from before, as `remembered` returns it; None if there is none.

    Those are left out for which the comparison of what the function reads took more seconds than it is `worth`.
    """
    key = _key(function, examples, constants, limit, wishes)
    with _lock:
        entries = list(_kept.get(key, ()))
    for witness, recording in entries:
        if witness.seconds <= worth and witness.holds(function, constants):
            with _lock:
                if key in _kept:
                    _kept.move_to_end(key)
            return recording
    return None


def _key(function: Any, examples: Sequence[Any], constants: Sequence[Any], limit: int, wishes: Wishes) -> Any:
    return _name(function), tuple(map(_shapes, examples)), len(constants), limit, wishes


def witness_of(recording: Recording) -> Witness | None:
    """The witness of a recording that is kept."""
    with _lock:
        return next((witness for some in _kept.values() for witness, one in some if one is recording), None)


def entry_of(recording: Recording) -> tuple[Any, Witness] | None:
    """Where a recording is kept, and its witness."""
    with _lock:
        every = ((key, one, witness) for key, some in _kept.items() for witness, one in some)
        return next(((key, witness) for key, one, witness in every if one is recording), None)


def is_kept(key: Any, recording: Recording) -> bool:
    """Whether a recording is kept there."""
    with _lock:
        return any(one is recording for _, one in _kept.get(key, ()))


def forget(recording: Recording) -> None:
    """Keep a recording no more, nor what was noted with it."""
    recording.notes.clear()
    with _lock:
        for key, entries in list(_kept.items()):
            _kept[key] = [entry for entry in entries if entry[1] is not recording]


def _shrink() -> None:
    """Forget the recordings that were used least lately."""
    sizes = {key: sum(one.size + OF_A_NODE * other.graph.size for one, other in some) for key, some in _kept.items()}
    count, size = sum(map(len, _kept.values())), sum(sizes.values())
    while len(_kept) > 1 and (count > KEPT or size > LARGEST):
        key, some = _kept.popitem(last=False)
        _let_go(some)
        count, size = count - len(some), size - sizes[key]


def _let_go(entries: Sequence[tuple[Witness, Recording]]) -> None:
    """Note of recordings that they are not kept any more."""
    for _, recording in entries:
        recording.notes.pop(HELD, None)


def _name(function: Any) -> Any:
    """What a function is called, and where it stands."""
    if type(function) is partial:
        return _name(function.func)
    if type(function) is MethodType:
        return _name(function.__func__)
    if type(function) is Opened:
        return function.kind, _name(function.function)
    if type(function) is FunctionType:
        code = function.__code__
        return code.co_qualname, code.co_filename, code.co_firstlineno
    return type(function).__qualname__


def _shapes(example: Any) -> Any:
    if isinstance(example, np.ndarray):
        return example.shape, example.dtype.char
    if isinstance(example, tuple):
        return tuple(map(_shapes, example))
    return np.shape(example), np.asarray(example).dtype.char
