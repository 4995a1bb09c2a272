"""Whether recording and compiling a function pays, and what is known of that from earlier solves."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from .program import Program

T = TypeVar("T")

LOADING = 4e-2
"""Seconds to load the recorder and LLVM, once in a process."""

COMPILER = f"{(__package__ or '').partition('.')[0]}._recorded.native.compilation"
"""Module that loads LLVM."""

COMPILING, PER_OPERATION = 1e-2, 4e-5
"""Seconds to compile a small function, and what each operation adds."""

PATIENCE = 25.0
"""A function that could not be recorded is tried again when solves took this many times as long as the attempt."""

RECORDING = 1e-3
"""Seconds to record a small function."""

SOLVER, OF_SOLVER = 3e-2, 1e-4
"""Seconds to compile a solver of ODEs around a small function, and what each operation adds."""

MOST_KEPT = 256
"""Largest number of programs for which times are noted."""


class NoCodeError(Exception):
    """A function has no machine code; the argument is the reason, a clause with `it` for the function as subject."""


class UnpaidError(Exception):
    """Machine code is not made yet: it takes more time than a purse has; the arguments are its price and what lacks."""

    def __init__(self, price: float, lacks: float) -> None:
        super().__init__(price, lacks)
        self.price, self.lacks = price, lacks


class Purse(Protocol):
    """Time that may be spent on machine code."""

    def pay(self, what: str, seconds: float) -> None:
        """Pay for something that takes about so many seconds; raises `UnpaidError`."""

    def note(self, what: str, seconds: float) -> None:
        """Note what it took."""


class Free:
    """Pays for whatever is recorded or compiled."""

    def pay(self, what: str, seconds: float) -> None:
        """Pay."""

    def note(self, what: str, seconds: float) -> None:
        """Note nothing."""


FREE = Free()


_purse: ContextVar[Purse | None] = ContextVar("purse", default=None)


@contextmanager
def paid_by(purse: Purse) -> Iterator[None]:
    """What is recorded and compiled in this context is paid by a purse; elsewhere, nobody asks for the price."""
    token = _purse.set(purse)
    try:
        yield
    finally:
        _purse.reset(token)


def pay(what: str, seconds: float) -> None:
    """Let the purse of this context pay for something that takes about so many seconds; raises `UnpaidError`."""
    purse = _purse.get()
    if purse is not None:
        purse.pay(what, seconds)


def note(what: str, seconds: float) -> None:
    """Let the purse of this context note what something took."""
    purse = _purse.get()
    if purse is not None:
        purse.note(what, seconds)


def compiler_is_loaded() -> bool:
    """Whether LLVM is loaded in this process."""
    return COMPILER in sys.modules


class Ledger:
    """
    Time of solves with functions that were recorded but not compiled, for each program.

    A function is compiled once these solves, with the next one, take as long as compiling: the total time is then at
    most twice the optimum (the ski-rental rule).
    """

    def __init__(self) -> None:
        self._spent: OrderedDict[Any, float] = OrderedDict()
        self._prices: OrderedDict[Any, float] = OrderedDict()

    def pays_loading(self, seconds: float) -> bool:
        """Whether the compiler is loaded, or worth loading before a solve of this many seconds; they are added up."""
        return compiler_is_loaded() or self.buys(COMPILER, LOADING, seconds)

    def pays(self, program: Program, seconds: float, extra: float = 0.0) -> bool:
        """Whether to compile, for an `extra` price, before a solve of some seconds; they are added to its time."""
        return self.buys(program.kinds, COMPILING + PER_OPERATION * program.written + extra, seconds)

    def buys(self, key: Any, price: float, seconds: float) -> bool:
        """Whether to compile something with this key, which takes `price` seconds, before a solve of some seconds."""
        spent = self._spent.pop(key, 0.0) + seconds
        self._spent[key] = spent
        while len(self._spent) > MOST_KEPT:
            self._spent.popitem(last=False)
        return spent >= price

    def buys_anew(self, key: Any, price: float, seconds: float) -> bool:
        """The same for something that may have to be bought again: after that, nothing has been spent."""
        if not self.buys(key, max(price, self._prices.get(key, 0.0)), seconds):
            return False
        del self._spent[key]
        return True

    def taken(self, key: Any, price: float) -> float:
        """What was spent on something with this key, which is taken out, if it is the price; otherwise 0."""
        return self._spent.pop(key, 0.0) if self._spent.get(key, 0.0) >= price else 0.0

    def note_price(self, key: Any, price: float) -> None:
        """Note the seconds that something took which may have to be bought again."""
        self._prices.pop(key, None)
        self._prices[key] = price
        while len(self._prices) > MOST_KEPT:
            self._prices.popitem(last=False)


class Refusals:
    """Functions that could not be recorded: another attempt is made once solves since took much longer than one."""

    def __init__(self) -> None:
        self._known: OrderedDict[Any, tuple[float, str]] = OrderedDict()

    def enter(self, key: Any, seconds: float, reason: str) -> None:
        """Note an attempt that took some seconds."""
        self._known[key] = PATIENCE * seconds, reason
        while len(self._known) > MOST_KEPT:
            self._known.popitem(last=False)

    def reason(self, key: Any, seconds: float) -> str:
        """Why not to try before a solve of some seconds; "" if the function is to be recorded."""
        left, reason = self._known.pop(key, (0.0, ""))
        if left <= seconds:
            return ""
        self._known[key] = left - seconds, reason
        return reason


class Measurements:
    """
    Measured times of code, for programs that differ in constants only.

    They are measured at the uses 1, 2, 4, 8 and so on.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Any, tuple[Any, int]] = OrderedDict()

    def of(self, key: Any, measure: Callable[[], T], choose: Callable[[T, T], T]) -> T:
        """What was measured, perhaps now; `choose(old, new)` is what counts afterwards."""
        found, uses = self._known.pop(key, (None, 0))
        if not uses & (uses + 1):
            found = measure() if found is None else choose(found, measure())
        self._known[key] = found, uses + 1
        while len(self._known) > MOST_KEPT:
            self._known.popitem(last=False)
        return found
