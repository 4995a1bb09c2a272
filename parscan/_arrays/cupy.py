"""Functions of CuPy beyond the array standard.

CuPy is never imported here: if an argument is a CuPy array, CuPy is already loaded.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from typing import Any


def module() -> Any:
    """CuPy."""
    return sys.modules["cupy"]


def check(name: str, x: Any) -> None:
    """Raise unless an array is on the current device, and numba-cuda is there to compile kernels for it."""
    if not _has_numba_cuda():
        raise ImportError(
            f"`{name}` is a CuPy array, for which parscan needs numba-cuda: install it with {extra()}.",
            name="numba_cuda",
        )
    current = module().cuda.runtime.getDevice()
    if x.device.id != current:
        raise ValueError(
            f"`{name}` is on device {x.device.id}, but the current one is {current}; call parscan within "
            f"`with cupy.cuda.Device({x.device.id}):`, or copy the array."
        )


def free_bytes() -> float:
    """Bytes that can be allocated on the current device: its free memory, and the free part of CuPy's pool."""
    cupy = module()
    left, _ = cupy.cuda.runtime.memGetInfo()
    pool = cupy.get_default_memory_pool()
    limit = pool.get_limit() or float("inf")
    return float(min(left + pool.free_bytes(), limit - pool.used_bytes()))


def extra() -> str:
    """Command that installs the packages for CuPy's CUDA."""
    return f"`pip install 'parscan[cuda{module().cuda.runtime.runtimeGetVersion() // 1000}]'`"


def versions() -> str:
    """In words: the newest CUDA that the driver supports, and the version for which CuPy was built."""
    runtime = module().cuda.runtime
    driver, toolkit = (
        f"{v // 1000}.{v % 1000 // 10}" for v in (runtime.driverGetVersion(), runtime.runtimeGetVersion())
    )
    return f"the driver knows CUDA up to {driver}, and CuPy was built for {toolkit}"


@cache
def _has_numba_cuda() -> bool:
    """Whether numba-cuda is installed; Numba's own CUDA is too old for current devices."""
    return importlib.util.find_spec("numba_cuda") is not None
