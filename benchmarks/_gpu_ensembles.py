"""Ensembles of ODEs on a GPU, against the same call on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from _gpu_platform import Array, Platform
from _harness import Case, Target, Timing, judge, table
from _ivp_tasks import Ensemble, family, oregonator_of

import parscan

MEMBERS = 10_000
THREADS, GPU, CPU = "parscan on the device, a thread for each member", "parscan on the device", "parscan on the CPU"


def case(name: str, fun: Callable[..., Any], span: tuple[float, float], platform: Platform, **options: Any) -> Case:
    """One problem with starts (n, members) and parameters as NumPy arrays, solved on both."""
    y0, args = options.pop("y0"), options.pop("args")

    def solve(xp: Any, **others: Any) -> Array:
        solution = parscan.solve_ivp(
            fun, span, xp.asarray(y0), args=tuple(map(xp.asarray, args)), **{**options, **others}
        )
        assert solution.success, solution.message
        return solution.y[:, -1]

    contenders = {
        CPU: lambda: solve(np),
        GPU: lambda: solve(platform.xp, compile=False),
        THREADS: lambda: solve(platform.xp, compile=True, method="auto", t_eval=[span[1]]),
    }
    return Case(name, contenders, targets=[Target(GPU, CPU, 1.0), Target(THREADS, GPU, 1.0)])


def cases(platform: Platform) -> Iterator[Case]:
    """A loose and a tight one that is not stiff, and a stiff one."""
    members = platform.size(MEMBERS, 6)
    for rtol in (1e-3, 1e-8):
        few = Ensemble(members, range(1), rtol)
        options: dict[str, Any] = {"rtol": rtol, "atol": rtol * 1e-3}
        name = f"Lotka-Volterra, {members} members, rtol = {rtol:.0e}, float64"
        yield case(name, family, few.span, platform, y0=few.starts, args=tuple(few.parameters), **options)
    rng = np.random.default_rng(0)
    scales = np.array([77.27, 0.161])[:, None] * rng.uniform(0.95, 1.05, (2, members))
    y0 = np.array([1.0, 2.0, 3.0])[:, None] * np.ones(members)
    span = (0.0, float(platform.size(30, 1)))
    name = f"Oregonator, {members} members, rtol = 1e-05, float64"
    yield case(name, oregonator_of, span, platform, y0=y0, args=tuple(scales), rtol=1e-5, atol=1e-8, method="Radau")


def measure_ensembles(platform: Platform, repeats: int) -> Iterator[tuple[Case, list[Timing]]]:
    """Time all of them."""
    for problem in cases(platform):
        timings = platform.measure(problem, repeats)
        print(table(problem, timings, judge(problem, timings)), flush=True)
        yield problem, timings
