"""Recording arrays: NumPy's operators, ufuncs and functions accept them, and the operations are recorded."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import repeat
from math import prod
from typing import Any

import numpy

from .graph import CONVERT, FEW, GATHER, PRODUCT, SEARCH_LEFT, SEARCH_RIGHT, Graph, Ids
from .limits import limits
from .operations import OPERATIONS

np: Any = numpy  # whose types do not know recording arrays

FLOAT64, FLOAT32, BOOL, INTEGER = map(np.dtype, (np.float64, np.float32, bool, np.intp))

COMPARISONS = frozenset(["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"])

FREQUENT = COMPARISONS | {"add", "subtract", "multiply", "divide", "remainder", "floor_divide", "power", "maximum",
                          "minimum", "hypot", "arctan2", "negative", "absolute", "sqrt", "cbrt", "exp", "expm1", "log",
                          "log1p", "log2", "log10", "sin", "cos", "tan", "tanh", "sinh", "cosh", "arctan", "expit",
                          "sign", "floor"}  # fmt: skip
"""Operations on floating-point numbers of one dtype; their results have it, too, apart from those of comparisons."""

NUMBERS = frozenset([float, int, np.float64])
"""Types of numbers that become double-precision ones beside double-precision arrays."""

WEAK = frozenset([float, int])
"""Types of numbers that take the dtype of any floating-point array."""

CHARS = "bdfilq?BHILQhpFD"
"""Characters of the dtypes that are recorded."""

OF_PYTHON: Any = {float: 0.0, int: 0, complex: 0j}
"""Types of numbers of Python that take the precision of arrays, and a number of each."""


NEW = object.__new__

ndarray = np.ndarray

Form = tuple[int, ...] | None

ABOVE: dict[str, Any] = {}
"""Functions that the methods of arrays call. Their files import this one, and enter them here."""


class Refused(Exception):  # noqa: N818 - it says what happened
    """
    A function cannot be recorded; the argument of the exception is a sentence without subject and full stop.

    It is noted in the list of `refusals`, as functions may catch all exceptions: they then do what they would not do
    with numbers. Our own code that catches it calls `settle`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        noted = refusals.noted
        if noted is not None:
            noted.append(self)

    def settle(self) -> None:
        """It is dealt with."""
        if refusals.noted is not None:
            refusals.noted[:] = [one for one in refusals.noted if one is not self]


class _Refusals(threading.local):
    """Refusals while a function is called, in this thread."""

    noted: list[Refused] | None = None


refusals = _Refusals()


def _binary(name: str, *, swapped: bool = False) -> Any:
    def method(self: RecordingArray, other: Any) -> Any:
        if self.is_python and (found := _of_python(name, self, other, swapped=swapped)) is not None:
            return found
        if other is None and name in ("equal", "not_equal") and not self.is_python and type(self.ids) is not int:
            return as_recording(self.graph, np.full(self.shape, name == "not_equal"))
        if other is None or isinstance(other, str):
            return NotImplemented
        if swapped and name == "multiply" and isinstance(other, list) and not self.ndim and self.dtype.kind in "iu":
            return other * operator.index(self)  # repeats the list
        return apply(name, other, self) if swapped else apply(name, self, other)

    if name not in FREQUENT:
        return method
    return _frequent_swapped(name, method) if swapped else _frequent(name, method)


def _frequent(name: str, method: Any) -> Any:
    """
    An operation on floating-point numbers of one dtype, as most are; others are left to a method.

    Calls are spared: one of the methods below takes less than a microsecond, which a function has for each operation.
    """
    always = BOOL if name in COMPARISONS else None

    def frequent(self: RecordingArray, other: Any) -> Any:
        graph, own, mine, form, theirs = self.graph, self.dtype, self.nodes, self.form, None
        if form is None or (own is not FLOAT64 and own is not FLOAT32):
            return method(self, other)
        if type(mine) is ndarray:
            mine, form = few(mine)
        if type(other) is RecordingArray:
            if other.dtype is own:
                theirs, more = other.nodes, other.form
                if type(theirs) is ndarray:
                    theirs, more = few(theirs)
                if more != form:
                    form = joint((mine, form), (theirs, more))
        elif type(other) in (NUMBERS if own is FLOAT64 else WEAK):
            theirs = graph.doubles.get(other) if own is FLOAT64 else None
            if theirs is None:
                theirs = graph.number(other, own)
        if theirs is None:
            return method(self, other)
        if form is None:  # many elements, or forms that differ
            return _broadcast(graph, name, always or own, (self.ids, getattr(other, "ids", theirs)))
        pair = mine, theirs
        table = graph.scalars[name]
        nodes = table.get(pair)
        if nodes is None:
            nodes = table[pair] = _new(graph, name, always or own, pair)
        result: RecordingArray = NEW(RecordingArray)
        result.graph, result.nodes, result.form, result.dtype = graph, nodes, form, always or own
        return result

    return frequent


