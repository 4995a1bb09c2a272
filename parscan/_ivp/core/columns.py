"""Functions of matrices, as SciPy calls them with ``vectorized=True``: a single state is a matrix with one column."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any


def by_columns(fun: Callable[..., Any]) -> Callable[..., Any]:
    """The function of states `(n, k)`, which may then be called with a single state `(n,)` too."""

    @wraps(fun)
    def function(t: Any, y: Any, *args: Any) -> Any:
        if y.ndim > 1:
            return fun(t, y, *args)
        value = fun(t, y[:, None], *args)
        return [_first(part) for part in value] if isinstance(value, list | tuple) else _first(value, rank=2)

    return function


def _first(value: Any, rank: int = 1) -> Any:
    """The first column of a returned value or of one of its components; a value without columns as it is."""
    if isinstance(value, list | tuple):
        return value[0] if len(value) == 1 else value
    return value[..., 0] if getattr(value, "ndim", 0) >= rank else value
