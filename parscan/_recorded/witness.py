"""
Whether a function would be recorded as before: all that it read then is compared with what it would read now.

A function reads globals, closure cells, defaults, attributes of objects and of modules, arrays, lists and dictionaries.
A witness is a graph of all that: a node per object, with the facts about it that can be compared exactly (the bytes of
an array, the code of a function, the names of attributes) and the nodes of its parts. It holds if the same walk over
the present objects finds equal facts everywhere, and if names that stood for one and the same object still do: a
function may write to an array under one name and read it under another.

What cannot be compared exactly has no witness: objects of other libraries, files, the clock.
"""

from __future__ import annotations

import abc
import builtins
import dataclasses
import functools
import math
import operator
import reprlib
import sys
import time
import weakref
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable, Sequence
from struct import Struct
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
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

from . import glance
from .captured import Opened
from .copies import MAKERS, Copies
from .glance import Glance, NoGlanceError
from .libraries import SPECIAL
from .number_types import SCALARS
from .origins import CACHED, DISPATCHER, IMPURE, MANY, PURE, is_by_numba, is_copied, is_users, slots_of
from .refusing import NO_FUNCTIONS

np: Any = numpy  # whose scalar types mypy would tell apart

MOST_NODES, MOST_BYTES = 5000, 16 << 20
"""Objects that a witness compares, and bytes of arrays that it keeps for that."""

LIBRARIES = ("numpy", "scipy")

FOR_HASHES = frozenset({"hash", "id"})
"""Of them, those that methods `__hash__` may use: who calls such a method uses one of these names himself."""

OF_DATACLASSES = (dataclasses.__file__, reprlib.__file__)
"""Files of functions that every dataclass has: `repr` asks for the `id` of its object only to end a recursion."""

Facts = tuple[Any, ...]
Open = Callable[[Any, Any], tuple[Facts, Sequence[Any]]]
"""Returns facts about an object, and its parts. The second argument: names that were read from it, or were not."""


class Unknown(Exception):  # noqa: N818 - it says what happened
    """An object that cannot be compared exactly."""


class Same:
    """A fact that holds for one object only. The object is not kept alive if that can be avoided."""

    __slots__ = ("_reference",)

    def __init__(self, given: Any) -> None:
        try:
            self._reference: Any = weakref.ref(given)
        except TypeError:
            self._reference = lambda: given

    def holds(self, given: Any) -> bool:
        """Whether this is the object."""
        return self._reference() is given

    def __eq__(self, other: object) -> bool:
        found = self._reference()
        return isinstance(other, Same) and found is other._reference() and found is not None

    __hash__ = None  # type: ignore[assignment]


class Each:
    """A fact that holds for these objects only, in this order; they are kept alive."""

    __slots__ = ("_objects",)

    def __init__(self, given: Any) -> None:
        self._objects = tuple(given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Each) and len(self._objects) == len(other._objects) and all(
            map(operator.is_, self._objects, other._objects))  # fmt: skip

    __hash__ = None  # type: ignore[assignment]


class Contents:
    """A fact that holds for arrays of equal bytes."""

    __slots__ = ("_array",)

    def __init__(self, given: Any) -> None:
        self._array = given

    def copy(self) -> Contents:
        """The same bytes, which do not change with the array."""
        return Contents(self._array.copy("K"))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Contents):
            return False
        one, two = self._array, other._array
        if one.nbytes <= FEW_BYTES or one.strides != two.strides or not _in_one_piece(one):
            return bool(one.tobytes() == two.tobytes())
        # Words are compared without copies, as integers: a NaN is equal to itself.
        return all(map(np.array_equal, _words(one), _words(two)))

    __hash__ = None  # type: ignore[assignment]


FEW_BYTES = 1 << 16
"""Of arrays that small, copies are compared."""


def _in_one_piece(array: Any) -> bool:
    return bool(array.flags.c_contiguous or array.flags.f_contiguous)


