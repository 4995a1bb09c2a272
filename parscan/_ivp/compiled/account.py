"""Accounts of functions: the time of solves without machine code, which pays for making it, as one buys skis."""

from __future__ import annotations

import sys
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

from ..._arrays.namespace import library
from ..._recorded.budget import LOADING, RECORDING, UnpaidError, compiler_is_loaded
from ..core.problem import Problem

MOST_KEPT = 256
"""Largest number of functions with accounts."""

OTHERS, LOADING_OTHERS = "scipy.integrate", 0.2
"""What the other methods load, and seconds that it takes at least: more than the recorder and LLVM."""


@dataclass(frozen=True)
class Prices:
    """
    What is asked for machine code.

    Parameters
    ----------
    loading : float
        Seconds to load the recorder and LLVM, once in a process.
    share : float
        Share of the time that recording and compiling take: 0 if they are free, infinite if nothing is sold.
    """

    loading: float = LOADING
    share: float = 1.0


PRICES = Prices()

OBJECTS, DEARER = 16, 4.0
"""Function objects of an account that may save for themselves; how much dearer a purchase makes their next one."""


@dataclass
class Saving:
    """
    Time of solves without machine code of one function object, with its data; others may have the same code.

    Attributes
    ----------
    seconds : float
        Since the object's last purchase.
    dearer : float
        Factor of the price: an object that must be recorded again and again, for its data change, soon gives up.
    """

    seconds: float = 0.0
    dearer: float = 1.0


@dataclass
class Account:
    """
    Time of solves of one function.

    Attributes
    ----------
    saved : float
        Seconds of solves without machine code since something was bought, less debts.
    usual : float
        Seconds of the last solve without machine code: the next one would take as long.
    wanted : float
        Price of what is to be bought next, in seconds; 0 if all was bought.
    refusal : str
        Why the function has no machine code, as a clause; "" if that is not known.
    prices : dict
        What was bought, and how many seconds it took.
    again : float
        Seconds of a solve, all in all, for which the function was recorded anew and nothing else bought, at least; 0 if
        there was none.
    """

    saved: float = 0.0
    usual: float = 0.0
    wanted: float = RECORDING
    refusal: str = ""
    prices: dict[str, float] = field(default_factory=dict)
    again: float = 0.0
    _own: OrderedDict[int, tuple[weakref.ref[Any], Saving]] = field(default_factory=OrderedDict, repr=False)

    def lacks(self) -> float:
        """Seconds that a solve without machine code has to take before something can be bought."""
        lacking = PRICES.share * self.wanted - self.saved
        if not compiler_is_loaded():
            lacking = max(lacking, PRICES.loading - _of_all.saved)
        return lacking if lacking > self._expected else 0.0

    def pay(self, what: str, seconds: float, solved: float, own: Saving | None = None) -> None:
        """
        Pay for something that takes about so many seconds, after as many of a solve; raises `UnpaidError`.

        What was bought before must be worth its price in every single solve: it is bought for a function object with
        other data, which may be solved once. It would otherwise be used in one solve and not in the next, and their
        results differ by errors within the tolerance. An object that is solved again and again saves for its own.
        """
        known = what in self.prices
        price = PRICES.share * ((known and self.again) or self.prices.get(what, seconds))
        if not known:
            lacking = price - self.saved
        elif own is None:
            lacking = price
        else:
            lacking = price if own.seconds < own.dearer * price else 0.0
        if lacking > max(self._expected, solved):
            raise UnpaidError(price, lacking)

    @property
    def _expected(self) -> float:
        """Seconds that the next solve without machine code would take, as far as that is known."""
        return max(self.usual, 0.0 if OTHERS in sys.modules else LOADING_OTHERS)

    def enter(self, seconds: float, own: Saving | None = None) -> None:
        """Enter the time of a solve without machine code."""
        self.usual = seconds
        self.saved += seconds
        if own is not None:
            own.seconds += seconds
        if not compiler_is_loaded():
            _of_all.saved += seconds

    def close_purchase(self, bought: set[str], seconds: float, own: Saving | None = None) -> None:
        """All that was wanted is bought, in a solve that took some seconds."""
        if bought and own is not None:
            own.seconds, own.dearer = 0.0, DEARER * own.dearer
        if bought == {"recording"}:
            self.again = min(self.again or inf, seconds)
        self.wanted = self.saved = 0.0
        self.refusal = ""

    def saving_of(self, function: Any) -> Saving:
        """What a function object has saved for itself; of partial functions and methods, the object within counts."""
        key, held = id(inner := _object(function)), self._own
        reference, found = held.get(key, (None, Saving()))
        if reference is None or reference() is not inner:
            try:
                reference, found = weakref.ref(inner), Saving()
            except TypeError:  # none can be kept
                return Saving()
            held[key] = reference, found
            while len(held) > OBJECTS:
                held.popitem(last=False)
        return found


_accounts: OrderedDict[Any, Account] = OrderedDict()

_of_all = Account()
"""Of all functions together, until the recorder and LLVM are loaded."""


def account_of(problem: Problem) -> Account:
    """The account of a right-hand side for states of this library, shape and dtype: a device has code of its own."""
    key = _name(problem.fun), library(problem.y0), problem.y0.shape, problem.y0.dtype
    account = _accounts.get(key)
    if account is None:
        account = _accounts[key] = Account()
        while len(_accounts) > MOST_KEPT:
            _accounts.popitem(last=False)
    return account


def forget_accounts() -> None:
    """Begin anew."""
    _accounts.clear()
    _of_all.saved = 0.0


def _name(function: Any) -> Any:
    """The code of a function; of other objects, their type."""
    function = _unwrapped(function)
    return getattr(function, "__code__", type(function))


def _object(function: Any) -> Any:
    """The object that has the data: of a method, the one that it is bound to."""
    function = _unwrapped(function)
    return getattr(function, "__self__", function)


def _unwrapped(function: Any) -> Any:
    while True:
        if type(function) is partial:
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return function
