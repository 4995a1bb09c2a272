"""A stand-in for CuPy where there is no device: NumPy computes, and what CuPy refuses is refused.

It has the names that CuPy shares with NumPy, and binds every call to CuPy's signature, as `cupy_surface.json` records
them. NumPy's arrays are refused where CuPy refuses them; nothing becomes a NumPy array by itself. Kernels are launched
by parscan's own launcher, and run in the emulator.
"""

import sys
import warnings
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import array_api_compat
import numpy as np
from cupy_arrays import (
    ADDRESSES,
    COUNTS,
    SCALARS,
    SURFACE,
    bound,
    ndarray,
    on_one_device,
    refuse_host,
    unwrap,
    wrap,
)
from cupy_device import (
    DEVICE,
    RUNTIME,
    Device,
    Function,
    MemoryPool,
    Module,
    RawKernel,
    RawModule,
    Stream,
    get_current_stream,
)

FROM_HOST = {
    "array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray", "asnumpy", "result_type", "can_cast",
    "full", "full_like", "shape", "ndim", "issubdtype", "promote_types", "isscalar", "broadcast_shapes",
    "isdtype", "get_array_module", "take", "iscomplexobj", "size", "random.default_rng",
}  # fmt: skip
"""Functions that take NumPy's arrays too."""

LISTS = ("concatenate", "concat", "stack", "vstack", "hstack", "column_stack", "dstack", "broadcast_arrays")
"""Functions of several arrays: of arrays alone, not of numbers."""

OF_ARRAYS = (
    "sum", "max", "min", "all", "any", "mean", "cumsum", "prod", "argmax", "argmin", "reshape", "transpose", "moveaxis",
    "broadcast_to", "where", "nonzero", "clip", "sort", "argsort", "ravel", "squeeze", "flip",
)  # fmt: skip
"""Functions whose first argument must be an array: a number has no method of their name."""

WAITING = ("nonzero", "argwhere", "unique", "flatnonzero", "extract", "array_equal", "allclose", "bincount", "isin")
"""Functions that read sizes from the device, or return numbers of Python."""


class ufunc:  # noqa: N801 - CuPy's name
    """A function of single numbers."""

    def __init__(self, name, text):
        count, most, *kinds = text.split(" ")
        self.__name__, self.nin, self.nargs, self.types = name, int(count), int(most), kinds
        self._kinds = {kind for loop in kinds for kind in loop.partition("->")[0]}
        self._function = getattr(np, name)

    def __call__(self, *arguments, out=None, dtype=None, casting=None, **options):
        if options:
            raise TypeError(f"Wrong arguments {options}")
        if not self.nin <= len(arguments) <= self.nargs:
            raise TypeError(
                f"Wrong number of arguments for 'cupy_{self.__name__}'. It must be either {self.nin} or {self.nargs} "
                f"(with outputs), but given {len(arguments)}."
            )
        for x in arguments:
            if not isinstance(x, (ndarray, *SCALARS)):
                raise TypeError(f"Unsupported type {type(x)}")
            if isinstance(x, ndarray) and x.dtype.kind == "c" and x.dtype.char not in self._kinds:
                raise TypeError(f"Wrong type ({x.dtype}) of arguments for cupy_{self.__name__}")
        on_one_device(self.__name__, *arguments)
        COUNTS.launch(self.__name__)
        given = {"out": unwrap(out), "dtype": dtype, "casting": casting}
        with np.errstate(all="ignore"):
            made = self._function(*unwrap(arguments), **{key: x for key, x in given.items() if x is not None})
        return wrap(made) if out is None else out

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        if self.__name__ not in ("add", "multiply", "maximum", "minimum"):
            raise AttributeError(f"'cupy.ufunc' {self.__name__} has no reduce")
        COUNTS.launch(self.__name__)
        with np.errstate(all="ignore"):
            return wrap(self._function.reduce(unwrap(array), axis=axis, keepdims=keepdims))