def _frequent_swapped(name: str, method: Any) -> Any:
    """The same after a number."""
    always = BOOL if name in COMPARISONS else None

    def frequent(self: RecordingArray, other: Any) -> Any:
        graph, own, mine, form = self.graph, self.dtype, self.nodes, self.form
        if own is not FLOAT64 or form is None or type(other) not in NUMBERS:
            return method(self, other)
        number = graph.doubles.get(other)
        if number is None:
            number = graph.number(other, own)
        if type(mine) is ndarray:
            mine, form = few(mine)
            if form is None:
                return _broadcast(graph, name, always or own, (number, mine))
        pair = number, mine
        table = graph.scalars[name]
        nodes = table.get(pair)
        if nodes is None:
            nodes = table[pair] = _new(graph, name, always or own, pair)
        result: RecordingArray = NEW(RecordingArray)
        result.graph, result.nodes, result.form, result.dtype = graph, nodes, form, always or own
        return result

    return frequent


def _unary(name: str) -> Callable[[RecordingArray], RecordingArray]:
    """A frequent operation on one array; of a number of Python, the result is one as well."""

    def method(self: RecordingArray) -> RecordingArray:
        own, nodes, form, graph = self.dtype, self.nodes, self.form, self.graph
        if type(nodes) is ndarray:
            nodes, form = few(nodes)
        if type(nodes) is ndarray or (own is not FLOAT64 and own is not FLOAT32):
            return self._like_this(apply(name, self))
        table = graph.scalars[name]
        found = table.get((nodes,))
        if found is None:
            found = table[nodes,] = _new(graph, name, own, (nodes,))
        return made(graph, found, own, form)

    return method


def few(nodes: Any) -> tuple[Any, Any]:
    """Nodes of an array of few elements as a tuple, or an int, and their shape; None for that of other arrays."""
    size = nodes.size
    if size == 1:
        return nodes.item(), nodes.shape
    return (tuple(nodes.ravel().tolist()), nodes.shape) if 0 < size <= FEW else (nodes, None)


def joint(*operands: tuple[Any, Form]) -> Form:
    """The shape of an operation on nodes of these forms; None if they are many, or must be broadcast first."""
    found: tuple[int, ...] = ()
    for nodes, form in operands:
        if type(nodes) is ndarray:
            return None
        if form and (len(form) > len(found) or (len(form) == len(found) and type(nodes) is tuple)):
            found = form
    return None if any(type(nodes) is tuple and form != found for nodes, form in operands) else found


def _of_python(name: str, one: RecordingArray, other: Any, *, swapped: bool = False) -> RecordingArray | None:
    """An operation with another Python number, which may raise exceptions; None if `other` is no Python number."""
    if not ABOVE["is_number"](other):
        return None
    operation = ABOVE["operation"]
    found: RecordingArray = operation(name, other, one) if swapped else operation(name, one, other)
    return found


def _in_place(name: str) -> Any:
    operation: Any = operator.pow if name == "power" else _binary(name)

    def method(self: RecordingArray, other: Any) -> RecordingArray:
        found: RecordingArray = operation(self, other)
        if (self.is_python and ABOVE["is_number"](other)) or not self.ndim:
            return found  # a scalar of NumPy is not changed in place
        if found.dtype is not self.dtype and not np.can_cast(found.dtype, self.dtype, "same_kind"):
            raise TypeError(f"Cannot cast output of {name!r} from {found.dtype} to {self.dtype}")
        self[...] = found
        return self

    return method


FIXED = frozenset([int, slice, type(None), type(...)])
"""Types of parts of an index that is no array."""

OTHERWISE = ("compress", "resize", "partition")
"""Methods of arrays that differ from the functions of the same name."""


