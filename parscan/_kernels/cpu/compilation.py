"""Kernels that Numba compiles on first use and caches on disk, or compiles in each process if it cannot write.

With Numba's own `cache=True`, a function cannot be defined if no folder is writable, and a damaged file raises.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numba
from numba.core.caching import FunctionCache

from ..._reporting.announce import announce
from ...warnings import KernelCacheWarning


def kernel(function: Callable[..., Any]) -> Any:
    """
    A kernel that releases the GIL, in which `a*b + c` is rounded twice, as written.

    If it were rounded once, a recurrence could change a state that the plain loop leaves unchanged.
    """
    return compiled(function)


def fused_kernel(function: Callable[..., Any]) -> Any:
    """A kernel for sums of products, which round differently in every library: `a*b + c` may be rounded once.

    A division by zero gives infinity or NaN. The error model differs from that of `kernel` for another reason, too:
    Numba shares compiled helpers, such as the product of complex numbers, among all kernels of one error model, whether
    they are fused or not.
    """
    return compiled(function, error_model="numpy", fastmath={"contract"})


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """The function compiled on first use, with further options of `numba.njit`."""
    kernel = numba.njit(nogil=True, **options)(function)
    try:
        kernel._cache = Cache(function)
    except RuntimeError:  # no folder is writable; Numba has no exception class of its own for it
        warn_of_no_cache()
    return kernel


class Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, whose failures do not stop the function."""

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The cached code; None if none can be read, so that Numba compiles."""
        try:
            found = super().load_overload(signature, target)
        except Exception:  # a damaged file may raise anything
            with suppress(Exception):  # if nothing can be written, saving will warn
                self.flush()
            found = None
        if found is None:
            announce_compiling()
        return found

    def save_overload(self, signature: Any, data: Any) -> None:
        """Cache compiled code if possible."""
        try:
            super().save_overload(signature, data)
        except Exception:  # a full disk, a folder that was removed
            warn_of_no_cache()


@cache
def announce_compiling() -> None:
    """Say it once per process: a kernel takes a second or two, and the others that a solve needs follow."""
    announce("compiling kernels, which takes some seconds, once on this machine")


@cache
def warn_of_no_cache() -> None:
    """Warn once per process."""
    warnings.warn(
        "Compiled kernels cannot be kept on disk, so that each process compiles those that it needs, which takes some "
        "seconds: let the environment variable NUMBA_CACHE_DIR name a folder that can be written to.",
        KernelCacheWarning,
        stacklevel=2,
    )
