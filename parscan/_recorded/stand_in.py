"""
A copy of a user's function for which NumPy makes recording arrays.

Nothing of the user's is changed. The copy has the same code, hence the same lines in tracebacks, but other globals and
closure cells: NumPy, SciPy and the module `math` are stand-ins in them, helper functions and classes are copies as
well, and arrays are recording arrays of constants. Whatever the copy writes stays in the copies, where the next call
finds it: if the function has a state, its second record differs from the first.
"""

from __future__ import annotations

import builtins
import cmath
import datetime
import enum
import functools
import math
import numbers
import re
import sys
import threading
from collections.abc import Callable, Iterator
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR, CO_NEWLOCALS
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

import numpy

from .array import CHARS, QUICK, RecordingArray, Refused, as_recording, gather
from .calls import holds, known, lifted
from .complex_functions import ComplexFunction
from .functions import OPERANDS, SIMPLE, call_library, call_listed, is_listed
from .graph import Graph
from .python_numbers import checked, complex_number, is_number, number, whole
from .sparse import SparseMatrix
from .splines import evaluator, polynomial
from .unread import Unread, Whole, variables

np: Any = numpy  # whose types do not know recording arrays

PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None), type(...), slice, range, RecordingArray,
                   frozenset, np.dtype})  # fmt: skip
"""Types of values that the copy shares with the function."""

HARMLESS = (numbers.Number, str, bytes, np.generic, np.dtype, datetime.date, datetime.time, datetime.timedelta,
            re.Pattern, enum.Enum, frozenset, slice, range, property, MappingProxyType)  # fmt: skip
"""Kinds of values that cannot be changed."""

RECORDED = ("numpy", "scipy", "math", "cmath")
"""Libraries that have a stand-in."""

PURE = frozenset({"abc", "builtins", "_collections_abc", "cmath", "collections", "copy", "dataclasses", "enum",
                  "_functools", "functools", "itertools", "math", "numbers", "operator", "_operator", "types",
                  "typing"})  # fmt: skip
"""Modules of Python whose functions depend on nothing but their arguments."""

DISPATCHER = "uarray"
"""Module of the type of SciPy's functions that may have several implementations: those of `scipy.fft`."""

FOREIGN = frozenset(
    [
        "array_api_compat",
        "cupy",
        "dask",
        "h5py",
        "hypothesis",
        "IPython",
        "jax",
        "jaxlib",
        "matplotlib",
        "networkx",
        "numba",
        "numexpr",
        "pandas",
        "pint",
        "polars",
        "pytest",
        "sklearn",
        "statsmodels",
        "sympy",
        "tensorflow",
        "torch",
        "tqdm",
        "xarray",
        "_pytest",
    ]
)
"""Libraries whose functions, classes and objects are not copied."""

CACHED: Any = type(functools.lru_cache(len))
"""Type of functions with a cache."""

HUGE = 10_000
"""A larger array of the user's does not become a recording array, but only a table that may be indexed."""

SEVERAL = 100
"""Containers of more arrays than this, with more entries than `HUGE` in all, become containers of tables."""

MANY = 10_000
"""Lists and dictionaries of more entries are copied only if they hold nothing but numbers and texts."""

NOT_COPIED = frozenset(
    [
        "__dict__",
        "__weakref__",
        "__slots__",
        "__module__",
        "__doc__",
        "__qualname__",
        "__annotations__",
        "__firstlineno__",
        "__init_subclass__",
        "__class_getitem__",
        "__static_attributes__",
        "__subclasshook__",
        "__match_args__",
        "__abstractmethods__",
        "_abc_impl",
        "__orig_bases__",
        "__parameters__",
    ]
)
"""Members of a class that its copy inherits."""


class Recordable:
    """A copy of a function in which NumPy's constructors give arrays that record in a graph."""

    def __init__(self, function: Callable[..., Any], graph: Graph) -> None:
        self.copies = Copies(graph)
        self._copy = self.copies.value(function)

    def __call__(self, *args: Any) -> Any:
        """Call the copy."""
        return self._copy(*map(self.copies.value, args))

    def memory(self) -> Any:
        """The present contents of the copies, to be compared with those after another call."""
        return self.copies.memory()


UNCHANGED = ("__builtins__", "__dict__", "__weakref__", "__doc__")
"""Members of copied globals and objects that a call does not change."""


def recordable(function: Callable[..., Any], graph: Graph) -> Recordable:
    """A copy of a function that records in a graph when it is called."""
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    if flags & CO_GENERATOR:
        raise Refused("is a generator")
    if flags & (CO_COROUTINE | CO_ASYNC_GENERATOR):
        raise Refused("is asynchronous")
    return Recordable(function, graph)


