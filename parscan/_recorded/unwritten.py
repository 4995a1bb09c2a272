"""
Whether a function that was called once does the same when it is called again.

It does if it has written to nothing that outlives the call, and uses nothing but numbers, arrays, containers, functions
of the user's, and functions of NumPy, SciPy and Python that depend on their arguments alone. Contents of arrays and
containers are compared; code that changes attributes or globals is not trusted at all. Of any other function, objects
of classes among them, nothing is said: the second call shows it.
"""

from __future__ import annotations

import builtins
import dis
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from operator import itemgetter
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy

from .array import RecordingArray
from .calls import lifted
from .complex_functions import ComplexFunction
from .libraries import SPECIAL, Library, LibraryFunction
from .math_functions import MathFunction
from .names import Globals
from .number_types import SCALARS
from .origins import IMPURE, PURE, RECORDED, is_users, slots_of
from .tables import Table
from .unread import variables

np: Any = numpy  # whose types do not know recording arrays

USUAL = frozenset(
    ["abs", "all", "any", "bool", "complex", "dict", "divmod", "enumerate", "filter", "float", "int", "isinstance",
     "len", "list", "map", "max", "min", "pow", "range", "reversed", "round", "slice", "sorted", "sum", "tuple", "zip"]
)  # fmt: skip
"""Functions and types of Python whose results depend on their arguments alone."""

CHANGES = frozenset(["STORE_ATTR", "DELETE_ATTR", "STORE_GLOBAL", "DELETE_GLOBAL", "IMPORT_STAR", "DELETE_DEREF"])
"""Instructions that change what need not be in a container: a name, documentation, a shape."""

OWN = ("__name__", "_module", "_copies")
"""Members of the stand-in of a module that are not those of the module."""


def repeats(copies: Any) -> bool:
    """Whether a function does the same again, by the copies of what it has used in its first call."""
    if copies.reads.imports or not _are_usual(copies.reads.names.values()):
        return False
    try:
        return all(_is_as_given(copies, given, copy) for given, copy in copies.entries())
    except (KeyError, AttributeError):  # a name that there was not before
        return False


def leaves_all(copies: Any) -> bool:
    """Whether a function has written to nothing that its copies hold."""
    try:
        return all(_is_left(copies, given, copy) for given, copy in copies.entries())
    except (KeyError, AttributeError):  # a name that there was not before
        return False


def _is_left(copies: Any, given: Any, copy: Any) -> bool:
    if isinstance(given, np.ndarray) and type(copy) is not RecordingArray:
        return bool(given.tobytes() == copy.tobytes())
    if type(given) in (np.ndarray, list, dict, CellType):
        return CHECKS[type(given)](copies, given, copy)
    if type(given) is FunctionType:
        return type(copy) is not FunctionType or _dict(copies, vars(given), vars(copy))
    if isinstance(given, type) or not is_users(type(given).__module__) or copy is given:
        return True
    slots = [name for name in slots_of(type(given)) if hasattr(copy, name)]
    own = [(vars(given)[name], value) for name, value in variables(copy).items()]
    return all(_is_copy(copies, *pair) for pair in [*own, *((getattr(given, n), getattr(copy, n)) for n in slots)])


def writes_to_shared(copies: Any) -> bool:
    """Whether the function has written to an array that shares memory with another one: their copies do not."""
    arrays = [(*np.lib.array_utils.byte_bounds(given), given, copy) for given, copy in copies.entries()
              if type(given) is np.ndarray and given.size and type(copy) is RecordingArray]  # fmt: skip
    arrays.sort(key=itemgetter(0, 1))
    for k, one in enumerate(arrays):
        others = [other for other in arrays[k + 1 :] if other[0] < one[1]]
        if others and not all(_array(copies, *array[2:]) for array in (one, *others)):
            return True
    return False


def _are_usual(reads: Iterable[tuple[Any, dict[str, bool]]]) -> bool:
    """Whether the names that were read and are those of Python's own functions are harmless."""
    own = vars(builtins)
    missing = (name for _, names in reads for name, is_there in names.items() if not is_there)
    return all(name in USUAL or (name in own and _is_exception(own[name])) for name in missing)


