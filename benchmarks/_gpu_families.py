"""Every family of kernels on problems that are quickly checked: does it run, and how long do its launches take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from _gpu_case import Contender, Entry, Prepared
from _gpu_platform import Array, Platform
from _gpu_scans import single_pass
from _ivp_tasks import family as lotka_volterra

import parscan

PART = "families"
DTYPES = ("float32", "float64", "complex64", "complex128")
TWO = ("float32", "complex128")
FORWARDS, BACKWARDS, TRANSPOSED, CALLS = "forwards", "backwards", "transposed, backwards", "calls back to back"
METHODS: dict[str, dict[str, Any]] = {
    "auto": {},
    "newton": {"method": "newton"},
    "newton, segments of one step": {"method": "newton", "segment_length": 1},
    "jacobi": {"method": "jacobi"},
    "elk": {"method": "elk", "segment_length": 100},
    "newton, kernels of the step": {"method": "newton", "compile": True},
    "sequential, kernels of the step": {"method": "sequential", "compile": True},
}
ODES: dict[str, dict[str, Any]] = {
    "one": {},
    "Radau": {"method": "Radau"},
}


@dataclass(frozen=True)
class Shape:
    """Recurrences that one family of kernels evaluates: steps on a device and of a small problem, batch, order."""

    name: str
    steps: tuple[int, int]
    batch: tuple[int, ...]
    n: int
    dtypes: tuple[str, ...]
    single: bool = False


SHAPES = (
    Shape("tiles", (300_000, 9001), (), 1, DTYPES),
    Shape("look-back", (300_000, 9001), (), 1, DTYPES, single=True),
    Shape("threads, channels", (300, 70), (3000,), 1, TWO),
    Shape("threads, n = 3", (100_000, 200), (), 3, TWO),
    Shape("threads, n = 4, many sequences", (40, 5), (5000,), 4, TWO[:1]),
    Shape("columns, n = 7", (20_000, 100), (2,), 7, TWO),
    Shape("columns, n = 31", (2000, 70), (), 31, TWO[:1]),
    Shape("library, n = 70", (64, 5), (), 70, TWO[:1]),
)


def numbers(rng: np.random.Generator, dtype: str, *shape: int) -> Array:
    """Random numbers of a dtype, on the host."""
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if dtype.startswith("complex") else x).astype(dtype)


def _scanned(shape: Shape, dtype: str, platform: Platform) -> Prepared:
    cuda: Any = import_module("parscan._kernels.cuda.affine_scan")
    rng, steps = np.random.default_rng(0), platform.size(*shape.steps)
    batch = tuple(platform.size(size, min(size, 300)) for size in shape.batch)
    state, matrix = ((shape.n,), (shape.n, shape.n)) if shape.n > 1 else ((), ())
    A = (numbers(rng, dtype, steps, *batch, *matrix) / (4 * np.sqrt(shape.n))).astype(dtype)
    b, wide = numbers(rng, dtype, steps, *batch, *state), np.result_type(dtype, np.float64)
    on_device = platform.xp.asarray(A), platform.xp.asarray(b)
    across = np.swapaxes(A, -1, -2) if shape.n > 1 else A
    expected = {
        FORWARDS: parscan.linear_recurrence(A.astype(wide), b.astype(wide)),
        BACKWARDS: parscan.linear_recurrence(A.astype(wide), b.astype(wide), reverse=True),
        TRANSPOSED: parscan.linear_recurrence(across.astype(wide), b.astype(wide), reverse=True),
    }

    def by(name: str, **options: Any) -> Contender:
        def run() -> float:
            with single_pass(shape.single):
                P = platform.xp.swapaxes(on_device[0], -1, -2) if name == TRANSPOSED and shape.n > 1 else on_device[0]
                found = platform.on_host(cuda.affine_scan(P, on_device[1], **options))
            return float(np.max(np.abs(found - expected[name])) / np.max(np.abs(expected[name])))

        return Contender(run)

    makers = {
        FORWARDS: partial(by, FORWARDS),
        BACKWARDS: partial(by, BACKWARDS, reverse=True),
        TRANSPOSED: partial(by, TRANSPOSED, reverse=True),
    }
    return Prepared(makers, float, 1e3 * float(np.finfo(dtype).eps))


def _launched(shape: Shape, platform: Platform) -> Prepared:
    cuda: Any = import_module("parscan._kernels.cuda.affine_scan")
    rng, n = np.random.default_rng(0), shape.n
    state, matrix = ((n,), (n, n)) if n > 1 else ((), ())
    steps = platform.size(shape.steps[0] // 100, shape.steps[1] // 10)
    A = platform.xp.asarray((numbers(rng, "float32", steps, *matrix) / (4 * np.sqrt(n))).astype("float32"))
    b = platform.xp.asarray(numbers(rng, "float32", steps, *state))
    return Prepared({CALLS: lambda: Contender(lambda: _nothing(cuda.affine_scan(A, b)), inner=platform.size(50, 1))})


def _condensed(dtype: str, platform: Platform) -> Prepared:
    dispatch: Any = import_module("parscan._kernels.dispatch")
    tableau = import_module("parscan._ivp.core.tableaux").radau(3)
    rng, N = np.random.default_rng(0), platform.size(20_000, 9)
    J, r = (numbers(rng, dtype, N, 3, 3, *rest) for rest in ((3,), ()))
    h = rng.uniform(0.05, 0.1, N).astype(dtype)
    given = [platform.xp.asarray(x) for x in (J, h, r)]
    expected = dispatch.condense(J.astype(float), tableau.A, tableau.b, h.astype(float), r.astype(float))

    def run() -> float:
        found = dispatch.condense(given[0], tableau.A, tableau.b, *given[1:])
        pairs = zip(map(platform.on_host, found), expected, strict=True)
        return max(float(np.max(np.abs(one - other)) / np.max(np.abs(other))) for one, other in pairs)

    return Prepared({"condense": lambda: Contender(run)}, float, 1e3 * float(np.finfo(dtype).eps))


def recurrence(xp: Any, steps: int, **options: Any) -> Array:
    """The trajectory of a small network."""
    W = xp.asarray(np.random.default_rng(1).standard_normal((4, 4)) / 3)
    x = xp.asarray(np.random.default_rng(2).standard_normal((steps, 4)))
    solution = parscan.solve_recurrence(lambda y, x: 0.5 * y + 0.5 * xp.tanh(y @ W + x), xp.zeros(4), x, **options)
    assert solution.success, solution.message
    return solution.y


def _recurrences(platform: Platform) -> Prepared:
    steps = platform.size(20_000, 300)
    expected = recurrence(np, steps, method="sequential")

    def by(options: dict[str, Any]) -> Contender:
        def run() -> float:
            return float(np.max(np.abs(platform.on_host(recurrence(platform.xp, steps, **options)) - expected)))

        return Contender(run)

    return Prepared({name: partial(by, options) for name, options in METHODS.items()}, float, 1e-5)


def solved(xp: Any, **options: Any) -> Array:
    """States at the end of an ODE of two components."""
    given = {"args": (1.5, 1.0, 3.0, 1.0), "rtol": 1e-7, "atol": 1e-9, **options}
    solution = parscan.solve_ivp(lotka_volterra, (0.0, 4.0), xp.asarray([10.0, 5.0]), **given)
    assert solution.success, solution.message
    return solution.y[:, -1]


def _odes(platform: Platform) -> Prepared:
    expected = solved(np, method="DOP853", rtol=1e-10, atol=1e-12)

    def by(options: dict[str, Any]) -> Contender:
        def run() -> float:
            found = platform.on_host(solved(platform.xp, **options))
            return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))

        return Contender(run)

    return Prepared({name: partial(by, options) for name, options in ODES.items()}, float, 1e-4)


def _nothing(answer: Any) -> None:
    """There is nothing to compare."""


def entries() -> Iterator[Entry]:
    """Scans of each family and dtype, condensing, and the public functions."""
    for shape in SHAPES:
        for dtype in shape.dtypes:
            names = (FORWARDS, BACKWARDS, TRANSPOSED)
            yield Entry(PART, f"{shape.name}, {dtype}", names, partial(_scanned, shape, dtype))
    for shape in SHAPES[0], SHAPES[3], SHAPES[5]:
        yield Entry(PART, f"launches of {shape.name}, float32", (CALLS,), partial(_launched, shape))
    for dtype in DTYPES[:2]:
        yield Entry(PART, f"condense, 3 stages, n = 3, {dtype}", ("condense",), partial(_condensed, dtype))
    yield Entry(PART, "solve_recurrence, n = 4", (*METHODS,), _recurrences)
    yield Entry(PART, "solve_ivp, n = 2", (*ODES,), _odes)