def is_by_numba(given: Any) -> bool:
    """Whether a function was compiled by Numba."""
    return type(given).__module__.startswith("numba.") and hasattr(given, "py_func")


def is_users(module: str | None) -> bool:
    """Whether functions and classes of a module are copied."""
    root = (module or "").partition(".")[0]
    if root == "parscan":
        return not str(module).startswith("parscan._recorded")
    return root not in RECORDED and root not in FOREIGN and root not in sys.stdlib_module_names


class Table(np.ndarray):  # type: ignore[misc]
    """A large array of the user's: it may be read, also at computed places."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, RecordingArray) and key.constants is None:
            return gather(as_recording(key.graph, self.view(np.ndarray)), key)
        found = self.view(np.ndarray)[known(key)]
        return found.view(Table) if isinstance(found, np.ndarray) else found

    def __setitem__(self, key: Any, value: Any) -> None:
        raise Refused("writes to a large array that it does not make itself")


class Library:
    """A module whose functions record, or are copies."""

    def __init__(self, module: ModuleType, copies: Copies) -> None:
        self.__dict__.update(__name__=module.__name__, _module=module, _copies=copies)

    def __getattr__(self, name: str) -> Any:
        found = self._copies.reads.attribute(self._module, name)
        if self.__name__ == "numpy":
            found = SPECIAL.get(name, found)
        found = found.make(self._copies) if isinstance(found, Special) else self._copies.value(found)
        self.__dict__[name] = found
        return found


class LibraryFunction:
    """A function of NumPy or SciPy: it takes recording arrays in lists, too, and the arrays that it makes record."""

    def __init__(self, function: Any, graph: Graph) -> None:
        self._function, self._graph = function, graph
        self.__name__ = getattr(function, "__name__", "function")
        self._call = call_listed if is_listed(function) else call_library

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the function, or record the call."""
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

    def __init__(self, given: Any, copies: Copies) -> None:
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


