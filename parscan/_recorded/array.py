"""Recording arrays: NumPy's operators, ufuncs and functions accept them, and the operations are recorded."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
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


ABOVE: dict[str, Any] = {}
"""Functions that the methods of arrays call. Their files import this one, and enter them here."""


class Refused(Exception):  # noqa: N818 - it says what happened
    """A function cannot be recorded; the argument of the exception is a sentence without subject and full stop."""


def _binary(name: str, *, swapped: bool = False) -> Any:
    is_frequent, compares = name in FREQUENT, name in COMPARISONS

    def method(self: RecordingArray, other: Any) -> Any:
        if self.is_python and (found := _of_python(name, self, other, swapped=swapped)) is not None:
            return found
        own = self.dtype
        if is_frequent and (own is FLOAT64 or own is FLOAT32):  # most operations of most functions
            graph, mine, theirs = self.graph, self.ids, None
            if type(other) is RecordingArray:
                if other.dtype is own:
                    theirs = other.ids
            elif type(other) in (NUMBERS if own is FLOAT64 else WEAK):
                theirs = (graph.doubles if own is FLOAT64 else graph.singles).get(other)
                if theirs is None:
                    theirs = graph.number(other, own)
            if theirs is not None:
                dtype = BOOL if compares else own
                pair = (theirs, mine) if swapped else (mine, theirs)
                if type(mine) is type(theirs) is int:
                    table = graph.scalars[name]
                    ids = table.get(pair)
                    if ids is None:
                        ids = table[pair] = _new(graph, name, dtype, pair, None)
                else:
                    ids = recorded(graph, name, dtype, pair)
                result: RecordingArray = NEW(RecordingArray)  # a call of _made would take longer
                result.graph, result.ids, result.dtype, result.is_python = graph, ids, dtype, False
                return result
        if other is None or isinstance(other, str):
            return NotImplemented
        if swapped and name == "multiply" and isinstance(other, list) and not self.ndim and self.dtype.kind in "iu":
            return other * operator.index(self)  # repeats the list
        return apply(name, other, self) if swapped else apply(name, self, other)

    return method


def _of_python(name: str, one: RecordingArray, other: Any, *, swapped: bool = False) -> RecordingArray | None:
    """An operation with another Python number, which may raise exceptions; None if `other` is no Python number."""
    if not ABOVE["is_number"](other):
        return None
    operation = ABOVE["operation"]
    found: RecordingArray = operation(name, other, one) if swapped else operation(name, one, other)
    return found


def _in_place(name: str) -> Any:
    def method(self: RecordingArray, other: Any) -> RecordingArray:
        if self.is_python and (found := _of_python(name, self, other)) is not None:
            return found
        found = power(self, other) if name == "power" else apply(name, self, other)
        if type(self.ids) is int:
            return found  # a scalar of NumPy is not changed in place
        if not np.can_cast(found.dtype, self.dtype, "same_kind"):
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
    ids : int or array of int
        Numbers of the nodes; their shape is that of the array, an int for the shape ().
    dtype : NumPy dtype
        Of the values: Boolean, integer, float32, float64, complex64 or complex128.
    is_python : bool
        Whether the array stands for a Python number, on which operations may raise exceptions.
    """

    __slots__ = ("dtype", "graph", "ids", "is_python")
    __array_priority__ = 1000

    def __init__(self, graph: Graph, ids: Ids, dtype: Any) -> None:
        self.graph = graph
        self.ids: Ids = ids if isinstance(ids, np.ndarray) and ids.ndim else int(ids)
        self.dtype = np.dtype(dtype)
        self.is_python = False

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """`isinstance` finds an array, or a number: the entries of arrays are NumPy's scalars."""
        if self.is_python:
            return complex if self.dtype.kind == "c" else float
        return np.ndarray if type(self.ids) is not int else self.dtype.type

    # Properties of arrays

    @property
    def shape(self) -> tuple[int, ...]:
        return () if type(self.ids) is int else self.ids.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        self.ids = np.reshape(self.ids, plain(shape))

    @property
    def ndim(self) -> int:
        return 0 if type(self.ids) is int else self.ids.ndim

    @property
    def size(self) -> int:
        return 1 if type(self.ids) is int else self.ids.size

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
        return _made(self.graph, ids if type(ids) is np.ndarray and ids.ndim else int(ids), self.dtype)

    def filled(self, value: Any) -> RecordingArray:
        """An array of constants of the same shape and dtype."""
        return self.with_ids(np.full(self.shape, self.graph.constant(np.asarray(value, self.dtype))))

    @property
    def constants(self) -> Any:
        """Values, if all of them are constants; None otherwise."""
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
        return int(self.ids.shape[0])

    def __iter__(self) -> Iterator[RecordingArray]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        if self.ids.ndim == 1:
            return (_entry(_made(self.graph, node, self.dtype)) for node in self.ids.tolist())
        return (self.with_ids(ids) for ids in self.ids)

    # Indexing

    def __getitem__(self, key: Any) -> Any:
        ids = self.ids
        if type(key) is int and type(ids) is not int and ids.ndim == 1:
            return _entry(_made(self.graph, int(ids[key]), self.dtype))
        if type(key) is tuple and FIXED.issuperset(map(type, key)):
            return _entry(self.with_ids(ids[key] if type(ids) is not int else np.asarray(ids)[key]))
        if (computed := _computed(key)) is not None:
            return gather(self, computed) if computed.dtype != bool else _masked(self, computed)
        return _entry(self.with_ids(np.asarray(ids)[plain(key)]))

    def __setitem__(self, key: Any, value: Any) -> None:
        mask = _computed(key)
        is_selection = isinstance(value, Selection)
        if isinstance(value, Selection):
            if mask is None or not np.array_equal(mask.ids, value.mask.ids):
                raise Refused(SELECTS)
            value = value.values
        if mask is not None and mask.dtype == bool:
            chosen = apply("where", *_where_selected(self, mask, value, is_selection), self)
            key, value = (..., chosen)
        elif mask is not None:
            raise Refused("writes to places that are values")
        ids = self.cast(value).ids
        if type(self.ids) is int:
            self.ids = int(np.broadcast_to(ids, ()))
        else:
            self.ids[plain(key)] = ids

    def cast(self, value: Any) -> RecordingArray:
        """A value in the dtype of this array."""
        return as_recording(self.graph, value, self.dtype)

    # Methods of arrays: those that NumPy has as functions, too, are these functions

    def astype(self, dtype: Any, copy: bool = True, **_: Any) -> RecordingArray:
        if self.dtype == dtype:
            return self.copy() if copy else self
        return as_recording(self.graph, self, np.dtype(dtype))

    def copy(self, order: str = "C") -> RecordingArray:
        return self.with_ids(np.array(self.ids))

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

    def __neg__(self) -> RecordingArray:
        return self._like_this(apply("negative", self))

    def __abs__(self) -> RecordingArray:
        found = apply("absolute", self)
        return ABOVE["checked"](found, self) if self.is_python and found.dtype != self.dtype else self._like_this(found)

    def _like_this(self, found: RecordingArray) -> RecordingArray:
        """A result, as a Python number if this is one."""
        found.is_python = self.is_python
        return found

    def __invert__(self) -> RecordingArray:
        if self.dtype != bool:
            raise Refused("works on the bits of an integer")
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


