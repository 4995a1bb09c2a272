"""The only file that knows array libraries: the library of an argument, its namespace, its precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import Context, ContextVar
from functools import cache, lru_cache
from itertools import repeat
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

from . import cupy as _cupy
from . import numpy as _numpy

Array: TypeAlias = Any
"""An array of whatever library the caller uses."""

Namespace: TypeAlias = Any
"""The array-API namespace of such a library."""

SUPPORTED: dict[str, Callable[[str, Array], None]] = {
    "numpy": lambda name, value: None,
    "cupy": _cupy.check,
    "array_api_strict": lambda name, value: None,
}
"""Supported libraries, and functions that raise if one of their arrays cannot be used. The last library is the
standard's reference implementation: tests run on it to keep all code outside this file and the kernels portable."""

LARGEST_WHOLE = 2**53
"""float64 represents all whole numbers up to this one."""

FEW = 1024
"""Largest number of random signs in an array that is cached."""

MANY = 4096
"""In larger arrays, finite entries are detected by a sum, which is faster than a test of each entry."""

_FLOATING = ("float32", "float64", "complex64", "complex128")

_KNOWN: dict[Any, Any] = {np.dtype(name): getattr(np, name) for name in _FLOATING}
"""NumPy's floating dtypes in native byte order, and the types of their numbers."""

_CHARS = "fdFD"
"""Their characters."""

"""Types of doubles."""

ARRAY, DOUBLE = np.ndarray, np.dtype("d")
"""The type of NumPy's arrays, and the dtype of nearly all."""

from_bytes: Any = np.frombuffer
"""An array of doubles, by default, from their bytes; it is read-only."""

total: Any = np.add.reduce
"""Sum along an axis; None: of all entries."""

_all: Any = np.logical_and.reduce

_OF_NUMPY = (np.ndarray, np.generic)
"""Types of NumPy's arrays and numbers."""


def array_namespace(*arrays: Array) -> Namespace:
    """Array-API namespace of the arrays: NumPy's functions, or array-api-compat's wrapper of another library.

    NumPy's own functions are the standard's since 2.0; the wrapper would load all of NumPy's submodules.
    """
    if isinstance(arrays[0], _OF_NUMPY):
        return _numpy.xp
    return array_api_compat.array_namespace(*arrays)


def library(x: Array) -> str:
    """Name of the array library that `x` belongs to, "numpy" for example."""
    return type(x).__module__.partition(".")[0]


def is_array(value: Any) -> bool:
    """Whether a value is an array of some library."""
    return bool(array_api_compat.is_array_api_obj(value))


def as_array(name: str, value: Any) -> Array:
    """Array of a supported library as it is, anything else through NumPy; never copied without need."""
    if isinstance(value, _OF_NUMPY):
        value = _plain(name, value)
        _reject_objects(name, value)
        return value
    if array_api_compat.is_array_api_obj(value):
        if library(value) not in SUPPORTED:
            raise TypeError(
                f"`{name}` is a {type(value).__module__}.{type(value).__qualname__}; parscan takes NumPy and CuPy "
                "arrays. Convert it first."
            )
        SUPPORTED[library(value)](name, value)
        return value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"`{name}` cannot be made an array: {error}") from error
    _reject_objects(name, array)
    return array


def _plain(name: str, value: Any) -> Array:
    """The value as a plain NumPy array, not of a subclass, in native byte order."""
    if type(value) is np.ndarray and value.dtype.isnative:
        return value
    if isinstance(value, np.ndarray) and isinstance(value, np.ma.MaskedArray):  # loads `numpy.ma`, which takes 10 ms
        raise TypeError(f"`{name}` is a masked array, whose mask would be lost; fill it first.")
    return np.asarray(value, dtype=value.dtype.newbyteorder("="))


def usual_state(value: Any) -> Array | None:
    """A copy of a plain NumPy array of floating numbers, the last axis not empty; None of anything else."""
    if type(value) is not np.ndarray or value.dtype.char not in _CHARS or not value.dtype.isnative:
        return None
    return value.astype(value.dtype.type) if value.ndim and value.shape[-1] else None


def of_floats(value: Any) -> Any:
    """A list of Python's floats as an array; anything else unchanged."""
    return np.array(value) if type(value) is list and set(map(type, value)) == {float} else value


def usual_inputs(value: Any) -> Array | None:
    """A read-only view of a plain NumPy array with axes, of numbers; None of anything else."""
    if type(value) is not np.ndarray or value.dtype.kind not in "biufc" or not value.dtype.isnative or not value.ndim:
        return None
    return readonly(value)


