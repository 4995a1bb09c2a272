"""What CuPy takes: names, signatures and types of its functions, kept in a file beside this one.

python tests/support/cupy_surface.py writes the file; it needs CuPy, but no device.
"""

import inspect
import json
import re
from functools import cache
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_suffix(".json")

PARTS = ("", "linalg", "fft", "random")
"""Namespaces of functions: CuPy's own, and those below it."""

OWN = ("asnumpy", "get_array_module", "get_default_memory_pool")
"""Functions that NumPy has not."""

CUDA = {
    "Device": ("__new__", "synchronize", "use"),
    "Stream": ("__init__", "synchronize", "use"),
    "MemoryPool": ("free_all_blocks", "free_bytes", "get_limit", "set_limit", "total_bytes", "used_bytes"),
    "function.Module": ("get_function", "load", "load_file"),
    "function.Function": ("__call__",),
    "runtime": ("getDevice", "getDeviceCount", "memGetInfo", "driverGetVersion", "runtimeGetVersion"),
    "": ("get_current_stream",),
}
"""Of `cupy.cuda`, classes and modules, and which of their functions parscan and its tests use."""

RAW = {"RawModule": ("__init__", "get_function"), "RawKernel": ("__init__", "__call__")}
"""Classes that compile or load code."""


def recorded():
    """The record."""
    return json.loads(FILE.read_text(encoding="utf-8"))


@cache
def signature(text):
    """A signature from its text, `(a, axis=...)` for example."""
    namespace = {}
    exec(f"def function{text}: ...", namespace)
    return inspect.signature(namespace["function"])


def surface(cupy):
    """The record of a CuPy: of functions those that NumPy has, too."""
    functions, ufuncs = {}, {}
    for part in PARTS:
        theirs, ours = (getattr(module, part) if part else module for module in (cupy, np))
        for name in dir(theirs):
            function = getattr(theirs, name)
            full = f"{part}.{name}" if part else name
            if name.startswith("_") or not (hasattr(ours, name) or name in OWN):
                continue
            if isinstance(function, cupy.ufunc):
                ufuncs[full] = f"{function.nin} {function.nargs} " + " ".join(function.types)
            elif callable(function) and not isinstance(function, type) and (text := _text(function)):
                functions[full] = text
    array = cupy.ndarray
    members = {name: getattr(array, name) for name in dir(array) if not name.startswith("_")}
    return {
        "version": cupy.__version__,
        "functions": functions,
        "ufuncs": ufuncs,
        "methods": {
            name: _of_document(x, True) for name, x in members.items() if callable(x) and _of_document(x, True)
        },
        "attributes": sorted(name for name, member in members.items() if not callable(member)),
        "generator": _methods(cupy.random.Generator),
        "cuda": {f"{owner}.{name}".lstrip("."): text for owner, name, text in _cuda(cupy)},
    }


def _cuda(cupy):
    """Owner, name and signature of the functions named above."""
    for table, start in ((CUDA, cupy.cuda), (RAW, cupy)):
        for owner, names in table.items():
            place = start
            for step in filter(None, owner.split(".")):
                place = getattr(place, step)
            for name in names:
                made = name in ("__new__", "__init__")
                yield owner, name, _text(place if made else getattr(place, name), bound=not made and owner != "runtime")


def _methods(kind):
    return {name: _text(getattr(kind, name), bound=True) for name in dir(kind) if not name.startswith("_")}


def _text(function, bound=False):
    """Signature of a function without annotations, its defaults replaced by `...`; without `self`, if it is bound."""
    try:
        found = inspect.signature(function)
    except ValueError:
        return _of_document(function, bound)
    default, empty = Ellipsis, inspect.Parameter.empty
    parameters = [
        p.replace(annotation=empty, default=empty if p.default is empty else default) for p in found.parameters.values()
    ]
    parameters = parameters[1:] if bound and parameters and parameters[0].name == "self" else parameters
    return str(inspect.Signature(parameters)).replace("Ellipsis", "...")


def _of_document(function, bound=False):
    """The same from the first line of the documentation, which Cython begins with the signature."""
    first = (function.__doc__ or "").split("\n")[0]
    match = re.match(r"[\w.]+\((.*?)\)( ->.*)?$", first)
    if match is None:
        return ""
    parameters = [part.strip() for part in match[1].split(",") if part.strip() not in ("", "self")]
    plain = []
    for parameter in parameters:
        declared, equals, _ = parameter.partition("=")
        plain.append(declared.split(" ")[-1] + ("=..." if equals else ""))
    return f"({', '.join(plain)})"


if __name__ == "__main__":
    import cupy

    FILE.write_text(json.dumps(surface(cupy), indent=0, sort_keys=True) + "\n", encoding="utf-8")
