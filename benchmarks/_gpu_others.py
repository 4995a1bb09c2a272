"""Other packages that compute on the GPU, where they are installed and see it."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from _gpu_case import AbsentError
from _gpu_platform import Array, Platform

NAMES = {"jax": "JAX", "torch": "PyTorch", "diffrax": "diffrax"}


def installed(package: str) -> Any:
    """The package; raises `AbsentError` if it is not installed."""
    if find_spec(package) is None:
        raise AbsentError(f"{NAMES[package]} is not installed")
    return import_module(package)


def jax_of(platform: Platform) -> Any:
    """JAX, which multiplies matrices in the precision of their numbers, on a device like the platform's."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax = installed("jax")
    if not platform.dry and jax.default_backend() not in ("gpu", "cuda"):
        raise AbsentError("JAX has no GPU")
    jax.config.update("jax_default_matmul_precision", "highest")
    return jax


def of_jax(platform: Platform, *arrays: Array) -> list[Any]:
    """Copies of arrays on JAX's device."""
    jax = jax_of(platform)
    return [jax.device_put(platform.on_host(array)) for array in arrays]


def of_torch(platform: Platform, array: Array) -> tuple[Any, Any]:
    """PyTorch, and a copy of an array on its device."""
    torch = installed("torch")
    if not platform.dry and not torch.cuda.is_available():
        raise AbsentError("PyTorch has no GPU")
    return torch, torch.from_numpy(platform.on_host(array)).to("cpu" if platform.dry else "cuda")
