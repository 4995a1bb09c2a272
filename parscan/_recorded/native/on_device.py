"""Solvers of members on a device: a thread for each member, launched again and again until all have ended."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import inf, prod
from typing import Any, Protocol

import numpy as np

from ..budget import pay
from ..linearised import Linearised
from ..program import Argument, Program
from .device import DeviceKernel
from .explicit import Explicit
from .integrate import FIRST, MEMBERS, MOST, MOST_STEPS, TIME_COUNT, VALUED, WANTED
from .layout import aligned
from .members import COUNTS, NUMBERS, POINTERS, STRETCH, Form, Members
from .rosenbrock import Rosenbrock
from .same_text import structure
from .status import Status
from .text import UnsupportedError
from .thread_text import ThreadCode, thread_code

CAPACITY = NUMBERS.index("capacity")

MOST_BYTES = 1 << 30
"""Memory of all threads."""

KEPT = 64
"""Texts in memory."""

SOLVER_OF_DEVICE = 1.0
"""Seconds to compile a solver for a device, about."""

WHOLE = np.dtype(np.int64)

_lock = threading.Lock()
_kept: OrderedDict[Any, ThreadCode] = OrderedDict()

Launch = Callable[..., None]
"""`launch(threads, *arguments)` starts so many threads of a kernel; arguments are arrays of the device and integers."""


class Launcher(Protocol):
    """
    A device.

    Attributes
    ----------
    xp : module
        Like NumPy, with arrays in the memory of the device.
    """

    xp: Any

    @property
    def most_threads(self) -> int:
        """Threads that are started at a time; each takes one member after the other."""

    def address(self, array: Any) -> int:
        """Of an array in the memory of the device."""

    def to_host(self, array: Any) -> Any:
        """The array as NumPy's, when all that was launched before is done."""

    def load(self, kernel: DeviceKernel) -> Launch:
        """A kernel, ready to be started; raises `UnsupportedError` if the device cannot have it."""


@contextmanager
def within_memory() -> Iterator[None]:
    """Memory that is not left is a reason to do without threads of the device."""
    try:
        yield
    except MemoryError as error:
        raise UnsupportedError(f"needs more memory than is left ({error})") from error


class DeviceSolver:
    """
    A solver on a device: what `Solver` is on this processor, for ensembles whose steps are not logged.

    Parameters
    ----------
    programs : sequence of Program
    code : ThreadCode
        Of these programs, or of such with other constants.
    launcher : Launcher
    """

    def __init__(self, programs: Sequence[Program], code: ThreadCode, launcher: Launcher) -> None:
        self.launcher, self.code, self.form = launcher, code, code.facts.form
        self.launch = launcher.load(replace(code.kernel, table=code.driver.table(programs)))
        self.parameters: Sequence[Argument] = programs[0].arguments[2:]
        self.n, self.dtype = code.facts.n, code.facts.dtype
        self.attempts = FIRST
        """Attempts of steps of every member in a launch."""

    @within_memory()
    def start(
        self, t0: Any, end: Any, y0: Any, *, rtol: Any, atol: Any, max_step: Any = inf, first_step: Any = 0.0,
        share: Any = 1.0, parameters: Sequence[Any] = (), times: Any = None, valued: int | None = None,
        stretches: Any = None, most: int | None = None, threads: int = 1,
    ) -> DeviceRun:  # fmt: skip
        """Begin to solve; the arguments are those of `Solver.start`, NumPy's, but for `threads`."""
        run = DeviceRun(self, y0)
        spans = {"t0": t0, "end": end, "first": first_step, "longest": max_step, "tightness": 1.0 / np.asarray(share)}
        for name, given in spans.items():
            run.give(name, np.asarray(given, dtype=np.float64), 0)
        if times is not None:
            run.want(np.asarray(times, dtype=np.float64), valued)
        if self.form.has_stretches:
            run.give("stretches", np.asarray(_stretches(stretches, end, run.members), dtype=np.float64), 2)
        for number, (argument, given) in enumerate(zip(self.parameters, parameters, strict=True)):
            with np.errstate(over="ignore"):  # single precision has infinity instead
                array = np.asarray(given, dtype=argument.dtype)
            run.give(str(number), array, 0, is_shared=self.form.shared[number])
        run.begin(rtol, atol, most or MOST_STEPS)
        return run


