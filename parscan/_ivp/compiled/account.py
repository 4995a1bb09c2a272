"""Accounts of functions: the time of solves without machine code, which pays for making it, as one buys skis."""

from __future__ import annotations

import sys
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

    def lacks(self) -> float:
        """Seconds that a solve without machine code has to take before something can be bought."""
        lacking = PRICES.share * self.wanted - self.saved
        if not compiler_is_loaded():
            lacking = max(lacking, PRICES.loading - _of_all.saved)
        return lacking if lacking > self._expected else 0.0

    def pay(self, what: str, seconds: float, solved: float) -> None:
        """
        Pay for something that takes about so many seconds, after as many of a solve; raises `UnpaidError`.

        What was bought before must be worth its price in every single solve. It would otherwise be used in one solve
        and not in the next, and their results differ by errors within the tolerance.
        """
        known = what in self.prices
        price = PRICES.share * ((known and self.again) or self.prices.get(what, seconds))
        lacking = price - (0.0 if known else self.saved)
        if lacking > max(self._expected, solved):
            raise UnpaidError(price, lacking)

    @property
    def _expected(self) -> float:
        """Seconds that the next solve without machine code would take, as far as that is known."""
        return max(self.usual, 0.0 if OTHERS in sys.modules else LOADING_OTHERS)

    def enter(self, seconds: float) -> None:
        """Enter the time of a solve without machine code."""
        self.usual = seconds
        self.saved += seconds
        if not compiler_is_loaded():
            _of_all.saved += seconds

    def close_purchase(self, bought: set[str], seconds: float) -> None:
        """All that was wanted is bought, in a solve that took some seconds."""
        if bought == {"recording"}:
            self.again = min(self.again or inf, seconds)
        self.wanted = self.saved = 0.0
        self.refusal = ""


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
    while True:
        if type(function) is partial:
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return getattr(function, "__code__", type(function))
