"""`parscan.trace`: a recorded function as an object that can be printed, called and differentiated."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .graph import CONSTANT, INPUT, Block
from .pairs import as_pairs, from_pairs

if TYPE_CHECKING:
    from .program import Program
    from .record import Recording

OPERATORS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "less": "<", "less_equal": "<=",
             "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=", "logical_and": "&",
             "logical_or": "|", "logical_xor": "^"}  # fmt: skip
"""Operators of Python for operations of two operands."""

SHOWN = 4
"""Largest number of entries of a block that a listing shows one by one."""


class Traced:
    """
    A recorded function: what :func:`parscan.trace` returns.

    It computes the values of the function from the recorded operations.

    Attributes
    ----------
    name : str
        Name of the function.
    operations : dict
        How often each operation occurs in a call, by its name in NumPy, the most frequent first.
    constants : int
        Number of constants.
    """

    def __init__(self, name: str, names: Sequence[str], recording: Recording) -> None:
        self.name = name
        self._names, self._recording = tuple(names), recording
        self._program = recording.program
        counts: Counter[str] = Counter()
        for block in self._program.blocks:
            if block.operation not in (INPUT, CONSTANT):
                counts[block.operation] += block.count
        self.operations = dict(counts.most_common())
        self.constants = sum(block.count for block in self._program.blocks if block.operation == CONSTANT)

    def __call__(self, *arguments: Any) -> Any:
        """
        Evaluate the recorded operations.

        Parameters
        ----------
        *arguments : arrays
            Arguments as the function takes them, with the shapes of the examples; a tuple where it takes a tuple.

        Returns
        -------
        array, in the shape that the function returns
        """
        return from_pairs(self._evaluate(self._program, arguments)[0], self._recording.dtype)

    def jacobian(self, argument: int = 0) -> Callable[..., Any]:
        """
        Record the exact derivative with respect to an argument.

        Parameters
        ----------
        argument : int
            Number of the argument; arrays in a tuple have a number each.

        Returns
        -------
        callable
            Function of the same arguments. It returns an array of the result's shape followed by the argument's:
            `J[i, j]` is the derivative of `result[i]` with respect to `argument[j]`. If the argument is complex, this
            is the complex derivative. The function raises a `ValueError` where there is none, because the
            Cauchy-Riemann equations do not hold.

        Raises
        ------
        IndexError
            If there is no such argument.
        """
        rows, columns, values = self._entries(argument)
        program = self._recording.extract(values)
        result, given = self._recording.result, self._recording.arguments[argument]
        shape = (*self._recording.shape, *self._shapes[argument])
        by_complex, of_complex = self._recording.dtypes[argument].kind == "c", self._recording.dtype.kind == "c"

        def evaluate(*arguments: Any) -> Any:
            found = np.zeros((result.size, given.size), dtype=result.dtype)
            found[rows, columns] = self._evaluate(program, arguments)[0]
            if of_complex:
                found = found[::2] + 1j * found[1::2]
            if by_complex:
                found = _complex_derivative(self.name, argument, found[:, ::2], found[:, 1::2])
            return found.reshape(shape)

        return evaluate

    def pattern(self, argument: int = 0) -> Any:
        """
        Mark the entries of the derivative with respect to an argument that may differ from zero.

        Parameters
        ----------
        argument : int
            Number of the argument; arrays in a tuple have a number each.

        Returns
        -------
        array of bool, of the result's shape followed by the argument's
        """
        rows, columns, _ = self._entries(argument)
        result, given = self._recording.result, self._recording.arguments[argument]
        found = np.zeros((result.size, given.size), dtype=bool)
        found[rows, columns] = True
        if self._recording.dtype.kind == "c":
            found = found[::2] | found[1::2]
        if self._recording.dtypes[argument].kind == "c":
            found = found[:, ::2] | found[:, 1::2]
        return found.reshape((*self._recording.shape, *self._shapes[argument]))

    def source(self) -> str:
        """
        The operations in their order, one line each; `v3` is one number, `v[3:9]` are six numbers.

        All of them are real: complex arrays are shown by `.view(float)`, as real and imaginary parts by turns.

        Returns
        -------
        str
        """
        program = self._program
        known = {
            block.first + k: repr(block.data[k].item())
            for block in program.blocks
            if block.operation == CONSTANT
            for k in range(block.count)
        }
        lines = [f"{self.name}({', '.join(self._names)}):"]
        dtypes = self._recording.dtypes
        names = [
            f"{name}.view(float)" if dtype.kind == "c" else name
            for name, dtype in zip(self._names, dtypes, strict=True)
        ]
        lines += [f"    {_line(block, names, known)}" for block in program.blocks if block.operation != CONSTANT]
        ending = ".view(complex)" if self._recording.dtype.kind == "c" else ""
        return "\n".join([*lines, f"    return {_shown(program.results[0].ravel(), known)}{ending}"])

    def _entries(self, argument: int) -> tuple[Any, Any, Any]:
        """Rows, columns and values of the entries of a Jacobian."""
        from .differentiate import jacobian  # noqa: PLC0415 - slow to import

        if not -len(self._recording.arguments) <= argument < len(self._recording.arguments):
            raise IndexError(
                f"`argument` is {argument}, but `{self.name}` has {len(self._recording.arguments)} arrays as arguments."
            )
        return jacobian(self._recording.graph, self._recording.result, self._recording.arguments[argument])

    def _evaluate(self, program: Program, arguments: tuple[Any, ...]) -> Any:
        """Results for one set of arguments."""
        flat = [np.asarray(part) for one in arguments for part in (one if isinstance(one, tuple) else (one,))]
        wanted, dtypes = self._recording.arguments, self._recording.dtypes
        if len(flat) != len(wanted):
            raise TypeError(f"`{self.name}` was traced with {len(wanted)} arrays as arguments, got {len(flat)}.")
        for number, (array, shape, dtype) in enumerate(zip(flat, self._shapes, dtypes, strict=True)):
            if array.shape != shape:
                raise ValueError(
                    f"`{self.name}` was traced with shape {shape} for argument {number}, got {array.shape}; "
                    "trace it again for other shapes."
                )
            if array.dtype.kind == "c" and dtype.kind != "c":
                raise TypeError(f"`{self.name}` was traced with {dtype} for argument {number}, got {array.dtype}.")
        arrays = [
            as_pairs(array.astype(dtype, order="C")[None, ...]) for array, dtype in zip(flat, dtypes, strict=True)
        ]
        return [found[0, ...] for found in program(*arrays)]

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the arguments."""
        given = zip(self._recording.arguments, self._recording.dtypes, strict=True)
        return [array.shape[:-1] if dtype.kind == "c" else array.shape for array, dtype in given]

    def __repr__(self) -> str:
        """Arguments, result and operations."""
        given = ", ".join(
            f"{name}: {dtype} {shape}"
            for name, dtype, shape in zip(self._names, self._recording.dtypes, self._shapes, strict=True)
        )
        result = self._recording
        counts = ", ".join(f"{count} {name}" for name, count in self.operations.items()) or "none"
        return (
            f"Traced {self.name}({given}) -> {result.dtype} {result.shape}\n"
            f"  operations: {counts}\n"
            f"  constants: {self.constants}"
        )


