"""Nodes of a graph in the shape of an array: their memory, and their values if they are constants."""

from __future__ import annotations

import operator
from typing import Any

import numpy

from .dtypes import INTEGER
from .graph import Graph, Ids
from .refusal import Refused

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
    nodes : int, tuple of int, or array of int
        Numbers of the nodes. They are an int, or a tuple, if there are one, or a few, elements whose memory nobody has
        seen.
    form : tuple of int or None
        Shape, if `nodes` is no array; None for a Python number, on which operations may raise exceptions.
    dtype : NumPy dtype
        Of the values: Boolean, integer, float32, float64, complex64 or complex128.
    """

    __slots__ = ("dtype", "form", "graph", "nodes")

    def __init__(self, graph: Graph, ids: Ids, dtype: Any) -> None:
        self.graph = graph
        self.nodes: Any = ids if isinstance(ids, np.ndarray) and ids.ndim else int(ids)
        self.form: Form = ()
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
    def ids(self) -> Ids:
        """Numbers of the nodes, an int for the shape (): views share their memory with the array."""
        nodes = self.nodes
        if type(nodes) is not ndarray and self.form:
            nodes = self.nodes = np.array(nodes, INTEGER).reshape(self.form)
        return nodes

    @property
    def ndim(self) -> int:
        nodes = self.nodes
        return nodes.ndim if type(nodes) is ndarray else len(self.form or ())

    @property
    def size(self) -> int:
        nodes = self.nodes
        return 1 if type(nodes) is int else nodes.size if type(nodes) is ndarray else len(nodes)

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
