"""Copies of what a function uses: containers, functions, modules, classes and objects."""

from __future__ import annotations

import builtins
import cmath
import dis
import enum
import functools
import math
import threading
from collections.abc import Callable
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

import numpy

from .calls import known, lifted
from .captured import Opened
from .complex_functions import ComplexFunction
from .contents import contents
from .device_libraries import is_of_device, numpys
from .dtypes import CHARS
from .graph import Graph
from .libraries import Cached, Library, LibraryFunction, Ufunc, Vectorized
from .math_functions import MathFunction
from .names import Globals, Reads
from .number_types import COMPLEX, FLOAT, INT, SCALARS, TYPE, Unrecorded, largest_by
from .origins import (
    CACHED,
    DISPATCHER,
    HARMLESS,
    HUGE,
    MANY,
    PLAIN,
    PURE,
    RECORDED,
    SEVERAL,
    class_bodies,
    defines,
    is_by_numba,
    is_copied,
    is_users,
    slots_of,
)
from .refusal import Refused
from .refusing import NO_FUNCTIONS, PARTLY, RANDOM, Distribution, Generators, Partly, refuse
from .sparse import SparseMatrix
from .splines import evaluator, polynomial
from .tables import table_of
from .unread import Unread, Whole, variables

np: Any = numpy  # whose types do not know recording arrays


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
            "int": INT,
            "max": largest_by("max"),
            "min": largest_by("min"),
            "type": TYPE,
            "print": refuse("prints"),
            "open": refuse("opens a file"),
            "input": refuse("asks for input"),
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
        return {key: contents(copy) for key, (given, copy) in self._known.items() if copy is not given}

    def entries(self) -> list[tuple[Any, Any]]:
        """All that has been copied so far, each with its copy."""
        return list(self._known.values())

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
        if is_of_device(given):
            found = numpys(given)
            # An array has one copy: it would be renewed twice between two calls.
            return self._copy(found) if isinstance(found, np.ndarray) else self.value(found)
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
        return table_of(given)

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
        if _deletes(given.__code__):
            raise Refused("deletes a global")
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
        for body in class_bodies(given.__code__):
            for name in body.co_names:
                space.get_now(name)
        return copy

    def _opened(self, given: Opened) -> Any:
        copy = self.value(given.function)
        if type(copy) is not FunctionType:
            raise Refused("is no function whose closure can be copied")
        return given.bound(copy)

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
            return MathFunction(given)
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
        if defines("__init_subclass__", given) or defines("__call__", metaclass):
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
                if is_copied(name, member):
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


@functools.lru_cache(1024)
def _deletes(code: CodeType) -> bool:
    """Whether a function, or one inside of it, deletes a global, which its copy would then read again."""
    return any(one.opname == "DELETE_GLOBAL" for one in dis.get_instructions(code)) or any(
        _deletes(one) for one in code.co_consts if isinstance(one, CodeType)
    )


def _makes_known(copies: Copies, given: type) -> Any:
    return lambda *args, **options: copies.value(given(*known(args), **known(options)))


FAMILIES: tuple[tuple[Callable[[type], bool], Callable[[Copies, type], Any]], ...] = (
    (lambda given: issubclass(given, np.random.Generator | np.random.RandomState), lambda copies, given: RANDOM),
    (lambda given: given is np.ndarray, lambda copies, given: given),
    (
        lambda given: issubclass(given, np.ndarray),
        lambda copies, given: Unrecorded(given.__name__, (), {"real": given}),
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
    (Opened, Copies._opened),
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


def _enter(copy: type, name: str, member: Any) -> None:
    setattr(copy, name, member)
    if isinstance(member, functools.cached_property):
        member.__set_name__(copy, name)
