"""Validation of the gradients and forcings that the user passes to derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._arrays.namespace import Array, as_array, dtype_name, floating_dtype, shared_namespace
from .adjoint import Adjoint


def as_like(name: str, value: Any, y: Array, other: str = "y") -> Array:
    """The argument `name` as an array of the library and dtype of `y`, which messages call `other`."""
    array = as_array(name, value)
    xp = shared_namespace(**{name: array, other: y})
    if xp.isdtype(floating_dtype(name, array), "complex floating") and not xp.isdtype(y.dtype, "complex floating"):
        raise TypeError(
            f"`{name}` is {dtype_name(array.dtype)} but `{other}` is {dtype_name(y.dtype)}; pass its real part, or "
            f"make `{other}` complex."
        )
    return xp.astype(array, y.dtype, copy=False)


def as_gradient(grad_y: Any, y: Array) -> Array:
    """The gradient of a loss with respect to the trajectory `y`, checked."""
    grad_y = as_like("grad_y", grad_y, y)
    if grad_y.shape != y.shape:
        raise ValueError(
            f"`grad_y` has shape {tuple(grad_y.shape)}; the trajectory `y` has {tuple(y.shape)}. Pass the derivative "
            "of the loss by every state, zeros for those that it does not depend on."
        )
    return grad_y


def as_adjoint(adjoint: Adjoint, y: Array) -> Adjoint:
    """An adjoint of the trajectory `y`, checked."""
    states = as_like("grad_y.states", adjoint.states, y)
    if states.shape != y.shape:
        raise ValueError(
            f"`grad_y` is an Adjoint of a trajectory of shape {tuple(states.shape)}; this one has {tuple(y.shape)}."
        )
    return Adjoint(states, adjoint.y0)


@dataclass(frozen=True)
class Forcing:
    """Forcings of a tangent run: of all `steps`, and of the `start`; one of them may be None.

    If there are many forcings, they have a last axis of length `count`; `count` is None for a single forcing.
    """

    steps: Array | None
    start: Array | None
    count: int | None


def as_forcing(forcing: Any, y0: Any, y: Array) -> Forcing:
    """Forcings of every step of the trajectory `y`, and changes of its start."""
    if forcing is None and y0 is None:
        raise ValueError("neither `forcing` nor `y0` is given; pass a forcing of every step, or a change of the start.")
    count = None
    if forcing is not None:
        forcing = as_like("forcing", forcing, y)
        if forcing.shape[: y.ndim] != y.shape or forcing.ndim > y.ndim + 1:
            raise ValueError(
                f"`forcing` has shape {tuple(forcing.shape)}; it needs that of the trajectory `y`, {tuple(y.shape)}, "
                "or one more axis for many forcings."
            )
        count = forcing.shape[-1] if forcing.ndim > y.ndim else None
    if y0 is not None:
        y0 = as_like("y0", y0, y)
        count = _starts(y0, y.shape[1:], count, alone=forcing is None)
    return Forcing(forcing, y0, count)


def _starts(y0: Array, state: tuple[int, ...], count: int | None, *, alone: bool) -> int | None:
    """Number of forcings, after a check that the change of the start is one for all or one for each of them."""
    if y0.shape == state:
        return count
    if y0.shape[:-1] == state and (alone or y0.shape[-1] == count):
        return int(y0.shape[-1])
    wanted = "one more axis for many" if alone else "as many forcings on one more axis as `forcing` has"
    raise ValueError(f"`y0` has shape {tuple(y0.shape)}; it needs that of one state, {tuple(state)}, or {wanted}.")