class Ufunc(LibraryFunction):
    """A ufunc that is an operation: most calls are recorded at once."""

    def __init__(self, function: Any, graph: Graph) -> None:
        super().__init__(function, graph)
        self._quick = QUICK.get(self.__name__, ()) if self.__name__ in SIMPLE else ()

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the function, or record the call."""
        if not options and 0 < len(args) == len(self._quick):
            one, other = args[0], args[-1]
            if type(one) is RecordingArray:
                if one.form is not None and type(other) in OPERANDS:
                    return self._quick[0](*args)
            elif type(other) is RecordingArray and other.form is not None and type(one) in OPERANDS:
                return self._quick[1](other, one)
        return call_library(self._graph, self._function, args, options)


class MathFunction:
    """A function of the module `math`, which has its NumPy counterpart for recorded values."""

    def __init__(self, function: Any, graph: Graph) -> None:
        self._function, self._graph = function, graph
        self.__name__ = function.__name__

    def __call__(self, *args: Any) -> Any:
        """Call the function, or record the call."""
        if not holds(args):
            return self._function(*args)
        try:
            values = known(args)
        except Refused as refusal:
            refusal.settle()
            own = MATH.get(self.__name__)
            if own is None:
                raise Refused(f"calls `math.{self.__name__}`, which is not recorded") from None
            if self.__name__ in OF_SEQUENCES:
                return checked(own(*args)) if self.__name__ == "fsum" else number(own(*args))
            args = tuple(map(_number, args))
            found = own(*args)
            if self.__name__ in WHOLE:
                return whole(found)
            if isinstance(found, tuple):
                return tuple(map(number, found))
            return found if found.dtype == bool else checked(found, *args)
        return self._function(*values)


def _number(value: Any) -> Any:
    """The only entry of an array, as a number of Python."""
    if not isinstance(value, RecordingArray):
        return value
    if value.size != 1:
        raise TypeError("only length-1 arrays can be converted to Python scalars")
    if value.dtype == np.float32:
        raise Refused("calls float() or a function of the module math on a value of float32")
    return number(value.reshape(()).astype(np.float64))


def _erf(name: str) -> Callable[..., Any]:
    def record(x: Any) -> Any:
        from scipy import special  # noqa: PLC0415 - slow to import

        return getattr(special, name)(x)

    return record


MATH: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(np, name)
        for name in [
            "exp",
            "exp2",
            "expm1",
            "log2",
            "log10",
            "log1p",
            "sqrt",
            "cbrt",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "tanh",
            "arctan2",
            "copysign",
            "fmod",
            "floor",
            "ceil",
            "trunc",
            "isnan",
            "isfinite",
            "isinf",
            "degrees",
            "radians",
            "modf",
        ]
    },
    **{name: getattr(np, "arc" + name[1:]) for name in ["asin", "acos", "atan", "atan2", "asinh", "acosh", "atanh"]},
    "fabs": np.abs,
    "pow": np.float_power,
    "log": lambda x, base=None: np.log(x) if base is None else np.log(x) / np.log(base),
    "hypot": lambda *values: functools.reduce(np.hypot, values, 0.0) if len(values) != 2 else np.hypot(*values),
    "isclose": lambda a, b: (
        np.equal(a, b)
        | (np.isfinite(a) & np.isfinite(b) & (np.abs(a - b) <= np.maximum(np.abs(1e-9 * a), np.abs(1e-9 * b))))
    ),
    "erf": _erf("erf"),
    "erfc": _erf("erfc"),
}
"""How functions of the module `math` are recorded."""


def _exact_sum(values: Any) -> Any:
    """The sum with the rounding errors of all partial sums: `math.fsum`, but for errors of these errors."""
    total, errors = 0.0, 0.0
    for value in values:
        new = total + value
        part = new - total
        total, errors = new, errors + ((total - (new - part)) + (value - part))
    return np.where(np.isfinite(total), total + errors, total)


MATH |= {
    "fsum": _exact_sum,
    "prod": lambda values, start=1: functools.reduce(lambda a, b: a * b, values, start),
    "dist": lambda p, q: functools.reduce(np.hypot, (a - b for a, b in zip(p, q, strict=True)), 0.0),
    "sumprod": lambda p, q: sum(a * b for a, b in zip(p, q, strict=True)),
}


OF_SEQUENCES = ("fsum", "prod", "dist", "sumprod")
"""Functions of `MATH` that take sequences."""

WHOLE = ("floor", "ceil", "trunc")
"""Functions of `MATH` that return integers."""


class Special:
    """A member of NumPy that is neither a function nor a constant, and how its stand-in is made."""

    def __init__(self, make: Callable[[Copies], Any]) -> None:
        self.make = make


class Concatenation:
    """`np.r_` and `np.c_`."""

    def __init__(self, copies: Copies, *, columns: bool) -> None:
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


def _vectorize(copies: Copies) -> Callable[..., Any]:
    def vectorize(pyfunc: Any, *args: Any, **options: Any) -> Any:
        if set(options) - {"otypes", "doc", "cache"}:
            raise Refused("calls `vectorize` with options")
        return Vectorized(copies.graph, pyfunc)

    return vectorize


def _entries(array: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Places and entries of an array: `np.ndenumerate`."""
    return ((place, array[place]) for place in np.ndindex(np.shape(array)))


class _Converter(type):
    """The type of `float`, `complex` and NumPy's scalar types in the copy: they change the dtype of recorded values."""

    real: Any

    def __call__(cls, *args: Any) -> Any:
        if cls.real is complex and holds(args):
            return complex_number(*args)
        if len(args) == 1 and isinstance(args[0], RecordingArray):
            return _number(args[0]) if cls.real is float else args[0].astype(cls.dtype)
        return cls.real(*args)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.real)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(getattr(subclass, "real", subclass), cls.real)

    def __eq__(cls, other: object) -> bool:
        return cls is other or cls.real == other

    def __hash__(cls) -> int:
        return hash(cls.real)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.real, name)


class _Unrecorded(_Converter):
    """The type of the classes of arrays that are not recorded."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        """Refuse to make an array."""
        raise Refused(f"makes an array of the type `{cls.__name__}`")


def _converter(real: Any) -> Any:
    return _Converter(real.__name__, (), {"real": real, "dtype": np.dtype(real)})


FLOAT, COMPLEX = _converter(float), _converter(complex)
SCALARS = {one: _converter(one) for one in (np.float64, np.float32, np.int64, np.int32, np.bool_, np.complex128,
                                            np.complex64)}  # fmt: skip


def _errstate(copies: Copies) -> Callable[..., Any]:
    """NumPy's `errstate` and `seterr`: recorded operations never raise."""

    def errstate(*args: Any, **options: Any) -> Any:
        if {"raise", "call"} & {*args, *options.values()}:
            raise Refused("lets NumPy raise exceptions on some values")
        return np.errstate(**options)

    return errstate