def _function(name, text, original):
    """A function of NumPy's, with what CuPy's takes."""
    own = name.rpartition(".")[2]

    def function(*arguments, **options):
        bound(name, text, arguments, options)
        if name not in FROM_HOST:
            refuse_host(name, *arguments, *options.values())
        if own in LISTS and any(not isinstance(x, ndarray) for x in (arguments if own == LISTS[-1] else arguments[0])):
            raise TypeError(f"cupy.{name}: Only cupy arrays can be joined")
        if own in OF_ARRAYS and arguments and not isinstance(arguments[0], ndarray):
            raise AttributeError(f"'{type(arguments[0]).__name__}' object has no attribute '{own}'")
        on_one_device(name, *arguments)
        if own in WAITING or (own == "repeat" and len(arguments) > 1 and isinstance(arguments[1], ndarray)):
            COUNTS.read(own)
        given = {key: x for key, x in options.items() if key != "blocking"}
        plain = unwrap(arguments)
        with np.errstate(all="ignore"):
            result = original(*plain, **unwrap(given))
        COUNTS.launch(own, result, *plain)
        return wrap(result)

    function.__name__, function.__module__ = own, "cupy"
    return function


def _solve(a, b):
    """As `cupy.linalg.solve`: singular systems give numbers that are not finite, each by itself."""
    if not (isinstance(a, ndarray) and isinstance(b, ndarray)):
        raise np.linalg.LinAlgError("cupy.linalg only supports cupy.ndarray")
    if b.ndim == 0 or (a.shape[-1] != b.size if b.ndim == 1 else a.shape[:-1] != b.shape[:-1]):
        raise ValueError("a must have (..., M, M) shape and b must have (..., M, K) for multidimensional b")
    COUNTS.launch("solve")
    matrices = a._array
    sides = np.broadcast_to(b._array, matrices.shape[:-1]) if b.ndim == 1 else b._array
    is_vector = sides.ndim == matrices.ndim - 1
    sides = sides[..., None] if is_vector else sides
    with np.errstate(all="ignore"):
        try:
            made = np.linalg.solve(matrices, sides)
        except np.linalg.LinAlgError:
            made = np.full(sides.shape, np.nan, np.result_type(matrices, sides))
            for place in np.ndindex(matrices.shape[:-2]):
                if np.linalg.matrix_rank(matrices[place]) == matrices.shape[-1]:
                    made[place] = np.linalg.solve(matrices[place], sides[place])
    return wrap(made[..., 0] if is_vector else made)


def _asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    return a.get() if isinstance(a, ndarray) else np.asarray(a, order=order)


class Generator:
    """Random numbers."""

    def __init__(self, seed=None):
        self._generator = np.random.default_rng(seed)

    def __getattr__(self, name):
        text = SURFACE["generator"].get(name)
        if text is None:
            raise AttributeError(f"'Generator' object has no attribute '{name}'")

        def draw(*arguments, **options):
            bound(f"random.Generator.{name}", text, arguments, options)
            COUNTS.launch(name)
            return wrap(np.asarray(getattr(self._generator, name)(*arguments, **options)))

        return draw


def _poisoned(shape, dtype=float, order="C"):
    """Memory that nobody has written to."""
    made = np.empty(shape, dtype, order)
    (made if made.flags.c_contiguous else made.T).reshape(-1).view(np.uint8).fill(255)
    return wrap(made)


def _poisoned_like(prototype, dtype=None, order="K", subok=None, shape=None):
    return _poisoned(prototype.shape if shape is None else shape, dtype or prototype.dtype)


def _module(name, **members):
    made = ModuleType(name)
    vars(made).update(members)
    return made


def _made():
    """CuPy, and the modules below it, by their names."""
    parts = {name: _module(f"cupy.{name}" if name else "cupy") for name in ("", "linalg", "fft", "random")}
    for name, text in SURFACE["functions"].items():
        part, _, own = name.rpartition(".")
        original = getattr(getattr(np, part) if part else np, own, None)
        if original is not None:
            setattr(parts[part], own, _function(name, text, original))
    for name, text in SURFACE["ufuncs"].items():
        if isinstance(getattr(np, name, None), np.ufunc):
            setattr(parts[""], name, ufunc(name, text))
    cuda = _module(
        "cupy.cuda", Device=Device, Stream=Stream, MemoryPool=MemoryPool, get_current_stream=get_current_stream,
        runtime=RUNTIME, function=_module("cupy.cuda.function", Module=Module, Function=Function),
        device=_module("cupy.cuda.device", Device=Device), __path__=[],
    )  # fmt: skip
    kinds = {name: getattr(np, name) for name in dir(np) if isinstance(getattr(np, name), type)}
    kinds = {name: kind for name, kind in kinds.items() if issubclass(kind, np.generic)}
    pool = MemoryPool()
    cupy = parts.pop("")
    vars(cupy).update(
        kinds, **parts, cuda=cuda, ndarray=ndarray, ufunc=ufunc, RawModule=RawModule, RawKernel=RawKernel,
        dtype=np.dtype, finfo=np.finfo, iinfo=np.iinfo, pi=np.pi, e=np.e, inf=np.inf, nan=np.nan, newaxis=None,
        __path__=[], __version__=SURFACE["version"], asnumpy=_asnumpy, empty=_poisoned, empty_like=_poisoned_like,
        get_default_memory_pool=lambda: pool, get_array_module=lambda *arguments: (
            cupy if any(isinstance(x, ndarray) for x in arguments) else np
        ),
    )  # fmt: skip
    cupy.matmul = _function("matmul", SURFACE["functions"]["matmul"], np.matmul)
    parts["linalg"].solve = _solve
    parts["random"].default_rng, parts["random"].Generator = Generator, Generator
    cupy.__all__ = [name for name in vars(cupy) if not name.startswith("_")]
    for part in parts.values():
        part.__all__ = [name for name in vars(part) if not name.startswith("_")]
    modules = (cupy, *parts.values(), cuda, cuda.device, cuda.function)
    return {module.__name__: module for module in modules}


