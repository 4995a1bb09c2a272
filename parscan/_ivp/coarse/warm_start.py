"""Starts from what is known: an earlier solution, or a mesh of the user's."""

from __future__ import annotations

from collections.abc import Callable

from ..._arrays.namespace import Array, array_namespace
from ..core.polynomial import PiecewisePolynomial
from .steps import CoarseSolution

Starter = Callable[[tuple[float, float], Array], CoarseSolution]


class FromStart:
    """The first start is given, all others are made from scratch."""

    def __init__(self, start: CoarseSolution, otherwise: Starter) -> None:
        self._start: CoarseSolution | None = start
        self._otherwise = otherwise

    def __call__(self, span: tuple[float, float], y0: Array) -> CoarseSolution:
        """The start, once."""
        start, self._start = self._start, None
        return self._otherwise(span, y0) if start is None else start


class FromGuess:
    """The first start is an earlier solution, as far as it reaches; all others are made from scratch."""

    def __init__(self, guess: PiecewisePolynomial, otherwise: Starter) -> None:
        self._guess: PiecewisePolynomial | None = guess
        self._otherwise = otherwise

    def __call__(self, span: tuple[float, float], y0: Array) -> CoarseSolution:
        """A warm start, once."""
        guess, self._guess = self._guess, None
        if guess is None:
            return self._otherwise(span, y0)
        return CoarseSolution(_within(guess.t, span), guess.evaluate, warm=True)


class OnMesh:
    """Starts whose intervals are those of a given mesh."""

    def __init__(self, mesh: Array, otherwise: Starter) -> None:
        self._mesh = mesh
        self._otherwise = otherwise

    def __call__(self, span: tuple[float, float], y0: Array) -> CoarseSolution:
        """A start from scratch, on what of the mesh it reaches: at least one interval."""
        xp = array_namespace(self._mesh)
        backwards = span[1] < span[0]
        later = self._mesh[self._mesh < span[0] if backwards else self._mesh > span[0]]
        reached = later[later >= span[1] if backwards else later <= span[1]]
        rough = self._otherwise((span[0], float(reached[-1] if reached.shape[0] else later[0])), y0)
        nodes = later[later >= rough.t[-1] if backwards else later <= rough.t[-1]]
        begin = xp.asarray([span[0]], dtype=nodes.dtype)
        known = xp.concat([begin, nodes])
        end = rough.t[-1:] if rough.failure and not bool(xp.any(known == rough.t[-1])) else nodes[:0]
        return CoarseSolution(xp.concat([known, end]), rough.states, rough.failure, fixed=True)


def _within(mesh: Array, span: tuple[float, float]) -> Array:
    """The nodes of a mesh between the ends of a span, and those ends that the mesh goes beyond."""
    xp = array_namespace(mesh)
    low, high = min(span), max(span)
    inner = mesh[(mesh > low) & (mesh < high)]
    begin = xp.asarray([span[0]], dtype=mesh.dtype)
    beyond = mesh[-1] >= span[1] if span[1] > span[0] else mesh[-1] <= span[1]
    end = [xp.asarray([span[1]], dtype=mesh.dtype)] if bool(beyond) else []
    return xp.concat([begin, inner, *end])