class RecordingArray:
    """
    An array whose entries are nodes of a graph.

    It shares memory with its views as arrays do, so that functions may write to it.

    Attributes
    ----------
    graph : Graph
        Where operations are recorded.
    nodes : int, tuple of int, or array of int
        Numbers of the nodes. They are an int, or a tuple, if there are one, or a few, elements whose memory nobody has
        seen.
    form : tuple of int or None
        Shape, if `nodes` is no array; None for a Python number, on which operations may raise exceptions.
    dtype : NumPy dtype
        Of the values: Boolean, integer, float32, float64, complex64 or complex128.
    """

    __slots__ = ("dtype", "form", "graph", "nodes")
    __array_priority__ = 1000

    def __init__(self, graph: Graph, ids: Ids, dtype: Any) -> None:
        self.graph = graph
        self.nodes: Any = ids if isinstance(ids, np.ndarray) and ids.ndim else int(ids)
        self.form: Form = ()
        self.dtype = np.dtype(dtype)

    @property
    def is_python(self) -> bool:
        """Whether it stands for a number of Python."""
        return self.form is None

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """`isinstance` finds an array, or a number: the entries of arrays are NumPy's scalars."""
        if self.is_python:
            return complex if self.dtype.kind == "c" else float
        return np.ndarray if self.ndim else self.dtype.type

    # Properties of arrays

    @property
    def ids(self) -> Ids:
        """Numbers of the nodes, an int for the shape (): views share their memory with the array."""
        nodes = self.nodes
        if type(nodes) is not ndarray and self.form:
            nodes = self.nodes = np.array(nodes, INTEGER).reshape(self.form)
        return nodes

    @property
    def shape(self) -> tuple[int, ...]:
        nodes = self.nodes
        return nodes.shape if type(nodes) is ndarray else self.form or ()

    @shape.setter
    def shape(self, shape: Any) -> None:
        self.nodes, self.form = self.with_ids(np.reshape(self.ids, plain(shape))).nodes, ()

    @property
    def ndim(self) -> int:
        nodes = self.nodes
        return nodes.ndim if type(nodes) is ndarray else len(self.form or ())

    @property
    def size(self) -> int:
        nodes = self.nodes
        return 1 if type(nodes) is int else nodes.size if type(nodes) is ndarray else len(nodes)

    @property
    def T(self) -> RecordingArray:  # noqa: N802 - as in NumPy
        return self.with_ids(np.transpose(self.ids))

    mT = property(lambda self: self.with_ids(np.swapaxes(self.ids, -1, -2)))  # noqa: N815

    @property
    def real(self) -> RecordingArray:
        """Of complex numbers, it cannot be written to."""
        return self if self.dtype.kind != "c" else ABOVE["frozen"](ABOVE["parts"](self)[0])

    @real.setter
    def real(self, value: Any) -> None:
        self[...] = value if self.dtype.kind != "c" else ABOVE["paired"](value, self.imag)

    @property
    def flat(self) -> Flat:
        return Flat(self)

    @flat.setter
    def flat(self, value: Any) -> None:
        Flat(self)[:] = value

    @property
    def imag(self) -> RecordingArray:
        """Of complex numbers, it cannot be written to."""
        return self.filled(0.0) if self.dtype.kind != "c" else ABOVE["frozen"](ABOVE["parts"](self)[1])

    @imag.setter
    def imag(self, value: Any) -> None:
        if self.dtype.kind != "c":
            raise TypeError("cannot set the imaginary part of real numbers")
        self[...] = ABOVE["paired"](self.real, value)

    def with_ids(self, ids: Ids) -> RecordingArray:
        """An array of other nodes of the same dtype."""
        return made(self.graph, ids if type(ids) is np.ndarray and ids.ndim else int(ids), self.dtype)

    def filled(self, value: Any) -> RecordingArray:
        """An array of constants of the same shape and dtype."""
        return self.with_ids(np.full(self.shape, self.graph.constant(np.asarray(value, self.dtype))))

    @property
    def constants(self) -> Any:
        """Values, if all of them are constants; None otherwise."""
        nodes = self.nodes
        if type(nodes) is not ndarray and not self.graph.fixed[nodes if type(nodes) is int else nodes[0]]:
            return None
        found = self.graph.values(self.ids)
        return None if found is None else np.asarray(found, self.dtype)

    # Conversion to Python and to arrays

    def _known(self, purpose: str) -> Any:
        values = self.constants
        if values is None:
            raise Refused(f"{purpose} a value")
        return values

    def __bool__(self) -> bool:
        return bool(self._known("branches on"))

    def __float__(self) -> float:
        return float(self._known("calls float() or a function of the module math on"))

    def __int__(self) -> int:
        return int(self._known("calls int() on"))

    def __complex__(self) -> complex:
        return complex(self._known("calls complex() on"))

    def __index__(self) -> int:
        return operator.index(self._known("indexes by")[()])

    def __hash__(self) -> int:
        return hash(self._known("looks up")[()])

    def __round__(self, digits: int | None = None) -> Any:
        if digits is None:
            return ABOVE["whole"](self.round())
        if self.is_python:
            raise Refused("rounds a number of Python to digits, for which Python has another rule than NumPy")
        return self.round(digits)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self._known("calls a function that is not recorded on"), dtype=dtype)

    def __str__(self) -> str:
        return str(self._known("prints"))

    def __format__(self, spec: str) -> str:
        return format(self._known("prints")[()], spec)

    def __repr__(self) -> str:
        return f"RecordingArray(shape={self.shape}, dtype={self.dtype})"

    def item(self, *place: int) -> Any:
        return ABOVE["item"](self.ravel()[place[0] if len(place) == 1 else 0] if len(place) < 2 else self[place])

    def tolist(self) -> Any:
        return [entry.tolist() for entry in self] if self.ndim else self.item()

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[RecordingArray]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        if self.ndim == 1:
            return (_entry(made(self.graph, node, self.dtype)) for node in self.ids.tolist())
        return (self.with_ids(ids) for ids in self.ids)

    # Indexing

    def __getitem__(self, key: Any) -> Any:
        ids = self.nodes
        if type(key) is int and self.ndim == 1:
            node = ids.item(key) if type(ids) is ndarray else ids[key] if type(ids) is tuple else (ids,)[key]
            return _entry(made(self.graph, node, self.dtype))
        ids = ids if type(ids) is ndarray else self.ids
        if type(ids) is ndarray and type(key) is tuple and FIXED.issuperset(map(type, key)):
            found = ids[key]
            if type(found) is ndarray and found.ndim:
                return made(self.graph, found, self.dtype)
            return _entry(made(self.graph, found.item(), self.dtype))
        if (computed := _computed(key)) is not None:
            return gather(self, computed) if computed.dtype != bool else _masked(self, computed)
        return _entry(self.with_ids(np.asarray(ids)[plain(key)]))

    def __setitem__(self, key: Any, value: Any) -> None:
        if not _is_fixed(key):
            key, value = self._place(key, value)
        given = self.cast(value)
        if self.ndim:
            # one element fits wherever one with more axes does
            self.ids[key] = given.nodes if type(given.nodes) is int else given.ids
        else:
            self.nodes = int(np.broadcast_to(given.ids, ()))

    def _place(self, key: Any, value: Any) -> tuple[Any, Any]:
        """Where entries are written, and what, if the place may depend on values."""
        mask = _computed(key)
        is_selection = type(value) is Selection
        if type(value) is Selection:
            if mask is None or not np.array_equal(mask.ids, value.mask.ids):
                raise Refused(SELECTS)
            value = value.values
        if mask is not None and mask.dtype == bool:
            chosen = apply("where", *_where_selected(self, mask, value, is_selection), self)
            return ..., chosen
        if mask is not None:
            raise Refused("writes to places that are values")
        return plain(key), value

    def cast(self, value: Any) -> RecordingArray:
        """A value in the dtype of this array."""
        return as_recording(self.graph, value, self.dtype)

    # Methods of arrays: those that NumPy has as functions, too, are these functions

    def astype(self, dtype: Any, copy: bool = True, **_: Any) -> RecordingArray:
        if self.dtype == dtype:
            return self.copy() if copy else self
        return as_recording(self.graph, self, np.dtype(dtype))

    def copy(self, order: str = "C") -> RecordingArray:
        nodes = self.nodes
        return made(self.graph, nodes.copy() if type(nodes) is ndarray else nodes, self.dtype, self.form or ())

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> RecordingArray:
        return self.copy()

    def fill(self, value: Any) -> None:
        self[...] = value

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> RecordingArray:
        return self.with_ids(np.reshape(self.ids, plain(shape[0] if len(shape) == 1 else shape), order))

    def view(self, dtype: Any = None) -> RecordingArray:
        if dtype is None or self.dtype == dtype:
            return self.with_ids(np.asarray(self.ids).view())
        found: RecordingArray = ABOVE["seen_as"](self, np.dtype(dtype))
        return found

    def transpose(self, *axes: Any) -> RecordingArray:
        return self.with_ids(np.asarray(self.ids).transpose(*axes))

    def flatten(self, order: str = "C") -> RecordingArray:
        return self.with_ids(np.asarray(self.ids).flatten(order))

    def sort(self, axis: int = -1) -> None:
        self[...] = np.sort(self, axis)

    def conj(self) -> RecordingArray:
        return self if self.dtype.kind != "c" else self._like_this(np.conj(self))

    conjugate = conj

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name, None)
        if name.startswith("_") or not hasattr(np.ndarray, name) or function is None or name in OTHERWISE:
            raise AttributeError(f"arrays that record have no attribute {name!r}")
        return lambda *args, **options: function(self, *args, **options)

    # Operators

    __add__, __radd__ = _binary("add"), _binary("add", swapped=True)
    __sub__, __rsub__ = _binary("subtract"), _binary("subtract", swapped=True)
    __mul__, __rmul__ = _binary("multiply"), _binary("multiply", swapped=True)
    __truediv__, __rtruediv__ = _binary("divide"), _binary("divide", swapped=True)
    __mod__, __rmod__ = _binary("remainder"), _binary("remainder", swapped=True)
    __floordiv__, __rfloordiv__ = _binary("floor_divide"), _binary("floor_divide", swapped=True)
    __and__, __rand__ = _binary("logical_and"), _binary("logical_and", swapped=True)
    __or__, __ror__ = _binary("logical_or"), _binary("logical_or", swapped=True)
    __xor__, __rxor__ = _binary("logical_xor"), _binary("logical_xor", swapped=True)
    __lt__, __le__ = _binary("less"), _binary("less_equal")
    __gt__, __ge__ = _binary("greater"), _binary("greater_equal")
    __eq__, __ne__ = _binary("equal"), _binary("not_equal")
    __iadd__ = _in_place("add")
    __isub__ = _in_place("subtract")
    __imul__ = _in_place("multiply")
    __itruediv__ = _in_place("divide")
    __imod__ = _in_place("remainder")
    __ifloordiv__ = _in_place("floor_divide")
    __ipow__ = _in_place("power")
    __iand__ = _in_place("logical_and")
    __ior__ = _in_place("logical_or")
    __ixor__ = _in_place("logical_xor")

    def __pos__(self) -> RecordingArray:
        return self._like_this(self.copy())

    __neg__ = _unary("negative")

    def __abs__(self) -> RecordingArray:
        found = _ABSOLUTE(self)
        return ABOVE["checked"](found, self) if self.is_python and found.dtype != self.dtype else found

    def _like_this(self, found: RecordingArray) -> RecordingArray:
        """A result, as a Python number if this is one."""
        if self.is_python:
            found.form = None
        return found

    def _shifted(self, other: Any) -> Any:
        raise Refused(BITS)

    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _shifted

    def __invert__(self) -> RecordingArray:
        if self.dtype != bool:
            raise Refused(BITS)
        return apply("logical_not", self)

    def __pow__(self, other: Any) -> RecordingArray:
        found = _of_python("power", self, other) if self.is_python else None
        return power(self, other) if found is None else found

    def __rpow__(self, other: Any) -> RecordingArray:
        found = _of_python("power", self, other, swapped=True) if self.is_python else None
        return apply("power", other, self) if found is None else found

    def __divmod__(self, other: Any) -> tuple[RecordingArray, RecordingArray]:
        return self // other, self % other

    def __matmul__(self, other: Any) -> Any:
        if getattr(other, "__array_ufunc__", self) is None:
            return NotImplemented
        return np.matmul(self, other)

    def __rmatmul__(self, other: Any) -> RecordingArray:
        return np.matmul(other, self)

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        return ABOVE["call_ufunc"](ufunc, method, operands, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return ABOVE["call_function"](function, args, options)


_ABSOLUTE = _unary("absolute")


def kind(value: Any) -> Any:
    """Dtype of an operand, or the type of a number of Python, which takes the precision of the other operands."""
    if type(value) is RecordingArray:
        return value.dtype
    if type(value) in OF_PYTHON:
        return type(value)
    return np.asarray(value).dtype


QUICK: dict[str, tuple[Callable[..., RecordingArray], ...]] = {
    name: (_unary(name),) if OPERATIONS[name].arity == 1 else (_binary(name), _binary(name, swapped=True))
    for name in sorted(FREQUENT)
}
"""Frequent operations as functions of arrays that are no numbers of Python; those of two operands also swapped."""


@cache
def resolved(name: str, kinds: tuple[Any, ...]) -> tuple[tuple[numpy.dtype[Any], ...], numpy.dtype[Any]]:
    """Dtypes in which NumPy evaluates an operation on operands of these kinds, and the dtype of the result."""
    value = OPERATIONS[name].value
    if isinstance(value, np.ufunc):
        if name in ("logical_and", "logical_or", "logical_xor") and set(kinds) != {np.dtype(bool)}:
            raise Refused(BITS)
        try:
            *given, found = value.resolve_dtypes((*kinds, None))
        except TypeError as error:
            raise Refused(f"calls `{name}` on {', '.join(map(_words, kinds))}: {error}") from None
        if {dtype.kind for dtype in given} == {"i", "u"}:
            raise Refused("compares integers with and without sign")
    elif name == "where":
        found = np.result_type(*(OF_PYTHON.get(one, one) for one in kinds[1:]))
        given = [np.dtype(bool), found, found]
    else:
        found = np.result_type(*(one for one in kinds if isinstance(one, np.dtype)), np.float32)
        given = [found] * len(kinds)
    if any(dtype.char not in CHARS for dtype in (*given, found)):
        raise Refused(f"calculates with {found if found.char not in CHARS else given[0]}")
    return tuple(given), found


def _words(one: Any) -> str:
    return one.__name__ if isinstance(one, type) else str(one)


def as_recording(graph: Graph, value: Any, dtype: Any = None) -> RecordingArray:
    """A value as a recording array, in a dtype if one is given; lists may hold recording arrays."""
    if type(value) is not RecordingArray:
        if isinstance(value, list | tuple):
            value = joined(graph, value)
        elif dtype is FLOAT64 and type(value) in NUMBERS:
            return made(graph, graph.number(value, dtype), dtype)
    if type(value) is not RecordingArray:
        array = np.asarray(value)
        if array.dtype.kind == "c" and dtype is not None and np.dtype(dtype).kind not in "cb":
            raise Refused(CUT)
        array = array if dtype is None else np.asarray(value, dtype=dtype)
        if array.dtype.char not in CHARS:
            raise Refused(f"calculates with {array.dtype}")
        return RecordingArray(graph, graph.constants(array, array.dtype), array.dtype)
    if dtype is None or value.dtype is dtype or value.dtype == dtype:
        return value
    dtype = np.dtype(dtype)
    if dtype.char not in CHARS:
        raise Refused(f"calculates with {dtype}")
    if "c" in (dtype.kind, value.dtype.kind):
        found: RecordingArray = ABOVE["converted"](value, dtype)
        return found
    if (known := value.constants) is not None:
        return RecordingArray(graph, graph.constants(known.astype(dtype), dtype), dtype)
    return _result(graph, CONVERT, dtype, [value])


def joined(graph: Graph, values: Any) -> RecordingArray | Any:
    """A nested list or tuple as one array."""
    parts = [joined(graph, value) if isinstance(value, list | tuple) else value for value in values]
    if not any(type(part) is RecordingArray for part in parts):
        return np.asarray(parts)
    dtypes = {np.dtype(type(part)) if type(part) in OF_PYTHON else kind(part) for part in parts}
    found = dtypes.pop() if len(dtypes) == 1 else np.result_type(*dtypes)
    arrays = [as_recording(graph, part, found) for part in parts]
    if all(type(array.nodes) is int for array in arrays) and len({array.shape for array in arrays}) == 1:
        ids = [array.nodes for array in arrays]
        return RecordingArray(graph, np.asarray(ids).reshape(len(arrays), *arrays[0].shape), found)
    return RecordingArray(graph, np.stack([np.asarray(array.ids) for array in arrays]), found)


def apply(name: str, *operands: Any) -> RecordingArray:
    """Record an operation of the table on operands that broadcast against each other."""
    graph: Any = None
    kinds = []
    for value in operands:
        if type(value) is RecordingArray:
            graph = value.graph
            kinds.append(value.dtype)
        else:
            kinds.append(type(value) if type(value) in WEAK else None)
    if None in kinds:
        operands = tuple([_joined_if_list(graph, value) for value in operands])
        kinds = list(map(kind, operands))
    given, found = resolved(name, tuple(kinds))
    if given[-1].kind == "c":
        result: RecordingArray = ABOVE["complex"](graph, name, operands, given)
        return result
    arrays = [
        value
        if type(value) is RecordingArray and value.dtype is dtype
        else made(graph, graph.number(value, dtype), dtype)
        if type(value) in WEAK
        else as_recording(graph, value, dtype)
        for value, dtype in zip(operands, given, strict=True)
    ]
    return _result(graph, name, found, arrays)


def _joined_if_list(graph: Graph, value: Any) -> Any:
    return joined(graph, value) if type(value) is not RecordingArray and isinstance(value, list | tuple) else value


def _result(graph: Graph, name: str, dtype: numpy.dtype[Any], operands: Sequence[RecordingArray]) -> RecordingArray:
    """The result of an operation on arrays that broadcast against each other."""
    given = [few(one.nodes) if type(one.nodes) is ndarray else (one.nodes, one.form) for one in operands]
    form = joint(*given)
    if form is None:
        return _broadcast(graph, name, dtype, [one.ids for one in operands])
    return made(graph, _entered(graph, name, dtype, tuple([nodes for nodes, _ in given])), dtype, form)


def _broadcast(
    graph: Graph, name: str, dtype: numpy.dtype[Any], ids: Sequence[Ids], data: Any = None
) -> RecordingArray:
    """The result of an operation on nodes that broadcast against each other."""
    shape: tuple[int, ...] = ()
    for one in ids:
        if type(one) is not int and (own := one.shape) != shape:
            shape = np.broadcast(*ids).shape if shape else own
    count = prod(shape)
    if count > FEW:
        return made(graph, _many(graph, name, dtype, ids, data, shape).reshape(shape), dtype)
    if not count:
        return made(graph, np.empty(shape, INTEGER), dtype)
    if count == 1:
        operands: tuple[Any, ...] = tuple([one if type(one) is int else one.item() for one in ids])
    else:
        operands = tuple([one if type(one) is int else tuple(_as(one, shape).ravel().tolist()) for one in ids])
    return made(graph, _entered(graph, name, dtype, operands, data), dtype, shape)


def recorded(graph: Graph, name: str, dtype: numpy.dtype[Any], ids: Sequence[Ids], data: Any = None) -> Ids:
    """Nodes of an operation on operands that broadcast against each other."""
    return _broadcast(graph, name, dtype, ids, data).ids


def made(graph: Graph, nodes: Any, dtype: numpy.dtype[Any], form: Form = ()) -> RecordingArray:
    """A recording array without the checks of its constructor."""
    found: RecordingArray = NEW(RecordingArray)
    found.graph, found.nodes, found.form, found.dtype = graph, nodes, form, dtype
    return found


def _entered(graph: Graph, name: str, dtype: numpy.dtype[Any], operands: tuple[Any, ...], data: Any = None) -> Any:
    """Nodes of an operation on few elements; each operand is a tuple of nodes, or an int, which is for all of them."""
    table = graph.scalars[_table(name, dtype, data)]
    found = table.get(operands)
    if found is None:
        found = table[operands] = _new(graph, name, dtype, operands, data)
    return found


def _many(
    graph: Graph, name: str, dtype: numpy.dtype[Any], ids: Sequence[Ids], data: Any, shape: tuple[int, ...]
) -> Any:
    """Nodes of an operation on many elements, in one row, which are one block."""
    flat = [_as(one, shape).ravel() for one in ids]
    if name in SIMPLER:
        numbers = [graph.zero_or_one(one) if type(one) is int else None for one in ids]
        if (found := SIMPLER[name](tuple(range(len(ids))), numbers)) is not None:
            return flat[found].copy()  # to which the function may write
    if all(graph.fixed[one[0]] for one in flat):
        known = [graph.values(one) for one in flat]
        if all(value is not None for value in known):
            return graph.constants(evaluated(name, dtype, known, data), dtype)
    return graph.elementwise(name, dtype, flat, data)


def _as(ids: Ids, shape: tuple[int, ...]) -> Any:
    """Nodes in a shape; `np.broadcast_to` takes ten times as long."""
    if type(ids) is not int and ids.shape == shape:
        return ids
    found = np.empty(shape, INTEGER)
    found[...] = ids
    return found


def _new(graph: Graph, name: str, dtype: numpy.dtype[Any], operands: tuple[Any, ...], data: Any = None) -> Any:
    """What `_entered` returns, for operands that its table does not have; simplified where that is exact."""
    fixed, others, varies, has_zero_or_one = graph.fixed, graph.others, False, False
    for one in operands:
        if type(one) is tuple:
            return _new_tuple(graph, name, dtype, operands, data)
        if not fixed[one]:
            varies = True
        elif one not in others:
            has_zero_or_one = True
    if has_zero_or_one or not varies:
        found = _simplified(graph, name, dtype, operands, data)
        if found is not None:
            return found
    return graph.scalar(name, dtype, operands, data)


def _new_tuple(graph: Graph, name: str, dtype: numpy.dtype[Any], operands: tuple[Any, ...], data: Any) -> Any:
    """The same of several elements."""
    table, nodes = graph.scalars[_table(name, dtype, data)], []
    for row in zip(*[one if type(one) is tuple else repeat(one) for one in operands], strict=False):
        node = table.get(row)
        if node is None:
            node = table[row] = _new(graph, name, dtype, row, data)
        nodes.append(node)
    return tuple(nodes)


def _table(name: str, dtype: numpy.dtype[Any], data: Any) -> Any:
    """Key of the dictionary of an operation's nodes."""
    return name if data is None and name != CONVERT else (name, dtype, id(data))


def _simplified(graph: Graph, name: str, dtype: numpy.dtype[Any], ids: tuple[int, ...], data: Any) -> int | None:
    """Node that an operation, some of whose operands are constants, always equals; None if there is none."""
    fixed = graph.fixed
    for one in ids:
        if not fixed[one]:
            return SIMPLER[name](ids, list(map(graph.zero_or_one, ids))) if name in SIMPLER else None
    values = [graph.value(one) for one in ids]
    return graph.constant(np.asarray(evaluated(name, dtype, values, data), dtype))


def _is(value: Any, number: float) -> bool:
    return value is not None and value == number


SIMPLER: dict[str, Callable[[tuple[int, ...], list[Any]], int | None]] = {
    "multiply": lambda ids, values: ids[0] if _is(values[1], 1) else ids[1] if _is(values[0], 1) else None,
    "divide": lambda ids, values: ids[0] if _is(values[1], 1) else None,
    "subtract": lambda ids, values: ids[0] if _is(values[1], 0) and not np.signbit(values[1]) else None,
    "where": lambda ids, values: ids[1 if values[0] else 2] if values[0] is not None else None,
}
"""
The operand that the result of an operation on one element always equals, also for infinities, NaN and signed zeros;
None if there is none. Arguments are the operands, and the values of those that are zeros or ones, None for the others.
Adding 0 is not listed, since `-0.0 + 0.0` is 0.0.
"""


def evaluated(name: str, dtype: numpy.dtype[Any], operands: Any, data: Any = None) -> Any:
    """Values of an operation on numbers, by NumPy."""
    with np.errstate(all="ignore"):
        if name == CONVERT:
            return np.asarray(operands[0]).astype(dtype)
        if name == GATHER:
            places = np.asarray(operands[0])
            inside = (places >= -len(data)) & (places < len(data))
            return np.where(inside, data[np.where(inside, places, 0)], np.asarray(np.nan, dtype))
        if name in (SEARCH_LEFT, SEARCH_RIGHT):
            return np.searchsorted(data, operands[0], side="left" if name == SEARCH_LEFT else "right")
        if name == PRODUCT:
            return np.matmul(operands[0], operands[1])
        return OPERATIONS[name].value(*operands)


def product(graph: Graph, matrix: Any, vector: Any, dtype: numpy.dtype[Any]) -> Any:
    """Nodes of the product of a matrix (m, k) with a vector (k,); constants, if both are constants."""
    if graph.are_constant(vector).all() and graph.are_constant(matrix).all():
        with np.errstate(all="ignore"):
            return graph.constants(graph.values(matrix) @ graph.values(vector), dtype)
    return graph.product(matrix, vector, dtype)


def power(base: RecordingArray, exponent: Any) -> RecordingArray:
    """`base ** exponent`; small whole exponents and one half as products and roots, as NumPy and C do or nearly do."""
    kind = type(exponent)
    value = exponent.constants if kind is RecordingArray else exponent
    if type(base) is RecordingArray and base.dtype.kind == "c":
        is_inverse = base.ndim and np.ndim(exponent) == 0 and _is(value, -1)
        return np.reciprocal(base) if is_inverse else apply("power", base, exponent)
    if type(base) is RecordingArray and base.dtype.kind == "f":
        if kind is float or kind is int:
            found = POWERS[exponent](base) if exponent in POWERS else None
        else:
            is_one = value is not None and not np.ndim(value) and np.result_type(base.dtype, exponent) == base.dtype
            found = POWERS[float(value)](base) if is_one and float(value) in POWERS else None
        if found is not None:
            return found
        if base.form is not None:
            return QUICK["power"][0](base, exponent)
    return apply("power", base, exponent)


def _small_power(base: RecordingArray, exponent: int) -> RecordingArray:
    """Products of one to four factors."""
    found = base.copy() if exponent == 1 else base * base
    return found * base if exponent == 3 else found * found if exponent == 4 else found


def _reciprocal_of_power(base: RecordingArray, exponent: int) -> RecordingArray:
    """`1 / base**exponent`; the power of `1 / base` where that overflows, but its reciprocal is a denormal number."""
    if exponent == 1:
        return 1.0 / base
    powered = _small_power(base, exponent)
    is_finite = abs(powered) <= np.finfo(base.dtype).max
    return apply("where", is_finite, 1.0 / powered, _small_power(1.0 / base, exponent))


POWERS: dict[float, Callable[[RecordingArray], RecordingArray]] = {
    0.5: QUICK["sqrt"][0],
    **{whole: partial(_small_power, exponent=whole) for whole in (1, 2, 3, 4)},
    **{-whole: partial(_reciprocal_of_power, exponent=whole) for whole in (1, 2, 3, 4)},
}
"""Powers of floating-point numbers that are products and roots."""


def gather(table: RecordingArray, index: RecordingArray) -> RecordingArray:
    """Entries of a table of constants, `(m,)`, at computed places; outside of the table, the function raises."""
    known = table.constants
    if known is not None and known.dtype.kind == "c":
        found: RecordingArray = ABOVE["paired"](*(gather(part, index) for part in ABOVE["parts"](table)))
        return found
    if known is None or known.ndim != 1 or known.dtype.kind != "f" or index.dtype.kind not in "iu":
        raise Refused("indexes by a value an array that is no table of floating-point numbers with one axis")
    low, high = limits(index.graph, index.ids)
    if low < -len(known) or high >= len(known):
        ABOVE["raises"](table.graph, np.any((index < -len(known)) | (index >= len(known))))
    ids = recorded(table.graph, GATHER, table.dtype, [index.ids], table.graph.table(known))
    return RecordingArray(table.graph, ids, table.dtype)


def plain(key: Any) -> Any:
    """An index in which recording arrays of constants are replaced by the constants."""
    if isinstance(key, tuple):
        return tuple(map(plain, key))
    return key._known("indexes by") if isinstance(key, RecordingArray) else key


def _is_fixed(key: Any) -> bool:
    """Whether an index surely has no array in it."""
    return type(key) in FIXED or (type(key) is tuple and FIXED.issuperset(map(type, key)))


def _computed(key: Any) -> RecordingArray | None:
    """The index, if it is a recording array that is not constant."""
    if isinstance(key, tuple) and len(key) == 1:
        key = key[0]
    return key if isinstance(key, RecordingArray) and key.constants is None else None


def _where_selected(array: RecordingArray, mask: RecordingArray, value: Any, is_selection: bool) -> tuple[Any, Any]:
    """A condition, and values that are written where it holds, so that they broadcast to an array."""
    if mask.shape != array.shape[: mask.ndim]:
        raise Refused("writes to parts of an array by a condition of another shape")
    found, axes = array.cast(value), array.ndim - mask.ndim
    if not is_selection and found.ndim > axes and found.shape[0] != 1:
        raise Refused(SELECTS)
    found = found if is_selection or found.ndim <= axes else found[0]
    return mask[(..., *[None] * axes)] if mask.ndim else mask, found


def _masked(array: RecordingArray, mask: RecordingArray) -> Any:
    if mask.shape != array.shape:
        raise Refused("selects parts of an array by a condition on values: use np.where")
    return Selection(array.copy(), mask)


class Flat:
    """The entries of an array in their order: `y.flat`."""

    def __init__(self, array: RecordingArray) -> None:
        self._array = array

    def __iter__(self) -> Iterator[RecordingArray]:
        return iter(self._array.ravel())

    def __len__(self) -> int:
        return self._array.size

    def __getitem__(self, key: Any) -> Any:
        return self._array.ravel()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        found = self._array.flatten()
        found[key] = self._array.cast(value).ravel() if np.ndim(value) else value
        self._array[...] = found.reshape(self._array.shape)


def _entry(found: RecordingArray) -> RecordingArray:
    """A part of an array; one entry is a number of Python in functions that Numba compiled."""
    if found.graph.numbers and found.dtype.char in "dD" and not found.ndim:
        return ABOVE["number"](found)
    return found


BITS = "works on the bits of integers"

CUT = "makes real numbers of complex ones: use their attribute `real`"

SELECTS = "selects entries by a condition on values, which gives an array of unknown length: use np.where"


class Selection:
    """
    Entries of an array where a condition on values holds, `y[y > 0]`: their number is not known.

    Operations on them, such as `y[y > 0] *= 2`, are recorded for all entries. When the results are written back to the
    same places, `where` keeps the old values of the other entries.

    Attributes
    ----------
    values : RecordingArray
        All entries, also where the condition does not hold.
    mask : RecordingArray
        The condition.
    """

    __slots__ = ("mask", "values")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: RecordingArray, mask: RecordingArray) -> None:
        self.values, self.mask = values, mask

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            raise Refused(SELECTS)
        return Selection(ufunc(*map(self._part, operands)), self.mask)

    def _part(self, operand: Any) -> Any:
        if isinstance(operand, Selection) and np.array_equal(operand.mask.ids, self.mask.ids):
            return operand.values
        if isinstance(operand, Selection) or np.ndim(operand):
            raise Refused(SELECTS)
        return operand

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise Refused(SELECTS)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise Refused(SELECTS)

    def _refuse(self, *_: Any) -> Any:
        raise Refused(SELECTS)

    __len__ = __iter__ = __getitem__ = __setitem__ = __bool__ = __float__ = __array__ = _refuse


def _of_selection(name: str, *, swapped: bool = False) -> Any:
    operation = getattr(operator, name)

    def method(self: Selection, *others: Any) -> Selection:
        parts = [self.values, *map(self._part, others)]
        return Selection(operation(*(reversed(parts) if swapped else parts)), self.mask)

    return method


for _name in ("add", "sub", "mul", "truediv", "mod", "floordiv", "pow"):
    setattr(Selection, f"__{_name}__", _of_selection(_name))
    setattr(Selection, f"__r{_name}__", _of_selection(_name, swapped=True))
for _name in ("neg", "abs", "pos"):
    setattr(Selection, f"__{_name}__", _of_selection(_name))