SPECIAL: dict[str, Any] = {
    "errstate": Special(_errstate),
    "seterr": Special(_errstate),
    "seterrcall": Special(_errstate),
    "r_": Special(lambda copies: Concatenation(copies, columns=False)),
    "c_": Special(lambda copies: Concatenation(copies, columns=True)),
    "vectorize": Special(_vectorize),
    "ndenumerate": Special(lambda copies: _entries),
}
"""Members of NumPy that are neither functions nor constants."""


def _refuse(reason: str) -> Callable[..., Any]:
    def refuse(*args: Any, **options: Any) -> Any:
        raise Refused(reason)

    return refuse


class Refusing:
    """An object that the copy must not use."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        return _refuse(self._reason)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Refuse."""
        raise Refused(self._reason)


RANDOM = Refusing("draws random numbers")

NO_FUNCTIONS = {
    "random": RANDOM,
    "secrets": RANDOM,
    "time": Refusing("asks for the time"),
    "warnings": Refusing("warns"),
    "logging": Refusing("writes a log"),
}
"""Modules whose functions do not just compute a value."""

PARTLY = {
    "builtins": (),
    "importlib": ("import_module", "reload"),
    "sys": ("modules", "_getframe", "stdin", "stdout", "stderr", "__stdout__", "__stderr__", "exc_info", "settrace"),
}
"""Modules that are used as they are, and their members that give access to what a copy must not change."""


class Partly:
    """A module without some of its members."""

    def __init__(self, module: ModuleType, members: dict[str, Any], refused: tuple[str, ...]) -> None:
        self.__name__ = module.__name__
        self._members, self._refused = members, refused

    def __getattr__(self, name: str) -> Any:
        if name in self._refused:
            raise Refused(f"uses `{self.__name__}.{name}`, by which recording might change something")
        try:
            return self._members[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None


OF_DISTRIBUTIONS = (
    "pdf",
    "logpdf",
    "pmf",
    "cdf",
    "logcdf",
    "sf",
    "logsf",
    "ppf",
    "isf",
    "mean",
    "var",
    "std",
    "args",
    "kwds",
)
"""Members of probability distributions that draw no random numbers."""


class Distribution:
    """A probability distribution of SciPy, which must not draw random numbers."""

    def __init__(self, given: Any, copies: Copies) -> None:
        self._given, self._copies = given, copies

    def __call__(self, *args: Any, **options: Any) -> Any:
        """With fixed parameters."""
        return Distribution(self._given(*known(args), **known(options)), self._copies)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._given, name)
        if name not in OF_DISTRIBUTIONS:
            raise Refused("draws random numbers")
        return LibraryFunction(found, self._copies.graph) if callable(found) else found


class Generators:
    """`numpy.random`: a generator with a seed of its own draws the same numbers at every call, others must not draw."""

    def __init__(self, copies: Copies) -> None:
        self._graph = copies.graph

    def __getattr__(self, name: str) -> Any:
        if name not in ("default_rng", "RandomState"):
            return getattr(RANDOM, name)

        def make(seed: Any = None) -> Any:
            if type(seed) is not int:
                raise Refused("draws random numbers")
            return LibraryFunction(getattr(np.random, name)(seed), self._graph)

        return make


def _largest(name: str) -> Callable[..., Any]:
    """Python's `max` and `min`: a later value replaces an earlier one only if it is larger, also if one is NaN."""
    real = getattr(builtins, name)

    def choose(one: Any, other: Any) -> Any:
        return np.where(other > one if name == "max" else other < one, other, one)

    def largest(*args: Any, **options: Any) -> Any:
        values = list(args[0]) if len(args) == 1 else args
        recorded = [value for value in values if isinstance(value, RecordingArray)]
        if options or not recorded or any(value.size != 1 for value in recorded):
            return real(*(values,) if len(args) == 1 else args, **options)
        found = functools.reduce(choose, values)
        is_python = any(map(is_number, values)) and found.dtype == np.float64 and not found.ndim
        return number(found) if is_python else found

    return largest


class Globals(dict[str, Any]):
    """Globals of copied functions: names are copied when they are read for the first time."""

    def __init__(self, copies: Copies, original: dict[str, Any], own: dict[str, Any]) -> None:
        super().__init__(__builtins__=own, __name__=original.get("__name__", ""))
        self._copies, self._original = copies, original

    def __missing__(self, name: str) -> Any:
        found = self[name] = self._copies.value(self._copies.reads.item(self._original, name))
        return found

    def get_now(self, name: str) -> None:
        """Copy a name at once: the body of a class reads globals without calling `__missing__`."""
        if self._copies.reads.has(self._original, name):
            self[name]


