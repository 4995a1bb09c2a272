"""Tables of constants, which may be read at computed places."""

from __future__ import annotations

from typing import Any

import numpy

from .array import ABOVE, RecordingArray, as_recording, recorded
from .calls import known
from .graph import GATHER
from .limits import limits
from .refusal import Refused

np: Any = numpy  # whose types do not know recording arrays


def gather(table: RecordingArray, index: RecordingArray) -> RecordingArray:
    """Entries of a table of constants, `(m,)`, at computed places; outside of the table, the function raises."""
    values = table.constants
    if index.is_python and index.dtype.kind == "f":  # an integer such as that of `math.floor`: others are no index
        index = index.astype(np.int64)
    if values is not None and values.dtype.kind == "c":
        found: RecordingArray = ABOVE["paired"](*(gather(part, index) for part in ABOVE["parts"](table)))
        return found
    if values is None or values.ndim != 1 or values.dtype.kind != "f" or index.dtype.kind not in "iu":
        if not index.ndim and index.graph.branches is not None and index.dtype.kind in "iu":
            return table[index.integer("indexes by")]
        raise Refused("indexes by a value an array that is no table of floating-point numbers with one axis")
    low, high = limits(index.graph, index.ids)
    if low < -len(values) or high >= len(values):
        ABOVE["raises"](table.graph, np.any((index < -len(values)) | (index >= len(values))))
    ids = recorded(table.graph, GATHER, table.dtype, [index.ids], table.graph.table(values))
    return RecordingArray(table.graph, ids, table.dtype)


class Table(np.ndarray):  # type: ignore[misc]
    """A large array of the user's: it may be read, also at computed places."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, RecordingArray) and key.constants is None:
            return gather(as_recording(key.graph, self.view(np.ndarray)), key)
        found = self.view(np.ndarray)[known(key)]
        return found.view(Table) if isinstance(found, np.ndarray) else found

    def __setitem__(self, key: Any, value: Any) -> None:
        raise Refused("writes to a large array that it does not make itself")


def table_of(given: Any) -> Table:
    """A table that shares memory with an array, and by which nobody can write to it."""
    found: Table = np.asarray(memoryview(given).toreadonly()).view(Table)
    return found


ABOVE["gather"] = gather
