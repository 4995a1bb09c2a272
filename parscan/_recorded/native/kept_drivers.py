"""Drivers that are kept: in memory, and on disk with what is needed to run their code, so that no text is written."""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..._arrays import disk
from . import compilation, libm
from .driver import Driver, Fields
from .kernel import Kernel
from .layout import aligned
from .members import Facts, Form

KEPT = 64
"""Drivers in memory."""

_lock = threading.Lock()
_kept: OrderedDict[Any, tuple[Driver, Facts]] = OrderedDict()

if hasattr(os, "register_at_fork"):  # a child must not find the lock taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Writer(Protocol):
    """Writes a driver."""

    @property
    def facts(self) -> Facts:
        """What Python has to know of it."""

    def driver(self) -> Driver:
        """The driver."""


def driver(key: Any, write: Callable[[], Writer]) -> tuple[Driver, Facts]:
    """
    The driver that belongs to a key, whose `repr` says all that its text depends on; `write` makes its writer.

    Raises
    ------
    UnsupportedError
        If there is no machine code for it.
    """
    with _lock:
        found = _kept.pop(key, None)
    if found is None:
        place = _place(key)
        found = _load(place)
    if found is None:
        writer = write()
        found = writer.driver(), writer.facts
        found[0].compile()
        _save(place, *found)
    with _lock:
        _kept[key] = found
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found


def _place(key: Any) -> str:
    """Name on disk."""
    text = f"driver {sys.version} {_sources()} {compilation.machine_name()} {key!r}"
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _sources() -> str:
    """The files that write drivers, by their sizes and times."""
    folder = Path(__file__).parent
    files = [entry for one in (folder, folder.parent) for entry in os.scandir(one) if entry.name.endswith(".py")]
    return repr(sorted((one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in files))


def _save(place: str, one: Driver, facts: Facts) -> None:
    """Keep a driver on disk, apart from the object code, which is kept already."""
    kernel = one.kernel
    content = (
        compilation.key_of(kernel), list(kernel.external), kernel.table.tobytes(), kernel.scratch,
        [(name, start, dtype.str, shape) for name, (start, dtype, shape) in one.fields.all.items()],
        [(start, number, [_plain(source) for source in sources]) for start, number, sources in one.routines],
        astuple(facts.form), facts.n, facts.dtype.str, facts.degree,
    )  # fmt: skip
    disk.save(place, marshal.dumps(content))


def _plain(source: tuple[Any, ...]) -> tuple[Any, ...]:
    """Where some constants come from, without arrays: see `Kernel.sources`."""
    start, dtype, place = source
    return start, dtype.str, place if isinstance(place, int) else np.asarray(place, dtype=np.int64).tobytes()


def _load(place: str) -> tuple[Driver, Facts] | None:
    """A driver from disk; None if it is not there, or its code is not."""
    content = disk.load(place)
    if content is None:
        return None
    key, names, table_bytes, scratch, fields, routines, form, n, dtype, degree = marshal.loads(content)
    external = {name: libm.address_of(name) for name in names}
    try:
        code = compilation.known(key, external) if all(external.values()) else None
    except RuntimeError:  # of LLVM, which cannot load it
        code = None
    if code is None:
        return None
    table = aligned(len(table_bytes))
    table[...] = np.frombuffer(table_bytes, np.uint8)
    known = Fields()
    known.all = {name: (start, np.dtype(dtype), shape) for name, start, dtype, shape in fields}
    sources = tuple((start, number, tuple(map(_source, some))) for start, number, some in routines)
    one = Driver(Kernel("", external, table, scratch), known, sources)
    one.compile(code)
    return one, Facts(Form(*form), n, np.dtype(dtype), degree)


def _source(plain: tuple[Any, ...]) -> tuple[Any, ...]:
    start, dtype, place = plain
    return start, np.dtype(dtype), place if isinstance(place, int) else np.frombuffer(place, np.int64)
