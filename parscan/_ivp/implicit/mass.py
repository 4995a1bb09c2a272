"""The mass matrix `M` of `M y' = f(t, y)`: what users give, checked, and its values."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._arrays.namespace import Array, all_finite, library

KINDS = "a diagonal (n,), a matrix (n, n), a sparse matrix of SciPy, or a function M(t) or M(t, y) of these"
"""What is taken."""


@dataclass(frozen=True, eq=False)
class Mass:
    """
    A mass matrix.

    Parameters
    ----------
    constant : array, shape (n,) or (n, n), or None
        The diagonal, or the matrix; None if a function gives it.
    function : callable, or None
        ``function(t, *args)`` or ``function(t, y, *args)``.
    takes_state : bool
        Whether the function is given the state.
    takes_args : bool
        Whether it is given the further arguments.
    n : int
        Number of components.
    """

    constant: Array | None
    function: Callable[..., Any] | None
    takes_state: bool
    takes_args: bool
    n: int

    @property
    def is_constant(self) -> bool:
        """Whether it is the same at all times."""
        return self.constant is not None

    def given(self, t: Any, y: Any, args: tuple[Any, ...]) -> Any:
        """The diagonal or the matrix, as the function gives it; it may be recorded."""
        if self.function is None:
            return self.constant
        return self.function(*((t, y) if self.takes_state else (t,)), *(args if self.takes_args else ()))

    def matrix(self, t: float, y: Array, args: tuple[Any, ...]) -> Array:
        """The matrix `(n, n)`, dense."""
        found: Any = self.constant
        if self.function is not None:
            found = _checked(self.given(t, y.copy(), args), self.n)
        return np.diag(found) if found.ndim == 1 else found


def times(mass: Any, yp: Any) -> Any:
    """The product of a diagonal or a matrix with slopes; it may be recorded."""
    if hasattr(mass, "toarray"):
        mass = mass.toarray()
    matrix = np.asarray(mass)
    return matrix * yp if matrix.ndim == 1 else matrix @ yp


def as_mass(mass: Any, n: int, fun: Callable[..., Any], args: tuple[Any, ...]) -> Mass:
    """
    The mass matrix of `n` components that a user gave.

    Raises
    ------
    TypeError, ValueError
        If it is of another library, kind or shape, or not finite; a function is asked when it is first evaluated.
    """
    if callable(mass):
        return Mass(None, mass, *_takes(mass, fun, args), n)
    found = _checked(mass, n)
    return Mass(found.copy(), None, False, False, n)


def _checked(mass: Any, n: int) -> Array:
    """A diagonal or matrix of floats."""
    if hasattr(mass, "toarray"):
        mass = mass.toarray()
    kind = library(mass) if hasattr(mass, "shape") else "numpy"
    if kind != "numpy":
        raise TypeError(f"`mass` is an array of {kind}, but `y0` is of numpy; pass {KINDS}.")
    try:
        found = np.asarray(mass)
    except ValueError as error:
        raise ValueError(f"`mass` cannot be made an array: {error}; pass {KINDS}.") from None
    if found.dtype.kind not in "biuf":
        raise TypeError(f"`mass` has the dtype {found.dtype}; pass real numbers: {KINDS}.")
    if found.shape not in ((n,), (n, n)):
        raise ValueError(f"`mass` has shape {found.shape} where `y0` has {n} components; pass {KINDS}, with n = {n}.")
    found = found.astype(np.float64)
    if not all_finite(found):
        raise ValueError("All entries of `mass` must be finite.")
    return found


def _takes(mass: Callable[..., Any], fun: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, bool]:
    """Whether a function is given the state, and whether the further arguments: by the number of its arguments."""
    names, extra = _names(mass), len(args)
    if names is None or len(names) == 2 + extra:
        return True, True
    if len(names) == 1:
        return False, False
    if len(names) == 2 and (len(names) != 1 + extra or names[1] in ("y", *(_names(fun) or ())[1:2])):
        return True, False
    if len(names) == 1 + extra:
        return False, True
    raise TypeError(
        f"`mass` takes {len(names)} arguments; it is called as mass(t), mass(t, y), or with the {extra} further ones "
        "of `args` after these."
    )


def _names(function: Callable[..., Any]) -> list[str] | None:
    """Names of the arguments that must be given by position; None if they are not known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return None
    return [
        each.name
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) and each.default is each.empty
    ]