def _words(array: Any) -> tuple[Any, Any]:
    """The bytes of an array in one piece, eight at a time, and the rest."""
    flat = array.ravel("K").view(np.uint8)
    cut = flat.size - flat.size % 8
    return flat[:cut].view(np.uint64), flat[cut:]


# Values without parts

_bits, _pair = Struct("d").pack, Struct("dd").pack


def _itself(value: Any) -> Any:
    return value


def _of_scalar(value: Any) -> Any:
    if value.dtype.kind not in "biufc":
        raise Unknown
    return value.tobytes()


def _of_dtype(value: Any) -> Any:
    if value.kind not in "biufc":
        raise Unknown
    return value.str


def _of_frozenset(value: frozenset[Any]) -> Any:
    return tuple(map(token, value))  # in the order in which a loop meets them


def _of_slice(value: slice) -> Any:
    return tuple(map(token, (value.start, value.stop, value.step)))


TOKENS: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys((int, bool, str, bytes, type(None), type(...), type(NotImplemented)), _itself),
    float: _bits,
    complex: lambda value: _pair(value.real, value.imag),
    range: lambda value: (value.start, value.stop, value.step),
    slice: _of_slice,
    frozenset: _of_frozenset,
}
"""Values that cannot change, by their types, as something to compare: equal ones are the same to the last bit."""


def token(value: Any) -> tuple[type, Any]:
    """A value that cannot change, as something to compare."""
    kind = type(value)
    make = TOKENS.get(kind)
    if make is None:
        if isinstance(value, np.generic):
            make = TOKENS[kind] = _of_scalar
        elif isinstance(value, np.dtype):
            make = TOKENS[kind] = _of_dtype
        else:
            raise Unknown
    return kind, make(value)


NOTHING = token(None)


def _is_atom(value: Any) -> bool:
    return type(value) in TOKENS or (
        isinstance(value, np.generic | np.dtype) and _root(type(value).__module__) == "numpy"
    )


# Objects with parts


