"""Batches whose members do not depend on each other: machine code of one member, for several members at a time."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING

from .._arrays.namespace import Array
from .._arrays.threads import Threads, run_all

if TYPE_CHECKING:
    from .._recorded.batch import Member
    from .._recorded.program import Program

FEWEST = 8
"""Least number of members for which vectors of members are faster than a program of the whole batch."""

LARGE = 2000
"""If the whole batch has at least this many operations, fewer members are evaluated separately, too, on threads."""

THREADS = Threads(work_per_thread=1_000_000)
"""The work is counted in operations."""

TIMED = 1_000_000
"""Least number of operations whose time shows the pace."""

MUCH = 1 << 60
"""Operations that are worth every thread."""

KEPT = 8
"""Batches whose members are kept for a step that is recorded again."""

_lock = threading.Lock()
_kept: OrderedDict[bytes, Member | None] = OrderedDict()

if hasattr(os, "register_at_fork"):  # a child must not find the lock taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

COPIED = 1 << 22
"""Bytes of inputs that are copied at a time, if the inputs of members are not equally spaced in memory."""


def member_of(program: Program, batch: tuple[int, ...]) -> Member | None:
    """
    The program of one member of a batch, if that is faster than the program of the whole batch.

    The first argument and the result of the whole program are states `(1, *batch, n)`; other arguments are inputs.
    """
    count = prod(batch)
    if count < 2 or (count < FEWEST and program.operations < LARGE):
        return None
    from .._recorded.batch import decoupled  # noqa: PLC0415 - only where there is a batch

    axes, key = tuple(range(1, 1 + len(batch))), program.skeleton
    with _lock:
        is_known, known = key in _kept, _kept.get(key)
    if is_known and known is None:  # whatever the constants are
        return None
    found = known and known.of(program)
    if found is None:
        found = decoupled(program, [axes, *[None] * (len(program.arguments) - 1)], [axes])
    with _lock:
        _kept[key] = found
        _kept.move_to_end(key)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found


class Members:
    """
    The loop over all members of a batch, by the code of one member; used like a `Loop`.

    Parameters
    ----------
    member : Member
        The first argument of its program is the state.
    count : int
        Number of members.
    """

    def __init__(self, member: Member, count: int) -> None:
        from .._recorded.native.lanes import compiled_lanes  # noqa: PLC0415 - LLVM is slow to load

        self.program, self._member, self._count = member.program, member, count
        self._lanes = compiled_lanes(member.program)
        self._pace = 0.0
        """Measured seconds of an operation of one member, on all threads; 0 before."""

    def run(
        self, state: Array, inputs: Sequence[Array], out: Array, begin: int, end: int,
        report: Callable[[int], object] | None = None,
    ) -> bool:  # fmt: skip
        """Evaluate the steps `begin` to `end`: see `Loop.run`."""
        from .._recorded.native.loop import FIRST, PAUSE, portions  # noqa: PLC0415
        from .._recorded.pairs import as_pairs  # noqa: PLC0415

        are_finite, at_first = True, int(PAUSE / self._pace) if self._pace else FIRST
        shape = self.program.arguments[0].shape
        state, out = as_pairs(state), as_pairs(out)
        state, out = state.reshape(self._count, *shape), out.reshape(out.shape[0], self._count, *shape)
        operations, most = self.program.operations * self._count, THREADS.worthwhile(MUCH, self._count)
        at_a_time = max(1, COPIED // (8 * self._member.copied)) if self._member.copied else end - begin
        for first in range(begin, end, at_a_time):
            results = out[first : min(first + at_a_time, end), ...]
            steps = results.shape[0]
            rows = self._member.inputs([results, *(array[first : first + steps, ...] for array in inputs)], self._count)
            # The width does not depend on the work: each width has code of its own.
            march = self._lanes.march(state, rows, [results], 0, most)
            for count in portions(first, first + steps, operations, report, at_first):
                threads, start = THREADS.worthwhile(operations * count, min(most, march.groups)), time.perf_counter()
                run_all(march.tasks(count, threads))
                march.advance(count)
                if operations * count >= TIMED:
                    self._pace = max(time.perf_counter() - start, 1e-9) / (operations * count)
            state, are_finite = results[-1, ...], are_finite and march.are_finite
        return are_finite