def _is_exception(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _is_as_given(copies: Any, given: Any, copy: Any) -> bool:
    check = CHECKS.get(type(given))
    if check is not None:
        return check(copies, given, copy)
    return isinstance(given, np.generic) or (isinstance(given, type) and (given in SCALARS or given is np.ndarray))


def _array(copies: Any, given: Any, copy: Any) -> bool:
    if type(copy) is not RecordingArray:
        return type(copy) is Table
    found = lifted(copies.graph, given)
    return bool(copy.shape == found.shape and np.array_equal(copy.read, found.read))


def _list(copies: Any, given: list[Any], copy: Any) -> bool:
    return len(given) == len(copy) and all(_is_copy(copies, *pair) for pair in zip(given, copy, strict=True))


def _dict(copies: Any, given: dict[Any, Any], copy: Any) -> bool:
    return list(given) == list(copy) and _list(copies, list(given.values()), list(copy.values()))


def _is_copy(copies: Any, given: Any, copy: Any) -> bool:
    return copies.value(given) is copy


def _of_library(_: Any, given: Any, copy: Any) -> bool:
    """A function of NumPy or SciPy."""
    is_random = str(given.__module__).startswith("numpy.random")
    return type(copy) is LibraryFunction and given.__name__ not in IMPURE and not is_random


def _function(copies: Any, given: FunctionType, copy: Any) -> bool:
    if type(copy) is LibraryFunction:
        return _of_library(copies, given, copy)
    if copy is given:
        return given.__module__ in PURE
    if type(copy) is not FunctionType or copy.__code__ is not given.__code__ or _changes(given.__code__):
        return False
    pairs = [(given.__defaults__, copy.__defaults__), (given.__kwdefaults__, copy.__kwdefaults__)]
    return all(_is_copy(copies, *pair) for pair in pairs) and _dict(copies, vars(given), vars(copy))


@lru_cache(1024)
def _changes(code: CodeType) -> bool:
    """Whether a function, or one inside of it, may change attributes or globals, or read them by special names."""
    if any(name.startswith("__") for name in code.co_names):
        return True
    if any(one.opname in CHANGES for one in dis.get_instructions(code)):
        return True
    return any(_changes(one) for one in code.co_consts if isinstance(one, CodeType))


def _partial(copies: Any, given: partial[Any], copy: Any) -> bool:
    return not vars(copy) and _dict(copies, given.keywords, copy.keywords)


def _builtin(copies: Any, given: Any, copy: Any) -> bool:
    if type(copy) is LibraryFunction:
        return _of_library(copies, given, copy)
    return isinstance(copy, MathFunction | ComplexFunction) or (given.__self__ is builtins and given.__name__ in USUAL)


def _cell(copies: Any, given: CellType, copy: CellType) -> bool:
    contents = []
    for cell in (given, copy):
        try:
            contents.append(cell.cell_contents)
        except ValueError:  # empty
            return False
    return _is_copy(copies, *contents)


def _module(copies: Any, given: ModuleType, copy: Any) -> bool:
    if type(copy) is not Library:
        return False
    names = [name for name in vars(copy) if name not in OWN]
    if given.__name__.partition(".")[0] in RECORDED:
        return not IMPURE.intersection(names) and not SPECIAL.keys() & set(names)
    return all(_is_copy(copies, getattr(given, name), vars(copy)[name]) for name in names)


def _globals(copies: Any, given: dict[str, Any], copy: Globals) -> bool:
    names = [name for name in copy if name not in ("__builtins__", "__name__")]
    return all(_is_copy(copies, given[name], copy[name]) for name in names)


def _of_dict(copies: Any, given: dict[str, Any], copy: Any) -> bool:
    return (_globals if type(copy) is Globals else _dict)(copies, given, copy)


CHECKS: dict[type, Callable[[Any, Any, Any], bool]] = {
    np.ndarray: _array,
    list: _list,
    dict: _of_dict,
    tuple: lambda *_: True,  # its parts have entries of their own
    FunctionType: _function,
    BuiltinFunctionType: _builtin,
    CellType: _cell,
    ModuleType: _module,
    partial: _partial,
    np.ufunc: lambda *_: True,
    type(np.stack): _of_library,
}
"""Whether a copy is as it was made, by the type of what was copied."""
