"""Interpolating functions: SciPy's piecewise polynomials, B-splines and `interp1d`, and NumPy's polynomials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from .array import ABOVE, RecordingArray, as_recording
from .graph import Graph
from .refusal import Refused
from .tables import gather

np: Any = numpy  # whose types do not know recording arrays

STRICT = 2
"""Option `ext` of splines that raise an exception outside of their knots."""


def piecewise_polynomial(given: Any) -> tuple[Any, Any, Any] | None:
    """
    Breakpoints, coefficients and kind of extrapolation of an object of `scipy.interpolate`.

    Returns
    -------
    tuple of array (m + 1,), array (degree + 1, m) and one of True, False, "periodic"; or None
        None for objects that are none, or have several values.
    """
    from scipy import interpolate  # noqa: PLC0415 - slow to import

    if isinstance(given, interpolate.interp1d):
        return _of_table(given)
    if isinstance(given, interpolate.UnivariateSpline):
        knots, coefficients, degree = given._eval_args
        outside = {0: True, 1: "zeros", 2: False, 3: "constant"}[given.ext]
        given = interpolate.BSpline(knots, coefficients, degree, extrapolate=outside is True)
        if isinstance(outside, str):
            return None
    if isinstance(given, interpolate.BSpline):
        extrapolate = given.extrapolate
        if np.ndim(given.c) != 1:
            return None
        start, stop = given.t[given.k], given.t[-given.k - 1]
        found = interpolate.PPoly.from_spline(given)
        inside = (np.diff(found.x) > 0) & (found.x[:-1] >= start) & (found.x[1:] <= stop)
        return np.append(found.x[:-1][inside], stop), found.c[:, inside], extrapolate
    if isinstance(given, interpolate.PPoly) and given.c.ndim == 2 and given.c.dtype.kind == "f":
        return given.x, given.c, given.extrapolate
    return None


def _of_table(given: Any) -> tuple[Any, Any, Any] | None:
    """The linear interpolant of a table."""
    if given._kind != "linear" or np.ndim(given.y) != 1 or given.y.dtype.kind != "f":
        return None
    if not (given._extrapolate or given.bounds_error or np.isnan(given.fill_value).all()):
        return None
    slopes = np.diff(given.y) / np.diff(given.x)
    return given.x, np.stack([slopes, given.y[:-1]]), bool(given._extrapolate)


def evaluator(graph: Graph, given: Any) -> Callable[..., Any] | None:
    """A function that records what an object of `scipy.interpolate` evaluates; None if the object is not known."""
    parts = piecewise_polynomial(given)
    if parts is None:
        return None
    nodes, coefficients, extrapolate = parts
    raises = getattr(given, "bounds_error", False) or getattr(given, "ext", 0) == STRICT

    def evaluate(x: Any, nu: int = 0, **options: Any) -> Any:
        if nu or options:
            raise Refused("calls a spline with options")
        place = as_recording(graph, x, np.float64)
        if extrapolate == "periodic":
            place = nodes[0] + (place - nodes[0]) % (nodes[-1] - nodes[0])
        interval = np.clip(np.searchsorted(nodes, place, side="right") - 1, 0, len(nodes) - 2)
        away = place - _entries(graph, nodes[:-1], interval)
        found = _entries(graph, coefficients[0], interval)
        for row in coefficients[1:]:
            found = found * away + _entries(graph, row, interval)
        if extrapolate:
            return found
        is_outside = (place < nodes[0]) | (place > nodes[-1])
        if raises:
            ABOVE["raises"](graph, np.any(is_outside))
        return np.where(is_outside, np.nan, found)

    return evaluate


def _entries(graph: Graph, table: Any, places: RecordingArray) -> Any:
    array = as_recording(graph, np.ascontiguousarray(table, dtype=float))
    return array[places] if places.constants is not None else gather(array, places)


def polynomial(given: Any) -> Callable[..., Any]:
    """A function that records what an object of `numpy.polynomial.Polynomial` evaluates."""
    shift, scale = given.mapparms()

    def evaluate(x: Any) -> Any:
        place, found = shift + scale * x, given.coef[-1]
        for coefficient in given.coef[-2::-1]:
            found = found * place + coefficient
        return found + 0.0 * place if len(given.coef) == 1 else found

    return evaluate
