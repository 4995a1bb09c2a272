"""Checks of the arguments of an initial value problem, with SciPy's rules and messages where SciPy has them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from math import inf, isfinite, isnan
from typing import Any

from .._arrays.counts import as_number
from .._arrays.elementwise import is_complex
from .._arrays.namespace import (
    Array,
    all_finite,
    array_namespace,
    as_array,
    dtype_name,
    floating_dtype,
    library,
    machine_epsilon,
    shared_namespace,
)
from .core.mesh import INSIDE, union
from .core.polynomial import PiecewisePolynomial
from .core.problem import LONG, Problem
from .output.monitor import Event
from .result.result import IvpResult


def as_problem(
    fun: Any,
    t_span: Any,
    y0: Any,
    args: Any,
    jac: Any,
    rtol: Any,
    atol: Any,
    max_step: Any,
    *,
    jumps: Any = None,
    vectorized: bool | None = None,
) -> Problem:
    """Check the arguments that every method needs. `vectorized` matters for a single state only."""
    if not callable(fun):
        raise TypeError(f"`fun` must be callable as fun(t, y), got {type(fun).__name__}.")
    span = _as_span(t_span)
    state = _as_state(y0)
    relative, absolute = _as_tolerances(rtol, atol, state)
    return Problem(
        _by_columns(fun) if vectorized and state.ndim == 1 else fun,
        _as_jacobian(jac, state),
        _as_args(args),
        span,
        state,
        relative if isinstance(relative, float) else float(array_namespace(state).min(relative)),
        relative,
        absolute,
        _as_max_step(max_step),
        _as_breaks(jumps, span, state),
    )


def reject_unwatched(events: tuple[Event, ...], problem: Problem) -> None:
    """Raise for events of an empty batch, and for an endless span without a terminal event."""
    if events and problem.batch and problem.is_empty:
        raise ValueError(f"`events` cannot be watched for a batch of shape {problem.batch} with nothing to solve.")
    if problem.is_endless and problem.y0.size and not any(event.terminal < inf for event in events):
        raise ValueError(f"`t_span` must be finite where none of `events` is terminal, got {problem.span}.")


def as_times(t_eval: Any, span: tuple[float, float], like: Array, name: str = "t_eval") -> Array | None:
    """Times of the output: one-dimensional, within the span, sorted along it."""
    if t_eval is None:
        return None
    xp = array_namespace(like)
    times = _host_or_alike(name, t_eval, like)
    if times.ndim != 1:
        raise ValueError(f"`{name}` must be 1-dimensional, got shape {tuple(times.shape)}.")
    times = _as_reals(name, times, like)
    low, high = min(span), max(span)
    if times.shape[0] and not bool(xp.all((times >= low) & (times <= high))):
        raise ValueError(f"Values in `{name}` are not within `t_span` {span}.")
    gaps = times[1:] - times[:-1]
    if not bool(xp.all(gaps > 0 if span[1] > span[0] else gaps < 0)):
        raise ValueError(f"Values in `{name}` are not properly sorted: they must follow the direction of `t_span`.")
    return times


def as_mesh(mesh: Any, span: tuple[float, float], like: Array) -> Array | None:
    """A mesh over the whole span."""
    nodes = as_times(mesh, span, like, "mesh")
    if nodes is not None and (nodes.shape[0] < 2 or (float(nodes[0]), float(nodes[-1])) != span):
        raise ValueError(f"`mesh` must begin and end as `t_span` {span} does, got {nodes.shape[0]} nodes.")
    return nodes


UNUSED = ("jac_sparsity", "min_step", "lband", "uband")
"""Options without meaning for methods that are parallel over time."""

BRIEF = 64
"""A result of DOP853 with at most this many nodes is accepted as `guess`, but not used: it would save no time."""


def as_guess(guess: Any, problem: Problem) -> PiecewisePolynomial | None:
    """The continuous solution of an earlier result of the same shape, from the same time in the same direction."""
    if guess is None:
        return None
    if not isinstance(guess, IvpResult):
        raise TypeError(f"`guess` must be a result of solve_ivp, got {type(guess).__name__}.")
    dense = guess._dense
    if dense is None and guess.mesh.shape[0] < 2:
        raise ValueError("`guess` has no solution to start from: it failed where it began.")
    if dense is None and not (guess.method == "DOP853" and guess.mesh.shape[0] <= BRIEF):
        raise TypeError(
            f"`guess` was solved by {guess.method}, step after step, and has no mesh to start from: solve it by a "
            'method that is parallel over time, such as method="Radau".'
        )
    shared_namespace(y0=problem.y0, guess=guess.y)
    shape = (*guess.y.shape[2:], guess.y.shape[0])
    if shape != tuple(problem.y0.shape):
        raise ValueError(f"`guess` has states of shape {shape}, components last, where `y0` has {problem.y0.shape}.")
    begin, end = float(guess.mesh[0]), float(guess.mesh[-1])
    if begin != problem.span[0] or (end - begin) * (problem.span[1] - begin) <= 0:
        raise ValueError(f"`guess` goes from {begin} to {end}, which is no beginning of `t_span` {problem.span}.")
    return dense


def _as_span(t_span: Any) -> tuple[float, float]:
    """Begin and end."""
    try:
        t0, tf = map(float, t_span)
    except (TypeError, ValueError):
        raise ValueError(f"`t_span` must be a pair of numbers (t0, tf), got {t_span!r}.") from None
    if not isfinite(t0) or isnan(tf):
        raise ValueError(f"`t_span` must be finite, got {t_span!r}; its end may be infinite for a terminal event.")
    return t0, tf


def _as_state(y0: Any) -> Array:
    """The initial state in a floating dtype, components last."""
    state = as_array("y0", y0)
    if state.ndim == 0:
        raise ValueError("`y0` must have at least one axis of components: write [value] for a single equation.")
    xp = array_namespace(state)
    state = xp.astype(state, floating_dtype("y0", state))
    if not all_finite(state):
        raise ValueError("All components of the initial state `y0` must be finite.")
    return state if state.ndim == 1 else xp.moveaxis(state, 0, -1)


def _as_tolerances(rtol: Any, atol: Any, state: Array) -> tuple[float | Array, Array]:
    """Tolerances; relative ones near rounding are increased, with a warning."""
    xp = array_namespace(state)
    least = 100 * machine_epsilon(state.dtype)
    if isinstance(rtol, float) and isinstance(atol, float) and least <= rtol < inf and 0 <= atol < inf:
        return float(rtol), xp.asarray(float(atol), dtype=xp.abs(state).dtype)
    given = _as_tolerance("rtol", rtol, state)
    if not bool(array_namespace(given).all((given >= 0) & (given < inf))):
        raise ValueError(f"`rtol` must be finite and not negative, got {rtol!r}.")
    if bool(array_namespace(given).any(given < least)):
        those = "At least one element of `rtol`" if given.ndim else "`rtol`"
        warnings.warn(f"{those} is too small. Setting `rtol = {least:.3g}`.", UserWarning, stacklevel=4)
    relative = float(given) if given.ndim == 0 else xp.asarray(given, dtype=xp.abs(state).dtype)
    relative = max(relative, least) if isinstance(relative, float) else xp.clip(relative, least, None)
    absolute = xp.asarray(_as_tolerance("atol", atol, state), dtype=xp.abs(state).dtype)
    if not bool(xp.all(absolute >= 0)):
        raise ValueError("`atol` must be positive.")
    return relative, absolute


def _as_tolerance(name: str, value: Any, state: Array) -> Array:
    """One tolerance, or one for each component."""
    given = _host_or_alike(name, value, state)
    if is_complex(given) or dtype_name(given.dtype) == "bool":
        raise TypeError(f"`{name}` must be a number, got {value!r}.")
    if given.ndim > 0 and tuple(given.shape) != (state.shape[-1],):
        raise ValueError(
            f"`{name}` has wrong shape {tuple(given.shape)}: pass a number, or one for each of the "
            f"{state.shape[-1]} components."
        )
    return given


def _as_reals(name: str, times: Array, like: Array) -> Array:
    """Times in float64, in the library of the state."""
    if is_complex(times):
        raise TypeError(f"`{name}` must be real times, got {dtype_name(times.dtype)}.")
    xp = array_namespace(like)
    return xp.astype(xp.asarray(times), xp.float64)


def _host_or_alike(name: str, value: Any, like: Array) -> Array:
    """An array of NumPy, as times and tolerances may be for any state, or of the library of `like`."""
    array = as_array(name, value)
    if library(array) != "numpy":
        shared_namespace(**{name: array, "y0": like})
    return array


def _as_jacobian(jac: Any, state: Array) -> Any:
    """A callable, None, or a constant matrix."""
    if jac is None or callable(jac):
        return jac
    n = state.shape[-1]
    if hasattr(jac, "tocsc") and n >= LONG and tuple(jac.shape) == (n, n):
        return jac
    matrix = as_array("jac", jac.toarray() if hasattr(jac, "toarray") else jac)
    if tuple(matrix.shape) != (n, n):
        raise ValueError(f"`jac` is expected to have shape {(n, n)}, but actually has {tuple(matrix.shape)}.")
    xp = shared_namespace(jac=matrix, y0=state)
    if is_complex(matrix) and not is_complex(state):
        raise TypeError(f"`jac` has complex values for a real `y0`; pass `y0` as {dtype_name(matrix.dtype)}.")
    return xp.astype(matrix, state.dtype)


def _as_args(args: Any) -> tuple[Any, ...]:
    """Further arguments."""
    if args is None:
        return ()
    try:
        return tuple(args)
    except TypeError:
        raise TypeError(
            f"Supplied 'args' cannot be unpacked: got {type(args).__name__}. Pass a tuple, args=(value,) for one."
        ) from None


def _as_breaks(jumps: Any, span: tuple[float, float], like: Array) -> Array | None:
    """Times of jumps within the span or at its ends, ascending and distinct beyond rounding; None if there are none."""
    if jumps is None:
        return None
    xp = array_namespace(like)
    times = _host_or_alike("jumps", jumps, like)
    if times.ndim != 1:
        raise ValueError(f"`jumps` must have one axis, got shape {tuple(times.shape)}; pass a list of times.")
    times = _as_reals("jumps", times, like)
    if bool(xp.any(xp.isnan(times))):
        raise ValueError("`jumps` must be times, but some of them are NaN.")
    times = times[xp.isfinite(times)]
    for end in filter(isfinite, span):
        times = xp.where(xp.abs(times - end) <= INSIDE * abs(end), xp.full_like(times, end), times)
    found = union(times[(times >= min(span)) & (times <= max(span))])
    if found is None:
        return None
    apart = found[1:] - found[:-1] > INSIDE * xp.abs(found[1:])
    return xp.concat([found[:1], found[1:][apart]])


def _as_max_step(max_step: Any) -> float:
    """Largest step allowed."""
    step = as_number("max_step", max_step)
    if not step > 0:
        raise ValueError(f"`max_step` must be positive, got {max_step!r}.")
    return step


def as_options(
    span: tuple[float, float], vectorized: bool | None, first_step: Any, min_step: Any, **structure: Any
) -> dict[str, Any]:
    """The options for sequential solvers that the user gave; SciPy checks those that only its solvers know."""
    shortest = None if min_step is None else as_number("min_step", min_step)
    given = {"first_step": _as_first_step(first_step, span), "min_step": shortest, **structure}
    options = {name: value for name, value in given.items() if value is not None}
    return {**options, "vectorized": True} if vectorized else options


def warn_of_unused(options: dict[str, Any], only: tuple[str, ...] = UNUSED) -> None:
    """Warn of arguments without effect, in SciPy's words."""
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


def _by_columns(fun: Callable[..., Any]) -> Callable[..., Any]:
    """The function of states `(n, k)`, extended to a single state `(n,)`."""

    @wraps(fun)
    def function(t: Any, y: Any, *args: Any) -> Any:
        if y.ndim > 1:
            return fun(t, y, *args)
        value = fun(t, y[:, None], *args)
        return [_first(part) for part in value] if isinstance(value, list | tuple) else _first(value, rank=2)

    return function


def _first(value: Any, rank: int = 1) -> Any:
    """The first column of a returned value or of one of its components; a value without columns is unchanged."""
    if isinstance(value, list | tuple):
        return value[0] if len(value) == 1 else value
    return value[..., 0] if getattr(value, "ndim", 0) >= rank else value