class DeviceRun:
    """
    A solve on a device. `advance` goes on with it; `end` fetches what was found.

    Attributes
    ----------
    solver : DeviceSolver
    members, ended : int
        How many there are, and how many have ended.
    y, t, counts, values
        As those of `Run`, when the run has ended: in double precision, also of members that march in single precision.
    """

    def __init__(self, solver: DeviceSolver, y0: Any) -> None:
        self.solver, self.members, self.ended = solver, len(y0), 0
        self.y: Any = None
        self.t: Any = None
        self.counts: Any = None
        self.values: Any = None
        self.rates = self.changes = None
        xp, count = solver.launcher.xp, self.members
        self._threads = min(count, solver.launcher.most_threads, MOST_BYTES // (8 * solver.code.words))
        self._arrays: dict[str, tuple[Any, int]] = {}
        """Arrays in the memory of the device, and bytes from member to member."""
        self._numbers = np.zeros(len(NUMBERS), dtype=WHOLE)
        self.give("y0", np.ascontiguousarray(y0, dtype=solver.dtype), 1)
        self._place("y", xp.zeros((count, solver.n), dtype=solver.dtype))
        self._place("t", xp.zeros(count))
        self._place("counts", xp.zeros((count, len(COUNTS)), dtype=WHOLE))
        self._place("queue", xp.zeros(1, dtype=WHOLE), is_shared=True)

    def _place(self, name: str, array: Any, *, is_shared: bool = False) -> None:
        """Use an array of the device."""
        self._arrays[name] = array, 0 if is_shared else prod(array.shape[1:]) * array.dtype.itemsize

    def give(self, name: str, array: Any, shared_axes: int, *, is_shared: bool | None = None) -> None:
        """Copy what all members have, with so many axes, or each of them."""
        is_shared = array.ndim == shared_axes if is_shared is None else is_shared
        array = np.ascontiguousarray(array).reshape(array.shape or 1)
        self._place(name, self.solver.launcher.xp.asarray(array), is_shared=is_shared)

    def want(self, times: Any, valued: int | None) -> None:
        """Note where values are wanted, and of how many members, the first ones."""
        some, count = self.members if valued is None else valued, times.shape[-1]
        self._numbers[[TIME_COUNT, VALUED]] = count, some
        self.give("times", times, 1)
        shape = some, count, self.solver.n
        self._place("values", self.solver.launcher.xp.full(shape, np.nan, dtype=self.solver.dtype))

    def begin(self, rtol: Any, atol: Any, most: int) -> None:
        """Write the memory of all threads, which is the same at first."""
        launcher, fields = self.solver.launcher, self.solver.code.driver.fields
        memory = aligned(8 * self.solver.code.words)
        names = [*POINTERS, *map(str, range(len(self.solver.parameters)))]
        pointers = fields.flat(memory, "pointers")
        for place, name in enumerate(names):
            if name in self._arrays:
                array, stride = self._arrays[name]
                pointers[2 * place : 2 * place + 2] = launcher.address(array), stride
        self._numbers[[MEMBERS, MOST, CAPACITY, WANTED]] = self.members, most, 1 << 62, 1
        fields.flat(memory, "numbers")[...] = self._numbers
        fields.flat(memory, "tolerances")[...], fields.flat(memory, "limits")[...] = rtol, atol
        self._kept = launcher.xp.repeat(launcher.xp.asarray(memory.view(WHOLE)), self._threads)
        self._ended = launcher.xp.zeros(1, dtype=WHOLE)

    def advance(self, most: int, meanwhile: Callable[[], object] | None = None) -> int:
        """
        One launch, of at most so many attempts of every thread; return the number of members that have not ended.

        `meanwhile` is called while the device works.
        """
        is_launched = self.ended < self.members
        if is_launched:
            self.solver.launch(self._threads, self._kept, self._threads, most, self._ended)
        if meanwhile is not None:
            meanwhile()
        if is_launched:
            self.ended = int(self.solver.launcher.to_host(self._ended)[0])
        return self.members - self.ended

    def end(self) -> None:
        """Fetch what became of the members, and let go of the memory of the device."""
        fetch = self.solver.launcher.to_host
        self.t, self.counts = (fetch(self._arrays[name][0]) for name in ("t", "counts"))
        self.y = fetch(self._arrays["y"][0]).astype(np.float64, copy=False)
        if "values" in self._arrays:
            self.values = fetch(self._arrays["values"][0]).astype(np.float64, copy=False)
        self._arrays.clear()
        self._kept = None

    def give_back(self) -> None:
        """After `end`: nothing but `values` is wanted any more."""
        self.y = self.t = self.counts = None

    @property
    def status(self) -> Status:
        """Of the first member."""
        return Status(int(self.counts[0, 0]))


def _stretches(given: Any, end: Any, members: int) -> Any:
    """The stretches, or the whole span."""
    if given is not None:
        return given
    ends = np.broadcast_to(np.asarray(end, dtype=np.float64), (members,))
    assert STRETCH == ("stop", "low", "high")
    return np.stack([ends, np.full_like(ends, -inf), np.full_like(ends, inf)], axis=1)[:, None, :]


def explicit(program: Program, form: Form, launcher: Launcher) -> DeviceSolver:
    """DOP853; raises `UnsupportedError` if the device cannot have it."""
    return DeviceSolver(
        [program], _code(("DOP853", structure(program), form), partial(Explicit, program, form)), launcher
    )


def rosenbrock(program: Program, linearised: Linearised, form: Form, launcher: Launcher) -> DeviceSolver:
    """Rodas5P; raises `UnsupportedError` if the device cannot have it."""
    places = linearised.rows.tobytes(), linearised.columns.tobytes()
    programs = [program, linearised.program]
    key = "Rodas5P", *map(structure, programs), places, form
    return DeviceSolver(programs, _code(key, partial(Rosenbrock, program, linearised, form)), launcher)


def _code(key: Any, write: Callable[[], Members]) -> ThreadCode:
    """The text that belongs to a key, all of which it depends on."""
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    pay("solver", SOLVER_OF_DEVICE)
    found = thread_code(write)
    with _lock:
        _kept[key] = found
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found