def plain(name: str, value: Array) -> Array:
    """What a function returned, without a subclass of NumPy's arrays.

    Matrices stay two-dimensional, which `np.stack` does not expect: it writes beyond the memory of its result.
    """
    if type(value) is np.ndarray or not isinstance(value, np.ndarray):
        return value
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise TypeError(f"`{name}` returned a masked array, whose mask would be lost; fill it first.")
    return np.asarray(value)


def _reject_objects(name: str, array: Array) -> None:
    if isinstance(array, np.ndarray) and array.dtype.kind not in "biufc":
        raise TypeError(f"`{name}` has dtype {array.dtype}; parscan needs an array of numbers.")


def shared_namespace(**arrays: Array) -> Namespace:
    """Namespace of all the given arrays, ignoring None; raises unless they are of one library and device."""
    present = {name: value for name, value in arrays.items() if value is not None}
    if all(isinstance(value, np.ndarray) for value in present.values()):
        return _numpy.xp
    kinds = {name: "numpy" if isinstance(value, np.ndarray) else library(value) for name, value in present.items()}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"`{name}` is {kind}" for name, kind in kinds.items())
        raise TypeError(f"arrays of different libraries: {listed}. Convert them to one.")
    places = {name: array_api_compat.device(value) for name, value in present.items()} if len(present) > 1 else {}
    if len(set(map(str, places.values()))) > 1:
        listed = ", ".join(f"`{name}` is on {place}" for name, place in places.items())
        raise ValueError(f"arrays on different devices: {listed}. Copy them to one.")
    return array_namespace(*present.values())


def floating_dtype(name: str, *arrays: Array) -> Any:
    """Common floating dtype of the arrays; integers and bools count as float64, which must represent them exactly."""
    if len(arrays) == 1 and isinstance(arrays[0], np.ndarray) and arrays[0].dtype in _KNOWN:
        return _KNOWN[arrays[0].dtype]
    xp = array_namespace(*arrays)
    for array in arrays:
        _reject_large(name, array)
    numbers = (*_FLOATING, "float16", "float128", "longdouble", "complex256")
    dtypes = [a.dtype if dtype_name(a.dtype) in numbers else xp.float64 for a in arrays]
    common = dtypes[0]
    for dtype in dtypes[1:]:
        common = xp.result_type(common, dtype)
    if dtype_name(common) not in _FLOATING:
        raise TypeError(
            f"`{name}` has dtype {dtype_name(common)}; parscan computes in {', '.join(_FLOATING)}. Cast it first."
        )
    return getattr(xp, dtype_name(common))  # in native byte order


def _reject_large(name: str, array: Array) -> None:
    """Raise for whole numbers that float64 would round."""
    xp = array_namespace(array)
    if not xp.isdtype(array.dtype, "integral") or not array.size or itemsize(array.dtype) < itemsize("int64"):
        return
    largest = max(abs(int(xp.min(array))), abs(int(xp.max(array))))
    if largest > LARGEST_WHOLE:
        raise ValueError(
            f"`{name}` has whole numbers up to {largest}; parscan computes in float64, which has all of them up to "
            "2**53 only. Rescale them, or pass floats if the rounding does not matter."
        )


def is_whole(dtype: Any, values: Array | None = None) -> bool:
    """Whether a dtype is of integers or bools; of objects, whether the values are integers of Python."""
    if isinstance(dtype, np.dtype) and dtype.kind in "fcbiu":
        return dtype.kind in "biu"
    if dtype_name(dtype) == "object":
        return values is not None and all(isinstance(value, int) for value in values.flat)
    return dtype_name(dtype) == "bool" or dtype_name(dtype).startswith(("int", "uint"))


def as_python_integers(array: Array) -> Array | None:
    """The integers as an array of Python integers, if the library has arrays of objects; else None."""
    return np.frompyfunc(int, 1, 1)(array) if isinstance(array, np.ndarray) else None


def is_foreign(value: Any, like: Array) -> bool:
    """Whether a value is an array of another library than `like`."""
    if type(value) is type(like) or not array_api_compat.is_array_api_obj(value):
        return False
    return library(value) != library(like) and not (isinstance(value, np.ndarray) and isinstance(like, np.ndarray))


def as_numbers(array: Array, dtype: Any) -> Array:
    """An array of Python objects that are numbers, such as fractions, in a dtype; any other array unchanged."""
    if dtype_name(array.dtype) != "object" or any(entry is None for entry in array.flat):
        return array
    try:
        return array.astype(dtype)
    except (TypeError, ValueError):
        return array


def dtype_name(dtype: Any) -> str:
    """Plain name of a dtype of any library: "float64"."""
    if isinstance(dtype, np.dtype):
        return _numpy_name(dtype)
    return np.dtype(dtype).name if isinstance(dtype, type) else str(dtype).rpartition(".")[2]


