"""Options that only some of SciPy's solvers know."""

from __future__ import annotations

import warnings
from typing import Any

from ..._arrays.counts import as_number

UNUSED = ("jac_sparsity", "min_step", "lband", "uband")
"""Options that mean nothing to a method that is parallel over time."""


def as_options(
    span: tuple[float, float], vectorized: bool | None, first_step: Any, min_step: Any, **structure: Any
) -> dict[str, Any]:
    """Those that were given, to be passed on; SciPy checks what only it knows."""
    shortest = None if min_step is None else as_number("min_step", min_step)
    given = {"first_step": _as_first_step(first_step, span), "min_step": shortest, **structure}
    options = {name: value for name, value in given.items() if value is not None}
    return {**options, "vectorized": True} if vectorized else options


def warn_of_unused(options: dict[str, Any], only: tuple[str, ...] = UNUSED) -> None:
    """In SciPy's words."""
    names = ", ".join(f"`{name}`" for name in only if options.get(name) is not None)
    if names:
        warnings.warn(f"The following arguments have no effect for a chosen solver: {names}.", stacklevel=5)


def _as_first_step(first_step: Any, span: tuple[float, float]) -> float | None:
    """First step of a sequential solver."""
    if first_step is None:
        return None
    step = as_number("first_step", first_step)
    if not step > 0:
        raise ValueError(f"`first_step` must be positive, got {first_step!r}.")
    if step > abs(span[1] - span[0]):
        raise ValueError(f"`first_step` {first_step!r} exceeds bounds: the span has length {abs(span[1] - span[0])}.")
    return step