def kind(value: Any) -> Any:
    """Dtype of an operand, or the type of a number of Python, which takes the precision of the other operands."""
    if type(value) is RecordingArray:
        return value.dtype
    if type(value) in OF_PYTHON:
        return type(value)
    return np.asarray(value).dtype


@cache
def resolved(name: str, kinds: tuple[Any, ...]) -> tuple[tuple[numpy.dtype[Any], ...], numpy.dtype[Any]]:
    """Dtypes in which NumPy evaluates an operation on operands of these kinds, and the dtype of the result."""
    value = OPERATIONS[name].value
    if isinstance(value, np.ufunc):
        if name in ("logical_and", "logical_or", "logical_xor") and set(kinds) != {np.dtype(bool)}:
            raise Refused("works on the bits of integers")
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
    if isinstance(value, list | tuple):
        value = joined(graph, value)
    if not isinstance(value, RecordingArray):
        array = np.asarray(value)
        if array.dtype.kind == "c" and dtype is not None and np.dtype(dtype).kind not in "cb":
            raise Refused(CUT)
        array = array if dtype is None else np.asarray(value, dtype=dtype)
        if array.dtype.char not in CHARS:
            raise Refused(f"calculates with {array.dtype}")
        return RecordingArray(graph, graph.constants(array, array.dtype), array.dtype)
    if dtype is None or value.dtype == dtype:
        return value
    dtype = np.dtype(dtype)
    if dtype.char not in CHARS:
        raise Refused(f"calculates with {dtype}")
    if "c" in (dtype.kind, value.dtype.kind):
        found: RecordingArray = ABOVE["converted"](value, dtype)
        return found
    if (known := value.constants) is not None:
        return RecordingArray(graph, graph.constants(known.astype(dtype), dtype), dtype)
    return RecordingArray(graph, recorded(graph, CONVERT, dtype, [value.ids]), dtype)