class Reads:
    """
    Names that a function reads while it is recorded.

    Attributes
    ----------
    names : dict
        For the `id` of each dictionary of globals and of each module: the dictionary or module itself, and, for each
        name that was read from it, whether it has this name.
    imports : list
        Arguments of the imports, `(name, fromlist, level)`, and their modules.
    """

    def __init__(self) -> None:
        self.names: dict[int, tuple[Any, dict[str, bool]]] = {}
        self.imports: list[tuple[tuple[str, Any, int], ModuleType]] = []

    def has(self, space: dict[str, Any], name: str) -> bool:
        """Whether globals have a name."""
        return self._note(space, name, name in space)

    def item(self, space: dict[str, Any], name: str) -> Any:
        """A name of globals."""
        self._note(space, name, name in space)
        return space[name]

    def attribute(self, module: ModuleType, name: str) -> Any:
        """A name of a module."""
        self._note(module, name, hasattr(module, name))
        return getattr(module, name)

    def _note(self, space: Any, name: str, is_there: bool) -> bool:
        self.names.setdefault(id(space), (space, {}))[1][name] = is_there
        return is_there


class Copies:
    """
    Copies of what a function uses, each made once.

    Attributes
    ----------
    graph : Graph
        Where the arrays of the copies record.
    reads : Reads
        Names that the copies have read so far.
    unread : Unread
        Large arrays of objects that were not read so far.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.reads = Reads()
        self.unread = Unread(self.value, HUGE + 1)
        self._known: dict[int, tuple[Any, Any]] = {}
        self._largest = HUGE
        self._builtins = {
            **vars(builtins),
            "complex": COMPLEX,
            "float": FLOAT,
            "max": _largest("max"),
            "min": _largest("min"),
            "print": _refuse("prints"),
            "open": _refuse("opens a file"),
            "input": _refuse("asks for input"),
            "__import__": self._import,
        }

    def value(self, given: Any) -> Any:
        """The value that the copy of the function uses in place of one that the function uses."""
        if type(given) in PLAIN:
            return given
        found = self._known.get(id(given))
        if found is None:
            found = self._known[id(given)] = given, self._copy(given)
        return found[1]

    def memory(self) -> dict[int, Any]:
        """Contents of all copies that can be written to."""
        return {key: _contents(copy) for key, (given, copy) in self._known.items() if copy is not given}

    def _remember(self, given: Any, copy: Any) -> None:
        """Note a copy before its parts are copied, since they may contain it."""
        self._known[id(given)] = given, copy

    def _import(self, name: str, space: Any = None, own: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        module = builtins.__import__(name, space, own, fromlist, level)
        self.reads.imports.append(((name, fromlist, level), module))
        return self.value(module)

    def has_own(self, given: Any) -> bool:
        """Whether the copy of the function uses another value in place of this one."""
        found = self._known.get(id(given))
        return found is not None and found[1] is not given

    def names_unread(self, given: Any) -> tuple[str, ...]:
        """Names of attributes of an object of the user's that its copy has not read."""
        found = self._known.get(id(given))
        return () if found is None else self.unread.names(found[1])

    def _copy(self, given: Any) -> Any:
        for kind, make in MAKERS:
            if isinstance(given, kind):
                return make(self, given)
        if is_by_numba(given):
            if getattr(given, "targetoptions", {}).get("error_model", "python") == "python":
                self.graph.numbers = True
            return self.value(given.py_func)
        if type(given) is CACHED:
            return Cached(given, self)
        if type(given).__name__ == "cython_function_or_method":  # whose type has another `__module__` than types have
            return self._of_cython(given)
        is_of_library = type(given).__module__.startswith((*RECORDED, DISPATCHER))
        return self._of_library(given) if is_of_library else self._object(given)

    def _of_cython(self, given: Any) -> Any:
        """A function or method of a module written in Cython."""
        module = str(given.__module__)
        if module.startswith("numpy.random"):
            return getattr(RANDOM, given.__name__)
        return LibraryFunction(given, self.graph) if module.startswith(RECORDED) else given

    def _of_library(self, given: Any) -> Any:
        """The stand-in for an object of NumPy or SciPy."""
        module = type(given).__module__
        if module.startswith("scipy.sparse") and hasattr(given, "tocsr"):
            return SparseMatrix(self.graph, given)
        if module.startswith("scipy.interpolate") and (found := evaluator(self.graph, given)) is not None:
            return found
        if module.startswith("scipy.stats") and hasattr(given, "rvs"):
            return Distribution(given, self)
        if hasattr(given, "__name__") and callable(given):
            return LibraryFunction(given, self.graph)
        if isinstance(given, np.polynomial.Polynomial):
            return polynomial(given)
        return self._shared(given)

    def _shared(self, given: Any) -> Any:
        """A value that the copy shares with the function, so that nothing may be written to it."""
        kind = type(given)
        is_sentinel = kind.__base__ is object and getattr(given, "__dict__", None) == {} and kind is not threading.local
        is_empty = kind is object or is_sentinel
        is_descriptor = hasattr(kind, "__get__")
        if callable(given) or is_descriptor or is_empty or given is NotImplemented or isinstance(given, HARMLESS):
            return given
        raise Refused(f"uses an object of the type `{type(given).__name__}`, which recording might change")

    # Containers

    def _array(self, given: Any) -> Any:
        if given.dtype == object:
            raise Refused("uses an array of objects")
        if type(given) is not np.ndarray or given.dtype.char not in CHARS:
            return given.copy()
        if given.size <= self._largest:
            return lifted(self.graph, given)
        table = given.view(Table)
        table.flags.writeable = False
        return table

    def _dict(self, given: dict[Any, Any]) -> Any:
        if type(given).__module__ not in ("builtins", "collections"):
            return self._shared(given)
        if len(given) > MANY:
            return self._large(given, given.values())
        copy = given.copy()
        self._remember(given, copy)
        copy.update(zip(given, self._parts(given.values()), strict=True))
        return copy

    def _large(self, given: Any, parts: Any) -> Any:
        """A copy of a container of many values, if they are numbers or texts."""
        if not all(type(part) in PLAIN for part in parts):
            raise Refused(f"uses a {type(given).__name__} of more than {MANY} objects")
        return given.copy() if hasattr(given, "copy") else given

    def _list(self, given: list[Any]) -> Any:
        if type(given) is not list:
            return self._shared(given)
        if len(given) > MANY:
            return self._large(given, given)
        copy: list[Any] = []
        self._remember(given, copy)
        copy.extend(self._parts(given))
        return copy

    def _parts(self, given: Any) -> list[Any]:
        """Copies of the parts of a container; many arrays become tables, since most of them are not used."""
        before = self._largest
        if len(given) > SEVERAL and sum(part.size for part in given if type(part) is np.ndarray) > HUGE:
            self._largest = 0
        try:
            return [self.value(part) for part in given]
        finally:
            self._largest = before

    def _tuple(self, given: tuple[Any, ...]) -> Any:
        if len(given) > MANY:
            return self._large(given, given)
        kind = self.value(type(given)) if type(given) is not tuple else tuple
        return tuple.__new__(kind, self._parts(given))

    def _namespace(self, given: SimpleNamespace) -> Any:
        copy = SimpleNamespace()
        self._remember(given, copy)
        vars(copy).update({name: self.value(value) for name, value in vars(given).items()})
        return copy

    # Functions

    def _function(self, given: FunctionType) -> Any:
        root = (given.__module__ or "").partition(".")[0]
        if root in ("numpy", "scipy"):
            return LibraryFunction(given, self.graph)
        if root in NO_FUNCTIONS:
            return getattr(NO_FUNCTIONS[root], given.__name__)
        if not is_users(given.__module__):
            return given
        cells = tuple(map(self._cell, given.__closure__ or ()))
        space = self._globals(given.__globals__)
        copy = FunctionType(given.__code__, space, given.__name__, None, cells)
        self._remember(given, copy)
        copy.__qualname__ = given.__qualname__
        copy.__module__ = given.__module__
        copy.__defaults__ = self.value(given.__defaults__)
        copy.__kwdefaults__ = self.value(given.__kwdefaults__)
        for name, value in vars(given).items():
            setattr(copy, name, self.value(value))
        for old, new in zip(given.__closure__ or (), cells, strict=True):
            try:
                contents = old.cell_contents
            except ValueError:  # empty
                continue
            new.cell_contents = self.value(contents)
        for body in _class_bodies(given.__code__):
            for name in body.co_names:
                space.get_now(name)
        return copy

    def _cell(self, given: CellType) -> CellType:
        found = self._known.get(id(given))
        if found is None:
            found = self._known[id(given)] = given, CellType()
        return found[1]

    def _globals(self, given: dict[str, Any]) -> Globals:
        found = self._known.get(-id(given))
        if found is None:
            found = self._known[-id(given)] = given, Globals(self, given, self._builtins)
        return found[1]

    def _method(self, given: MethodType) -> Any:
        if hasattr(given.__self__, "rvs") and type(given.__self__).__module__.startswith("scipy.stats"):
            return getattr(self.value(given.__self__), given.__name__)
        owner, function = self.value(given.__self__), self.value(given.__func__)
        if owner is given.__self__ and function is given.__func__:
            return given
        if owner is not given.__self__ and not isinstance(given.__func__, FunctionType):
            return getattr(owner, given.__name__)  # functions of Cython crash if their owner is of another type
        return MethodType(function, owner)

    def _builtin(self, given: Any) -> Any:
        owner = given.__self__
        if owner is math:
            return MathFunction(given, self.graph)
        if owner is cmath:
            return ComplexFunction(given)
        module = str(getattr(given, "__module__", ""))
        if module.partition(".")[0] in ("numpy", "scipy"):
            return LibraryFunction(given, self.graph)
        if (name := str(getattr(owner, "__name__", "")).strip("_")) in NO_FUNCTIONS:
            return getattr(NO_FUNCTIONS[name], given.__name__)
        if owner is None or isinstance(owner, ModuleType | type):
            return RANDOM if module == "_random" else given
        copy = self.value(owner)
        return given if copy is owner else getattr(copy, given.__name__)

    def _partial(self, given: functools.partial[Any]) -> Any:
        args, options = map(self.value, given.args), self.value(given.keywords)
        return functools.partial(self.value(given.func), *args, **options)

    def _ufunc(self, given: Any) -> Any:
        return Ufunc(given, self.graph)

    def _vectorized(self, given: Any) -> Any:
        return Vectorized(self.graph, self.value(given.pyfunc))

    def _random(self, given: Any) -> Any:
        return RANDOM

    # Modules, classes and objects

    def _module(self, given: ModuleType) -> Any:
        name = given.__name__
        if name == "numpy.random":
            return Generators(self)
        if name in NO_FUNCTIONS:
            return NO_FUNCTIONS[name]
        if name in PARTLY:
            return Partly(given, self._builtins if given is builtins else vars(given), PARTLY[name])
        known = name.partition(".")[0] in RECORDED
        return Library(given, self) if known or is_users(name) else given

    def _class(self, given: type) -> Any:
        if given in SCALARS:
            return SCALARS[given]
        for is_one, make in FAMILIES:
            if is_one(given):
                return make(self, given)
        if not is_users(given.__module__) or issubclass(given, enum.Enum | BaseException):
            return given
        return self._class_of_users(given)

    def _class_of_users(self, given: type) -> Any:
        """A copy of a class, which is derived from it."""
        metaclass: Any = type(given)
        if _defines("__init_subclass__", given) or _defines("__call__", metaclass):
            raise Refused(f"uses the class `{given.__name__}`, which is told of each class that is derived from it")
        bases = [self.value(base) for base in given.__bases__]
        copied = [base for base, old in zip(bases, given.__bases__, strict=True) if base is not old]
        members: dict[str, Any] = {"__slots__": (), "__module__": given.__module__, "__qualname__": given.__qualname__}
        if given.__dictoffset__:
            members["__dict__"] = Whole(self.unread)
        # A metaclass of the user's does not learn of the copy.
        make: Any = functools.partial(type.__new__, metaclass) if is_users(metaclass.__module__) else metaclass
        try:
            copy = make(given.__name__, (*copied, given), members)
            self._remember(given, copy)
            for name, member in vars(given).items():
                if name not in NOT_COPIED and (callable(member) or not name.startswith("__")):
                    _enter(copy, name, self._member(member))
            if hasattr(given, "__abstractmethods__"):
                copy.__abstractmethods__ = given.__abstractmethods__
        except Exception:  # a class with a metaclass of its own is not copied
            return given
        return copy

    def _member(self, member: Any) -> Any:
        """The member that a copy of a class has in place of one of the class."""
        if isinstance(member, staticmethod | classmethod):
            return type(member)(self.value(member.__func__))
        if isinstance(member, property):
            return property(*map(self.value, (member.fget, member.fset, member.fdel)))
        if isinstance(member, functools.cached_property):
            return functools.cached_property(self.value(member.func))
        return self.value(member)

    def _object(self, given: Any) -> Any:
        """A copy of an object of a class of the user's; other objects are shared."""
        kind = type(given)
        copied = self.value(kind)
        is_shared = copied is kind and not is_users(kind.__module__)
        if is_shared and callable(given) and getattr(given, "__dict__", None) and kind.__module__ not in PURE:
            raise Refused(f"calls an object of the type `{kind.__name__}`, which the call might change")
        if is_shared or isinstance(given, dict | list | set | str | int | float | np.ndarray):
            return self._shared(given)
        try:
            copy = object.__new__(copied)
        except TypeError:  # a class written in C
            return self._shared(given)
        self._remember(given, copy)
        for name in slots_of(kind):
            if hasattr(given, name):
                object.__setattr__(copy, name, self.value(getattr(given, name)))
        own = variables(copy)
        for name, value in getattr(given, "__dict__", {}).items():
            if copied is kind or not self.unread.takes(copy, name, value):
                own[name] = self.value(value)
        return copy