@cache
def _numpy_name(dtype: np.dtype[Any]) -> str:
    """Name of a NumPy dtype, cached: NumPy composes it anew each time."""
    return dtype.name


for _char in _CHARS:  # now, because the first solve of a process may be a short one
    _numpy_name(np.dtype(_char))


@cache
def _limits(name: str) -> tuple[float, float]:
    """Spacing at 1 and smallest normal number of a floating dtype, cached: NumPy looks them up anew each time."""
    limits = np.finfo(name)
    return float(limits.eps), float(limits.smallest_normal)


def machine_epsilon(dtype: Any) -> float:
    """Spacing of floating-point numbers at 1 in the precision of `dtype`."""
    return _limits(dtype_name(dtype))[0]


def itemsize(dtype: Any) -> int:
    """Bytes per number of `dtype`."""
    if isinstance(dtype, np.dtype):
        return dtype.itemsize
    return int(np.dtype(dtype_name(dtype)).itemsize)


def smallest_normal(dtype: Any) -> float:
    """Smallest positive number of full precision in `dtype`."""
    return _limits(dtype_name(dtype))[1]


def is_single(dtype: Any) -> bool:
    """Whether `dtype` is float32 or complex64."""
    return dtype_name(dtype) in ("float32", "complex64")


def all_finite(x: Array) -> bool:
    """Whether no entry is NaN or infinite."""
    if type(x) is np.ndarray and x.size <= MANY:
        return bool(_all(np.isfinite(x), None))
    xp = array_namespace(x)
    if x.size > MANY:  # a sum is finite only if all entries are
        with quiet():
            if bool(xp.isfinite(xp.sum(x))):
                return True
    return bool(xp.all(xp.isfinite(x)))


for _char in _CHARS:  # now, since the operating system loads functions of NumPy's where they are called first
    all_finite(np.zeros(16, _char))
for _size in range(32, 1024, 64):  # and pages of memory for small arrays
    all_finite(np.zeros(_size))


def copy(x: Array) -> Array:
    """Copy of `x` that shares no memory with it."""
    return x.copy("K") if isinstance(x, _OF_NUMPY) else array_namespace(x).asarray(x, copy=True)


def single_rows(x: Array) -> Iterator[Array]:
    """Views of the rows (first axis), one after the other, each with a first axis of length one."""
    if isinstance(x, np.ndarray):  # iterating takes half the time of slicing
        return iter(x[:, None])
    return (x[row : row + 1, ...] for row in range(x.shape[0]))


def places(x: Array, small: int) -> Iterator[Array | None]:
    """
    Views of the rows, one after the other, to which arrays with a first axis of length one can be assigned.

    None for NumPy's rows of at most `small` bytes: :func:`write_rows` writes many of them in the time of one view.
    """
    if not isinstance(x, np.ndarray):
        return single_rows(x)
    return iter(x) if x.nbytes > small * len(x) else repeat(None, len(x))


def write_rows(x: Array, rows: list[bytes]) -> None:
    """Write the first rows of NumPy's, given by their bytes in C order; of none is the memory there already."""
    if rows and rows[0]:
        x[: len(rows), ...] = np.frombuffer(b"".join(rows), x.dtype).reshape(len(rows), *x.shape[1:])


def contiguous(x: Array) -> Array:
    """The array in C order, copied if necessary; arrays without flags are assumed to be in C order."""
    flags = getattr(x, "flags", None)
    return x if flags is None or flags.c_contiguous else array_namespace(x).ascontiguousarray(x)


def once(x: Array) -> Array:
    """The array with one index along each axis whose indices share their memory, where the library tells."""
    strides = getattr(x, "strides", None)
    if not strides or 0 not in strides:
        return x
    return x[tuple(slice(None) if stride else slice(1) for stride in strides)]


def conjugate(x: Array) -> Array:
    """Complex conjugates; an array of real numbers is returned unchanged."""
    xp = array_namespace(x)
    return xp.conj(x) if xp.isdtype(x.dtype, "complex floating") else x


def random_signs(shape: tuple[int, ...], like: Array, *, seed: int) -> Array:
    """Array of ±1, the same for the same seed, of the library and dtype of `like`; it may be read-only."""
    return _alike(_few_signs if math.prod(shape) <= FEW else _signs, shape, like, seed)


def random_moves(shape: tuple[int, ...], like: Array, *, seed: int) -> Array:
    """The same signs times random factors 1/3 or 1, so that movements differ in size."""
    return _alike(_few_moves if math.prod(shape) <= FEW else _moves, shape, like, seed)


