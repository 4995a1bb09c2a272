"""Jacobians of solutions by parameters: a column for each entry, put into the structure of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import TYPE_CHECKING, Any

from .._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from .at_points import AtPoints
from .differences import POWER
from .parameters import INPUTS, START, Chosen, Leaf, Tree, choose, leaves, like, noting_integers
from .points import Points, Varied, stretches

if TYPE_CHECKING:
    from .._recorded.record import Recording

SHORT = 1 / 64
"""Share of a change that is tried, too, where the function has kinks."""


def chosen_columns(params: Any, function: Callable[..., Any], args: tuple[Any, ...], x: Any = None) -> Chosen:
    """The parameters of a Jacobian; by default all of `args`. Raises for those that have no columns."""
    chosen = choose(params, function, args, x, has_start=True)
    if not chosen.keys:
        raise ValueError(
            "there is nothing to differentiate by: no further arguments. Pass parameters by `args` to the solve, or "
            "`params='y0'` for the derivative by the initial state; `tangent` is for parameters that the function has "
            "in its closure."
        )
    if INPUTS in chosen.keys:
        raise ValueError("`params` names the inputs `x`, which change with time; use `gradient` or `tangent` for them.")
    for key, name in zip(chosen.keys, chosen.names, strict=True):
        if key != START:
            _reject_complex(leaves(name, args[int(key)]))
    return chosen


def _reject_complex(own: dict[str, Leaf]) -> None:
    """Raise for complex parameters: the derivative of real numbers by them has two parts."""
    for name, leaf in own.items():
        if isinstance(leaf, complex) or "complex" in str(getattr(leaf, "dtype", "")):
            raise TypeError(f"`{name}` is complex; pass its real and imaginary parts as parameters for a Jacobian.")


def starts(chosen: Chosen, args: tuple[Any, ...], like: Array) -> Array:
    """Changes `(k, n)` of the start for all columns: those of the initial state are the identity, others are zero."""
    xp, n = array_namespace(like), like.shape[-1]
    return xp.concat(
        [
            xp.eye(n, dtype=like.dtype) if key == START else xp.zeros((width, n), dtype=like.dtype)
            for key, width in zip(chosen.keys, sizes(chosen, args, n), strict=True)
        ]
    )


def split(chosen: Chosen, args: tuple[Any, ...], columns: Array, components: int) -> Tree:
    """The Jacobian for the user: all columns `(..., k)`, one after the other, in the structure of the parameters."""
    ends = accumulate(sizes(chosen, args, components), initial=0)
    return in_structure(chosen, args, [columns[..., begin:end] for begin, end in pairwise(ends)])


def sizes(chosen: Chosen, args: tuple[Any, ...], components: int) -> list[int]:
    """Number of columns of each parameter; the initial state has one for each component."""
    return [
        components if key == START else sum(_size(leaf) for leaf in leaves("", args[int(key)]).values())
        for key in chosen.keys
    ]


def _size(leaf: Leaf) -> int:
    return 1 if isinstance(leaf, float) else int(leaf.size)


def in_structure(chosen: Chosen, args: tuple[Any, ...], parts: Sequence[Array]) -> Tree:
    """The Jacobian for the user: columns `(..., k)` of each parameter in the structure and shape of the parameter."""
    return chosen.joined(
        [
            part if key == START else _in_structure(args[int(key)], part)
            for key, part in zip(chosen.keys, parts, strict=True)
        ]
    )


def _in_structure(tree: Tree, columns: Array) -> Tree:
    own = list(leaves("", tree).values())
    firsts = list(accumulate(map(_size, own), initial=0))
    xp, before = array_namespace(columns), columns.shape[:-1]
    shaped = (
        xp.reshape(columns[..., first : first + _size(leaf)], (*before, *getattr(leaf, "shape", ())))
        for first, leaf in zip(firsts, own, strict=False)
    )
    return like(tree, shaped)


class ByRecord:
    """
    Derivatives of a recorded function by some of its arguments, for many points at once.

    Parameters
    ----------
    recording : Recording
    numbers : range
        Of the arguments.
    """

    def __init__(self, recording: Recording, numbers: range) -> None:
        from .._recorded.differentiate import jacobian  # noqa: PLC0415 - slow to import

        flat = recording.result.with_ids(recording.result.ids.reshape(-1))
        found = [jacobian(recording.graph, flat, recording.arguments[number]) for number in numbers]
        self.code = AtPoints(recording.extract(*(one[2] for one in found)), tuple(numbers))
        self._places = [(rows, which, one.size) for (rows, which, _), one in zip(
            found, (recording.arguments[number] for number in numbers), strict=True
        )]  # fmt: skip
        self._size = flat.size

    def __call__(self, *arguments: Array) -> list[Array]:
        """Columns `(m, size)` of all entries of the arguments, of arguments `(m, *shape)`."""
        columns = []
        for entries, (rows, which, width) in zip(self.code(*arguments), self._places, strict=True):
            whole = array_namespace(entries).zeros((width, entries.shape[0], self._size), dtype=entries.dtype)
            whole[which, :, rows] = entries.T
            columns += [whole[k, ...] for k in range(width)]
        return columns


def by_differences(points: Points, key: int, like: Array, *, kinked: bool = False) -> Array:
    """
    Derivatives `(m, ..., k)` at points by all entries of an argument, by central differences; `like` are values.

    If the function is `kinked`, smaller changes count where they give others: a kink lies within the larger ones.
    """
    varied, xp, found = Varied(points, key), array_namespace(like), list[Array]()
    epsilon = machine_epsilon(like.dtype)
    with quiet(), noting_integers(f"args[{key}]", varied.tree):
        for position, leaf in enumerate(varied.leaves):
            for place, changed in _changed(leaf, epsilon):
                parts = []
                for begin, end in stretches(points.y0, like.shape[0], prod(like.shape[1:]), stacks=points.stacks):
                    y, times = points.before(begin, end), slice(begin, end)
                    every = []
                    for share in (1.0, SHORT) if kinked else (1.0,):
                        ends = [changed(sign * share) for sign in (1.0, -1.0)]
                        ahead, behind = (varied.values(position, end, y, times) for end in ends)
                        every.append((ahead - behind) / (_entry(ends[0], place) - _entry(ends[1], place)))
                    parts.append(_shorter(every[0], every[-1]))
                found.append(xp.concat(parts))
    return xp.stack(found, axis=-1) if found else xp.zeros((*like.shape, 0), dtype=like.dtype)


def _shorter(own: Array, other: Array) -> Array:
    """Quotients, from smaller changes where they are others than rounding explains."""
    xp = array_namespace(own)
    return (
        xp.where(xp.abs(own - other) > machine_epsilon(own.dtype) ** POWER * xp.max(xp.abs(own)), other, own)
        if own.size
        else own
    )


def _entry(leaf: Leaf, place: int) -> float:
    """An entry of a leaf: one that was changed is rounded, to fewer digits than values may have."""
    return leaf if isinstance(leaf, float) else float(array_namespace(leaf).reshape(leaf, (-1,))[place])


def _changed(leaf: Leaf, epsilon: float) -> Iterator[tuple[int, Callable[[float], Leaf]]]:
    """For each entry of a leaf, its place, and the leaf with a change of it, times a sign."""
    if isinstance(leaf, float):
        size = epsilon**POWER * (abs(leaf) or 1.0)
        yield 0, lambda sign: leaf + sign * size
        return
    xp = array_namespace(leaf)
    flat = xp.reshape(leaf, (-1,))
    largest = float(xp.max(xp.abs(flat))) if flat.shape[0] else 0.0
    for k in range(flat.shape[0]):
        size = max(epsilon, machine_epsilon(leaf.dtype)) ** POWER * (abs(float(flat[k])) or largest or 1.0)
        unit = xp.astype(xp.arange(flat.shape[0]) == k, leaf.dtype)

        def changed(sign: float, unit: Array = unit, size: float = size) -> Leaf:
            return xp.reshape(flat + sign * size * unit, leaf.shape)

        yield k, changed
