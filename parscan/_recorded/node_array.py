"""Nodes of a graph in the shape of an array: their memory, and their values if they are constants."""

from __future__ import annotations

import operator
from math import prod
from typing import Any

import numpy

from .dtypes import INTEGER
from .graph import Graph, Ids
from .refusal import Refused
from .shared import Memory, Place, few

np: Any = numpy  # whose types do not know recording arrays

ndarray = np.ndarray

Form = tuple[int, ...] | None


class NodeArray:
    """
    Nodes in the shape of an array, which can become numbers of Python if they are constants.

    Attributes
    ----------
    graph : Graph
        Where operations are recorded.
    held : int, tuple of int, Memory, or array of int
        Numbers of the nodes. They are an int, or a tuple, if there are one, or a few, elements that share no memory
        with others.
    place : int, tuple of int or None
        Where the nodes are in a `Memory`.
    form : tuple of int or None
        Shape, if `held` is no array; None for a Python number, on which operations may raise exceptions.
    dtype : NumPy dtype
        Of the values: Boolean, integer, float32, float64, complex64 or complex128.
    """

    __slots__ = ("dtype", "form", "graph", "held", "place")

    def __init__(self, graph: Graph, ids: Ids, dtype: Any) -> None:
        self.graph = graph
        self.held: Any
        self.form: Form = ()
        self.place: Place
        if isinstance(ids, np.ndarray) and ids.ndim:
            self.held, form = few(ids)
            self.form = form or ()
        else:
            self.held = int(ids)
        self.dtype = np.dtype(dtype)

    @property
    def is_python(self) -> bool:
        """Whether it stands for a number of Python."""
        return self.form is None

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """`isinstance` finds an array, or a number: the entries of arrays are NumPy's scalars."""
        if self.is_python:
            return complex if self.dtype.kind == "c" else float
        return np.ndarray if self.ndim else self.dtype.type

    @property
    def nodes(self) -> Any:
        """Numbers of the nodes: an int, a tuple, or an array, which is that of the nodes' memory."""
        held = self.held
        if type(held) is not Memory:
            return held
        nodes, place = held.nodes, self.place
        if nodes is None:
            return self.ids
        return nodes[place] if type(place) is int else tuple([nodes[one] for one in place] if place else nodes)

    def few(self) -> tuple[Any, Any]:
        """Nodes of few elements as a tuple, or an int, and their shape; None for that of other arrays."""
        held = self.held
        nodes = held if type(held) is ndarray else self.nodes
        return few(nodes) if type(nodes) is ndarray else (nodes, self.form)

    @property
    def ids(self) -> Ids:
        """Numbers of the nodes, an int for the shape (): views share their memory with the array."""
        held = self.held
        if type(held) is not ndarray and self.form:
            own = type(held) is Memory
            held = held.seen(self.place, self.form) if own else np.array(held, INTEGER).reshape(self.form)
            self.held = held
        return held

    @property
    def read(self) -> Any:
        """The same as an array, to be read at once: it may share memory or not."""
        nodes = self.nodes
        return nodes if type(nodes) is ndarray else np.array(nodes, INTEGER).reshape(self.form or ())

    @property
    def ndim(self) -> int:
        held = self.held
        return held.ndim if type(held) is ndarray else len(self.form or ())

    @property
    def size(self) -> int:
        held = self.held
        return 1 if type(held) is int else held.size if type(held) is ndarray else prod(self.form or ())

    @property
    def constants(self) -> Any:
        """Values, if all of them are constants; None otherwise."""
        nodes = self.nodes
        if type(nodes) is not ndarray and not self.graph.fixed[nodes if type(nodes) is int else nodes[0]]:
            return None
        found = self.graph.values(self.ids)
        return None if found is None else np.asarray(found, self.dtype)

    def _known(self, purpose: str) -> Any:
        values = self.constants
        if values is None:
            raise Refused(f"{purpose} a value")
        return values

    def __bool__(self) -> bool:
        branches = self.graph.branches
        if branches is not None and self.size == 1 and self.constants is None:
            return bool(branches.outcome(self))
        return bool(self._known("branches on"))

    def __float__(self) -> float:
        return float(self._known("calls float() or a function of the module math on"))

    def __int__(self) -> int:
        return int(self._known("calls int() on"))

    def __complex__(self) -> complex:
        return complex(self._known("calls complex() on"))

    def __index__(self) -> int:
        return operator.index(self.integer("indexes by"))

    def integer(self, purpose: str) -> Any:
        """The value, if it is constant, or an integer that has a way of its own through a function that may branch."""
        branches, kinds = self.graph.branches, "iuf" if self.is_python else "iu"
        if branches is not None and self.size == 1 and self.dtype.kind in kinds and self.constants is None:
            return branches.integer(self)
        return self._known(purpose)[()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self._known("calls a function that is not recorded on"), dtype=dtype)

    def __str__(self) -> str:
        return str(self._known("prints"))

    def __format__(self, spec: str) -> str:
        return format(self._known("prints")[()], spec)
