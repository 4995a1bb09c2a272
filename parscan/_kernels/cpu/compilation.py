"""Kernels that Numba compiles on first use and keeps on disk, or compiles in each process where nothing can be written.

Numba itself refuses to load a function that is to be kept and cannot be, and raises what a damaged file raises.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numba
from numba.core.caching import FunctionCache

from ...warnings import KernelCacheWarning


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """The function as a kernel that releases the GIL, with further options of `numba.njit`."""
    kernel = numba.njit(nogil=True, **options)(function)
    try:
        kernel._cache = Cache(function)
    except RuntimeError:  # no folder can be written to: Numba has no class of its own for it
        warn_of_no_cache()
    return kernel


class Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, without which the function works as well."""

    def load_overload(self, signature: Any, target: Any) -> Any:
        """What was kept; None if there is nothing, or nothing that can be read: it will be compiled anew."""
        try:
            return super().load_overload(signature, target)
        except Exception:  # a damaged file may raise anything
            with suppress(Exception):  # if nothing can be written, saving will warn
                self.flush()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep what was compiled, if that is possible."""
        try:
            super().save_overload(signature, data)
        except Exception:  # a full disk, a folder that was taken away
            warn_of_no_cache()


@cache
def warn_of_no_cache() -> None:
    """Once in a process."""
    warnings.warn(
        "Compiled kernels cannot be kept on disk, so that each process compiles those that it needs, which takes some "
        "seconds: let the environment variable NUMBA_CACHE_DIR name a folder that can be written to.",
        KernelCacheWarning,
        stacklevel=2,
    )