NEAR = {"d": 1e-9, "f": 1e-4}
"""Errors of the Cauchy-Riemann equations that are rounding, as a share of the derivatives, by precision."""


def _complex_derivative(name: str, argument: int, by_real: Any, by_imaginary: Any) -> Any:
    """The derivative by complex numbers, from those by their real and imaginary parts."""
    largest = max(np.max(abs(by_real), initial=0.0), np.max(abs(by_imaginary), initial=0.0))
    error = np.max(abs(by_imaginary - 1j * by_real), initial=0.0)
    if error > NEAR[by_real.real.dtype.char] * largest:
        raise ValueError(
            f"`{name}` is not complex differentiable with respect to argument {argument}. Its derivative with respect "
            f"to real and imaginary parts is that of `trace(lambda u: {name}(u.view(complex)).view(float), ...)`."
        )
    return by_real if by_real.dtype.kind == "c" else by_real + 0j


def _line(block: Block, names: Sequence[str], known: dict[int, str]) -> str:
    """One block as an assignment."""
    target = _shown(np.arange(block.first, block.first + block.count), {})
    if block.operation == INPUT:
        number, places = block.data
        return f"{target} = {names[number]}{_places(places)}"
    operands = [_shown(np.ravel(ids), known) for ids in block.operands]
    if block.operation in OPERATORS:
        return f"{target} = {operands[0]} {OPERATORS[block.operation]} {operands[1]}"
    name = str(block.dtype) if block.operation == "convert" else block.operation.replace(" ", "_")
    return f"{target} = {name}({', '.join(operands)})"


