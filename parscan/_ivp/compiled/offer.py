"""When machine code solves a problem: never, because the user demands it, or as soon as that pays."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import Any, Protocol, TypeAlias

from ..._recorded.budget import NoCodeError, UnpaidError, compiler_is_loaded, paid_by
from ..._reporting.progress import Report
from ..result.result import IvpResult
from .account import Account, Saving
from .accuracy import LeftError

PATIENCE = 25.0
"""A function that has no machine code is tried again when solves took this many times as long as the attempt."""

Solve: TypeAlias = Callable[[Report | None], IvpResult]
"""Solves by machine code, and reports the progress; raises `NoCodeError`."""

UNPAID = "`fun` is called: solves of it have not yet taken as long as making machine code would."


class Overtaken(Exception):  # noqa: N818 - it says what happened
    """Machine code solved the problem while another method did; `found` is the result."""

    def __init__(self, found: IvpResult) -> None:
        super().__init__(found)
        self.found = found


class Offer(Protocol):
    """
    Machine code for a problem.

    Attributes
    ----------
    is_due : bool
        Whether it is to be used at once.
    report : Report or None
        For the other methods, to show the progress. It raises `Overtaken` if machine code solved the problem meanwhile.
    remark : str
        Why machine code left the solution, as a sentence that begins with a space; "" if it did not.
    """

    is_due: bool
    remark: str

    @property
    def report(self) -> Report | None: ...

    def at_once(self) -> IvpResult | None:
        """The result by machine code; None if the other methods must solve the problem."""

    def settle(self) -> tuple[str, ...]:
        """Note that the other methods have solved the problem; return why they did, as sentences."""


class Never:
    """`fun` is called, for a reason that the user knows."""

    is_due, remark = False, ""

    def __init__(self, report: Report | None, reasons: tuple[str, ...] = ()) -> None:
        self.report, self._reasons = report, reasons

    def at_once(self) -> IvpResult | None:
        """No result."""
        return None

    def settle(self) -> tuple[str, ...]:
        """The reasons."""
        return self._reasons


class Demand:
    """The user demands machine code, by `compile=True` or a method that needs it: `by`."""

    is_due, remark = True, ""

    def __init__(self, solve: Solve, report: Report | None, by: str = "`compile=True`") -> None:
        self._solve, self.report, self._by = solve, report, by

    def at_once(self) -> IvpResult | None:
        """The result; raises `TypeError` if there is no machine code."""
        try:
            return self._solve(self.report)
        except LeftError as reason:
            self.remark = f" Machine code of `fun` {reason}."
        except NoCodeError as refusal:
            raise TypeError(f"`fun` cannot be compiled, as {self._by} asks: it {refusal}.") from refusal
        return None

    def settle(self) -> tuple[str, ...]:
        """What the code met."""
        return (self.remark.strip(),)


class Purchase:
    """Machine code as soon as it pays: at once, or while the other methods solve the problem."""

    def __init__(self, account: Account, solve: Solve, report: Report | None, own: Saving | None = None) -> None:
        self._account, self._solve, self._shown, self._own = account, solve, report, own
        self._begin, self._most = time.perf_counter(), 0.0
        self._due, self.remark, self._bought = account.lacks(), "", set[str]()
        self.is_due = self._due <= 0

    @property
    def report(self) -> Report | None:
        """See `Offer`."""
        return self._report if self._due < inf else self._shown

    def _report(self, done: float, **facts: Any) -> None:
        if self._elapsed >= self._due:
            self._most = done
            if (found := self.at_once()) is not None:
                raise Overtaken(found)
        if self._shown is not None:
            self._shown(done, **facts)

    def _further(self, done: float, **facts: Any) -> None:
        """Show the progress beyond what was shown before."""
        if done >= self._most and self._shown is not None:
            self._shown(done, **facts)

    @property
    def _elapsed(self) -> float:
        """Seconds of this solve, without attempts."""
        return time.perf_counter() - self._begin

    def at_once(self) -> IvpResult | None:
        """The result by machine code; None if more has to be saved, or there is no code."""
        account, before, debt = self._account, time.perf_counter(), 0.0
        if not compiler_is_loaded():
            _load()
        begin, self._due = time.perf_counter(), inf
        try:
            with paid_by(self):
                found = self._solve(None if self._shown is None else self._further)
        except UnpaidError as unpaid:
            account.wanted, self._due = unpaid.price, unpaid.lacks
        except LeftError as reason:
            self.remark, debt = f" Machine code of `fun` {reason}.", 1.0
        except NoCodeError as refusal:
            account.refusal, debt = str(refusal), PATIENCE
        else:
            account.close_purchase(self._bought, time.perf_counter() - begin, self._own)
            return found
        end = time.perf_counter()
        account.saved -= debt * (end - begin)
        self._begin += end - before
        return None

    def pay(self, what: str, seconds: float) -> None:
        """Pay for something; raises `UnpaidError`."""
        self._account.pay(what, seconds, self._elapsed, self._own)
        self._bought.add(what)

    def note(self, what: str, seconds: float) -> None:
        """Note what it took."""
        self._account.prices[what] = seconds

    def settle(self) -> tuple[str, ...]:
        """Enter the time of the other methods."""
        account = self._account
        account.enter(self._elapsed, self._own)
        if self.remark:
            return (self.remark.strip(),)
        return (f"`fun` is called: it {account.refusal}.",) if account.refusal else (UNPAID,)


def _load() -> None:
    """Load the recorder and LLVM."""
    from ..._recorded import memo  # noqa: F401, PLC0415 - slow to import
    from ..._recorded.native import explicit  # noqa: F401, PLC0415
