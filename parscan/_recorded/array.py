"""Recording arrays: NumPy's operators, ufuncs and functions accept them, and the operations are recorded."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy

from .dtypes import BOOL, CHARS, FLOAT32, FLOAT64, INTEGER, NUMBERS, OF_PYTHON, WEAK, resolved
from .graph import CONVERT, FEW, Graph, Ids
from .indexing import Flat, computed_index, is_fixed, plain
from .node_array import Form, NodeArray, ndarray
from .operations import OPERATIONS
from .refusal import BITS, CUT, SELECTS, Refused
from .results import entered, entered_anew, in_shape, joint, many, pair_entered_anew, single_entered_anew
from .selection import Selection, masked, where_selected
from .shared import PARTS, Memory, composed, place_of

np: Any = numpy  # whose types do not know recording arrays

COMPARISONS = frozenset(["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"])

FREQUENT = COMPARISONS | {"add", "subtract", "multiply", "divide", "remainder", "floor_divide", "power", "maximum",
                          "minimum", "hypot", "arctan2", "negative", "absolute", "sqrt", "cbrt", "exp", "expm1", "log",
                          "log1p", "log2", "log10", "sin", "cos", "tan", "tanh", "sinh", "cosh", "arctan", "expit",
                          "sign", "floor"}  # fmt: skip
"""Operations on floating-point numbers of one dtype; their results have it, too, apart from those of comparisons."""

NEW = object.__new__

ABOVE: dict[str, Any] = {}
"""Functions that the methods of arrays call. Their files import this one, and enter them here."""


def _binary(name: str, *, swapped: bool = False) -> Any:
    def method(self: RecordingArray, other: Any) -> Any:
        if self.is_python and (found := _of_python(name, self, other, swapped=swapped)) is not None:
            return found
        if other is None and name in ("equal", "not_equal") and not self.is_python and self.ndim:
            return as_recording(self.graph, np.full(self.shape, name == "not_equal"))
        if other is None or isinstance(other, str):
            return NotImplemented
        if swapped and name == "multiply" and isinstance(other, list) and not self.ndim and self.dtype.kind in "iu":
            return other * operator.index(self)  # repeats the list
        return apply(name, other, self) if swapped else apply(name, self, other)

    if name not in FREQUENT:
        return method if swapped or name not in LOGICAL else _frequent(name, method, BOOL, BOOL)
    return _frequent_swapped(name, method) if swapped else _frequent(name, method)


LOGICAL = ("logical_and", "logical_or", "logical_xor")
"""Operations on Booleans that are frequent, too."""


def _frequent(name: str, method: Any, double: Any = FLOAT64, single: Any = FLOAT32) -> Any:
    """
    An operation on floating-point numbers of one dtype, as most are, or on Booleans; others are left to a method.

    Calls are spared: one of the methods below takes less than a microsecond, which a function has for each operation.
    """
    always = BOOL if name in COMPARISONS else None

    def frequent(self: RecordingArray, other: Any) -> Any:
        own, mine, form = self.dtype, self.held, self.form
        if form is None or (own is not double and own is not single):
            return method(self, other)
        if type(mine) is Memory and type(self.place) is int and mine.nodes is not None:
            mine = mine.nodes[self.place]
        elif type(mine) is not int and type(mine) is not tuple:
            mine, form = self.few()
        graph, kind = self.graph, type(other)
        if kind is RecordingArray:
            if other.dtype is not own:
                return method(self, other)
            theirs, more = other.held, other.form
            if type(theirs) is Memory and type(other.place) is int and theirs.nodes is not None:
                theirs = theirs.nodes[other.place]
            elif type(theirs) is not int and type(theirs) is not tuple:
                theirs, more = other.few()
            if more is not form and more != form and (more or type(theirs) is not int):  # one element fits all forms
                form = more if not form and type(mine) is int else joint((mine, form), (theirs, more))
        elif kind not in (NUMBERS if own is FLOAT64 else WEAK) or own is BOOL:
            return method(self, other)
        elif own is not FLOAT64 or (theirs := graph.doubles.get(other)) is None:
            theirs = graph.number(other, own)
        if form is None:  # many elements, or forms that differ
            return _broadcast(graph, name, always or own, (self.ids, getattr(other, "ids", theirs)))
        pair = mine, theirs
        table = graph.scalars[name]
        nodes = table.get(pair)
        if nodes is None:
            nodes = table[pair] = pair_entered_anew(graph, name, always or own, pair)
        result: RecordingArray = NEW(RecordingArray)
        result.graph, result.held, result.form, result.dtype = graph, nodes, form, always or own
        return result

    return frequent


def _frequent_swapped(name: str, method: Any) -> Any:
    """The same after a number."""
    always = BOOL if name in COMPARISONS else None

    def frequent(self: RecordingArray, other: Any) -> Any:
        graph, own, mine, form = self.graph, self.dtype, self.held, self.form
        if own is not FLOAT64 or form is None or type(other) not in NUMBERS:
            return method(self, other)
        number = graph.doubles.get(other)
        if number is None:
            number = graph.number(other, own)
        if type(mine) is Memory and type(self.place) is int and mine.nodes is not None:
            mine = mine.nodes[self.place]
        elif type(mine) is not int and type(mine) is not tuple:
            mine, form = self.few()
            if form is None:
                return _broadcast(graph, name, always or own, (number, mine))
        pair = number, mine
        table = graph.scalars[name]
        nodes = table.get(pair)
        if nodes is None:
            nodes = table[pair] = pair_entered_anew(graph, name, always or own, pair)
        result: RecordingArray = NEW(RecordingArray)
        result.graph, result.held, result.form, result.dtype = graph, nodes, form, always or own
        return result

    return frequent


def _unary(name: str) -> Callable[[RecordingArray], RecordingArray]:
    """A frequent operation on one array; of a number of Python, the result is one as well."""

    def method(self: RecordingArray) -> RecordingArray:
        own, nodes, form, graph = self.dtype, self.held, self.form, self.graph
        if type(nodes) is Memory and type(self.place) is int and nodes.nodes is not None:
            nodes = nodes.nodes[self.place]
        elif type(nodes) is not int and type(nodes) is not tuple:
            nodes, form = self.few()
        if (form is None and type(nodes) is not int) or (own is not FLOAT64 and own is not FLOAT32):
            return self._like_this(apply(name, self))
        table = graph.scalars[name]
        found = table.get((nodes,))
        if found is None:
            found = table[nodes,] = single_entered_anew(graph, name, own, nodes)
        result: RecordingArray = NEW(RecordingArray)
        result.graph, result.held, result.form, result.dtype = graph, found, form, own
        return result

    return method


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


def _method(name: str) -> Any:
    """A method of arrays that is a function of NumPy, too."""
    function = getattr(np, name)

    def method(self: RecordingArray, *args: Any, **options: Any) -> Any:
        return function(self, *args, **options)

    return method


OTHERWISE = ("compress", "resize", "partition")
"""Methods of arrays that differ from the functions of the same name."""


class RecordingArray(NodeArray):
    """
    An array whose entries are nodes of a graph.

    It shares memory with its views as arrays do, so that functions may write to it.
    """

    __slots__ = ()
    __array_priority__ = 1000

    # Properties of arrays

    @property
    def shape(self) -> tuple[int, ...]:
        held = self.held
        return held.shape if type(held) is ndarray else self.form or ()

    @shape.setter
    def shape(self, shape: Any) -> None:
        self.held, self.form = self.with_ids(np.reshape(self.ids, plain(shape))).held, ()

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

    # Conversion to Python

    def __hash__(self) -> int:
        return hash(self.integer("looks up"))

    def __round__(self, digits: int | None = None) -> Any:
        if digits is None:
            return ABOVE["whole"](self.round())
        if self.is_python:
            raise Refused("rounds a number of Python to digits, for which Python has another rule than NumPy")
        return self.round(digits)

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
        return (self[place] for place in range(self.shape[0]))  # one by one: the loop may write to the next ones

    # Indexing

    def __getitem__(self, key: Any) -> Any:
        held, form = self.held, self.form
        if not form or type(held) is ndarray:
            return self._taken(key)
        place: Any = key
        shape: tuple[int, ...] = ()
        nodes = held
        if type(key) is not int or len(form) > 1 or form[0] == 1:
            if type(key) is int or (type(key) is tuple and len(key) == 2 and key[0] is ... and type(key[1]) is int):
                part = PARTS.get((form, key)) or place_of(form, key)
            else:
                part = place_of(form, key)
            if part is None:
                return self._taken(key)
            place, shape = part
        if type(held) is Memory:
            nodes = held.nodes
            if self.place is not None:
                place = composed(self.place, place)
            if nodes is None:
                return self._taken(key)
        elif shape:
            self.place = 0 if type(held) is int else None
            held = self.held = Memory(held)
        found: RecordingArray = NEW(RecordingArray)
        found.graph, found.form, found.dtype = self.graph, shape, self.dtype
        if shape:  # it shares memory with the array
            found.held, found.place = held, place
            return found
        found.held = nodes if type(nodes) is int else nodes[place]
        return _entry(found) if found.graph.numbers else found

    def _taken(self, key: Any) -> Any:
        """A part of any array, by NumPy."""
        held = self.held
        ids = held if type(held) is ndarray else self.ids
        if type(ids) is ndarray and (type(key) is int or is_fixed(key)):
            nodes, found = ids[key], NEW(RecordingArray)
            found.graph, found.form, found.dtype = self.graph, (), self.dtype
            if type(nodes) is ndarray and nodes.ndim:
                found.held = nodes
                return found
            found.held = int(nodes)
            return _entry(found) if found.graph.numbers else found
        if (computed := computed_index(key)) is not None:
            return ABOVE["gather"](self, computed) if computed.dtype != bool else self._selected(computed)
        return _entry(self.with_ids(np.asarray(ids)[plain(key)]))

    def _selected(self, mask: RecordingArray) -> Any:
        """Entries for which conditions hold: a `Selection`, or an array where the way through the function tells."""
        branches = self.graph.branches
        known = None if branches is None else branches.mask(mask)
        return masked(self, mask) if known is None else self.with_ids(np.asarray(self.ids)[known])

    def __setitem__(self, key: Any, value: Any) -> None:
        held, form = self.held, self.form
        if not form or type(held) is ndarray:
            self._write(key, value)
            return
        if type(key) is int and type(held) is Memory and len(form) == 1 and form[0] > 1:
            part: Any = key, ()
        elif type(key) is int or (type(key) is tuple and len(key) == 2 and key[0] is ... and type(key[1]) is int):
            part = PARTS.get((form, key)) or place_of(form, key)
        else:
            part = place_of(form, key)
        if part is None:
            self._write(key, value)
            return
        given = value if type(value) is RecordingArray and value.dtype is self.dtype else self.cast(value)
        nodes, place = given.held, part[0]
        if type(nodes) is not int and type(nodes) is not tuple:
            nodes = _written(given)
        if type(nodes) is int or (type(nodes) is tuple and given.form == part[1]):
            if type(held) is int:
                self.held = nodes
                return
            if type(held) is tuple:
                self.place, held = None, Memory(held)
                self.held = held
            elif self.place is not None:
                place = composed(self.place, place)
            if type(place) is int and type(nodes) is int and held.nodes is not None:
                held.nodes[place] = nodes
                return
            if held.nodes is not None:
                held.write(place, nodes)
                return
        self._write(key, given)

    def _write(self, key: Any, value: Any) -> None:
        """Write to a part of any array, by NumPy."""
        held = self.held
        if type(held) is ndarray and type(value) is RecordingArray and value.dtype is self.dtype and is_fixed(key):
            held[key] = value.held if type(value.held) is int else value.ids
            return
        if not is_fixed(key):
            key, value = self._place(key, value)
        given = self.cast(value)
        if self.ndim:
            # one element fits wherever one with more axes does
            self.ids[key] = given.held if type(given.held) is int else given.ids
        else:
            number = np.array(self.held)  # a constant index may choose it or not
            number[key] = given.ids
            self.held = int(number)

    def _place(self, key: Any, value: Any) -> tuple[Any, Any]:
        """Where entries are written, and what, if the place may depend on values."""
        mask = computed_index(key)
        is_selection = type(value) is Selection
        if type(value) is Selection:
            if mask is None or not np.array_equal(mask.ids, value.mask.ids):
                raise Refused(SELECTS)
            value = value.values
        if mask is not None and mask.dtype == bool:
            chosen = apply("where", *where_selected(self, mask, value, is_selection), self)
            return ..., chosen
        if mask is not None and (mask.ndim or self.graph.branches is None):
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
        nodes, form = self.few()
        if type(nodes) is ndarray:
            return made(self.graph, nodes.copy(), self.dtype)
        return made(self.graph, nodes, self.dtype, form or ())

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

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """See `_method`. At run time, a class that has this reads its attributes five times as slowly."""

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
        found = _of_python("power", self, other) if self.form is None else None
        return ABOVE["power"](self, other) if found is None else found

    def __rpow__(self, other: Any) -> RecordingArray:
        found = _of_python("power", self, other, swapped=True) if self.form is None else None
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

for _name in dir(np.ndarray):
    if not (_name.startswith("_") or _name in OTHERWISE or hasattr(RecordingArray, _name)) and hasattr(np, _name):
        setattr(RecordingArray, _name, _method(_name))


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
    ids = [array.nodes for array in arrays]
    if all(type(one) is int for one in ids) and len({array.shape for array in arrays}) == 1:
        return RecordingArray(graph, np.asarray(ids).reshape(len(arrays), *arrays[0].shape), found)
    return RecordingArray(graph, np.stack([array.read for array in arrays]), found)


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


def chosen(condition: Any, one: Any, other: Any) -> RecordingArray | None:
    """`where` of numbers in double precision, which needs no conversion; None for others."""
    if type(condition) is not RecordingArray or condition.dtype is not BOOL or condition.form is None:
        return None
    graph, nodes = condition.graph, condition.held
    form: Form = condition.form
    if type(nodes) is not int and type(nodes) is not tuple:
        nodes, form = condition.few()
    first, shape = _double(graph, one)
    second, more = _double(graph, other)
    if type(one) is not RecordingArray is not type(other):  # numbers alone, which may be integers
        return None
    if shape != form or more != form:
        form = None if shape is None or more is None else joint((nodes, form), (first, shape), (second, more))
    if form is None:
        return None
    table, operands = graph.scalars["where"], (nodes, first, second)
    found = table.get(operands)
    if found is None:
        found = table[operands] = entered_anew(graph, "where", FLOAT64, operands)
    return made(graph, found, FLOAT64, form)


def _written(given: RecordingArray) -> Any:
    """Nodes that are written: mostly one, which may be an element of another array."""
    held = given.held
    is_single = type(held) is Memory and type(given.place) is int and held.nodes is not None
    return held.nodes[given.place] if is_single else given.few()[0]


def _double(graph: Graph, value: Any) -> tuple[Any, Any]:
    """Nodes of an operand in double precision, and its shape; None for that of others, and of many elements."""
    if type(value) is RecordingArray:
        if value.dtype is not FLOAT64 or value.form is None:
            return None, None
        held = value.held
        return (held, value.form) if type(held) is int or type(held) is tuple else value.few()
    if type(value) in NUMBERS:
        number = graph.doubles.get(value)
        return (graph.number(value, FLOAT64) if number is None else number), ()
    return None, None


def _joined_if_list(graph: Graph, value: Any) -> Any:
    return joined(graph, value) if type(value) is not RecordingArray and isinstance(value, list | tuple) else value


def _result(graph: Graph, name: str, dtype: numpy.dtype[Any], operands: Sequence[RecordingArray]) -> RecordingArray:
    """The result of an operation on arrays that broadcast against each other."""
    given = [one.few() for one in operands]
    form = joint(*given)
    if form is None:
        return _broadcast(graph, name, dtype, [one.held if type(one.held) is int else one.read for one in operands])
    return made(graph, entered(graph, name, dtype, tuple([nodes for nodes, _ in given])), dtype, form)


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
        return made(graph, many(graph, name, dtype, ids, data, shape).reshape(shape), dtype)
    if not count:
        return made(graph, np.empty(shape, INTEGER), dtype)
    if count == 1:
        operands: tuple[Any, ...] = tuple([one if type(one) is int else one.item() for one in ids])
    else:
        operands = tuple([one if type(one) is int else tuple(in_shape(one, shape).ravel().tolist()) for one in ids])
    return made(graph, entered(graph, name, dtype, operands, data), dtype, shape)


def recorded(graph: Graph, name: str, dtype: numpy.dtype[Any], ids: Sequence[Ids], data: Any = None) -> Ids:
    """Nodes of an operation on operands that broadcast against each other."""
    return _broadcast(graph, name, dtype, ids, data).ids


def made(graph: Graph, held: Any, dtype: numpy.dtype[Any], form: Form = ()) -> RecordingArray:
    """A recording array without the checks of its constructor."""
    found: RecordingArray = NEW(RecordingArray)
    found.graph, found.held, found.form, found.dtype = graph, held, form, dtype
    return found


def _entry(found: RecordingArray) -> RecordingArray:
    """A part of an array; one entry is a number of Python in functions that Numba compiled."""
    if found.graph.numbers and found.dtype.char in "dD" and not found.ndim:
        return ABOVE["number"](found)
    return found
