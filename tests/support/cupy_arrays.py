"""Arrays that behave as CuPy's do, on the host's memory: part of the stand-in for CuPy, see `cupy_stand_in.py`.

What would wait for the device is counted, and so is what would launch a kernel.
"""

import inspect
from collections import Counter
from weakref import WeakValueDictionary

import numpy as np
from cupy_device import DEVICE, Device
from cupy_surface import recorded, signature

SURFACE = recorded()
SCALARS = (int, float, complex, bool, np.generic)
"""What CuPy computes with beside its own arrays; NumPy's arrays are none of it."""

KINDS = "biufc"
"""Kinds of dtypes that arrays can have."""

ADDRESSES = WeakValueDictionary()
"""NumPy's arrays by their addresses, of those whose address has been asked for."""

FREE = {
    "empty", "empty_like", "asarray", "shape", "ndim", "result_type", "can_cast", "promote_types", "isdtype",
    "issubdtype", "isscalar", "broadcast_shapes", "get_array_module", "size",
}  # fmt: skip
"""Functions that launch nothing, or copy from the host. Nor do those whose result is in the memory of an argument."""

COPYING = ("array", "copy")
"""Functions that copy memory, without a kernel if nothing is converted or put in another order."""


class Counts:
    """What was asked of the device since the stand-in was installed."""

    def __init__(self):
        self.reads, self.launches, self.waiting_is_allowed = Counter(), Counter(), True

    def read(self, what):
        """The host waits for the device."""
        if not self.waiting_is_allowed:
            raise RuntimeError(f"{what}: a synchronization where none is allowed")
        self.reads[what] += 1

    def launch(self, name, result=None, *arguments):
        """A function launches a kernel, if it computes; not if its result is in the memory of an argument."""
        arrays = [x for x in arguments if isinstance(x, np.ndarray)]
        is_view = isinstance(result, np.ndarray) and any(np.may_share_memory(result, x) for x in arrays)
        is_copy = name in COPYING and all(x.flags.forc and x.dtype == result.dtype for x in arrays)
        if name not in FREE and not is_view and not is_copy:
            self.launches[name] += 1


COUNTS = Counts()


class Memory:
    """Where an array is, `array.data`."""

    def __init__(self, array):
        self._array = array

    @property
    def ptr(self):
        """The address; kernels that get it may use the memory of the array."""
        address = self._array.ctypes.data
        known = ADDRESSES.get(address)
        if known is None or known.nbytes <= self._array.nbytes:
            ADDRESSES[address] = self._array
        return address

    device_id = 0


class Flags:
    """How an array lies in memory."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, flags.owndata


class ndarray:  # noqa: N801 - CuPy's name
    """An array of CuPy's, as far as parscan and NumPy's functions of the same name can tell."""

    __module__ = "cupy"
    __slots__ = ("__weakref__", "_array", "device")
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        self._array, self.device = np.empty(shape, dtype, order), Device()

    dtype = property(lambda self: self._array.dtype)
    shape = property(lambda self: self._array.shape)
    strides = property(lambda self: self._array.strides)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    nbytes = property(lambda self: self._array.nbytes)
    itemsize = property(lambda self: self._array.itemsize)
    flags = property(lambda self: Flags(self._array.flags))
    data = property(lambda self: Memory(self._array))
    T = property(lambda self: wrap(self._array.T))
    mT = property(lambda self: wrap(self._array.mT))  # noqa: N815 - CuPy's name
    real = property(lambda self: wrap(self._array.real))
    imag = property(lambda self: wrap(self._array.imag))

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array "
            "explicitly."
        )

    def get(self, stream=None, order="C", out=None, blocking=True):
        COUNTS.read("get")
        return self._array.copy()

    def item(self):
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        COUNTS.read("item")
        return self._array.item()

    def tolist(self):
        COUNTS.read("tolist")
        return self._array.tolist()

    def __bool__(self):
        if self.size != 1:
            raise ValueError("The truth value of an array with more than one element, or none, is ambiguous.")
        COUNTS.read("bool")
        return bool(self._array)

    def __int__(self):
        COUNTS.read("int")
        return int(self._array)

    def __float__(self):
        COUNTS.read("float")
        return float(self._array)

    def __complex__(self):
        COUNTS.read("complex")
        return complex(self._array)

    def __repr__(self):
        COUNTS.read("repr")
        return repr(self._array)

    def __format__(self, form):
        COUNTS.read("format")
        return format(self._array[()] if self.ndim == 0 else str(self._array), form)

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __getitem__(self, index):
        parts = _parts(index)
        if any(_is_mask(part) for part in parts):
            COUNTS.read("mask")
        if any(isinstance(part, ndarray | np.ndarray | list) for part in parts):
            COUNTS.launch("getitem")
        return wrap(self._array[unwrap(index)], self.device)

    def __setitem__(self, index, value):
        _parts(index)
        COUNTS.launch("setitem")
        if isinstance(value, np.ndarray) and value.ndim:
            raise TypeError(f"Unsupported type {type(value)}")
        value = unwrap(value)
        with np.errstate(all="ignore"):
            self._array[unwrap(index)] = value

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        """NumPy's functions of CuPy's arrays are CuPy's, if they have its arrays and numbers only."""
        from cupy_stand_in import CUPY

        theirs = getattr(CUPY, ufunc.__name__, None)
        if theirs is None or any(not isinstance(x, (ndarray, np.ndarray, *SCALARS)) for x in inputs):
            return NotImplemented
        if "out" in options:
            options["out"] = options["out"][0]
        return (theirs if method == "__call__" else getattr(theirs, method))(*inputs, **options)

    def __array_function__(self, function, kinds, arguments, options):
        from cupy_stand_in import CUPY

        place = CUPY
        for step in function.__module__.split(".")[1:]:
            place = getattr(place, step, None)
        theirs = getattr(place, function.__name__, None)
        if theirs is None or any(not issubclass(kind, ndarray | np.ndarray) for kind in kinds):
            return NotImplemented
        return theirs(*arguments, **options)


