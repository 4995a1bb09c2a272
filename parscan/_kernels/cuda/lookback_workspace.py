"""Memory that the blocks of a launch share and that is kept between launches, one piece per stream."""

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
    """At least so many words of 64 bits, zero when they are new; within the context nobody else launches on them.

    Kernels of one stream follow each other, so that they may use the same memory, and leave something there for the
    next launch; those of different streams may run at the same time.
    """
    xp, key = array_namespace(like), (library(like), stream)
    with _LOCK:
        held = _KEPT.get(key)
        if held is None or held.shape[0] < words:
            held = _KEPT[key] = xp.zeros(words, dtype=xp.int64, device=array_api_compat.device(like))
        yield held
