"""The user's step function and Jacobian: called on stacked states, checked and counted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .._arrays.namespace import Array, array_namespace, copy, dtype_name, is_foreign, library
from .._linalg.structure import Structure
from .counts import Counts

Inputs = tuple[Array, ...] | Array | None


class Step:
    """A recurrence's step, `y_t = step(y_{t-1}, x_t, *args)`, and its Jacobian if the user gave one.

    Parameters
    ----------
    function : callable
        The step, on `(k, *batch, n)` states and `(k, ...)` inputs.
    x : array, tuple of arrays or None
        Inputs, time first.
    args : tuple
        Further arguments.
    jac : callable, True or None
        Jacobian, or True when `function` returns the pair (f, J).
    structure : Structure
        Family of the Jacobian.

    Attributes
    ----------
    function, x, args, structure
        As given.
    has_jacobian : bool
        Whether the Jacobian is given.
    counts : Counts
        Calls of the step and the Jacobian.
    error : Exception or None
        The last exception of the user's functions.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        x: Inputs,
        args: tuple[Any, ...],
        jac: Callable[..., Any] | bool | None,
        structure: Structure,
    ) -> None:
        self.structure = structure
        self.has_jacobian = jac is not None
        self.counts = Counts()
        self.error: Exception | None = None
        self.function = function
        self.x = x
        self.args = args
        self._value, self._pair, self._jacobian = _calls(function, jac)

    def __call__(self, y: Array, times: slice, copies: int = 1) -> Array:
        """States after the stacked states `y`, with the inputs at `times` repeated `copies` times over."""
        self.counts.add(1, y.shape[0])
        value = self._evaluate(self._value, y, times, copies)
        if not _is_like(value, y):
            raise _rejection("step", value, y, y.shape)
        return value

    def together(self, points: range, states: Array) -> Array:
        """States after the stacked `states` at these time steps by one call; no memory is shared with the function."""
        return copy(self(copy(states), slice(points.start, points.stop, points.step)))

    def each(self, points: Sequence[int], states: Array) -> Array:
        """The same by a call for each of the states."""
        rows = [copy(self(copy(states[i : i + 1, ...]), slice(t, t + 1))) for i, t in enumerate(points)]
        return array_namespace(states).concat(rows)

    def march(self, y: Array, start: int, stop: int, trajectory: Array) -> Array:
        """Evaluate the steps `start` to `stop` one by one from `y`, `(1, *batch, n)`, writing the trajectory.

        The last state is returned. Every other method is compared with the speed of this loop, which therefore does no
        work twice.
        """
        function, first, t = self._value, y, start
        try:
            for t, arguments in zip(range(start, stop), self._singles(start, stop), strict=False):
                y = function(y, *arguments)
                if not _is_like(y, first):
                    break
                trajectory[t : t + 1, ...] = y
            else:
                return y
        except Exception as error:
            self.error = error
            error.add_note(self._whereabouts(slice(t, t + 1), first.shape))
            _note_integers(error, function, (y, *arguments))
            raise
        finally:
            self.counts.add(t + 1 - start, t + 1 - start)
        raise _rejection("step", y, first, first.shape)

    def with_jacobian(self, y: Array, times: slice) -> tuple[Array, Array]:
        """States after `y`, and the Jacobians there in the structure's layout."""
        self.counts.add(1, y.shape[0])
        self.counts.njev += 1
        value, jacobian = self._evaluate(self._pair, y, times, 1)
        if not _is_like(value, y):
            raise _rejection("step", value, y, y.shape)
        return value, self._checked_jacobian(jacobian, y)

    def jacobian(self, y: Array, times: slice) -> Array:
        """Jacobians at `y` in the structure's layout."""
        self.counts.njev += 1
        return self._checked_jacobian(self._evaluate(self._jacobian, y, times, 1), y)

    def varied(self, y: Array, x: Inputs, args: tuple[Any, ...], times: slice) -> Array:
        """States after `y` with other inputs and arguments than the step's own; `times` are for error messages."""
        self.counts.add(1, y.shape[0])
        value = self._call(self._value, (y, *(() if x is None else (x,)), *args), times)
        if getattr(value, "shape", None) != y.shape or value.dtype != y.dtype:
            raise _rejection("step", value, y, y.shape)
        return value

    def unchecked(self, y: Array, times: slice) -> Any:
        """Values for states of another dtype, without any check."""
        self.counts.add(1, y.shape[0])
        return self._evaluate(self._value, y, times, 1)

    def _evaluate(self, function: Callable[..., Any], y: Array, times: slice, copies: int) -> Any:
        """Call the user's function with the step's own arguments."""
        given = () if self.x is None else (self.inputs(times, copies),)
        return self._call(function, (y, *given, *self.args), times)

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...], times: slice) -> Any:
        """Call the user's function; its exceptions get a note of the call."""
        try:
            return function(*arguments)
        except Exception as error:
            self.error = error
            error.add_note(self._whereabouts(times, arguments[0].shape))
            _note_integers(error, function, arguments)
            raise

    def _whereabouts(self, times: slice, shape: tuple[int, ...]) -> str:
        """Note for an exception of the user's function."""
        given = ["y", *(["x"] if self.x is not None else []), *(f"args[{i}]" for i in range(len(self.args)))]
        return (
            f"parscan called `step({', '.join(given)})` for the time steps {times.start}:{times.stop}:"
            f"{times.step or 1} on stacked states of shape {shape}, components y[..., i] last; states of a "
            "parallel solve may be guesses. Put components together by np.stack([...], axis=-1); where `x` or `args` "
            "hold a value per member of a batch, `y0` needs its axes, too: (*batch, n)."
        )

    def _singles(self, start: int, stop: int) -> Iterator[tuple[Any, ...]]:
        """Arguments after the state, for one step after the other."""
        x, args = self.x, self.args
        if x is None:
            return itertools.repeat(args)
        if isinstance(x, tuple):
            return ((tuple(part[t : t + 1, ...] for part in x), *args) for t in range(start, stop))
        return ((x[t : t + 1, ...], *args) for t in range(start, stop))

    def inputs(self, times: slice, copies: int = 1) -> Inputs:
        """Inputs at these times, repeated `copies` times over."""
        if self.x is None:
            return None
        if isinstance(self.x, tuple):
            return tuple(_repeat(x[times, ...], copies) for x in self.x)
        return _repeat(self.x[times, ...], copies)

    def _checked_jacobian(self, jacobian: Any, y: Array) -> Array:
        """The Jacobian broadcast over leading axes; raises if it is not of the structure's layout."""
        layout = self.structure.shape(y.shape[-1])
        shape = (*y.shape[:-1], *layout)
        got = getattr(jacobian, "shape", None)
        fits = got is not None and got[-len(layout) :] == layout and _broadcasts(got, shape)
        fits = fits and not is_foreign(jacobian, y)
        if not fits or array_namespace(y).result_type(jacobian.dtype, y.dtype) != y.dtype:
            raise _rejection("jac", jacobian, y, shape)
        return jacobian if got == shape else array_namespace(y).broadcast_to(jacobian, shape)


