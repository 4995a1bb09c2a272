"""Parameters of a user's function: numbers and arrays, and dicts, lists and tuples of them."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from numbers import Number
from typing import Any

from .._arrays.namespace import array_namespace, as_array, floating_dtype
from .cotangents import as_like

INPUTS, START = "x", "y0"
"""Names of the inputs and of the initial state among the parameters."""

Leaf = Any
"""A number or an array."""

Tree = Any
"""A leaf, or a container of further trees."""

BRANCHES = (dict, list, tuple)
"""Containers of further parameters."""


def leaves(name: str, tree: Tree) -> dict[str, Leaf]:
    """Numbers and arrays of a tree, by the names that messages use."""
    if not isinstance(tree, BRANCHES):
        return {name: _leaf(name, tree)}
    return {each: leaf for key, part in _parts(tree) for each, leaf in leaves(f"{name}[{key!r}]", part).items()}


def like(tree: Tree, values: Iterator[Any]) -> Tree:
    """A tree of the same structure with other leaves, taken in order."""
    if not isinstance(tree, BRANCHES):
        return next(values)
    return _joined(tree, [like(part, values) for _, part in _parts(tree)])


def _parts(tree: Tree) -> list[tuple[Any, Tree]]:
    """Keys and branches."""
    return list(tree.items() if isinstance(tree, dict) else enumerate(tree))


def _joined(tree: Tree, parts: Sequence[Any]) -> Tree:
    """A tree of the same kind with other branches under the same keys."""
    if isinstance(tree, dict):
        other = copy.copy(tree)  # of its own class
        other.update(zip(tree, parts, strict=True))
        return other
    named = type(tree) not in (list, tuple)  # a named tuple takes its parts one by one
    return type(tree)(*parts) if named else type(tree)(parts)


def _leaf(name: str, value: Any) -> Leaf:
    """A number, or an array of floating dtype."""
    if type(value) in (int, float, complex):
        return value if isinstance(value, complex) else float(value)
    if isinstance(value, bool) or not (isinstance(value, Number) or getattr(value, "dtype", None) is not None):
        raise TypeError(
            f"`{name}` is {value!r:.60}; gradients are with respect to numbers, arrays, and dicts, lists and tuples of "
            "them. Choose other parameters by `params`."
        )
    array = as_array(name, value)
    xp = array_namespace(array)
    if xp.isdtype(array.dtype, "bool"):
        raise TypeError(f"`{name}` has dtype bool; choose other parameters by `params`.")
    return xp.astype(array, floating_dtype(name, array), copy=False)


@contextmanager
def noting_integers(name: str, tree: Tree) -> Iterator[None]:
    """Add a note to exceptions if parameters are integers: with fractional changes, they cannot be indices."""
    try:
        yield
    except Exception as error:
        if has_integers(tree):
            error.add_note(
                f"For the gradient, `{name}` was changed by fractions, integers too; leave indices and counts out "
                "of `params`."
            )
        raise


def has_integers(tree: Tree) -> bool:
    """Whether one of the leaves is an integer, or an array of them."""
    if isinstance(tree, BRANCHES):
        return any(has_integers(part) for _, part in _parts(tree))
    return isinstance(tree, int) or "int" in str(getattr(tree, "dtype", ""))


@dataclass(frozen=True)
class Chosen:
    """Parameters to differentiate by: indices into `args`, or names; `alone` if the user gave one, not in a tuple.

    `own` maps the function's own names of its arguments, as far as they are known, to these keys.
    """

    keys: tuple[int | str, ...]
    alone: bool
    own: dict[str, int | str]

    def trees(self, x: Any, args: tuple[Any, ...], y0: Any = None) -> list[Tree]:
        """Values of the parameters."""
        own = {INPUTS: x, START: y0}
        return [own[key] if isinstance(key, str) else args[key] for key in self.keys]

    @property
    def names(self) -> list[str]:
        """Names of the parameters in messages."""
        return [key if isinstance(key, str) else f"args[{key}]" for key in self.keys]

    def own_name(self, key: int | str) -> str:
        """The function's own name of an argument; empty if it is not known."""
        return next((name for name, each in self.own.items() if each == key), "")

    def joined(self, trees: Sequence[Tree]) -> Tree:
        """The result for the user: one tree, or a tuple."""
        return trees[0] if self.alone else tuple(trees)


def choose(params: Any, function: Any, args: tuple[Any, ...], x: Any = None, *, has_start: bool = False) -> Chosen:
    """
    Parameters by index or name, one or a tuple; if `params` is None, all further arguments of the function.

    If `has_start`, the initial state is one of them, unless the function has an argument of its name.
    """
    own = _names(function, args, x)
    if has_start:
        own.setdefault(START, START)
    if params is None:
        return Chosen(tuple(range(len(args))), False, own)
    if isinstance(params, tuple | list):
        return Chosen(tuple(_key(each, len(args), own) for each in params), False, own)
    return Chosen((_key(params, len(args), own),), True, own)