def _defines(name: str, given: type) -> bool:
    """Whether a class of the user's, or one of its bases that is, has a method."""
    return any(name in vars(base) for base in given.__mro__ if is_users(base.__module__))


def _makes_known(copies: Copies, given: type) -> Any:
    return lambda *args, **options: copies.value(given(*known(args), **known(options)))


FAMILIES: tuple[tuple[Callable[[type], bool], Callable[[Copies, type], Any]], ...] = (
    (lambda given: issubclass(given, np.random.Generator | np.random.RandomState), lambda copies, given: RANDOM),
    (lambda given: given is np.ndarray, lambda copies, given: given),
    (
        lambda given: issubclass(given, np.ndarray),
        lambda copies, given: _Unrecorded(given.__name__, (), {"real": given}),
    ),
    (
        lambda given: given.__module__.startswith("scipy.sparse") and hasattr(given, "tocsr"),
        lambda copies, given: LibraryFunction(given, copies.graph),
    ),
    (
        lambda given: given.__module__.startswith("scipy.interpolate") or given is np.polynomial.Polynomial,
        _makes_known,
    ),
)
"""What replaces classes of some families, by the first that a class belongs to."""

MAKERS: tuple[tuple[Any, Callable[[Copies, Any], Any]], ...] = (
    (np.ndarray, Copies._array),
    (np.generic, lambda copies, given: given),
    (dict, Copies._dict),
    (list, Copies._list),
    (tuple, Copies._tuple),
    (set, lambda copies, given: given.copy()),
    (FunctionType, Copies._function),
    (MethodType, Copies._method),
    (BuiltinFunctionType | MethodWrapperType, Copies._builtin),
    (functools.partial, Copies._partial),
    (ModuleType, Copies._module),
    (type, Copies._class),
    (np.ufunc, Copies._ufunc),
    (np.vectorize, Copies._vectorized),
    ((np.random.Generator, np.random.RandomState), Copies._random),
    (SimpleNamespace, Copies._namespace),
)
"""How values are copied, by their types."""


