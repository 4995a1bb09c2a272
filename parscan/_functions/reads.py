"""Whether a function reads its first argument: a right-hand side that does not is the same at all times."""

from __future__ import annotations

from dis import get_instructions
from functools import lru_cache
from types import CodeType, FunctionType, MethodType
from typing import Any

ANYTHING = {"locals", "vars", "eval", "exec", "dir", "_getframe", "currentframe"}
"""Names by which a function may read its variables without naming them."""


def reads_first(function: Any) -> bool:
    """
    Whether a function may read its first argument.

    The instructions of a plain function or method tell; for other callables it is supposed.
    """
    skipped = 0
    if type(function) is MethodType:
        function, skipped = function.__func__, 1
    return type(function) is not FunctionType or _reads(function.__code__, skipped)


@lru_cache(maxsize=256)
def _reads(code: CodeType, number: int) -> bool:
    """Whether the instructions may read an argument."""
    if code.co_argcount <= number or ANYTHING.intersection(code.co_names):
        return True
    name = code.co_varnames[number]
    return any(
        name in (one.argval if isinstance(one.argval, tuple) else (one.argval,))
        for one in get_instructions(code)
        if not one.opname.startswith(("STORE_FAST_STORE", "DELETE")) and one.opname not in ("STORE_FAST", "MAKE_CELL")
    )