def _places(places: Any) -> str:
    """Places in an argument."""
    if places.shape[0] == 1:
        return f"[{int(places[0])}]"
    return f"[{int(places[0])}:{int(places[-1]) + 1}]" if _in_a_row(places) else f"[{_some(places.tolist())}]"


def _shown(ids: Any, known: dict[int, str]) -> str:
    """Some nodes, constants by their values."""
    if ids.shape[0] == 1:
        return known.get(int(ids[0]), f"v{int(ids[0])}")
    if ids.shape[0] and (ids == ids[0]).all():
        return _shown(ids[:1], known)
    if ids.shape[0] > SHOWN and _in_a_row(ids) and int(ids[0]) not in known:
        return f"v[{int(ids[0])}:{int(ids[-1]) + 1}]"
    return f"[{_some([known.get(node, f'v{node}') for node in ids.tolist()])}]"


def _in_a_row(ids: Any) -> bool:
    return bool((np.diff(ids) == 1).all())


def _some(entries: list[Any]) -> str:
    """Entries as text; of many, the first ones."""
    more = ["..."] if len(entries) > 2 * SHOWN else []
    return ", ".join(map(str, [*(entries[: 2 * SHOWN] if more else entries), *more]))


def trace(fun: Callable[..., Any], *examples: Any) -> Traced:
    """
    Record what a function of NumPy arrays computes, with its exact derivatives.

    The function is called on arrays that record every operation. It must compute its result by operations of NumPy on
    its arguments, the same ones at every call: `np.where(y > 0, a, b)` is recorded, a branch `if y > 0` is not.
    Constants, closures and globals that it reads are recorded with their present values. If the function raises an
    exception, because `math.log` gets a negative number for example, the recorded function gives NaN.

    Parameters
    ----------
    fun : callable
        Function of the examples.
    *examples : array_like, or tuples of them
        Arguments, of float32, float64, complex64 or complex128 (other numbers become float64). Shapes and dtypes count,
        values do not. Operations on complex numbers are recorded as operations on their real and imaginary parts.

    Returns
    -------
    Traced
        It can be called as the function, differentiated by `jacobian(argument)`, and printed.

    Raises
    ------
    TypeError
        If `fun` is not callable, or cannot be recorded: the message says why, and in which line of which file.

    References
    ----------
    Griewank & Walther, Evaluating Derivatives, SIAM 2008 (record and derivatives).

    Examples
    --------
    >>> import numpy as np
    >>> from parscan import trace
    >>> def lorenz(y):
    ...     return np.stack([10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]])
    >>> traced = trace(lorenz, np.zeros(3))
    >>> traced
    Traced lorenz(y: float64 (3,)) -> float64 (3,)
      operations: 4 subtract, 4 multiply
      constants: 3
    >>> traced.jacobian()(np.array([1.0, 2.0, 3.0]))
    array([[-10.        ,  10.        ,   0.        ],
           [ 25.        ,  -1.        ,  -1.        ],
           [  2.        ,   1.        ,  -2.66666667]])
    >>> traced.pattern()
    array([[ True,  True, False],
           [ True,  True,  True],
           [ True,  True,  True]])
    """
    from .record import record  # noqa: PLC0415 - slow to import

    if not callable(fun):
        raise TypeError(f"`fun` is a {type(fun).__name__}; pass a function of arrays.")
    name = getattr(fun, "__name__", type(fun).__name__)
    arrays = [_example(example, f"examples[{k}]") for k, example in enumerate(examples)]
    recording = record(fun, arrays, name=name)
    return Traced(name, _names(fun, arrays), recording)


def _example(example: Any, name: str) -> Any:
    """An example as an array of real or complex floating-point numbers, or a tuple of them."""
    if isinstance(example, tuple):
        return tuple(_example(part, f"{name}[{k}]") for k, part in enumerate(example))
    array = np.asarray(example)
    if array.dtype.char in "fdFD":
        return array
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` has the dtype {array.dtype}; pass numbers.")
    return array.astype(np.float64)


def _names(fun: Callable[..., Any], examples: Sequence[Any]) -> list[str]:
    """Names of the arguments, those of arrays in a tuple by number."""
    try:
        given = list(inspect.signature(fun).parameters)
    except (TypeError, ValueError):
        given = []
    found = []
    for k, example in enumerate(examples):
        name = given[k] if k < len(given) else f"argument{k}"
        found += [f"{name}[{j}]" for j in range(len(example))] if isinstance(example, tuple) else [name]
    return found