def wrap(x, device=None):
    """NumPy's arrays and numbers, also in tuples and lists, as arrays of the stand-in: also results without axes."""
    if isinstance(x, np.ndarray | np.generic):
        array = np.asarray(x)
        if array.dtype.kind not in KINDS or array.dtype.itemsize > np.dtype(complex).itemsize:
            raise ValueError(f"Unsupported dtype {array.dtype}")
        made = object.__new__(ndarray)
        made._array, made.device = array, device or Device()
        return made
    if isinstance(x, tuple | list):
        return type(x)(map(wrap, x)) if type(x) in (tuple, list) else tuple(map(wrap, x))
    return x


def unwrap(x):
    """The reverse."""
    if isinstance(x, ndarray):
        return x._array
    if isinstance(x, tuple | list):
        return type(x)(map(unwrap, x))
    if isinstance(x, dict):
        return {name: unwrap(value) for name, value in x.items()}
    if isinstance(x, slice) and any(isinstance(end, ndarray) for end in (x.start, x.stop, x.step)):
        raise TypeError("'cupy.ndarray' object cannot be interpreted as an integer")
    return x


def refuse_host(name, *values):
    """CuPy's functions take its own arrays and numbers."""
    for x in values:
        if isinstance(x, np.ndarray) or (
            isinstance(x, tuple | list) and any(isinstance(entry, np.ndarray) for entry in x)
        ):
            raise TypeError(f"cupy.{name}: Unsupported type {np.ndarray}")


def on_one_device(name, *values):
    """Arrays of the same device, which is the current one."""
    for x in values:
        if isinstance(x, ndarray) and x.device.id != DEVICE.current:
            raise ValueError(f"cupy.{name}: Array device must be same as the current device")


def bound(name, text, arguments, options):
    """Raise unless a function with this signature takes the arguments."""
    try:
        signature(text).bind(*arguments, **options)
    except TypeError as error:
        raise TypeError(f"cupy.{name}{text}: {error}") from None


def _parts(index):
    """Indices of all axes, if CuPy takes them."""
    parts = index if isinstance(index, tuple) else (index,)
    if sum(map(_is_mask, parts)) > 1:
        raise IndexError("more than one boolean array")
    if any(isinstance(part, ndarray) and part.dtype.kind in "fc" for part in parts):
        raise IndexError("arrays used as indices must be of integer or boolean type")
    return parts


def _is_mask(x):
    return isinstance(x, ndarray | np.ndarray) and x.dtype.kind == "b"


def _method(name, text):
    original = getattr(np.ndarray, name)

    def method(self, *arguments, **options):
        bound(f"ndarray.{name}", text, arguments, options)
        refuse_host(f"ndarray.{name}", *arguments, *options.values())
        on_one_device(f"ndarray.{name}", self)
        given = {key: value for key, value in options.items() if value is not None}
        with np.errstate(all="ignore"):
            result = original(self._array, *unwrap(arguments), **unwrap(given))
        COUNTS.launch(name, result, self._array)
        return wrap(result, self.device)

    method.__name__ = name
    return method


OPERATORS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "floordiv": np.floor_divide,
    "mod": np.mod, "pow": np.power, "matmul": np.matmul, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "lshift": np.left_shift, "rshift": np.right_shift,
}  # fmt: skip
COMPARISONS = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip
ALONE = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}


def _operator(name, function, reflected=False, in_place=False):
    def operator(self, other):
        refuse_host(name, other)
        if not isinstance(other, (ndarray, *SCALARS)):
            return NotImplemented
        on_one_device(name, self, other)
        COUNTS.launch(name)
        first, second = self._array, unwrap(other)
        with np.errstate(all="ignore"):
            if in_place:
                function(first, second, out=first, casting="same_kind")
                return self
            return wrap(function(second, first) if reflected else function(first, second), self.device)

    return operator


def _alone(name, function):
    def operator(self):
        COUNTS.launch(name)
        with np.errstate(all="ignore"):
            return wrap(function(self._array), self.device)

    return operator


for _name, _function in OPERATORS.items():
    setattr(ndarray, f"__{_name}__", _operator(_name, _function))
    setattr(ndarray, f"__r{_name}__", _operator(_name, _function, reflected=True))
    setattr(ndarray, f"__i{_name}__", _operator(_name, _function, in_place=True))
for _name, _function in COMPARISONS.items():
    setattr(ndarray, f"__{_name}__", _operator(_name, _function))
for _name, _function in ALONE.items():
    setattr(ndarray, f"__{_name}__", _alone(_name, _function))
for _name, _text in SURFACE["methods"].items():
    if hasattr(np.ndarray, _name) and _name not in vars(ndarray):
        setattr(ndarray, _name, _method(_name, _text))


def own_names():
    """Public names of the class, all of which CuPy's must have."""
    return {name for name, _ in inspect.getmembers(ndarray) if not name.startswith("_")}
