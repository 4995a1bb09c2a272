"""Checks of the arguments of a recurrence; messages name the given value and the allowed ones."""

from __future__ import annotations

import inspect
import math
from typing import Any

from .._arrays.counts import as_count, as_number
from .._arrays.memory import check_fits
from .._arrays.namespace import (
    Array,
    Namespace,
    all_finite,
    as_array,
    dtype_name,
    floating_dtype,
    is_single,
    readonly,
    shared_namespace,
)
from .._engine.tolerance import Tolerance
from .._linalg.dense import Dense
from .._linalg.structure import Structure
from .._linalg.structures import STRUCTURES
from .methods import DAMPED, NAMES
from .result import RecurrenceResult
from .systems.damping import Clipping
from .task import Arrays, Options

DENSE = Dense()
"""The default structure, made once."""


def as_arrays(y0: Any, x: Any, length: Any, guess: Any) -> Arrays:
    """Check the arrays against each other."""
    y0 = as_array("y0", y0)
    named = _named_inputs(x)
    if isinstance(guess, RecurrenceResult):
        guess = guess.y
    if guess is not None:
        guess = as_array("guess", guess)
    xp = shared_namespace(y0=y0, guess=guess, **named)
    if y0.ndim == 0 or y0.shape[-1] == 0:
        raise ValueError(
            f"`y0` has shape {tuple(y0.shape)}; it needs a last axis of at least one component: (*batch, n). "
            "Write a scalar state as np.array([value])."
        )
    steps = _steps(named, length)
    given, y0 = y0, xp.astype(y0, floating_dtype("y0", y0))
    if guess is not None:
        guess = _checked_guess(xp, guess, (steps, *y0.shape), y0.dtype)
    check_fits(steps, tuple(y0.shape), y0)
    arrays = tuple(readonly(array) for array in named.values())
    inputs = None if x is None else arrays if isinstance(x, tuple) else arrays[0]
    return Arrays(xp, y0, given, inputs, guess, steps)


def _named_inputs(x: Any) -> dict[str, Array]:
    """Inputs with the names that messages use."""
    if x is None:
        return {}
    if not isinstance(x, tuple):
        named = {"x": as_array("x", x)}
    elif x:
        named = {f"x[{i}]": as_array(f"x[{i}]", part) for i, part in enumerate(x)}
    else:
        raise ValueError("`x` is an empty tuple; pass None and `length` for a recurrence without inputs.")
    for name, array in named.items():
        if array.ndim == 0:
            raise ValueError(f"`{name}` is a single number; it needs a first axis of time steps.")
    return named


def _steps(named: dict[str, Array], length: Any) -> int:
    """Number of time steps, from the inputs or from `length`."""
    counts = {name: int(array.shape[0]) for name, array in named.items()}
    if counts and length is not None:
        raise ValueError(
            f"`x` has {next(iter(counts.values()))} steps and `length` is {length}; pass one of them, "
            "`length` only for a recurrence without inputs."
        )
    if not counts:
        if length is None:
            raise ValueError("neither `x` nor `length` is given; pass inputs, or the number of steps as `length`.")
        return as_count("length", length, least=0)
    if len(set(counts.values())) > 1:
        counted = ", ".join(f"`{name}` has {count}" for name, count in counts.items())
        raise ValueError(f"the arrays in `x` differ in their number of time steps: {counted}.")
    return next(iter(counts.values()))


def _checked_guess(xp: Namespace, guess: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """The guess in the dtype of the state."""
    if tuple(guess.shape) != shape:
        raise ValueError(f"`guess` has shape {tuple(guess.shape)}; the trajectory has {shape}.")
    if floating_dtype("guess", guess) != dtype:
        if xp.isdtype(guess.dtype, "complex floating") and not xp.isdtype(dtype, "complex floating"):
            raise TypeError(f"`guess` is {dtype_name(guess.dtype)} but `y0` is {dtype_name(dtype)}; cast one of them.")
        guess = xp.astype(guess, dtype)
    if not all_finite(guess):
        raise ValueError("`guess` has NaN or infinite entries; pass a finite trajectory, or None.")
    return guess


def as_structure(structure: Any) -> Structure:
    """A structure, given as an object or as a class that needs no parameters."""
    if structure is Dense:
        return DENSE
    if isinstance(structure, type) and issubclass(structure, Structure):
        try:
            structure = structure()
        except TypeError:
            raise TypeError(
                f"`structure` is the class {structure.__name__}, which needs its parameters: {_spelled(structure)}."
            ) from None
    if not isinstance(structure, Structure):
        *most, last = map(_spelled, STRUCTURES)
        raise TypeError(f"`structure` must be {', '.join(most)} or {last}, got {structure!r}.")
    return structure


def _spelled(family: type[Structure]) -> str:
    """A structure as users write it, with the names of its parameters."""
    names = ", ".join(inspect.signature(family).parameters)
    return f"parscan.{family.__name__}({names})" if names else f"parscan.{family.__name__}"


def as_tolerance(rtol: Any, atol: Any, dtype: Any) -> Tolerance:
    """Tolerances, with the defaults of the precision."""
    relative, absolute = (1e-5, 1e-6) if is_single(dtype) else (1e-10, 1e-12)
    return Tolerance(_bound("rtol", rtol, relative), _bound("atol", atol, absolute))


def _bound(name: str, value: Any, default: float) -> float:
    """A tolerance as a float."""
    if value is None:
        return default
    number = as_number(name, value)
    if not 0 <= number < math.inf:
        raise ValueError(f"`{name}` must be finite and not negative, got {value!r}.")
    return number


def check_functions(step: Any, jac: Any, args: Any) -> None:
    """Check the functions and their further arguments."""
    if not callable(step):
        raise TypeError(f"`step` must be callable as step(y, x, *args), got {type(step).__name__}.")
    if jac is not None and jac is not True and not callable(jac):
        raise TypeError(f"`jac` must be a callable, True or None, got {jac!r}.")
    if not isinstance(args, tuple):
        raise TypeError(f"`args` must be a tuple, got {type(args).__name__}; write args=(value,) for one argument.")


def as_options(
    method: Any, max_iterations: Any, segment_length: Any, window: Any, damping: Any, compiles: Any
) -> Options:
    """Check the options that determine how the problem is solved."""
    if not isinstance(method, str) or method not in NAMES:
        raise ValueError(f"`method` is {method!r}; choose one of {', '.join(map(repr, NAMES))}.")
    if damping is not None and not isinstance(damping, Clipping):
        raise TypeError(f"`damping` must be parscan.Clipping() or None, got {damping!r}.")
    if damping is not None and method not in DAMPED:
        raise ValueError(f"`damping` applies to method={' or '.join(map(repr, DAMPED))}, not to {method!r}.")
    if compiles is not None and not isinstance(compiles, bool):
        raise TypeError(f"`compile` is {compiles!r}; pass None (where it pays), True or False.")
    return Options(
        method,
        as_count("max_iterations", max_iterations),
        compiles,
        None if segment_length is None else as_count("segment_length", segment_length),
        None if window is None else as_count("window", window),
        damping,
    )
