"""Modules of NumPy, SciPy and the user, and their functions, in recorded functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import MethodType, ModuleType
from typing import Any

import numpy

from .array import QUICK, RecordingArray, as_recording
from .calls import TABLE, holds, lifted
from .functions import OPERANDS, SIMPLE, call_library, call_listed, is_listed
from .graph import Graph
from .python_numbers import is_number
from .refusal import Refused
from .short_ways import SHORT

np: Any = numpy  # whose types do not know recording arrays


class Library:
    """A module whose functions record, or are copies."""

    def __init__(self, module: ModuleType, copies: Any) -> None:
        self.__dict__.update(__name__=module.__name__, _module=module, _copies=copies)

    def __getattr__(self, name: str) -> Any:
        found = self._copies.reads.attribute(self._module, name)
        if self.__name__ == "numpy":
            found = SPECIAL.get(name, found)
        found = found.make(self._copies) if isinstance(found, Special) else self._copies.value(found)
        self.__dict__[name] = found
        return found

    def __delattr__(self, name: str) -> None:
        raise Refused(f"deletes `{self.__name__}.{name}`")


class LibraryFunction:
    """A function of NumPy or SciPy: it takes recording arrays in lists, too, and the arrays that it makes record."""

    def __init__(self, function: Any, graph: Graph) -> None:
        self._function, self._graph = function, graph
        self.__name__ = getattr(function, "__name__", "function")
        self._call = call_listed if is_listed(function) else call_library
        self._short = SHORT.get(self.__name__) if getattr(np, self.__name__, None) is function else None

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the function, or record the call."""
        short = self._short
        if short is not None and not options and (found := short(self._graph, *args)) is not None:
            return found
        return self._call(self._graph, self._function, args, options)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._function, name)
        if not callable(found):
            return found

        def method(*args: Any, **options: Any) -> Any:
            args = tuple(as_recording(self._graph, a) if isinstance(a, list | tuple) and holds(a) else a for a in args)
            return lifted(self._graph, found(*args, **options))

        return method


class Cached:
    """A function with a cache: a copy of the function, with a cache of its own for calls without recorded values."""

    def __init__(self, given: Any, copies: Any) -> None:
        self.__name__ = given.__name__
        self._function = copies.value(given.__wrapped__)
        self._cached = functools.lru_cache(**given.cache_parameters())(self._function)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The result of the first call with equal arguments, which the function may have changed since."""
        function = self._function if holds(args) or holds(options) else self._cached
        return function(*args, **options)

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        """A method."""
        return self if owner is None else MethodType(self, owner)

    def cache_info(self) -> Any:
        """Refuse: the numbers of calls are those of the user's function."""
        raise Refused("counts its calls, or keeps a history of them")

    def cache_clear(self) -> None:
        """Forget all results."""
        self._cached.cache_clear()


COMPOSED = frozenset(["square", "reciprocal", "radians", "deg2rad", "degrees", "rad2deg"])
"""Ufuncs of one operand that are made of operations."""


class Ufunc(LibraryFunction):
    """A ufunc that is an operation: most calls are recorded at once."""

    def __init__(self, function: Any, graph: Graph) -> None:
        super().__init__(function, graph)
        name = self.__name__
        self._quick: tuple[Any, ...]
        self._quick = QUICK.get(name, ()) if name in SIMPLE else (TABLE[name],) if name in COMPOSED else ()

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the function, or record the call."""
        quick = self._quick
        if not options and 0 < len(args) == len(quick):
            one = args[0]
            if len(args) == 1:
                if type(one) is RecordingArray and one.form is not None:
                    return quick[0](one)
            else:
                other = args[1]
                if type(one) is RecordingArray:
                    if one.form is not None and type(other) in OPERANDS:
                        return quick[0](one, other)
                elif type(other) is RecordingArray and other.form is not None and type(one) in OPERANDS:
                    return quick[1](other, one)
        return call_library(self._graph, self._function, args, options)


class Special:
    """A member of NumPy that is neither a function nor a constant, and how its stand-in is made."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make


class Concatenation:
    """`np.r_` and `np.c_`."""

    def __init__(self, copies: Any, *, columns: bool) -> None:
        self._graph, self._columns = copies.graph, columns

    def __getitem__(self, key: Any) -> Any:
        if not holds(key):
            return lifted(self._graph, (np.c_ if self._columns else np.r_)[key])
        given = [
            np.r_[part] if isinstance(part, slice) else part for part in (key if isinstance(key, tuple) else (key,))
        ]
        if any(isinstance(part, str) for part in given):
            raise Refused("uses `np.r_` with directions")
        arrays = [part if is_number(part) else as_recording(self._graph, part) for part in given]
        dtype = np.result_type(*(part.dtype if isinstance(part, RecordingArray) else part for part in arrays))
        parts = [as_recording(self._graph, part, dtype) for part in arrays]
        if self._columns:
            return np.concatenate([part.reshape(-1, 1) if part.ndim < 2 else part for part in parts], axis=-1)
        return np.concatenate([part.reshape(-1) if part.ndim == 0 else part for part in parts])


class Vectorized:
    """`np.vectorize` of a function: a loop over the entries."""

    def __init__(self, graph: Graph, function: Callable[..., Any]) -> None:
        self._graph, self._function = graph, function

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the function for each entry."""
        arrays = np.broadcast_arrays(*(as_recording(self._graph, a).ids for a in args))
        given = [as_recording(self._graph, a) for a in args]
        rows = zip(*(array.ravel().tolist() for array in arrays), strict=True)
        entries = [
            self._function(*(a.with_ids(node) for a, node in zip(given, row, strict=True)), **options) for row in rows
        ]
        return as_recording(self._graph, entries).reshape(arrays[0].shape)


def _vectorize(copies: Any) -> Callable[..., Any]:
    def vectorize(pyfunc: Any, *args: Any, **options: Any) -> Any:
        if set(options) - {"otypes", "doc", "cache"}:
            raise Refused("calls `vectorize` with options")
        return Vectorized(copies.graph, pyfunc)

    return vectorize


def _entries(array: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Places and entries of an array: `np.ndenumerate`."""
    return ((place, array[place]) for place in np.ndindex(np.shape(array)))


def _errstate(copies: Any) -> Callable[..., Any]:
    """NumPy's `errstate` and `seterr`: recorded operations never raise."""

    def errstate(*args: Any, **options: Any) -> Any:
        if {"raise", "call"} & {*args, *options.values()}:
            raise Refused("lets NumPy raise exceptions on some values")
        return np.errstate(**options)

    return errstate


def _state_of_errors(copies: Any) -> Callable[..., Any]:
    def asked(*args: Any, **options: Any) -> Any:
        raise Refused("asks how NumPy treats errors")

    return asked


SPECIAL: dict[str, Any] = {
    "errstate": Special(_errstate),
    "seterr": Special(_errstate),
    "seterrcall": Special(_errstate),
    "geterr": Special(_state_of_errors),
    "geterrcall": Special(_state_of_errors),
    "r_": Special(lambda copies: Concatenation(copies, columns=False)),
    "c_": Special(lambda copies: Concatenation(copies, columns=True)),
    "vectorize": Special(_vectorize),
    "ndenumerate": Special(lambda copies: _entries),
}
"""Members of NumPy that are neither functions nor constants."""
