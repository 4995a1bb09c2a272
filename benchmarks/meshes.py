"""ODEs on meshes, by machine code and by calls of the function, against adaptive solvers in machine code.

python benchmarks/meshes.py [--quick] [--json benchmarks/results/meshes.json]

The start of each solution is a thousandth from that of the guess. Compiling is not timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from _harness import Case, Target, main
from _odes import hires, lotka_volterra, robertson, van_der_pol

from parscan import solve_ivp

ADAPTIVE, CALLS, CODE = "adaptive", "Radau, by calls", "Radau"
FROM_CALLS, FROM_CODE = "Radau with a guess, by calls", "Radau with a guess"

TOLERANCES: dict[str, Any] = {"rtol": 1e-8, "atol": 1e-10}
"""Of all solves."""

MOVED = 1 + 1e-3
"""Ratio of the initial states of the solution and of the guess."""

GUESSED = 1.0
"""Where the function takes long, a guess shall be faster than the adaptive solvers; by how much is to be seen."""


def driven(waves: int) -> Callable[[Any, Any], Any]:
    """A pendulum that many waves drive, which depend on its angle."""
    rng = np.random.default_rng(0)
    sizes, rates, phases = rng.normal(size=waves) / waves**0.5, rng.uniform(0.5, 2, waves), rng.uniform(0, 6, waves)

    def fun(t: Any, y: Any) -> Any:
        force = sum(
            size * np.sin(rate * y[0] + phase * np.cos(0.3 * t))
            for size, rate, phase in zip(sizes, rates, phases, strict=True)
        )
        return [y[1], 0.3 * force - np.sin(y[0]) - 0.05 * y[1]]

    return fun


def relaxing(t: Any, y: Any) -> Any:
    """A fast component that follows a wave, and a slow one."""
    return [-1e4 * (y[0] - np.cos(t)), y[0] - 0.1 * y[1]]


def end(fun: Any, span: tuple[float, float], y0: Any, **options: Any) -> Any:
    """The state at the end."""
    return solve_ivp(fun, span, y0, **{**TOLERANCES, **options}).y[:, -1]


def case(name: str, fun: Any, span: tuple[float, float], y0: Any, targets: tuple[Target, ...] = ()) -> Case:
    start = MOVED * np.array(y0)
    by_calls: dict[str, Any] = {"method": "Radau", "compile": False}
    by_code: dict[str, Any] = {"method": "Radau", "compile": True}
    guess = {one["compile"]: solve_ivp(fun, span, y0, **one, **TOLERANCES) for one in (by_calls, by_code)}
    contenders: dict[str, Callable[[], Any]] = {
        ADAPTIVE: partial(end, fun, span, start, compile=True),
        CALLS: partial(end, fun, span, start, **by_calls),
        FROM_CALLS: partial(end, fun, span, start, guess=guess[False], **by_calls),
        CODE: partial(end, fun, span, start, **by_code),
        FROM_CODE: partial(end, fun, span, start, guess=guess[True], **by_code),
    }
    reference = solve_ivp(fun, span, start, rtol=1e-12, atol=1e-14, compile=True).y[:, -1]
    return Case(name, contenders, reference, targets)


def cases(quick: bool) -> Iterator[Case]:
    yield case("Lotka-Volterra, T=100", lotka_volterra, (0.0, 10.0 if quick else 100.0), [10.0, 5.0])
    yield case("HIRES", hires, (0.0, 32.0 if quick else 321.8122), [1.0, 0, 0, 0, 0, 0, 0, 0.0057])
    yield case("Robertson, T=1e5", robertson, (0.0, 1e2 if quick else 1e5), [1.0, 0.0, 0.0])
    yield case("Van der Pol 1e+03", van_der_pol(1000.0), (0.0, 200.0 if quick else 2000.0), [2.0, 0.0])
    yield case("stiff, 80 periods of a wave", relaxing, (0.0, 50.0 if quick else 500.0), [1.0, 0.0])
    for waves in (20,) if quick else (20, 200, 1000):
        targets = () if waves < 1000 else (Target(FROM_CODE, ADAPTIVE, GUESSED),)
        name = f"pendulum driven by {waves} waves"
        yield case(name, driven(waves), (0.0, 5.0 if quick else 50.0), [1.0, 0.0], targets)


if __name__ == "__main__":
    main(__doc__ or "", cases, repeats=15)