def joined(graph: Graph, values: Any) -> RecordingArray | Any:
    """A nested list or tuple as one array."""
    parts = [joined(graph, value) if isinstance(value, list | tuple) else value for value in values]
    if not any(type(part) is RecordingArray for part in parts):
        return np.asarray(parts)
    dtypes = {np.dtype(type(part)) if type(part) in OF_PYTHON else kind(part) for part in parts}
    found = dtypes.pop() if len(dtypes) == 1 else np.result_type(*dtypes)
    arrays = [as_recording(graph, part, found) for part in parts]
    if all(type(array.ids) is int for array in arrays):
        return RecordingArray(graph, np.asarray([array.ids for array in arrays]), found)
    return RecordingArray(graph, np.stack([np.asarray(array.ids) for array in arrays]), found)


def apply(name: str, *operands: Any) -> RecordingArray:
    """Record an operation of the table on operands that broadcast against each other."""
    first = operands[0]
    if name in FREQUENT and type(first) is RecordingArray and first.dtype in (FLOAT64, FLOAT32):
        graph, own, other = first.graph, first.dtype, operands[-1]
        dtype, ids = BOOL if name in COMPARISONS else own, None
        if len(operands) == 1:
            return _made(graph, recorded(graph, name, dtype, (first.ids,)), dtype)
        if type(other) is RecordingArray and other.dtype is own:
            ids = other.ids
        elif type(other) in (NUMBERS if own is FLOAT64 else WEAK):
            ids = graph.number(other, own)
        if ids is not None:
            return _made(graph, recorded(graph, name, dtype, (first.ids, ids)), dtype)
    graph = next(value.graph for value in operands if type(value) is RecordingArray)
    operands = tuple(
        [
            joined(graph, value) if type(value) is not RecordingArray and isinstance(value, list | tuple) else value
            for value in operands
        ]
    )
    given, found = resolved(name, tuple(map(kind, operands)))
    if given[-1].kind == "c":
        arrays = [as_recording(graph, value, dtype) for value, dtype in zip(operands, given, strict=True)]
        result: RecordingArray = ABOVE["complex"](name, *arrays)
        return result
    ids = [
        value.ids
        if type(value) is RecordingArray and value.dtype is dtype
        else graph.number(value, dtype)
        if type(value) is float or type(value) is int
        else as_recording(graph, value, dtype).ids
        for value, dtype in zip(operands, given, strict=True)
    ]
    return _made(graph, recorded(graph, name, found, ids), found)


NEW = object.__new__


def _made(graph: Graph, ids: Ids, dtype: numpy.dtype[Any]) -> RecordingArray:
    """A recording array without the checks of its constructor."""
    found: RecordingArray = NEW(RecordingArray)
    found.graph, found.ids, found.dtype, found.is_python = graph, ids, dtype, False
    return found


def recorded(graph: Graph, name: str, dtype: numpy.dtype[Any], ids: Sequence[Ids], data: Any = None) -> Ids:
    """Nodes of an operation on operands that broadcast against each other."""
    shape: tuple[int, ...] = ()
    for one in ids:
        if type(one) is not int and (own := one.shape) != shape:
            shape = np.broadcast(*ids).shape if shape else own
    if (count := prod(shape)) > FEW:
        return _many(graph, name, dtype, ids, data, shape).reshape(shape)
    table = graph.scalars[name if data is None and name != CONVERT else (name, dtype, id(data))]
    if count == 1:
        rows: Iterable[tuple[int, ...]] = (tuple([one if type(one) is int else one.item() for one in ids]),)
    else:
        rows = zip(*[_column(one, shape, count) for one in ids], strict=True)
    nodes = []
    for row in rows:
        node = table.get(row)
        if node is None:
            node = table[row] = _new(graph, name, dtype, row, data)
        nodes.append(node)
    if not shape:
        return nodes[0]
    return np.array(nodes, INTEGER) if len(shape) == 1 else np.array(nodes, INTEGER).reshape(shape)