def reject_nothing(chosen: Chosen, by: Any) -> None:
    """Raise if no parameters are chosen and the user gave no derivative `by`, such as a `vjp`."""
    if not chosen.keys and by is None:
        raise ValueError(
            "there is nothing to differentiate by: no further arguments. Pass parameters by `args` to the solve, or a "
            "`vjp` that knows them; the gradient with respect to `y0` is `adjoint(grad_y).y0`."
        )


def arguments_with_leaves(chosen: Chosen, args: tuple[Any, ...]) -> list[tuple[int, str]]:
    """Indices of the arguments that hold numbers, among those that are chosen, with what to call them."""
    found = []
    for key in map(int, chosen.keys):
        with suppress(TypeError):  # some are no numbers
            if leaves(f"args[{key}]", args[key]):
                found.append((key, f"`{chosen.own_name(key) or f'args[{key}]'}`"))
    return found


def told_of_differences(function: str, names: dict[str, list[str]]) -> list[str]:
    """Phrases on parameters by which a function is differentiated by differences; `names` by the reason."""
    return [f"with respect to {', '.join(some)} by differences: {function} {why}" for why, some in names.items()]


def _key(param: Any, count: int, names: dict[str, int | str]) -> int | str:
    """Index into `args`, of which there are `count`, or the inputs."""
    if isinstance(param, str) and param in names:
        return names[param]
    index = _as_index(param)
    if index is not None and -count <= index < count:
        return index % count
    known = ", ".join(map(repr, [*range(count), *names])) or "none"
    start = " The gradient with respect to `y0` is `adjoint(grad_y).y0`." if param == "y0" else ""
    raise ValueError(f"`params` is {param!r}; the step has {known}: an index into `args`, or a name.{start}")


def _as_index(param: Any) -> int | None:
    """An integer, also one of NumPy; None for anything else."""
    try:
        return None if isinstance(param, bool) else operator.index(param)
    except TypeError:
        return None


def _names(function: Any, args: tuple[Any, ...], x: Any) -> dict[str, int | str]:
    """Names of a function's own arguments after the state, as far as they are known, with their keys; and "x"."""
    inputs: list[int | str] = [] if x is None else [INPUTS]
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # the function is not written in Python
        parameters = []
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    own = dict(zip(positional[1:], [*inputs, *range(len(args))], strict=False))
    return dict.fromkeys(map(str, inputs), INPUTS) | own


def as_same_structure(name: str, value: Tree, tree: Tree) -> Tree:
    """The value of the user's `vjp` in the structure and dtypes of the parameters; raises if its structure differs."""
    if not isinstance(tree, BRANCHES):
        return _as_leaf(name, value, _leaf(name, tree))
    if (
        isinstance(tree, dict) != isinstance(value, dict)
        or not isinstance(value, BRANCHES)
        or _keys(tree) != _keys(value)
    ):
        raise _wrong(name, _structure(value), _structure(tree))
    parts = [
        as_same_structure(f"{name}[{key!r}]", value[key], part) for key, part in _parts(tree)
    ]  # values by key: dicts may be in another order
    return _joined(tree, parts)


def _keys(tree: Tree) -> set[Any]:
    """Keys of the branches."""
    return {key for key, _ in _parts(tree)}


def _structure(tree: Tree) -> str:
    """The root of a tree in words; lists and tuples are not distinguished."""
    if isinstance(tree, dict):
        return f"a dict of {list(tree)}"
    if isinstance(tree, list | tuple):
        return f"a tuple of {len(tree)}"
    shape = getattr(tree, "shape", None)
    return f"an array of shape {tuple(shape)}" if shape is not None else type(tree).__name__


def _as_leaf(name: str, value: Any, leaf: Leaf) -> Leaf:
    """A gradient of the shape and dtype of its parameter."""
    shape = () if isinstance(leaf, float | complex) else tuple(leaf.shape)
    if value is None or isinstance(value, BRANCHES) or getattr(value, "shape", ()) != shape:
        raise _wrong(name, _structure(value), f"an array of shape {shape}" if shape else "a number")
    if not isinstance(leaf, float | complex):
        return as_like(f"vjp(...) for {name}", value, leaf, name)
    number = as_array(name, value)
    if isinstance(leaf, float) and array_namespace(number).isdtype(number.dtype, "complex floating"):
        raise _wrong(name, "a complex number", "a real one")
    return type(leaf)(number)


def _wrong(name: str, got: str, wanted: str) -> Exception:
    """The exception for a `vjp` that returns another structure than that of the parameters."""
    return ValueError(f"`vjp` returned {got} for `{name}` where {wanted} was expected: the structure of `params`.")