def _alike(draw: Callable[..., Array], shape: tuple[int, ...], like: Array, seed: int) -> Array:
    """Random numbers of the library and dtype of `like`."""
    drawn = draw(shape, seed, dtype_name(like.dtype))
    return drawn if isinstance(like, np.ndarray) else array_namespace(like).asarray(drawn, dtype=like.dtype)


def _signs(shape: tuple[int, ...], seed: int, dtype: str) -> Array:
    """Random signs, read-only since they may be shared."""
    drawn = np.random.default_rng(seed).integers(0, 2, size=shape, dtype=np.int8)
    return readonly(np.asarray(2 * drawn - 1, dtype=dtype))


def _moves(shape: tuple[int, ...], seed: int, dtype: str) -> Array:
    """Random signs and factors, read-only, too."""
    return readonly(np.asarray(_signs(shape, seed, dtype) * ((2 + _signs(shape, 1000 + seed, dtype)) / 3)))


_few_signs, _few_moves = lru_cache(maxsize=256)(_signs), lru_cache(maxsize=256)(_moves)
"""Cached: making a generator takes long compared with a short solve."""


def _error_states() -> tuple[ContextVar[Any] | None, Any, Any]:
    """NumPy's variable of the handling of floating-point errors, its default, and its value if they are ignored."""
    context = Context()
    context.run(np.seterr, all="ignore")
    if len(context) != 1:  # another version of NumPy keeps it otherwise
        return None, None, None
    ((variable, ignored),) = context.items()
    return variable, Context().run(variable.get), ignored


ERRORS, *_defaults = _error_states()
"""NumPy's variable of the handling of floating-point errors; None if that is kept otherwise."""

_values = tuple(_defaults)


def error_values() -> tuple[Any, Any]:
    """
    The value of this variable, and the one that differs from it in that all errors are ignored.

    The latter is made by NumPy, and kept until another value is met: users set theirs around many calls.
    """
    global _values  # noqa: PLW0603 - a tuple, so that threads see both values or none
    assert ERRORS is not None
    now, known = ERRORS.get(), _values
    if now is known[0] or now is known[1]:
        return known
    if now is _defaults[0] or now is _defaults[1]:
        found = _defaults[0], _defaults[1]
    elif all(one == "ignore" for one in np.geterr().values()):
        found = now, now
    else:
        with np.errstate(all="ignore"):
            found = now, ERRORS.get()
    _values = found
    return found


class _Quiet:
    """Context without floating-point warnings."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        assert ERRORS is not None
        self._token = ERRORS.set(error_values()[1])

    def __exit__(self, *_: object) -> None:
        assert ERRORS is not None
        ERRORS.reset(self._token)


def quiet() -> AbstractContextManager[Any]:
    """
    Context without floating-point warnings: states that are only guesses may overflow.

    It takes a fourth of the time of NumPy's own context, which makes the same value of the same variable anew.
    """
    return np.errstate(all="ignore") if ERRORS is None else _Quiet()


def quietly(fun: Callable[..., Any], *args: Any) -> Any:
    """What a function returns in the context `quiet`; in half of the time that this takes."""
    if ERRORS is None:
        with np.errstate(all="ignore"):
            return fun(*args)
    token = ERRORS.set(error_values()[1])
    try:
        return fun(*args)
    finally:
        ERRORS.reset(token)


def to_numpy(x: Array) -> Any:
    """The numbers of `x` on the host as a NumPy array, without a copy if they are already there."""
    if isinstance(x, np.ndarray):
        return x
    return np.asarray(array_api_compat.to_device(x, "cpu") if array_api_compat.is_cupy_array(x) else x)


def fetch(*values: Array) -> tuple[Any, ...]:
    """Flags and real numbers on the host, all by one transfer: each transfer waits for the device.

    NumPy arrays are returned unchanged; others become float64.
    """
    if isinstance(values[0], _OF_NUMPY):
        return values
    xp = array_namespace(values[0])
    row = to_numpy(xp.concat([xp.reshape(xp.astype(value, xp.float64), (-1,)) for value in values]))
    cuts = np.cumsum([math.prod(value.shape) for value in values])[:-1]
    return tuple(part.reshape(value.shape) for part, value in zip(np.split(row, cuts), values, strict=True))


def few_on_host(one: Array, other: Array) -> tuple[Array, Array]:
    """Two arrays of one shape; as NumPy's if they are small: one transfer takes less time than a few launches."""
    if isinstance(one, np.ndarray) or one.size > MANY:
        return one, other
    first, second = to_numpy(array_namespace(one).stack([one, other]))
    return first, second


def readonly(x: Array) -> Array:
    """Read-only view of `x`, if the library has such views; else `x`."""
    if isinstance(x, np.ndarray):
        x = x.view()
        x.setflags(write=False)
    return x
