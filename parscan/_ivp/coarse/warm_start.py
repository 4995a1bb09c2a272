"""Coarse solutions from an earlier solution, or on a mesh that the user gave."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, repeat

from ..._arrays.namespace import Array, array_namespace
from ..core.polynomial import PiecewisePolynomial
from .steps import CoarseSolution

Starter = Callable[[tuple[float, float], Array], CoarseSolution]
"""Makes a coarse solution over a span from an initial state `(*batch, n)`."""


def once(first: Starter, otherwise: Starter) -> Starter:
    """The first coarse solution by `first`, all later ones by `otherwise`."""
    starters = chain([first], repeat(otherwise))

    def start(span: tuple[float, float], y0: Array) -> CoarseSolution:
        return next(starters)(span, y0)

    return start


def from_guess(guess: PiecewisePolynomial, otherwise: Starter) -> Starter:
    """The first coarse solution is the earlier solution, as far as that reaches."""
    return once(lambda span, y0: CoarseSolution(_within(guess.t, span), guess.evaluate, warm=True), otherwise)


def on_mesh(mesh: Array, otherwise: Starter) -> Starter:
    """Coarse solutions on those nodes of a given mesh that they reach; each spans at least one interval."""

    def start(span: tuple[float, float], y0: Array) -> CoarseSolution:
        xp, backwards = array_namespace(mesh), span[1] < span[0]
        later = mesh[mesh < span[0] if backwards else mesh > span[0]]
        reached = later[later >= span[1] if backwards else later <= span[1]]
        rough = otherwise((span[0], float(reached[-1] if reached.shape[0] else later[0])), y0)
        nodes = later[later >= rough.t[-1] if backwards else later <= rough.t[-1]]
        known = xp.concat([xp.asarray([span[0]], dtype=nodes.dtype), nodes])
        end = rough.t[-1:] if rough.failure and not bool(xp.any(known == rough.t[-1])) else nodes[:0]
        return CoarseSolution(xp.concat([known, end]), rough.states, rough.failure, fixed=True)

    return start


def _within(mesh: Array, span: tuple[float, float]) -> Array:
    """The begin of the span, the nodes of a mesh inside the span, and its end if the mesh reaches it."""
    xp = array_namespace(mesh)
    low, high = min(span), max(span)
    inner = mesh[(mesh > low) & (mesh < high)]
    begin = xp.asarray([span[0]], dtype=mesh.dtype)
    beyond = mesh[-1] >= span[1] if span[1] > span[0] else mesh[-1] <= span[1]
    end = [xp.asarray([span[1]], dtype=mesh.dtype)] if bool(beyond) else []
    return xp.concat([begin, inner, *end])