def _contents(copy: Any) -> Any:
    """The contents of a copy, in a form that can be compared."""
    if type(copy) is RecordingArray or isinstance(copy, np.ndarray):
        return _token(copy)
    if isinstance(copy, set | list | tuple):
        return type(copy)(map(_token, copy)) if type(copy) is set else list(map(_token, copy))
    if isinstance(copy, CellType):
        try:
            return _token(copy.cell_contents)
        except ValueError:  # empty
            return None
    members = copy if isinstance(copy, dict) else variables(copy)
    slots = [] if isinstance(copy, type) else [name for name in slots_of(type(copy)) if hasattr(copy, name)]
    return [(_token(name), _token(value)) for name, value in members.items() if name not in UNCHANGED] + [
        (name, _token(getattr(copy, name))) for name in slots
    ]


def _token(value: Any) -> Any:
    """A value in a form that can be compared: numbers and arrays by their contents, other objects by identity."""
    if type(value) is RecordingArray:
        return value.ids if type(value.ids) is int else value.ids.tobytes()
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.tobytes() if value.size <= HUGE else id(value)
    return (type(value), repr(value)) if type(value) in PLAIN else id(value)


def _class_bodies(code: CodeType) -> list[CodeType]:
    """Bodies of the classes that are defined in a function."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return [one for one in inner if not one.co_flags & CO_NEWLOCALS] + [
        body for one in inner for body in _class_bodies(one)
    ]


def slots_of(kind: type) -> list[str]:
    """Names of the slots of a class and of its bases, as attributes have them."""
    found = []
    for one in kind.__mro__:
        slots = one.__dict__.get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            found.append(f"_{one.__name__.lstrip('_')}{name}" if private else name)
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def _enter(copy: type, name: str, member: Any) -> None:
    setattr(copy, name, member)
    if isinstance(member, functools.cached_property):
        member.__set_name__(copy, name)
