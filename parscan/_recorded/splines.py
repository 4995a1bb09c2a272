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
        if given._kind == "linear" or given.y.ndim != 1 or given.y.dtype.kind != "f":
            return _of_table(given)
        spline = given._spline  # of one column
        given = interpolate.BSpline(spline.t, spline.c.reshape(-1), spline.k, extrapolate=given._extrapolate)
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
    slopes = np.diff(given.y) / np.diff(given.x)
    return given.x, np.stack([slopes, given.y[:-1]]), bool(given._extrapolate)


def _of_steps(given: Any) -> tuple[Any, str] | None:
    """Where a table of the kinds that jump does so, and to which side the values there belong; None for other kinds."""
    kind = getattr(given, "_kind", "")
    if kind == "spline" and given._spline.k == 0:
        kind = "previous"
    if kind not in STEPS or given.y.ndim != 1 or given.y.dtype.kind != "f":
        return None
    x = given.x
    middles = x[1:] / 2.0 + x[:-1] / 2.0  # as SciPy computes them
    side, of_table = STEPS[kind]
    return {"begin": x[1:], "end": x[:-1], "middle": middles}[of_table], side


STEPS = {
    "previous": ("right", "begin"),
    "next": ("left", "end"),
    "nearest": ("left", "middle"),
    "nearest-up": ("right", "middle"),
}
"""Kinds of `interp1d` that are constant between jumps: the side of `searchsorted`, and where the jumps are."""


def _stepping(graph: Graph, given: Any, jumps: Any, side: str) -> Callable[..., Any]:
    """A function that records a table of such a kind."""

    def evaluate(x: Any) -> Any:
        place = as_recording(graph, x, np.float64)
        found = _entries(graph, given.y, np.searchsorted(jumps, place, side=side))
        return found if given._extrapolate else _within(graph, given, place, found, given.x[0], given.x[-1])

    return evaluate


def _within(graph: Graph, given: Any, place: Any, found: Any, low: float, high: float) -> Any:
    """Values within the limits of a table; beyond them, those that the table has for that, or an exception."""
    if getattr(given, "bounds_error", False) or getattr(given, "ext", 0) == STRICT:
        ABOVE["raises"](graph, np.any((place < low) | (place > high)))
    below, above = (float(np.ravel(getattr(given, f"_fill_value_{name}", np.nan))[0]) for name in ("below", "above"))
    return np.where(place < low, below, np.where(place > high, above, found))


def evaluator(graph: Graph, given: Any) -> Callable[..., Any] | None:
    """A function that records what an object of `scipy.interpolate` evaluates; None if the object is not known."""
    if (steps := _of_steps(given)) is not None:
        return _stepping(graph, given, *steps)
    parts = piecewise_polynomial(given)
    if parts is None:
        return None
    nodes, coefficients, extrapolate = parts

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
        return found if extrapolate else _within(graph, given, place, found, nodes[0], nodes[-1])

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