def _many(
    graph: Graph, name: str, dtype: numpy.dtype[Any], ids: Sequence[Ids], data: Any, shape: tuple[int, ...]
) -> Any:
    """Nodes of an operation on many elements, in one row, which are one block."""
    flat = [_broadcast(one, shape).ravel() for one in ids]
    if name in SIMPLER:
        numbers = [graph.value(one) if type(one) is int else None for one in ids]
        if (found := SIMPLER[name](tuple(range(len(ids))), numbers)) is not None:
            return flat[found].copy()  # to which the function may write
    if all(graph.fixed[one[0]] for one in flat):
        known = [graph.values(one) for one in flat]
        if all(value is not None for value in known):
            return graph.constants(evaluated(name, dtype, known, data), dtype)
    return graph.elementwise(name, dtype, flat, data)


def _column(ids: Ids, shape: tuple[int, ...], count: int) -> list[int]:
    """Nodes of an operand that is broadcast to a shape of few elements."""
    found: list[int] = [ids] * count if type(ids) is int else _broadcast(ids, shape).ravel().tolist()
    return found


def _broadcast(ids: Ids, shape: tuple[int, ...]) -> Any:
    """Nodes in a shape; `np.broadcast_to` takes ten times as long."""
    if type(ids) is not int and ids.shape == shape:
        return ids
    found = np.empty(shape, INTEGER)
    found[...] = ids
    return found


def _new(graph: Graph, name: str, dtype: numpy.dtype[Any], ids: tuple[int, ...], data: Any) -> int:
    """Node of an operation that `graph.scalars` does not have, after simplifications that are exact for all numbers."""
    fixed, constants = graph.fixed, 0
    for one in ids:
        constants += fixed[one]
    if constants:
        values = [graph.value(one) for one in ids]
        if constants == len(ids):
            return graph.constant(np.asarray(evaluated(name, dtype, values, data), dtype))
        if name in SIMPLER and (found := SIMPLER[name](ids, values)) is not None:
            return found
    return graph.scalar(name, dtype, ids, data)


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
None if there is none. Adding 0 is not listed, since `-0.0 + 0.0` is 0.0.
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
    value = exponent.constants if type(exponent) is RecordingArray else exponent
    if type(base) is RecordingArray and base.dtype.kind == "c":
        is_inverse = base.ndim and np.ndim(exponent) == 0 and _is(value, -1)
        return np.reciprocal(base) if is_inverse else apply("power", base, exponent)
    is_number = type(value) is float or type(value) is int
    is_one = is_number or (value is not None and not np.ndim(value))
    if is_one and type(base) is RecordingArray and base.dtype.kind == "f":
        whole = float(value)
        if is_number or np.result_type(base.dtype, exponent) == base.dtype:
            if whole == 0.5:
                return apply("sqrt", base)
            if whole == int(whole) and 1 <= abs(whole) <= 4:
                found = _small_power(base, abs(int(whole)))
                return found if whole > 0 else _reciprocal_of_power(base, found, -int(whole))
    return apply("power", base, exponent)


def _small_power(base: RecordingArray, exponent: int) -> RecordingArray:
    """Products of one to four factors."""
    found = base.copy() if exponent == 1 else base * base
    return found * base if exponent == 3 else found * found if exponent == 4 else found


def _reciprocal_of_power(base: RecordingArray, powered: RecordingArray, exponent: int) -> RecordingArray:
    """`1 / powered`; the power of `1 / base` where `powered` overflows, but its reciprocal is a denormal number."""
    if exponent == 1:
        return 1.0 / powered
    return np.where(np.abs(powered) <= np.finfo(base.dtype).max, 1.0 / powered, _small_power(1.0 / base, exponent))


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
    if found.graph.numbers and type(found.ids) is int and found.dtype.char in "dD":
        return ABOVE["number"](found)
    return found


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