MODULES = _made()
CUPY = MODULES["cupy"]


@contextmanager
def allow_synchronize(allow):
    """As `cupyx.allow_synchronize`."""
    before, COUNTS.waiting_is_allowed = COUNTS.waiting_is_allowed, allow
    try:
        yield
    finally:
        COUNTS.waiting_is_allowed = before


CUPYX = _module("cupyx", allow_synchronize=allow_synchronize)


@contextmanager
def installed(emulator=None):
    """The stand-in is what `import cupy` finds; with an emulator, it runs parscan's kernels."""
    launch = import_module("parscan._kernels.cuda.launch")
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_of_cupy(name)}
    attribute = vars(array_api_compat).pop("cupy", None)
    sys.modules.update(MODULES, cupyx=CUPYX)
    written = import_module("parscan._kernels.cuda.written")
    before = launch.LAUNCHER, launch.cubin, written.LAUNCHER
    DEVICE.reset()
    COUNTS.__init__()
    launch._loaded.cache_clear()
    launch._processors.cache_clear()
    if emulator is not None:
        DEVICE.processors = emulator.processors()
        launch.LAUNCHER, launch.cubin = launch.CupyLauncher(), _emulated(emulator)
        written.LAUNCHER = _launcher_of_written(written)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that array_api_compat takes from all of CuPy
            import_module("array_api_compat.cupy")
        yield CUPY
    finally:
        launch.LAUNCHER, launch.cubin, written.LAUNCHER = before
        launch._loaded.cache_clear()
        launch._processors.cache_clear()
        for name in [name for name in sys.modules if _is_of_cupy(name)]:
            del sys.modules[name]
        vars(array_api_compat).pop("cupy", None)
        sys.modules.update(kept)
        if attribute is not None:
            array_api_compat.cupy = attribute


def _is_of_cupy(name):
    return name.split(".")[0] in ("cupy", "cupyx") or name.startswith("array_api_compat.cupy")


def _emulated(emulator):
    """In the place of compilation for a device: code that the stand-in loads, and the emulator runs."""
    from parscan._kernels.cuda.cubin import Cubin

    def cubin(kernel, capability):
        made = Cubin(f"{id(kernel)} for {capability}".encode(), kernel.body.__name__)

        def run(grid, block, arguments):
            kinds = (str(kind).endswith("*") for kind in kernel.arguments)
            values = [memory(x) if is_address else x for x, is_address in zip(arguments, kinds, strict=True)]
            emulator.launch(kernel, grid[0], block[0], *values)

        DEVICE.provide(made.code, made.entry, run)
        return made

    return cubin


def _launcher_of_written(written):
    """parscan's launcher of kernels that it writes itself: their text is loaded, and runs thread by thread."""

    class Launcher(written.CupyLauncher):
        def _code(self, kernel, capability):
            def run(grid, block, arguments):
                constants, *given = arguments
                table = np.frombuffer(constants.tobytes(), np.uint8) if kernel.is_by_value else memory(constants)
                threads = np.random.default_rng(grid[0]).permutation(grid[0] * block[0])
                kernel.host()(threads, *given, table=table)

            DEVICE.provide(kernel.text, kernel.entry, run)
            return kernel.text.encode()

    return Launcher()


def memory(address):
    """The numbers at an address that was asked for: those of a whole array, as one row."""
    array = ADDRESSES.get(address)
    if array is None:
        raise RuntimeError(f"CUDA_ERROR_ILLEGAL_ADDRESS: {address} is the address of no array")
    return array.reshape(-1)
