"""The public function `linear_recurrence`."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from .._arrays.memory import check_fits
from .._arrays.namespace import Array, Namespace, as_array, dtype_name, floating_dtype, quiet, shared_namespace
from .._kernels.dispatch import affine_scan

_PYTHON_SCALARS = (bool, int, float, complex)
_COMPLEX = {"float32": "complex64", "float64": "complex128"}


def linear_recurrence(A: Any, b: Any, h0: Any = None, *, reverse: bool = False) -> Array:
    """
    Evaluate the linear recurrence `h_t = A_t h_{t-1} + b_t` for all `t`.

    Parameters
    ----------
    A : array_like, shape (T, *batch, n) or (T, *batch, n, n), or scalar
        Coefficients. With as many axes as `b` they multiply elementwise (a diagonal matrix); with one axis more
        they are matrices; a scalar is one coefficient for everything. Axes of length 1 broadcast: a constant
        matrix is `A[None]`. A block-diagonal matrix is a batch of its blocks.
    b : array_like, shape (T, *batch, n) or (T,)
        Offsets. Axes of length 1 broadcast, the time axis too.
    h0 : array_like, optional
        State before the first step, or after the last one if `reverse`; it broadcasts to `(*batch, n)`. By default
        zero; then the coefficient of the first evaluated step has no influence, even if it is NaN.
    reverse : bool, optional
        Run backwards in time, `h_t = A_t h_{t+1} + b_t`.

    Returns
    -------
    array, shape (T, *batch, n) or (T,)
        The states `h_t`, a new array of the library of the operands, in their common dtype: float32, float64,
        complex64 or complex128. Integers and booleans count as float64, and a Python number as `A` or `h0` does not
        raise the precision.

    Raises
    ------
    TypeError
        If the operands belong to different array libraries or have a dtype other than those above.
    ValueError
        If the shapes do not fit together, or the operands are on different devices.
    MemoryError
        If the states are larger than the free memory.

    Notes
    -----
    The result agrees with the sequential loop up to rounding errors as large as the loop's own. They can be larger
    only if several cores share the time axis of one long recurrence: up to about the machine epsilon times the number
    of steps, relative to the state, after the cancellation of a much larger state.

    NaN and infinity appear where they appear in the loop. The only exceptions are sums within a product of matrices or
    of complex numbers, whose order is not specified: a partial sum may overflow in one order and not in another.

    With NumPy arrays, compiled kernels run on as many threads as shorten the computation, at most one per core that
    this process may use, or `NUMBA_NUM_THREADS` if that environment variable is set and smaller. Compilation takes some
    seconds at the first call for each dtype; its result is kept on disk.

    References
    ----------
    E. Martin and C. Cundy, "Parallelizing Linear Recurrent Neural Nets Over Sequence Length", ICLR 2018,
    https://arxiv.org/abs/1709.04057

    Examples
    --------
    An exponential moving average:

    >>> import numpy as np
    >>> from parscan import linear_recurrence
    >>> linear_recurrence(0.5, [1.0, 0.0, 0.0, 4.0])
    array([1.   , 0.5  , 0.25 , 4.125])

    A rotation by 90 degrees, the same matrix at each of four steps, from the state (1, 0):

    >>> rotation = np.array([[0.0, -1.0], [1.0, 0.0]])
    >>> linear_recurrence(rotation[None], np.zeros((4, 2)), [1.0, 0.0])
    array([[ 0.,  1.],
           [-1.,  0.],
           [ 0., -1.],
           [ 1.,  0.]])
    """
    weak = {name: _number(name, value) for name, value in (("A", A), ("h0", h0)) if type(value) in _PYTHON_SCALARS}
    operands = {"A": A, "b": b} | ({} if h0 is None else {"h0": h0})
    arrays = {name: as_array(name, x) for name, x in operands.items() if name not in weak}
    xp = shared_namespace(**arrays)
    dtype = _common_dtype(xp, arrays, weak)
    device = array_api_compat.device(arrays["b"])
    with quiet():
        operands |= {name: xp.asarray(value, dtype=dtype, device=device) for name, value in weak.items()}
        operands |= {name: xp.astype(x, dtype, copy=False) for name, x in arrays.items()}
    A, b, h0 = operands["A"], operands["b"], operands.get("h0")
    if A.ndim == 0 and b.ndim > 0:
        A = xp.reshape(A, (1,) * b.ndim)
    state_shape = _state_shape(A.shape, b.shape)
    if h0 is not None:
        _check_initial_state(h0.shape, state_shape)
    check_fits(max(A.shape[0], b.shape[0]), state_shape, b)
    return affine_scan(A, b, h0, reverse=bool(reverse))


def _number(name: str, value: complex) -> complex:
    """A Python number that fits an array."""
    try:
        return value if isinstance(value, complex) else float(value)
    except OverflowError:
        raise ValueError(f"`{name}` is an integer beyond the largest float; rescale the problem.") from None


def _common_dtype(xp: Namespace, arrays: dict[str, Array], weak: dict[str, complex]) -> Any:
    """Dtype to compute in: that of the arrays, made complex if a Python number is."""
    for name, x in arrays.items():
        floating_dtype(name, x)  # raises with the name of the array with the wrong dtype
    dtype = floating_dtype("b", *arrays.values())
    if any(isinstance(value, complex) for value in weak.values()):
        return getattr(xp, _COMPLEX.get(dtype_name(dtype), dtype_name(dtype)))
    return dtype


def _state_shape(A: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of one state, from the shapes of the operands."""
    if len(b) == 0:
        raise ValueError("`b` is a scalar; it needs a time axis, shape (T,) or (T, *batch, n).")
    if len(A) not in (len(b), len(b) + 1) or (len(A), len(b)) == (2, 1):
        raise ValueError(
            f"`A` has shape {A} and `b` has shape {b}; `A` needs as many axes as `b` (elementwise) or, where `b` is "
            "(T, *batch, n), one more: (T, *batch, n, n) (matrices)."
        )
    if len(A) > len(b) and (A[-1] != A[-2] or b[-1] not in (A[-1], 1)):
        raise ValueError(
            f"`A` has shape {A} and `b` has shape {b}; the last two axes of `A` must be n×n, and the last of `b` n."
        )
    try:
        return np.broadcast_shapes(A[: len(b)], b)[1:]
    except ValueError:
        raise ValueError(
            f"`A` has shape {A} and `b` has shape {b}, which do not broadcast; each axis of `A` must be as long as "
            "that of `b`, or one of the two of length 1."
        ) from None


def _check_initial_state(h0: tuple[int, ...], state: tuple[int, ...]) -> None:
    """Raise unless `h0` broadcasts to one state."""
    try:
        fits = np.broadcast_shapes(h0, state) == state
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"`h0` has shape {h0}, which does not broadcast to one state, {state}; drop its time axis.")
