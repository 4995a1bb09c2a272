"""Memory that the blocks of a single-pass scan share. That scan is off until a GPU has judged it."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

import array_api_compat

from ..._arrays.namespace import Array, array_namespace, library

_KEPT: dict[Hashable, Array] = {}
_LOCK = threading.Lock()


@contextmanager
def workspace(like: Array, stream: Hashable, words: int) -> Iterator[Array]:
    """
    At least `words` words of 64 bits, zero when new, which no other thread launches kernels on within the context.

    Kernels of one stream run one after another, so that they share one piece of memory, and may leave values there
    for the next launch. Kernels of different streams may run at the same time, and have memory of their own.
    """
    xp, key = array_namespace(like), (library(like), stream)
    with _LOCK:
        held = _KEPT.get(key)
        if held is None or held.shape[0] < words:
            held = _KEPT[key] = xp.zeros(words, dtype=xp.int64, device=array_api_compat.device(like))
        yield held
