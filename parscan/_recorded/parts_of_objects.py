"""Facts about objects that can be compared exactly, and their parts: objects of each kind are opened in their way."""

from __future__ import annotations

import builtins
import functools
import weakref
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable, Sequence
from types import (
    CellType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
    WrapperDescriptorType,
)
from typing import Any

import numpy

from .captured import Opened
from .comparable import Contents, Each, Same, Unknown, token
from .origins import MANY, is_copied, slots_of

np: Any = numpy  # whose scalar types mypy would tell apart

Facts = tuple[Any, ...]
Open = Callable[[Any, Any], tuple[Facts, Sequence[Any]]]
"""Returns facts about an object, and its parts. The second argument: names that were read from it, or were not."""


def of_array(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    if given.dtype.hasobject:
        raise Unknown
    return (given.dtype, given.shape, given.strides, Contents(given)), ()


def of_sequence(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    if len(given) > MANY:
        raise Unknown
    return (), given


def of_empty(given: set[Any], _: Any) -> tuple[Facts, Sequence[Any]]:
    if given:
        raise Unknown  # the order of its elements depends on its past
    return (), ()


def of_named_tuple(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    return (), (type(given), *given)


def of_dict(given: dict[Any, Any], _: Any) -> tuple[Facts, Sequence[Any]]:
    if len(given) > MANY:
        raise Unknown
    return tuple(map(_key, given)), tuple(given.values())


def _key(value: Any) -> Any:
    return (tuple, *map(_key, value)) if type(value) is tuple else token(value)


def of_default_dict(given: defaultdict[Any, Any], _: Any) -> tuple[Facts, Sequence[Any]]:
    facts, parts = of_dict(given, None)
    return facts, (given.default_factory, *parts)


def of_space(given: dict[str, Any], names: dict[str, bool]) -> tuple[Facts, Sequence[Any]]:
    """Globals; a name that they do not have is one of Python's."""
    own = vars(builtins)
    there = [(name in given) == is_there for name, is_there in names.items()]
    found = [given[name] if is_there else own.get(name) for name, is_there in names.items()]
    return (given.get("__name__"), all(there)), found


def of_module(given: ModuleType, names: dict[str, bool]) -> tuple[Facts, Sequence[Any]]:
    there = [hasattr(given, name) == is_there for name, is_there in names.items()]
    found = [getattr(given, name) for name, is_there in names.items() if is_there]
    return (given.__name__, weakref.ref(given), all(there)), found  # of a module, there is one reference


def of_shared_module(given: ModuleType, _: Any) -> tuple[Facts, Sequence[Any]]:
    return (given.__name__, Same(given), Each(vars(given).values())), ()


def of_refusing_module(given: ModuleType, _: Any) -> tuple[Facts, Sequence[Any]]:
    return (given.__name__,), ()


def of_function(given: FunctionType, _: Any) -> tuple[Facts, Sequence[Any]]:
    facts = (given.__code__, given.__module__, given.__name__, given.__qualname__, tuple(vars(given)))
    own = vars(given).values()
    return facts, (given.__globals__, given.__defaults__, given.__kwdefaults__, *(given.__closure__ or ()), *own)


def of_opened(given: Opened, _: Any) -> tuple[Facts, Sequence[Any]]:
    """A function without the floats that are its arguments."""
    function = given.function
    facts = (given.kind, function.__code__, function.__module__, function.__name__, function.__qualname__)
    defaults = tuple(None if k in given.defaults else one for k, one in enumerate(function.__defaults__ or ()))
    cells = [cell for k, cell in enumerate(function.__closure__ or ()) if k not in given.cells]
    return facts, (function.__globals__, *defaults, *cells)


def of_one(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    """An object that does not change."""
    return (Same(given),), ()


def of_named(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    """A slot of a class."""
    return (given.__name__, Same(given.__objclass__)), ()


def of_kind(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    """An object that is used for its type alone."""
    return (), ()


def of_cell(given: CellType, _: Any) -> tuple[Facts, Sequence[Any]]:
    try:
        return (True,), (given.cell_contents,)
    except ValueError:  # empty
        return (False,), ()


def of_method(given: MethodType, _: Any) -> tuple[Facts, Sequence[Any]]:
    return (), (given.__self__, given.__func__)


def of_builtin_method(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    return (given.__name__,), (given.__self__,)


def of_partial(given: functools.partial[Any], _: Any) -> tuple[Facts, Sequence[Any]]:
    return (), (given.func, given.args, given.keywords)


def of_members(*names: str) -> Open:
    def members(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
        return (), [getattr(given, name) for name in names]

    return members


OF_TYPES = ("__dict__", "__weakref__", "__doc__", "__annotations__")
"""Members of a class that change with the class only, or are not used."""


def of_class(given: type, _: Any) -> tuple[Facts, Sequence[Any]]:
    members = dict(vars(given))
    kept = {name: member for name, member in members.items() if is_copied(name, member)}
    others = Each(member for name, member in members.items() if name not in kept and name not in OF_TYPES)
    return (Same(given), tuple(kept), others), (*given.__bases__, *kept.values())


def of_variables(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    slots = [name for name in slots_of(type(given)) if hasattr(given, name)]
    own = getattr(given, "__dict__", {})
    if not slots and not own:
        raise Unknown  # an object that may keep its variables elsewhere
    return (slots, tuple(own)), (*(getattr(given, name) for name in slots), *own.values())


def of_object(given: Any, unread: Sequence[str]) -> tuple[Facts, Sequence[Any]]:
    """An object of a class of the user's, which has no variables elsewhere; some of them were not read."""
    slots = [name for name in slots_of(type(given)) if hasattr(given, name)]
    own = getattr(given, "__dict__", {})
    values = [value for name, value in own.items() if name not in unread] if unread else own.values()
    return (slots, tuple(own)), (type(given), *(getattr(given, name) for name in slots), *values)


MEMBERS: dict[type, tuple[str, ...]] = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
    np.vectorize: ("pyfunc",),
}
"""Attributes of objects that are opened."""


OPEN: dict[type, Open] = {
    np.ndarray: of_array,
    list: of_sequence,
    tuple: of_sequence,
    set: of_empty,
    dict: of_dict,
    OrderedDict: of_dict,
    Counter: of_dict,
    defaultdict: of_default_dict,
    CellType: of_cell,
    MethodType: of_method,
    functools.partial: of_partial,
    SimpleNamespace: of_object,
    **{one: of_members(*names) for one, names in MEMBERS.items()},
    object: of_one,
    np.random.Generator: of_kind,
    np.random.RandomState: of_kind,
    MemberDescriptorType: of_named,
    GetSetDescriptorType: of_named,
    type(vars(namedtuple("Named", "field"))["field"]): of_one,
    MethodDescriptorType: of_one,
    WrapperDescriptorType: of_one,
}
"""How objects are opened, by their types."""
