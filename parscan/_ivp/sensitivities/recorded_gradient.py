"""Gradients by the recorded right-hand side: products of adjoint forcings with its exact derivatives by parameters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, all_finite, array_namespace, contiguous, library, machine_epsilon, quiet
from ..._arrays.namespace import random_signs as signs
from ..._functions.at_points import AtPoints, pairs
from ..._functions.columns import ByRecord
from ..._functions.differences import POWER, ROUNDINGS
from ..._functions.opened import as_example, in_structure_of, is_plain, opened
from ..._functions.parameters import Leaf, Tree, has_integers, leaves, like
from ..._functions.points import stretches
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import agree
from ..._recorded.budget import NoCodeError
from .jacobian_check import UNASKED, UNLIKE

if TYPE_CHECKING:
    from ..._recorded.pullbacks import Pullback
    from ..._recorded.record import Recording

MOST_NODES, MOST = 300_000, 1_000_000
"""Largest number of nodes of a record, and of operations with derivatives: beyond, differences take less memory."""

TIME, STATE, FIRST = 0, 1, 2
"""Numbers of the arguments of the record: the time, the state, and the first parameter."""

SAMPLE, FEW = 32, 0.25
"""Points at which the derivatives are compared with differences; share of them that may differ, at kinks."""

FAR = 1e-5
"""Difference that is none of rounding and truncation, as a share of the terms of a derivative."""

_lock = threading.Lock()


@dataclass(frozen=True)
class ByParameters:
    """
    The right-hand side, recorded with the numbers in some arguments as arguments of the record.

    Parameters
    ----------
    rhs : RightHandSide
    keys : tuple of int
        The indices of the arguments, ascending.
    recording : Recording
    """

    rhs: RightHandSide
    keys: tuple[int, ...]
    recording: Recording

    def moves_jumps(self, key: int) -> bool:
        """Whether an argument moves jumps."""
        from ..._recorded.pullbacks import moves_jumps  # noqa: PLC0415 - slow to import

        first = FIRST
        for each in self.keys:
            count = len(leaves_of(self.rhs, each))
            if each == key:
                return moves_jumps(self.recording, range(first, first + count))
            first += count
        raise KeyError(key)

    def gradient(self, times: Array, states: Array, adjoint: Array) -> dict[int, Tree]:
        """Sums over points of products of `adjoint` with the derivatives by the arguments; raises `NoCodeError`."""
        total = self.total(times, states, adjoint)
        self.compare(times, states, adjoint)
        return self.trees(total)

    def total(
        self, times: Array, states: Array, adjoint: Array, modes: Callable[[Array], Array] | None = None
    ) -> Array:
        """
        The sums, by all numbers in the arguments in a row; raises `NoCodeError`.

        `modes` are the values of one more argument after the state, if the record has it.
        """
        derived, code, given = self._derived(FIRST + (modes is not None))
        code.prepare(times.shape[0])
        total = derived.nothing()
        width = sum(prod(ids.shape) for ids in derived.program.results) + 2 * prod(states.shape[1:])
        for begin, end in stretches(self.rhs.y0, states.shape[0], width, stacks=True):
            t, y, bar = times[begin:end], states[begin:end, ...], adjoint[begin:end, ...]
            own = [] if modes is None else [modes(t)]
            total = total + derived.summed(*code(*as_point(t, y), *own, *given, as_part(bar)))
        if not all_finite(total):
            raise NoCodeError("has derivatives that are not finite")
        return total

    def columns(self, times: Array, states: Array, modes: Callable[[Array], Array] | None = None) -> Array:
        """Derivatives `(m, *batch, n, k)` by all numbers in the arguments in a row; raises `NoCodeError`."""
        notes, given, first = self.recording.notes, self.given, FIRST + (modes is not None)
        if "columns" not in notes:
            with entering():
                notes["columns"] = ByRecord(self.recording, range(first, first + len(given)))
        derived: ByRecord = notes["columns"]
        derived.code.prepare(times.shape[0])
        own = [] if modes is None else [modes(times)]
        xp, found = array_namespace(states), derived(*as_point(times, states), *own, *given)
        parts = [as_states(contiguous(part), states) for part in found]
        return xp.stack(parts, axis=-1) if parts else xp.zeros((*states.shape, 0), dtype=states.dtype)

    def _derived(self, first: int = FIRST) -> tuple[Pullback, AtPoints, list[Any]]:
        """The derivative, its program, and the parameters as that takes them."""
        notes, given = self.recording.notes, self.given
        if "by parameters" not in notes:
            notes["by parameters"] = _derived(self.recording, range(first, first + len(given)))
        return (*notes["by parameters"], given)

    @property
    def _own(self) -> list[Leaf]:
        return [leaf for key in self.keys for leaf in leaves_of(self.rhs, key)]

    @property
    def given(self) -> list[Any]:
        """The numbers in the arguments as programs take them."""
        return given_of(self.rhs, self.keys)

    def trees(self, total: Array) -> dict[int, Tree]:
        """The gradient in the structure of the arguments."""
        trees, shapes = [self.rhs.args[key] for key in self.keys], [one.shape for one in self.given]
        return dict(zip(self.keys, in_structure_of(trees, self._own, shapes, total), strict=True))

    def compare(self, times: Array, states: Array, adjoint: Array) -> None:
        """Compare values, and a derivative by each parameter, with those of the function; raises `NoCodeError`."""
        xp, count = array_namespace(states), states.shape[0]
        some = xp.arange(0, count, max(1, -(-count // SAMPLE)))
        t, y, bar = xp.take(times, some), xp.take(states, some, axis=0), xp.take(adjoint, some, axis=0)
        given, notes = self.given, self.recording.notes
        if "values" not in notes:
            notes["values"] = AtPoints(self.recording.program, tuple(range(FIRST, FIRST + len(given))))
        with quiet():
            expected = self.rhs(t, y)
            found = as_states(notes["values"](*as_point(t, y), *given)[0], y)
            if not agree(found, expected, machine_epsilon(y.dtype) ** 0.5, t, y, self.rhs):
                raise NoCodeError(UNLIKE)
            each = self._each(t, y, bar)
            if any(self._is_off(number, t, y, bar, expected, own) for number, own in enumerate(each)):
                raise NoCodeError(UNLIKE)

    def _each(self, t: Array, y: Array, bar: Array) -> list[Array]:
        """Products `(m, size)` with the derivatives by each of the parameters, point by point."""
        xp, (derived, code, given) = array_namespace(y), self._derived()
        results = code(*as_point(t, y), *given, as_part(bar))
        rows = xp.stack([derived.summed(*(one[k : k + 1, ...] for one in results)) for k in range(t.shape[0])])
        ends = list(accumulate((one.size for one in given), initial=0))
        return [rows[:, begin:end] for begin, end in pairwise(ends)]

    def _is_off(self, number: int, t: Array, y: Array, bar: Array, values: Array, own: Array) -> bool:
        """Whether the derivative by one of the parameters, along a random direction, is not that of differences."""
        leaf, xp = self._own[number], array_namespace(y)
        direction = _direction(leaf)
        epsilon = max(machine_epsilon(y.dtype), machine_epsilon(getattr(leaf, "dtype", xp.float64)))
        size = epsilon**POWER
        try:
            ahead, behind = (self._changed(number, leaf + sign * size * direction)(t, y) for sign in (1, -1))
        except Exception:  # the function may reject other values
            return False
        axes = tuple(range(1, y.ndim))
        found = xp.sum(_real(bar, ahead - behind), axis=axes) / (2 * size)
        noise = ROUNDINGS * epsilon / size * xp.sum(xp.abs(bar) * xp.maximum(xp.abs(values), xp.abs(ahead)), axis=axes)
        along = own * xp.reshape(pairs(xp.asarray(direction)), (1, -1))
        expected, scale = xp.sum(along, axis=1), xp.sum(xp.abs(along), axis=1)
        off = xp.isfinite(found) & (xp.abs(found - expected) > FAR * scale + noise)
        return int(xp.sum(off)) > FEW * t.shape[0]

    def _changed(self, number: int, leaf: Leaf) -> RightHandSide:
        """The right-hand side with another value of one of the parameters."""
        own = self._own
        own[number] = leaf
        values, args = iter(own), list(self.rhs.args)
        for key in self.keys:
            args[key] = like(args[key], values)
        return self.rhs.with_args(tuple(args))


def by_parameters(rhs: RightHandSide, keys: Sequence[int]) -> ByParameters:
    """The right-hand side, recorded with the numbers in some arguments as arguments; raises `NoCodeError`."""
    keys = tuple(sorted(set(keys)))
    if not any(leaves_of(rhs, key) for key in keys):
        raise NoCodeError("has no parameters")
    return ByParameters(rhs, keys, recording_of(rhs, keys))


def recording_of(rhs: RightHandSide, keys: tuple[int, ...]) -> Recording:
    """The right-hand side, recorded with the numbers in some arguments, or none; raises `NoCodeError`."""
    y0, trees = rhs.y0, [rhs.args[key] for key in keys]
    own = [leaf for key in keys for leaf in leaves_of(rhs, key)]
    for reason, is_so in {
        UNASKED: rhs.recorder is None,
        "works on arrays of another library than NumPy": library(y0) != "numpy",
        "has parameters in containers of other types than dict, list and tuple": not all(map(is_plain, trees)),
    }.items():
        if is_so:
            raise NoCodeError(reason)
    if any(not isinstance(leaf, float | complex) and library(leaf) != "numpy" for leaf in own):
        raise NoCodeError("has parameters of another library than NumPy")
    xp, state = array_namespace(y0), wide(y0)
    others = tuple(one for key, one in enumerate(rhs.args) if key not in keys)
    examples = [xp.zeros(()), contiguous(xp.moveaxis(state, -1, 0)), *(as_example(leaf, state) for leaf in own)]
    recording = _recorded(opened(rhs.function, FIRST, keys, trees, len(rhs.args)), examples, others)
    if recording.shape != examples[STATE].shape or recording.dtype != state.dtype:
        raise NoCodeError(f"returns {recording.dtype} of the shape {recording.shape} when it is recorded")
    found = ByParameters(rhs, keys, recording)
    if any(has_integers(rhs.args[key]) and found.moves_jumps(key) for key in keys):
        raise NoCodeError("may use integers among its parameters as indices")
    return recording


def _recorded(function: Any, examples: list[Any], others: tuple[Any, ...]) -> Recording:
    from ..._recorded.memo import remembered  # noqa: PLC0415 - slow to import
    from ..._recorded.record import NotRecordedError, Wishes  # noqa: PLC0415

    try:
        return remembered(function, examples, others, MOST_NODES, Wishes((TIME, STATE), examples[STATE].dtype))
    except NotRecordedError as error:
        raise NoCodeError(error.reason + (f" ({error.place})" if error.place else "")) from error


@contextmanager
def entering() -> Iterator[None]:
    """Operations are entered into a graph, by one thread at a time; raises `NoCodeError` where that cannot be done."""
    from ..._recorded.graph import TooLarge  # noqa: PLC0415
    from ..._recorded.refusal import Refused  # noqa: PLC0415 - slow to import

    try:
        with _lock:
            yield
    except Refused as error:
        raise NoCodeError(str(error)) from error
    except TooLarge as error:
        raise NoCodeError("has too many operations with its derivatives") from error


def _derived(recording: Recording, numbers: range) -> tuple[Pullback, AtPoints]:
    """The derivative by some arguments; raises `NoCodeError`."""
    from ..._recorded.pullbacks import pullback  # noqa: PLC0415 - slow to import

    with entering():
        found = pullback(recording, numbers)
    if found.program.operations > MOST:
        raise NoCodeError(f"has {found.program.operations} operations with its derivatives")
    return found, AtPoints(found.program, tuple(numbers))


def given_of(rhs: RightHandSide, keys: Sequence[int]) -> list[Array]:
    """The numbers in some arguments, as programs take them."""
    state = wide(rhs.y0)
    return [pairs(as_example(leaf, state)) for key in keys for leaf in leaves_of(rhs, key)]


def leaves_of(rhs: RightHandSide, key: int) -> list[Leaf]:
    return list(leaves(f"args[{key}]", rhs.args[key]).values())


def wide(states: Array) -> Array:
    """States in double precision."""
    xp = array_namespace(states)
    return xp.astype(states, xp.result_type(states.dtype, xp.float64), copy=False)


def as_point(t: Array, states: Array) -> Iterator[Any]:
    """Times and states as programs take them."""
    yield t
    yield as_part(states)


def as_part(states: Array) -> Any:
    """States `(m, *batch, n)` with components before the batch, in double precision."""
    xp = array_namespace(states)
    return pairs(contiguous(xp.moveaxis(wide(states), -1, 1)))


def as_states(found: Array, like: Array) -> Array:
    """Values of a program as stacked states."""
    xp, (m, *batch, n) = array_namespace(like), like.shape
    if xp.isdtype(like.dtype, "complex floating"):
        found = contiguous(found).view(xp.complex128)
    return xp.astype(xp.moveaxis(xp.reshape(found, (m, n, *batch)), 1, -1), like.dtype, copy=False)


def _direction(leaf: Leaf) -> Leaf:
    """A change of every entry as large as the entry, with random signs; one for zero."""
    if isinstance(leaf, float | complex):
        return leaf or 1.0
    xp = array_namespace(leaf)
    typical = xp.where(leaf == 0, xp.ones_like(leaf), leaf)
    return xp.astype(typical * signs(tuple(leaf.shape), leaf, seed=2), leaf.dtype)


def _real(one: Array, other: Array) -> Array:
    """Real parts of products, for complex numbers of the conjugate."""
    xp = array_namespace(one)
    return xp.real(xp.conj(one) * other) if xp.isdtype(one.dtype, "complex floating") else one * other