def _calls(
    function: Callable[..., Any], jac: Callable[..., Any] | bool | None
) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """The step alone, the step with its Jacobian, and the Jacobian alone, each as one callable."""
    if jac is True:
        return (
            lambda *arguments: _unpack(function(*arguments))[0],
            lambda *arguments: _unpack(function(*arguments)),
            lambda *arguments: _unpack(function(*arguments))[1],
        )
    if callable(jac):
        # The Jacobian first: a step may write to its state.
        return function, (lambda *arguments: (jac(*arguments), function(*arguments))[::-1]), jac
    return function, _no_jacobian, _no_jacobian


def _no_jacobian(*_: Any) -> Any:
    raise AssertionError("a step without a Jacobian was asked for one")


def _unpack(pair: Any) -> tuple[Any, Any]:
    """Value and Jacobian of a step given with `jac=True`."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(
            f"`step` must return the pair (f, J) when `jac=True`, got {type(pair).__name__}; "
            "return the Jacobian too, or pass jac=None."
        )
    return pair


def _note_integers(error: Exception, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Add a note to an exception that the function does not raise on whole numbers: it uses the states as integers."""
    if not isinstance(error, IndexError | TypeError):
        return
    y, xp = arguments[0], array_namespace(arguments[0])
    try:
        if not xp.isdtype(y.dtype, "real floating"):
            return
        function(xp.astype(y, xp.int64), *arguments[1:])
    except Exception:
        return
    error.add_note(
        f"States are {dtype_name(y.dtype)}, also where `y0` holds whole numbers. Where `step` needs integers, an index "
        "for example, write y.astype(int), as in table[y.astype(int)]; what it returns must be of the states' dtype."
    )


def _repeat(x: Array, copies: int) -> Array:
    """`x` stacked `copies` times along its first axis."""
    if copies == 1:
        return x
    xp = array_namespace(x)
    return xp.reshape(xp.broadcast_to(x[None, ...], (copies, *x.shape)), (copies * x.shape[0], *x.shape[1:]))


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether `shape` broadcasts to `target`."""
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(have in (1, want) for have, want in pairs)


def _is_like(value: Any, y: Array) -> bool:
    """Whether a value of the step can be the next state."""
    if type(value) is not type(y) and (getattr(value, "shape", None) is None or is_foreign(value, y)):
        return False
    return bool(value.shape == y.shape and value.dtype == y.dtype)


def _rejection(name: str, value: Any, y: Array, shape: tuple[int, ...]) -> Exception:
    """What is wrong with what the user's function returned for the state `y`."""
    got, dtype = getattr(value, "shape", None), y.dtype
    if got is None:
        return TypeError(
            f"`{name}` must return an array of shape {shape}, got {type(value).__name__}; put components together by "
            "np.stack([...], axis=-1)."
        )
    if is_foreign(value, y):
        return TypeError(
            f"`{name}` returned an array of {library(value)} where the state `y0` is of {library(y)}; "
            f"compute with the functions of {library(y)}."
        )
    if got != shape:
        return ValueError(
            f"`{name}` returned shape {got} where {shape} was expected; it is called on stacked states with time on "
            "the first axis and components on the last, so index components as y[..., i], and give inputs of one "
            "number per time such an axis, too: x[:, None]. Where `args` hold a value per member of a batch, `y0` "
            "needs the batch's axes: (*batch, n)."
        )
    if name == "step" and array_namespace(y).isdtype(value.dtype, ("integral", "bool")):
        return TypeError(
            f"`step` returned dtype {dtype_name(value.dtype)} where the state `y0` has {dtype_name(dtype)}: return "
            "whole numbers as such, .astype(y.dtype); float64 has all of them up to 2**53."
        )
    return TypeError(
        f"`{name}` returned dtype {dtype_name(value.dtype)} where the state `y0` has {dtype_name(dtype)}; "
        "cast `y0`, or what the function returns."
    )