def _array(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    if given.dtype.hasobject:
        raise Unknown
    return (given.dtype, given.shape, given.strides, Contents(given)), ()


def _sequence(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    if len(given) > MANY:
        raise Unknown
    return (), given


def _empty(given: set[Any], _: Any) -> tuple[Facts, Sequence[Any]]:
    if given:
        raise Unknown  # the order of its elements depends on its past
    return (), ()


def _named_tuple(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    return (), (type(given), *given)


def _dict(given: dict[Any, Any], _: Any) -> tuple[Facts, Sequence[Any]]:
    if len(given) > MANY:
        raise Unknown
    return tuple(map(_key, given)), tuple(given.values())


def _key(value: Any) -> Any:
    return (tuple, *map(_key, value)) if type(value) is tuple else token(value)


def _default_dict(given: defaultdict[Any, Any], _: Any) -> tuple[Facts, Sequence[Any]]:
    facts, parts = _dict(given, None)
    return facts, (given.default_factory, *parts)


def _space(given: dict[str, Any], names: dict[str, bool]) -> tuple[Facts, Sequence[Any]]:
    """Globals; a name that they do not have is one of Python's."""
    own = vars(builtins)
    there = [(name in given) == is_there for name, is_there in names.items()]
    found = [given[name] if is_there else own.get(name) for name, is_there in names.items()]
    return (given.get("__name__"), all(there)), found


def _module(given: ModuleType, names: dict[str, bool]) -> tuple[Facts, Sequence[Any]]:
    there = [hasattr(given, name) == is_there for name, is_there in names.items()]
    found = [getattr(given, name) for name, is_there in names.items() if is_there]
    return (given.__name__, weakref.ref(given), all(there)), found  # of a module, there is one reference


def _shared_module(given: ModuleType, _: Any) -> tuple[Facts, Sequence[Any]]:
    return (given.__name__, Same(given), Each(vars(given).values())), ()


def _refusing_module(given: ModuleType, _: Any) -> tuple[Facts, Sequence[Any]]:
    return (given.__name__,), ()


def _function(given: FunctionType, _: Any) -> tuple[Facts, Sequence[Any]]:
    facts = (given.__code__, given.__module__, given.__name__, given.__qualname__, tuple(vars(given)))
    own = vars(given).values()
    return facts, (given.__globals__, given.__defaults__, given.__kwdefaults__, *(given.__closure__ or ()), *own)


def _opened(given: Opened, _: Any) -> tuple[Facts, Sequence[Any]]:
    """A function without the floats that are its arguments."""
    function = given.function
    facts = (given.kind, function.__code__, function.__module__, function.__name__, function.__qualname__)
    defaults = tuple(None if k in given.defaults else one for k, one in enumerate(function.__defaults__ or ()))
    cells = [cell for k, cell in enumerate(function.__closure__ or ()) if k not in given.cells]
    return facts, (function.__globals__, *defaults, *cells)


def _one(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    """An object that does not change."""
    return (Same(given),), ()


def _named(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    """A slot of a class."""
    return (given.__name__, Same(given.__objclass__)), ()


def _of_kind(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    """An object that is used for its type alone."""
    return (), ()


def _cell(given: CellType, _: Any) -> tuple[Facts, Sequence[Any]]:
    try:
        return (True,), (given.cell_contents,)
    except ValueError:  # empty
        return (False,), ()


def _method(given: MethodType, _: Any) -> tuple[Facts, Sequence[Any]]:
    return (), (given.__self__, given.__func__)


def _builtin_method(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    return (given.__name__,), (given.__self__,)


def _partial(given: functools.partial[Any], _: Any) -> tuple[Facts, Sequence[Any]]:
    return (), (given.func, given.args, given.keywords)


def _members(*names: str) -> Open:
    def members(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
        return (), [getattr(given, name) for name in names]

    return members


OF_TYPES = ("__dict__", "__weakref__", "__doc__", "__annotations__")
"""Members of a class that change with the class only, or are not used."""


def _class(given: type, _: Any) -> tuple[Facts, Sequence[Any]]:
    members = dict(vars(given))
    kept = {name: member for name, member in members.items() if is_copied(name, member)}
    others = Each(member for name, member in members.items() if name not in kept and name not in OF_TYPES)
    return (Same(given), tuple(kept), others), (*given.__bases__, *kept.values())


def _variables(given: Any, _: Any) -> tuple[Facts, Sequence[Any]]:
    slots = [name for name in slots_of(type(given)) if hasattr(given, name)]
    own = getattr(given, "__dict__", {})
    if not slots and not own:
        raise Unknown  # an object that may keep its variables elsewhere
    return (slots, tuple(own)), (*(getattr(given, name) for name in slots), *own.values())


def _object(given: Any, unread: Sequence[str]) -> tuple[Facts, Sequence[Any]]:
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
    np.ndarray: _array,
    list: _sequence,
    tuple: _sequence,
    set: _empty,
    dict: _dict,
    OrderedDict: _dict,
    Counter: _dict,
    defaultdict: _default_dict,
    CellType: _cell,
    MethodType: _method,
    functools.partial: _partial,
    SimpleNamespace: _object,
    **{one: _members(*names) for one, names in MEMBERS.items()},
    object: _one,
    np.random.Generator: _of_kind,
    np.random.RandomState: _of_kind,
    MemberDescriptorType: _named,
    GetSetDescriptorType: _named,
    type(vars(namedtuple("Named", "field"))["field"]): _one,
    MethodDescriptorType: _one,
    WrapperDescriptorType: _one,
}
"""How objects are opened, by their types."""


def _root(module: Any) -> str:
    return str(module or "").partition(".")[0]


def _is_pure(module: str | None, name: str) -> bool:
    """Whether a function or class of a library or of Python depends on its arguments only."""
    return name not in IMPURE and (module in PURE or _root(module) in LIBRARIES) and not str(module).startswith(
        ("numpy.random", "scipy.io", "scipy.datasets"))  # fmt: skip


def _opener(given: Any, copies: Copies) -> Open:
    """How an object is opened; raises `Unknown` if it cannot be compared."""
    kind = type(given)
    if (found := OPEN.get(kind)) is not None:
        return found
    for kinds, choose in BY_KIND:
        if isinstance(given, kinds):
            return choose(given, copies)
    if any(isinstance(given, kinds) for kinds, _ in MAKERS):
        raise Unknown  # a class of its own kind
    if is_by_numba(given):
        return _members("py_func")
    if kind is CACHED:
        return _members("__wrapped__")
    return _opener_of_object(given, copies)


def _opener_of_function(given: Any, _: Copies) -> Open:
    if is_users(given.__module__):
        impure = IMPURE - FOR_HASHES if given.__name__ == "__hash__" else IMPURE
        if not impure.isdisjoint(_names(given.__code__)) and given.__code__.co_filename not in OF_DATACLASSES:
            raise Unknown
        return _function
    if _is_pure(given.__module__, given.__name__):
        return _one
    raise Unknown


def _opener_of_opened(given: Opened, copies: Copies) -> Open:
    if _opener_of_function(given.function, copies) is not _function:
        raise Unknown
    return _opened


def _names(code: CodeType) -> set[str]:
    """Names of globals and attributes in a function and in those inside of it."""
    inner = (_names(one) for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*inner)


def _opener_of_class(given: type, copies: Copies) -> Open:
    if given in SCALARS or _is_pure(given.__module__, given.__name__):
        return _one
    if type(given) not in (type, abc.ABCMeta) or not copies.has_own(given):
        raise Unknown
    if any("__init_subclass__" in vars(base) for base in given.__mro__ if is_users(base.__module__)):
        raise Unknown  # it is called when the class is copied
    return _class


def _opener_of_builtin(given: Any, _: Copies) -> Open:
    owner = given.__self__
    if owner is not None and not isinstance(owner, ModuleType | type):
        return _builtin_method
    if owner is math or _is_pure(getattr(given, "__module__", None), given.__name__):
        return _one
    raise Unknown


def _opener_of_module(given: ModuleType, _: Copies) -> Open:
    name = given.__name__
    if name == "numpy.random" or name in NO_FUNCTIONS:
        return _refusing_module
    if _root(name) in (*LIBRARIES, "math", "cmath") or is_users(name):
        return _module
    if name in PURE:
        return _shared_module
    raise Unknown


def _opener_of_ufunc(given: Any, _: Copies) -> Open:
    special = sys.modules.get("scipy.special")  # slow to import, and imported already by a function that uses it
    if all(given is not getattr(library, given.__name__, None) for library in (np, special)):
        raise Unknown  # made of a function of the user's
    return _one


def _opener_of_tuple(given: Any, copies: Copies) -> Open:
    if not copies.has_own(type(given)):
        raise Unknown
    return _named_tuple


def _opener_of_object(given: Any, copies: Copies) -> Open:
    kind = type(given)
    if kind.__module__.startswith(("scipy.sparse", "scipy.interpolate", "numpy.polynomial")):
        return _variables
    if _root(kind.__module__) in (*LIBRARIES, DISPATCHER) and callable(given) and hasattr(given, "__name__"):
        return _opener_of_function(given, copies)
    if any(given is getattr(np, name) for name in SPECIAL):
        return _one
    if kind.__module__ in PURE and kind.__base__ is object and getattr(given, "__dict__", None) == {}:
        return _one  # a sentinel
    if not is_users(kind.__module__) or not copies.has_own(given) or not copies.has_own(kind):
        raise Unknown
    return _object


BY_KIND: tuple[tuple[type, Callable[[Any, Copies], Open]], ...] = (
    (FunctionType, _opener_of_function),
    (Opened, _opener_of_opened),
    (type, _opener_of_class),
    (BuiltinFunctionType, _opener_of_builtin),
    (ModuleType, _opener_of_module),
    (np.ufunc, _opener_of_ufunc),
    (tuple, _opener_of_tuple),
)
"""Functions that choose how objects of all other types are opened."""


LOOKS: dict[Open, Callable[[Any, Any, Sequence[glance.Part]], glance.Look | None]] = {
    _function: glance.of_function,
    _cell: glance.of_cell,
    _space: glance.of_space,
    _module: glance.of_module,
    _array: glance.of_array,
    _sequence: glance.of_sequence,
    _one: lambda given, names, parts: None,
    _method: functools.partial(glance.of_members, ("__self__", "__func__")),
    _object: glance.of_object,
    _class: lambda given, names, parts: glance.of_class(given, _class(given, names)[0][1], parts),
    _empty: glance.of_nothing,
    **{OPEN[one]: functools.partial(glance.of_members, names) for one, names in MEMBERS.items()},
}
"""How to see at a glance that an object is as it was."""


# Witnesses


class Node:
    """An object that was read: its type, how it is opened, names read from it or not, facts about it, and its parts."""

    __slots__ = ("facts", "kind", "names", "open", "parts")

    def __init__(self, given: Any, opener: Open, names: Any) -> None:
        self.kind = None if opener in (_object, _named_tuple) else type(given)  # None: the type is one of the parts
        self.open, self.names = opener, names
        self.facts: Facts = ()
        self.parts: list[Any] = []
        """Numbers of nodes, and tokens of values without parts."""


class Witness:
    """
    What a function read while it was recorded.

    Parameters
    ----------
    function : callable
    constants : sequence
        Its further arguments.
    copies : Copies
        The copies that were made for the recording.

    Raises
    ------
    Unknown
        If something cannot be compared.

    Attributes
    ----------
    size : int
        Bytes of arrays that are kept.
    seconds : float
        Processor time of the briefest comparison, because other work of the machine only adds; 0 before the first one.
    """

    def __init__(self, function: Callable[..., Any], constants: Sequence[Any], copies: Copies) -> None:
        self._nodes: list[Node] = []
        self._numbers: dict[int, int] = {}
        self._imports = [arguments for arguments, _ in copies.reads.imports]
        self.size, self.seconds = 0, 0.0
        self._glance: Glance | None = None
        self._last: Callable[[], Any] | None = None
        """The function that was recorded, or compared last."""
        self._is_new(function)
        kept: list[Any] = []  # so that no other object takes the place of one in memory
        self._roots = [self._part(one, copies, kept) for one in self._given(function, constants)]
        if not self._numbers.keys() >= copies.reads.names.keys():
            raise Unknown  # something was read that no walk finds
        del self._numbers

    def holds(self, function: Callable[..., Any], constants: Sequence[Any]) -> bool:
        """Whether a function with these arguments would be recorded as that of the witness."""
        try:
            if self._glance is not None and self._glance.holds(function, constants):
                return True
        except Exception:  # what cannot be read is not as before
            self._glance = None
        begin, holds = time.thread_time(), False
        try:
            given = self._given(function, constants)
            holds = len(given) == len(self._roots) and self._holds(list(zip(self._roots, given, strict=True)))
        except Exception:  # what cannot be read is not as before
            holds = False
        finally:
            seconds = time.thread_time() - begin
            self.seconds = min(seconds, self.seconds or seconds) if holds else self.seconds or seconds
        self._glance = self._glimpse(function, constants) if holds and not self._is_new(function) else None
        return holds

    def _is_new(self, function: Any) -> bool:
        """Whether a function is another than the last one: perhaps, each is compared only once."""
        if type(function) is not FunctionType:
            return False
        before, self._last = self._last, weakref.ref(function)
        return before is None or before() is not function

    def _glimpse(self, function: Any, constants: Sequence[Any]) -> Glance | None:
        """A glance, if there can be one, for objects that were found to be as before."""
        look = self.look(function, len(constants)) if all(map(_is_atom, constants)) else None
        if look is None:
            return None
        found, begin = Glance(function, constants, look), time.thread_time()
        if not found.holds(function, constants):
            return None
        self.seconds = min(self.seconds, time.thread_time() - begin)
        return found

    def look(self, function: Any, constants: int, inner: Any = None) -> glance.Look | None:
        """
        How to see at a glance that a function, after so many `constants`, reads what it reads now; None if not.

        With `inner`: that this, which is found in the function or in what it reads, reads what it reads now.
        """
        if type(function) not in (FunctionType, MethodType) or self._imports:
            return None
        number, given, seen = self._roots[constants], function, set[int]()
        pending = [] if inner is None else [(number, given)]
        try:
            while pending and given is not inner:
                number, given = pending.pop()
                if type(number) is int and number not in seen:
                    seen.add(number)
                    node = self._nodes[number]
                    pending += zip(node.parts, node.open(given, node.names)[1], strict=True)
            return self._look(number, given, {}) if inner is None or given is inner else None
        except (NoGlanceError, Unknown):
            return None

    def _look(self, number: Any, given: Any, looks: dict[int, glance.Look | None]) -> glance.Look | None:
        if type(number) is not int:
            return None  # a value that cannot change
        node = self._nodes[number]
        if number in looks:  # one look at globals and modules, which many functions read, is enough
            return None if node.open in (_space, _module) else looks[number]
        make = LOOKS.get(node.open)
        if make is None:
            raise NoGlanceError
        looks[number] = None  # whoever reads itself is looked at already
        parts = node.open(given, node.names)[1]
        found = looks[number] = make(
            given,
            node.names,
            [glance.part(one, self._look(k, one, looks)) for k, one in zip(node.parts, parts, strict=True)],
        )
        return found

    def _given(self, function: Callable[..., Any], constants: Sequence[Any]) -> list[Any]:
        if any(level for _, _, level in self._imports):
            raise Unknown
        modules = [builtins.__import__(name, {}, {}, names or (), 0) for name, names, _ in self._imports]
        return [*constants, function, *modules]

    def _part(self, given: Any, copies: Copies, kept: list[Any], opener: Open | None = None) -> Any:
        """Number of the node of an object, which is entered with all its parts; of a value without parts, the token."""
        if _is_atom(given):
            return token(given)
        if (found := self._numbers.get(id(given))) is not None:
            if (self._nodes[found].open is _space) != (opener is _space):
                raise Unknown  # a dictionary of globals that is used as a dictionary, too
            return found
        opener = opener or _opener(given, copies)
        names: Any = copies.names_unread(given) if opener is _object else None
        if opener in (_space, _module):
            names = copies.reads.names.get(id(given), (None, {}))[1]
        node, number = Node(given, opener, names), len(self._nodes)
        self._nodes.append(node)
        self._numbers[id(given)] = number
        kept.append(given)
        node.facts, parts = opener(given, names)
        if opener is _array:
            self.size += given.nbytes
            node.facts = (*node.facts[:-1], node.facts[-1].copy())
        if len(self._nodes) > MOST_NODES or self.size > MOST_BYTES:
            raise Unknown
        spaces = [_space] if opener in (_function, _opened) else []
        node.parts = [self._part(part, copies, kept, role) for part, role in _with_roles(parts, spaces)]
        return number

    def _holds(self, pending: list[tuple[Any, Any]]) -> bool:
        nodes, objects, numbers = self._nodes, dict[int, Any](), dict[int, int]()
        while pending:
            number, given = pending.pop()
            if type(number) is not int:
                if (NOTHING if given is None else token(given)) != number:
                    return False
                continue
            if number in objects:
                if objects[number] is not given:
                    return False
                continue
            node = nodes[number]
            if node.open is _one:  # most of them are
                if not node.facts[0].holds(given):
                    return False
                continue
            if id(given) in numbers or type(given) is not (node.kind or type(given)):
                return False
            objects[number], numbers[id(given)] = given, number
            facts, parts = node.open(given, node.names)
            if facts != node.facts or len(parts) != len(node.parts):
                return False
            pending += zip(node.parts, parts, strict=True)
        return True


def _with_roles(parts: Sequence[Any], roles: list[Any]) -> Any:
    return zip(parts, [*roles, *[None] * (len(parts) - len(roles))], strict=True)
