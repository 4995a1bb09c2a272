"""The gradient of a batch of Lotka-Volterra equations, each member with rates of its own, against others'."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import scipy.integrate
from _fits import lotka_volterra
from _harness import Case, Target

import parscan

MEMBERS, TIMED = 1000, 10
"""Members of the batch, and those of which SciPy's differences are timed."""

END, RTOL, SOLVES = 10.0, 1e-8, 4
TIMES = np.linspace(0, END, 21)[1:]
DIFFRAX = "diffrax Dopri8, vmap of grad"


@cache
def problem() -> tuple[Any, Any, Any]:
    """Initial states (2, B), rates (4, B), and the gradient of a loss by the states (2, m, B)."""
    rng = np.random.default_rng(0)
    y0 = np.array([[1.0], [2.0]]) * (1 + 0.2 * rng.random((2, MEMBERS)))
    p = np.array([[1.5], [1.0], [3.0], [0.8]]) * (1 + 0.1 * rng.random((4, MEMBERS)))
    return y0, p, rng.standard_normal((2, TIMES.size, MEMBERS))


def by_parscan(rtol: float = RTOL) -> Any:
    """Solution and gradient (4, B)."""
    y0, p, grad_y = problem()
    sol = parscan.solve_ivp(lotka_volterra, (0, END), y0, t_eval=TIMES, args=(p,), rtol=rtol, atol=rtol * 1e-2)
    return sol.gradient(grad_y, "p")


def by_differences(member: int) -> Any:
    """The gradient of a member by central differences of SciPy's solutions."""
    y0, p, grad_y = problem()
    found = np.empty(4)
    for k in range(4):
        size = 1e-4 * p[k, member]
        losses = []
        for sign in (1, -1):
            own = p[:, member] + sign * size * np.eye(4)[k]
            run = scipy.integrate.solve_ivp(
                lotka_volterra, (0, END), y0[:, member], "DOP853", TIMES, args=(own,), rtol=RTOL, atol=RTOL * 1e-2
            )
            losses.append(np.sum(run.y * grad_y[..., member]))
        found[k] = (losses[0] - losses[1]) / (2 * size)
    return found


@cache
def diffrax_gradient() -> tuple[Callable[[], Any], float] | None:
    """The gradient by diffrax, and the seconds that it took to compile; None without diffrax."""
    try:
        from _peers_diffrax import gradients_of_members  # noqa: PLC0415 - need not be there
    except ImportError:
        return None
    y0, p, grad_y = problem()
    compiled = gradients_of_members(lotka_volterra, "Dopri8", TIMES, RTOL, RTOL * 1e-2)
    given = p.T, y0.T, grad_y.T

    def run() -> Any:
        return np.asarray(compiled(*given)).T

    begin = time.perf_counter()
    run()
    first = time.perf_counter()
    run()
    return run, (first - begin) - (time.perf_counter() - first)


def cases() -> Iterator[Case]:
    """Solution and gradient; with diffrax, where it is installed."""
    for _ in range(SOLVES):  # what repeats of a solve need is made
        by_parscan()
    contenders: dict[str, Callable[[], Any]] = {"parscan": by_parscan}
    targets = []
    if (found := diffrax_gradient()) is not None:
        contenders[DIFFRAX] = found[0]
        targets.append(Target("parscan", DIFFRAX, 1))
    name = f"Lotka-Volterra, {MEMBERS} members, rtol={RTOL:g}: solution and gradient by 4 rates of each"
    yield Case(name, contenders, by_parscan(1e-12), targets)


def figures() -> Iterator[tuple[str, float]]:
    """Seconds of SciPy's differences, of few members and scaled, and how much faster parscan is; seconds to compile."""
    begin = time.perf_counter()
    found = np.stack([by_differences(member) for member in range(TIMED)], axis=1)
    seconds = (time.perf_counter() - begin) * MEMBERS / TIMED
    named = f"{MEMBERS} members of Lotka-Volterra ({TIMED} timed, and scaled)"
    yield f"seconds of gradients by SciPy's differences, {named}", seconds
    for _ in range(SOLVES):
        by_parscan()
    own = min(_seconds(by_parscan) for _ in range(5))
    yield f"times that solution and gradient are faster than that, {named}", seconds / own
    exact = by_parscan(1e-12)[:, :TIMED]
    yield f"deviation of SciPy's differences, {named}", float(np.max(np.abs(found - exact)) / np.max(np.abs(exact)))
    if (jax := diffrax_gradient()) is not None:
        yield f"seconds to compile diffrax's gradient, {MEMBERS} members of Lotka-Volterra", jax[1]


def _seconds(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
