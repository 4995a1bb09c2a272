"""Checks of the values of a right-hand side and its Jacobian, which may be lists of components."""

from __future__ import annotations

from typing import Any

from .._arrays.elementwise import broadcast, is_complex
from .._arrays.namespace import Array, array_namespace, as_numbers, dtype_name, is_foreign, library


class Returned:
    """Checks of the values of the right-hand side and the Jacobian, for states like `y0` `(*batch, n)`."""

    def __init__(self, y0: Array) -> None:
        self._shape = tuple(y0.shape)
        self._dtype = y0.dtype
        self._like = y0
        self._xp = array_namespace(y0)

    def states(self, value: Any, name: str, count: int | None) -> Array:
        """Values of the function with components last; `count` is the number of states, None for a single one."""
        shape = (*(() if count is None else (count,)), *self._shape[:-1])
        if self._are_components(value, shape):
            states = self._xp.empty((*shape, len(value)), dtype=self._dtype)
            for component, part in enumerate(value):
                states[..., component] = part
            return states
        value = self.components(value, name, shape)
        return self._xp.permute_dims(value, (*range(1, value.ndim), 0))

    def into(self, out: Array, value: Any) -> None:
        """Write the values of `fun` for one state to `out` `(n, *batch)`."""
        if isinstance(value, list | tuple) and self._entered(out, value):
            return
        if self._is_component(value, out.shape):
            out[...] = value
        else:
            out[...] = self.components(value, "fun", self._shape[:-1])

    def _entered(self, out: Array, value: list[Any] | tuple[Any, ...]) -> bool:
        """Whether all components of a list were written; one loop, as steppers spend time in it."""
        if len(value) != self._shape[-1]:
            return False
        kind, dtype, shape = type(self._like), self._dtype, self._shape[:-1]
        for component, part in enumerate(value):
            if isinstance(part, kind):
                if part.shape != shape or part.dtype != dtype:
                    return False
            elif not isinstance(part, float) and type(part) is not int:
                return False
            out[component, ...] = part
        return True

    def components(self, value: Any, name: str, shape: tuple[int, ...]) -> Array:
        """Values of the function as an array `(n, *shape)`."""
        xp, n = self._xp, self._shape[-1]
        if isinstance(value, list | tuple):
            value = xp.stack([self._component(part, name, shape) for part in value]) if value else xp.zeros((0, *shape))
        value = self._as_array(value)
        if value.ndim == 0 and n == 1:
            value = xp.broadcast_to(value, (1, *shape))
        if value.shape == shape and n == 1:
            value = value[None, ...]
        if tuple(value.shape) != (n, *shape):
            raise ValueError(
                f"`{name}` returned shape {tuple(value.shape)} where {(n, *shape)} was expected: components first, as "
                f"the `y` that it is given.{self._advice(tuple(value.shape), shape)}"
            )
        return xp.astype(value, self._dtype)  # a copy: the function may reuse its memory

    def _component(self, part: Any, name: str, shape: tuple[int, ...]) -> Array:
        """One component of a list; if the state has one component, it may have an axis of length one."""
        part = self._as_entry(part)
        if self._shape[-1] == 1 and tuple(part.shape) == (1, *shape):
            return part[0, ...]
        try:
            return self._xp.broadcast_to(part, shape)
        except ValueError:
            raise ValueError(
                f"`{name}` returned a list with a component of shape {tuple(part.shape)} where {shape} was expected."
                f"{self._advice((self._shape[-1], *part.shape), shape)}"
            ) from None

    def _advice(self, found: tuple[int, ...], shape: tuple[int, ...]) -> str:
        """Advice for a shape that belongs to another batch, or has its axes in the other order."""
        n, batch = self._shape[-1], self._shape[:-1]
        if len(found) == 2 and found == (*shape, n):
            return f" It is the transpose: return what was returned, transposed, of shape {(n, *shape)}."
        if len(batch) == 1 and found[0] == batch[0]:
            return (
                f" `y0` of shape {(n, *batch)} is a batch of {batch[0]} problems of {n} components: for {n} problems "
                f"of {batch[0]} components, pass its transpose, y0.T."
            )
        if not shape and len(found) == 2 and found[0] == n:
            return (
                f" For a batch of {found[1]} problems, as values of `args` of that shape would make it, pass `y0` of "
                f"shape {found}: np.repeat(y0[:, None], {found[1]}, axis=1)."
            )
        return ""

    def matrices(self, value: Any, count: int | None) -> Array:
        """Values of the Jacobian with the axes of the matrices last."""
        xp, n = self._xp, self._shape[-1]
        shape = (*(() if count is None else (count,)), *self._shape[:-1])
        if self._are_rows(value, shape):
            matrices = xp.empty((*shape, n, n), dtype=self._dtype)
            for i, row in enumerate(value):
                for j, entry in enumerate(row):
                    matrices[..., i, j] = entry
            return matrices
        if n == 1:
            value = self._only_entry(value, shape)
        if isinstance(value, list | tuple):
            rows = [[xp.broadcast_to(self._as_entry(entry), shape) for entry in row] for row in value]
            value = xp.stack([xp.stack(row) for row in rows])
        value = self._as_array(value)
        if tuple(value.shape) == (n, n) and shape:
            value = xp.reshape(value, (n, n, *(1,) * len(shape)))
        if tuple(value.shape[:2]) != (n, n) or value.ndim != 2 + len(shape):
            raise ValueError(
                f"`jac` returned shape {tuple(value.shape)} where {(n, n, *shape)} was expected: entry [i, j] is the "
                "derivative of component i of `fun` by component j of `y`."
            )
        value = xp.astype(broadcast(xp, value, (n, n, *shape)), self._dtype)  # a copy, as above
        return xp.permute_dims(value, (*range(2, value.ndim), 0, 1))

    def _as_entry(self, part: Any) -> Array:
        """An array of the states' dtype: entries of a list may differ in dtype, and not all libraries mix dtypes."""
        return self._xp.astype(self._as_array(part), self._dtype, copy=False)

    def _only_entry(self, value: Any, shape: tuple[int, ...]) -> Array:
        """The Jacobian of a single component, which may lack the axes of a matrix."""
        while isinstance(value, list | tuple) and len(value) == 1:
            value = value[0]
        value = self._as_array(value)
        if value.size == 1:
            return self._xp.reshape(value, (1, 1, *(1,) * len(shape)))
        return value[None, None, ...] if tuple(value.shape) == shape else value

    def _as_array(self, value: Any) -> Array:
        """An array of the states' library; complex values for a real state are an error."""
        if hasattr(value, "toarray"):
            value = value.toarray()
        if is_foreign(value, self._like) and value.ndim:
            raise TypeError(
                f"`fun` or `jac` returned an array of {library(value)} where `y0` is of {library(self._like)}; compute "
                f"with the functions of {library(self._like)}."
            )
        try:
            array = as_numbers(self._xp.asarray(value), self._dtype)
        except ValueError as error:  # a list of components of different lengths
            raise ValueError(f"`fun` or `jac` returned what cannot be made an array: {error}") from None
        if dtype_name(array.dtype).startswith(("object", "str")):
            raise TypeError(f"`fun` or `jac` returned {type(value).__name__}: pass on an array, or a list of numbers.")
        if is_complex(array) and not is_complex(self._like):
            wanted = dtype_name(array.dtype)
            raise TypeError(f"`fun` or `jac` returned complex values for a real `y0`; pass `y0` as {wanted}.")
        return array

    def _are_components(self, value: Any, shape: tuple[int, ...]) -> bool:
        """Whether the value is a list of components that are numbers, or arrays of this shape and the right dtype."""
        return (
            isinstance(value, list | tuple)
            and len(value) == self._shape[-1]
            and all(isinstance(part, float) or type(part) is int or self._is_component(part, shape) for part in value)
        )

    def _are_rows(self, value: Any, shape: tuple[int, ...]) -> bool:
        """Whether the value is a list of the rows of a matrix, each a list of components."""
        return (
            isinstance(value, list | tuple)
            and len(value) == self._shape[-1]
            and all(self._are_components(row, shape) for row in value)
        )

    def _is_component(self, part: Any, shape: tuple[int, ...]) -> bool:
        """Whether an object is an array of the shape, dtype and library of a component."""
        return isinstance(part, type(self._like)) and part.dtype == self._dtype and part.shape == shape
