"""The user's step function and Jacobian: called on stacked states, checked and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Literal

from .._arrays.namespace import (
    Array,
    Namespace,
    array_namespace,
    dtype_name,
    is_foreign,
    library,
    places,
    plain,
    single_rows,
    write_rows,
)
from .._linalg.structure import Structure
from .counts import Counts

Inputs = tuple[Array, ...] | Array | None

SMALL = 256
"""Most bytes of a state that a loop notes down, to write many at once."""

READ_ONLY = (
    "Inputs are given as read-only arrays. A signature for Numba says so by "
    'numba.types.Array(numba.float64, 2, "A", readonly=True) in place of float64[:, :], and "C" in place of "A" where '
    "rows are contiguous; without signatures Numba finds the types itself."
)
"""Note for a function that Numba compiled for arrays that it may write to."""

Times = slice | Sequence[int]
"""Numbers of time steps."""

Outcome = Callable[[], Any]
"""It returns what a call of a step returned, or raises its exception."""

Stages = Callable[[Iterator[Any]], Iterator[Iterator[Any]]]
"""`stages(rows)` divides the rows of a trajectory into those that are marched one after the other."""


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
    xp : namespace
        Array library of states and inputs.

    Attributes
    ----------
    function, x, args, structure, xp
        As given.
    given_jacobian : callable, True or None
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
        jac: Callable[..., Any] | Literal[True] | None,
        structure: Structure,
        xp: Namespace,
    ) -> None:
        self.structure = structure
        self.xp = xp
        self.given_jacobian = jac
        self.has_jacobian = jac is not None
        self.counts = Counts()
        self.error: Exception | None = None
        self.function = function
        self.x = x
        self.args = args
        self._value, self._pair, self._jacobian = (
            (function, _no_jacobian, _no_jacobian) if jac is None else _calls(function, jac)
        )

    @property
    def value(self) -> Callable[..., Any]:
        """The user's function of a state and its inputs, without the Jacobian."""
        return self._value

    def __call__(self, y: Array, times: Times, copies: int = 1) -> Array:
        """States after the stacked states `y`, with the inputs at `times` repeated `copies` times over."""
        self.counts.add(1, y.shape[0])
        given = () if self.x is None else (self.inputs(times, copies),)
        return as_state(self._call(self._value, (y, *given, *self.args), times), y)

    def together(self, points: Sequence[int], states: Array) -> Array:
        """States after the stacked `states` at these time steps, by one call with copies of the arrays."""
        times = slice(points.start, points.stop, points.step) if isinstance(points, range) else points
        return self._copy(self(self._copy(states), times))

    def each(self, points: Sequence[int], states: Array) -> Array:
        """States after the stacked `states`, by a call for each of them with copies of the arrays."""
        each = ((self._copy(states[i : i + 1, ...]), slice(t, t + 1)) for i, t in enumerate(points))
        return self.xp.concat([self._copy(self(*arguments)) for arguments in each])

    def march(
        self, y: Array, start: int, stop: int, trajectory: Array, stages: Stages | None = None,
        outcome: Outcome | None = None,
    ) -> Array:  # fmt: skip
        """Evaluate the steps `start` to `stop` one by one from `y`, `(1, *batch, n)`, writing the trajectory.

        The last state is returned. This loop does as little work as possible: the speed of every other method is
        compared with it. `stages` divides the steps: it is asked for the next stage when one is evaluated, and may end
        the march, whose steps are written then. `outcome` is that of the first of these calls, if it was made already.
        """
        call, first, kind, shape, dtype = self._caller(start, stop, outcome), y, type(y), y.shape, y.dtype
        target = trajectory[start:stop, ...]
        kept: list[bytes] = []  # small states, in the order of their entries: writing each to its row takes longer
        keep = kept.append
        rows, done = places(target, SMALL), -1
        try:
            for row in rows if stages is None else chain.from_iterable(stages(rows)):
                y = call(y)
                # The quick test is that of most steps; the other one knows all states that can be accepted.
                if type(y) is not kind or y.shape != shape or y.dtype is not dtype:
                    if not _is_state(y, first):
                        break
                    y = plain("step", y)
                if row is None:
                    keep(y.tobytes())
                else:
                    row[...] = y
                    keep(b"")
            else:
                done = len(kept)
                return y
        except Exception as error:
            t = start + len(kept)
            self.error = error
            error.add_note(self._whereabouts(slice(t, t + 1), first.shape))
            given = () if self.x is None else (self.inputs(slice(t, t + 1)),)
            self._note_types(error, self._value, (y, *given, *self.args))
            raise
        finally:
            done = len(kept) + 1 if done < 0 else done  # a step that fails counts
            self.counts.add(done, done)
            write_rows(target, kept)
        raise _rejection("step", y, first, first.shape)

    def _caller(self, start: int, stop: int, outcome: Outcome | None = None) -> Callable[[Array], Any]:
        """The user's function of a state, with the arguments of one step after the other, from `start` on."""
        if outcome is not None:
            outcomes, call = [outcome], self._caller(start + 1, stop)
            return lambda y: outcomes.pop()() if outcomes else call(y)
        function, x, args = self._value, self.x, self.args
        if x is None:
            return (lambda y: function(y, *args)) if args else function
        if isinstance(x, tuple):
            inputs: Iterator[Any] = zip(*(single_rows(part[start:stop, ...]) for part in x), strict=False)
        else:
            inputs = single_rows(x[start:stop, ...])
        return lambda y: function(y, next(inputs), *args)

    def with_jacobian(self, y: Array, times: slice) -> tuple[Array, Array]:
        """States after `y`, and the Jacobians there in the structure's layout."""
        self.counts.add(1, y.shape[0])
        self.counts.njev += 1
        value, jacobian = self._evaluate(self._pair, y, times, 1)
        return as_state(value, y), self._as_matrices(jacobian, y)

    def jacobian(self, y: Array, times: slice) -> Array:
        """Jacobians at `y` in the structure's layout."""
        self.counts.njev += 1
        return self._as_matrices(self._evaluate(self._jacobian, y, times, 1), y)

    def varied(self, y: Array, x: Inputs, args: tuple[Any, ...], times: slice) -> Array:
        """States after `y` with other inputs and arguments than the step's own, by one call with a copy of `y`.

        `times` are for error messages.
        """
        self.counts.add(1, y.shape[0])
        arguments = (self._copy(y), *(() if x is None else (x,)), *args)
        value = self._call(self._value, arguments, times)
        return self._copy(as_state(value, y))

    def unchecked(self, y: Array, times: slice) -> Any:
        """Values for states of another dtype, without any check."""
        self.counts.add(1, y.shape[0])
        return self._evaluate(self._value, y, times, 1)

    def _evaluate(self, function: Callable[..., Any], y: Array, times: Times, copies: int) -> Any:
        """Call the user's function with the step's own arguments."""
        given = () if self.x is None else (self.inputs(times, copies),)
        return self._call(function, (y, *given, *self.args), times)

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...], times: Times) -> Any:
        """Call the user's function; its exceptions get a note of the call."""
        try:
            return function(*arguments)
        except Exception as error:
            self.error = error
            error.add_note(self._whereabouts(times, arguments[0].shape))
            self._note_types(error, function, arguments)
            raise

    def _whereabouts(self, times: Times, shape: tuple[int, ...]) -> str:
        """Note for an exception of the user's function."""
        times = times if isinstance(times, slice) else slice(min(times), max(times) + 1)
        given = ["y", *(["x"] if self.x is not None else []), *(f"args[{i}]" for i in range(len(self.args)))]
        return (
            f"parscan called `step({', '.join(given)})` for the time steps {times.start}:{times.stop}:"
            f"{times.step or 1} on stacked states of shape {shape}, components y[..., i] last; states of a "
            "parallel solve may be guesses. Put components together by np.stack([...], axis=-1); where `x` or `args` "
            "hold a value per member of a batch, `y0` needs its axes, too: (*batch, n)."
        )

    def inputs(self, times: Times, copies: int = 1) -> Inputs:
        """Inputs at these times, repeated `copies` times over."""
        if isinstance(times, slice):
            return each_input(lambda x: self._repeated(x[times, ...], copies), self.x)
        rows = self.xp.asarray(times)
        return each_input(lambda x: self._repeated(self.xp.take(x, rows, axis=0), copies), self.x)

    def _repeated(self, x: Array, copies: int) -> Array:
        """`x` stacked `copies` times along its first axis."""
        if copies == 1:
            return x
        xp = self.xp
        return xp.reshape(xp.broadcast_to(x[None, ...], (copies, *x.shape)), (copies * x.shape[0], *x.shape[1:]))

    def _as_matrices(self, value: Any, y: Array) -> Array:
        """A Jacobian in the structure's layout, broadcast over leading axes; raises if it is none."""
        layout = self.structure.shape(y.shape[-1])
        shape = (*y.shape[:-1], *layout)
        got = getattr(value, "shape", None)
        fits = got is not None and got[-len(layout) :] == layout and _broadcasts(got, shape)
        fits = fits and not is_foreign(value, y)
        if not fits or self.xp.result_type(value.dtype, y.dtype) != y.dtype:
            raise _rejection("jac", value, y, shape)
        value = plain("jac", value)
        return value if got == shape else self.xp.broadcast_to(value, shape)

    def _copy(self, x: Array) -> Array:
        """An array in memory of its own."""
        return self.xp.asarray(x, copy=True)

    def _note_types(self, error: Exception, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """
        Add a note to an exception if the function was compiled for other arguments, or does not raise for integers.

        In the latter case it may use states as indices.
        """
        if not isinstance(error, IndexError | TypeError):
            return
        if "No matching definition" in str(error) and "readonly" in str(error):
            error.add_note(READ_ONLY)
            return
        y, xp = arguments[0], self.xp
        try:
            if not xp.isdtype(y.dtype, "real floating"):
                return
            function(xp.astype(y, xp.int64), *arguments[1:])
        except Exception:
            return
        error.add_note(
            f"States are {dtype_name(y.dtype)}, also where `y0` holds whole numbers. Where `step` needs integers, an "
            "index for example, write y.astype(int), as in table[y.astype(int)]; what it returns must be of the "
            "states' dtype."
        )


def each_input(function: Callable[[Array], Array], x: Inputs) -> Inputs:
    """The function applied to every array of inputs; None without inputs."""
    if x is None:
        return None
    return tuple(map(function, x)) if isinstance(x, tuple) else function(x)


def _calls(
    function: Callable[..., Any], jac: Callable[..., Any] | Literal[True]
) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """The step alone, the step with its Jacobian, and the Jacobian alone, each as one callable."""
    if jac is True:
        return (
            lambda *arguments: _unpack(function(*arguments))[0],
            lambda *arguments: _unpack(function(*arguments)),
            lambda *arguments: _unpack(function(*arguments))[1],
        )
    # The Jacobian is called first, since a step may write to its state.
    return function, (lambda *arguments: (jac(*arguments), function(*arguments))[::-1]), jac


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


def as_state(value: Any, y: Array) -> Array:
    """A value of the step for the stacked states `y`; raises if it cannot be the next states."""
    if type(value) is type(y) and value.shape == y.shape and value.dtype == y.dtype:
        return value  # of the type of the stacked states, which is plain
    if not _is_state(value, y):
        raise _rejection("step", value, y, y.shape)
    return plain("step", value)


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether `shape` broadcasts to `target`."""
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(have in (1, want) for have, want in pairs)


def _is_state(value: Any, y: Array) -> bool:
    """Whether a value of the step can be the next state."""
    if type(value) is not type(y) and (getattr(value, "shape", None) is None or is_foreign(value, y)):
        return False
    return bool(value.shape == y.shape and value.dtype == y.dtype)


def _rejection(name: str, value: Any, y: Array, shape: tuple[int, ...]) -> Exception:
    """The exception for a value that does not fit the states `y`."""
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
    found, own = dtype_name(value.dtype), dtype_name(dtype)
    order = " in another byte order" if found == own else ""
    return TypeError(
        f"`{name}` returned dtype {found}{order} where the state `y0` has {own}; "
        "cast `y0`, or what the function returns."
    )
