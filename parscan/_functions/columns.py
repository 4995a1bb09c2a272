"""Jacobians of solutions by parameters: a column for each entry, put into the structure of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from .._arrays.namespace import Array, array_namespace
from .parameters import INPUTS, START, Chosen, Leaf, Tree, choose, leaves, like


def chosen_columns(params: Any, function: Callable[..., Any], args: tuple[Any, ...], x: Any = None) -> Chosen:
    """The parameters of a Jacobian; by default all of `args`. Raises for those that have no columns."""
    chosen = choose(params, function, args, x, has_start=True)
    if not chosen.keys:
        raise ValueError(
            "there is nothing to differentiate by: no further arguments. Pass parameters by `args` to the solve, or "
            "`params='y0'` for the derivative by the initial state; `tangent` is for parameters that the function has "
            "in its closure."
        )
    if INPUTS in chosen.keys and x is not None:
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
