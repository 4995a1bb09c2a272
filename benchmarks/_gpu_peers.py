"""One long recurrence of scalars on a GPU, by others on the same card: prefix sums, scans of JAX, loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from _gpu_case import AbsentError, Contender, Entry, Prepared
from _gpu_others import jax_of, of_jax, of_torch
from _gpu_platform import Array, Platform
from _gpu_scans import IN_PHASES, LOOK_BACK, Scan
from _harness import Target

from parscan._kernels.cuda import launch
from parscan._kernels.cuda.kernel import INTEGER, Kernel, pointer

PART = "peers"
LENGTHS = (10_000, 100_000, 1_000_000, 10_000_000, 2**28)
SHORT = (64, 100, 1000, 5000, 9000)
"""Of small problems."""

LOOP_STEPS = 500
"""Steps of the loop over CuPy's functions that are timed; as every step takes as long, the others are reckoned."""

MOST_STEPS = 1_000_000
"""Steps that those take who do one after the other, at most: with more, minutes."""

MOST_OF_JAX = 2**26
"""Longest sequence of JAX's associative scan, which holds several copies of it."""

SUM, TORCH = "cupy.cumsum (8 bytes a number)", "torch.cumsum (8 bytes a number)"
ASSOCIATIVE, SCAN = "jax.lax.associative_scan", "jax.lax.scan"
LOOP, KERNEL = "loop of CuPy calls", "sequential kernel"
CONTENDERS = (IN_PHASES, LOOK_BACK, SUM, TORCH, ASSOCIATIVE, SCAN, LOOP, KERNEL)
TARGETS = tuple(Target(IN_PHASES, peer, 1.0) for peer in (ASSOCIATIVE, SCAN, LOOP, KERNEL))


def sequential_kernel() -> Kernel:
    """The recurrence by one thread."""

    def march(A, b, h, steps):  # type: ignore[no-untyped-def]
        state = b[0]
        h[0] = state
        for t in range(1, steps):
            state = A[t] * state + b[t]
            h[t] = state

    return Kernel(march, (*(pointer("float32"),) * 3, INTEGER))


def _prepared(k: int, platform: Platform) -> Prepared:
    length, xp = (SHORT if platform.small else LENGTHS)[k], platform.xp
    scan = Scan("", "float32", (length,), (length,))
    A, b = scan.operands(platform)
    inner = platform.size(20 if length < 2**28 else 5, 1)

    def sum_of_torch() -> Contender:
        torch, x = of_torch(platform, b)
        return Contender(lambda: _nothing(torch.cumsum(x, 0)), 2 * b.nbytes, inner=inner)

    def loop() -> Contender:
        steps = min(length, LOOP_STEPS)
        return Contender(partial(_loop, A, b, steps), scan.bytes_moved(1), scale=length / steps)

    def kernel() -> Contender:
        _at_most(length, MOST_STEPS)
        made, h = sequential_kernel(), xp.empty_like(b)

        def run() -> Array:
            launch.LAUNCHER.launch(made, 1, 1, A, b, h, length)
            return h

        return Contender(run, scan.bytes_moved(1))

    makers: dict[str, Callable[[], Contender]] = {
        IN_PHASES: partial(scan.contender, A, b, platform),
        LOOK_BACK: partial(scan.contender, A, b, platform, single=True),
        SUM: lambda: Contender(lambda: _nothing(xp.cumsum(b)), 2 * b.nbytes, inner=inner),
        TORCH: sum_of_torch,
        ASSOCIATIVE: partial(_by_jax, _associative_scan, MOST_OF_JAX, platform, scan, A, b),
        SCAN: partial(_by_jax, _scan, MOST_STEPS // 10, platform, scan, A, b),
        LOOP: loop,
        KERNEL: kernel,
    }
    return Prepared(makers, scan.deviation(A, b, platform), 1e3 * float(np.finfo("float32").eps))


def _by_jax(
    make: Callable[[Any], Callable[..., Any]], most: int, platform: Platform, scan: Scan, A: Array, b: Array
) -> Contender:
    """A function over JAX, compiled; its answer is on the host."""
    _at_most(scan.offsets[0], most)
    compiled = jax_of(platform).jit(make(jax_of(platform)))
    given = of_jax(platform, A, b)
    expected = scan.deviation(A, b, platform)
    found = np.asarray(compiled(*given))
    assert expected(platform.xp.asarray(found)) < 1e-3
    return Contender(lambda: _nothing(compiled(*given).block_until_ready()), scan.bytes_moved(1))


def _associative_scan(jax: Any) -> Callable[..., Any]:
    def join(before: Any, after: Any) -> Any:
        return after[0] * before[0], after[0] * before[1] + after[1]

    return lambda A, b: jax.lax.associative_scan(join, (A, b))[1]


def _scan(jax: Any) -> Callable[..., Any]:
    def step(h: Any, both: Any) -> Any:
        h = both[0] * h + both[1]
        return h, h

    return lambda A, b: jax.lax.scan(step, jax.numpy.float32(0), (A, b))[1]


def _loop(A: Array, b: Array, steps: int) -> None:
    """The first steps, one by one."""
    h = b[0]
    for t in range(1, steps):
        h = A[t] * h + b[t]


def _at_most(length: int, most: int) -> None:
    if length > most:
        raise AbsentError(f"takes too long, or too much memory, beyond {most} steps")


def _nothing(answer: Any) -> None:
    """There is nothing to compare."""


def entries() -> Iterator[Entry]:
    """Each length."""
    for k, length in enumerate(LENGTHS):
        yield Entry(PART, f"diagonal, T = {length}, float32", CONTENDERS, partial(_prepared, k), TARGETS)
