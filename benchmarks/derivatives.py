"""Gradients of a GRU, against loops and JAX, fits of ODEs, against SciPy's, and gradients of batches and stiff ODEs.

JAX is left out where it is not installed; seconds of first calls, which compile, are among the figures.

python benchmarks/derivatives.py [--quick] [--json benchmarks/results/derivatives.json]
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import _fits
import _gradients_of_members
import _stiff_gradients
import numpy as np
from _harness import Case, Target, deviation, load_kernels, main
from recurrences import high_water

import parscan

TARGETS = {1: 400, 4: 150, 8: 60, 32: 15}
"""How many times faster than the loops solution and gradient shall be, by the number of states, for the longest."""

JAX, TO_JAX = "JAX, compiled", 1.5
"""`grad` of `lax.scan`, and how many times faster than it they shall be."""

LENGTHS = (10_000, 100_000)
SOLVES = 40
"""Solves after which all code is made that pays."""

STRETCH = 2048
"""Steps per call of the vector-Jacobian product where it is called on stretches."""


@dataclass(frozen=True)
class Gates:
    """What one step of a GRU computes on the way, on stacked states."""

    r: Any
    z: Any
    h: Any
    c: Any

    @classmethod
    def of(cls, y: Any, inputs: Any, W: Any) -> Gates:
        """Gates at the states `y` with the products `inputs` of the inputs with their weights."""
        n = y.shape[-1]
        carried = y @ W
        gates = 1 / (1 + np.exp(-inputs[..., : 2 * n] - carried[..., : 2 * n]))
        r, z, h = gates[..., :n], gates[..., n:], carried[..., 2 * n :]
        return cls(r, z, h, np.tanh(inputs[..., 2 * n :] + r * h))

    def next(self, y: Any) -> Any:
        """The state after `y`."""
        return self.c + self.z * (y - self.c)

    def slopes(self, y: Any) -> tuple[Any, Any, Any]:
        """Derivatives of the next state by what enters the two gates, and the candidate."""
        by_candidate = (1 - self.z) * (1 - self.c * self.c)
        return by_candidate * self.h * self.r * (1 - self.r), self.z * (1 - self.z) * (y - self.c), by_candidate


def step(y: Any, x: Any, W: Any, U: Any, b: Any) -> Any:
    """One step, or many."""
    return Gates.of(y, x @ U + b, W).next(y)


def jac(y: Any, x: Any, W: Any, U: Any, b: Any) -> Any:
    """Jacobians `z δ_ij + Σ_g slope_gi W_gji`: the sums as products of matrices, which are five times as fast."""
    n = y.shape[-1]
    gates = Gates.of(y, x @ U + b, W)
    by_r, by_z, by_c = gates.slopes(y)
    slopes = np.stack([by_r, by_z, by_c * gates.r])
    jacobian = np.empty((*y.shape, n))
    rows = W.T.reshape(3, n, n).transpose(1, 0, 2)
    np.matmul(slopes.transpose(2, 1, 0), rows, out=jacobian.transpose(1, 0, 2))
    jacobian[..., range(n), range(n)] += gates.z
    return jacobian


def vjp(adjoint: Any, y: Any, x: Any, W: Any, U: Any, b: Any) -> tuple[Any, Any, Any]:
    """Products of adjoint states with the derivatives of the step by its weights."""
    gates = Gates.of(y, x @ U + b, W)
    by_r, by_z, by_c = (adjoint * slope for slope in gates.slopes(y))
    by_inputs = np.concatenate([by_r, by_z, by_c], axis=-1)
    by_carried = np.concatenate([by_r, by_z, by_c * gates.r], axis=-1)
    return y.T @ by_carried, x.T @ by_inputs, by_inputs.sum(axis=0)


@dataclass(frozen=True)
class Gru:
    """Weights U(-1/√n, 1/√n) and inputs N(0, 1), as in the speed benchmark of Lim et al. (ICLR 2024).

    The loss is a sum of the states with random weights `g`.
    """

    args: tuple[Any, Any, Any]
    x: Any
    g: Any

    @classmethod
    def make(cls, n: int, steps: int) -> Gru:
        rng = np.random.default_rng(n)
        bound = 1 / np.sqrt(n)
        W, U = (rng.uniform(-bound, bound, (n, 3 * n)) for _ in range(2))
        b = rng.uniform(-bound, bound, 3 * n)
        return cls((W, U, b), *rng.standard_normal((2, steps, n)))

    @property
    def y0(self) -> Any:
        return np.zeros(self.x.shape[1])

    def by_loops(self) -> Any:
        """The gradient by a loop forwards that keeps its gates, and a loop backwards; the weights' share at the end."""
        W, U, b = self.args
        y, states, kept = self.y0, np.empty_like(self.x), []
        for t in range(len(self.x)):
            gates = Gates.of(y, self.x[t] @ U + b, W)
            kept.append((gates, gates.slopes(y)))
            states[t] = y = gates.next(y)
        back, adjoint, carry = np.ascontiguousarray(W.T), np.empty_like(self.x), np.zeros_like(y)
        for t in range(len(self.x) - 1, -1, -1):
            gates, (by_r, by_z, by_c) = kept[t]
            adjoint[t] = now = self.g[t] + carry
            carry = now * gates.z + np.concatenate([now * by_r, now * by_z, now * by_c * gates.r]) @ back
        return self._gradient(states, adjoint, carry)

    def by_tight_loops(self) -> Any:
        """The same with all that needs no loop done for all times at once: products with inputs, and slopes."""
        W, U, b = self.args
        steps, n = self.x.shape
        y, states, kept, inputs = self.y0, np.empty_like(self.x), np.empty((4, steps, n)), self.x @ U + b
        for t in range(steps):
            gates = Gates.of(y, inputs[t], W)
            kept[0, t], kept[1, t], kept[2, t], kept[3, t] = gates.r, gates.z, gates.h, gates.c
            states[t] = y = gates.next(y)
        gates = Gates(*kept)
        by_r, by_z, by_c = gates.slopes(np.concatenate([self.y0[None], states[:-1]]))
        slopes = np.stack([by_r, by_z, by_c * gates.r], axis=1)
        back, adjoint, carry = np.ascontiguousarray(W.T), np.empty_like(self.x), np.zeros(n)
        for t in range(steps - 1, -1, -1):
            adjoint[t] = now = self.g[t] + carry
            carry = now * gates.z[t] + (slopes[t] * now).reshape(3 * n) @ back
        return self._gradient(states, adjoint, carry)

    def seconds_of_first_call(self, way: str) -> float:
        """By one of these ways."""
        begin = perf_counter()
        found = getattr(self, way)()
        if callable(found):
            found()
        return perf_counter() - begin

    def _gradient(self, states: Any, adjoint: Any, y0: Any) -> Any:
        """With respect to all weights and the initial state, from the adjoint states."""
        return flat(vjp(adjoint, np.concatenate([self.y0[None], states[:-1]]), self.x, *self.args), y0)

    def solve(self, *, given: bool = True) -> parscan.RecurrenceResult:
        solution = parscan.solve_recurrence(step, self.y0, self.x, jac=jac if given else None, args=self.args)
        assert solution.success, solution.message
        return solution

    def by_parscan(self) -> Any:
        """The same gradient, without `jac` and `vjp`."""
        *weights, y0 = self.solve(given=False).gradient(self.g, (0, 1, 2, "y0"))
        return flat(tuple(weights), y0)

    def by_own_products(self, *, steps_per_call: int | None = None) -> Any:
        """The same gradient, with both."""
        solution = self.solve()
        adjoint = solution.adjoint(self.g)
        return flat(solution.gradient(adjoint, vjp=vjp, steps_per_call=steps_per_call), adjoint.y0)

    def by_jax(self) -> Callable[[], Any]:
        """The same gradient by JAX."""
        return import_module("_peers_jax").gru_gradient(self.args, self.y0, self.x, self.g)


def flat(weights: tuple[Any, Any, Any], y0: Any) -> Any:
    """All parts of a gradient as one vector."""
    return np.concatenate([part.ravel() for part in (*weights, y0)])


def cases(quick: bool) -> Iterator[Case]:
    for n, target in TARGETS.items():
        for steps in LENGTHS:
            gru = Gru.make(n, steps // 50 if quick else steps)
            contenders: dict[str, Callable[[], Any]] = {
                "loops": gru.by_loops,
                "tight loops": gru.by_tight_loops,
                "parscan": gru.by_parscan,
                "parscan, jac and vjp": gru.by_own_products,
                "parscan, vjp in stretches": partial(gru.by_own_products, steps_per_call=STRETCH),
            }
            targets = [Target("parscan", "loops", target)] if steps == LENGTHS[-1] else []
            if find_spec("jax"):
                contenders[JAX] = gru.by_jax()
                targets.append(Target("parscan", JAX, TO_JAX))
            for _ in range(SOLVES):
                gru.by_parscan()
            yield Case(f"GRU, n={n}, {len(gru.x)} steps, float64: solution and gradient", contenders, targets=targets)
    yield from _fits.cases(quick)
    yield from _gradients_of_members.cases()


def adjoint_by_loop(gru: Gru, y: Any) -> Any:
    """Adjoint states by a loop over the same Jacobians."""
    before = np.concatenate([gru.y0[None], y[:-1]])
    matrices, adjoint = jac(before, gru.x, *gru.args), np.empty_like(y)
    carry = np.zeros(y.shape[1])
    for t in range(len(y) - 1, -1, -1):
        adjoint[t] = gru.g[t] + carry
        carry = matrices[t].T @ adjoint[t]
    return adjoint


def by_complex_step(gru: Gru, direction: Any) -> float:
    """Derivative of the loss along a direction of all weights, by the loop in complex numbers."""
    args = [part + 1e-30j * change for part, change in zip(gru.args, direction, strict=True)]
    y, loss = gru.y0 + 0j, 0.0
    for x, g in zip(gru.x, gru.g, strict=True):
        y = step(y, x, *args)
        loss += float(np.sum(g * y.imag)) / 1e-30
    return loss


def by_central_differences(gru: Gru, direction: Any) -> float:
    """The same by solving twice."""
    losses = []
    for sign in (1, -1):
        args = tuple(part + sign * 1e-5 * change for part, change in zip(gru.args, direction, strict=True))
        losses.append(np.sum(gru.g * parscan.solve_recurrence(step, gru.y0, gru.x, args=args).y))
    return float(losses[0] - losses[1]) / 2e-5


def errors(n: int, steps: int) -> Iterator[tuple[str, float]]:
    """Deviations of the adjoint and of the gradient along a random direction, both relative."""
    gru = Gru.make(n, steps)
    direction = tuple(np.random.default_rng(1).standard_normal(part.shape) for part in gru.args)
    named = f"GRU, n={n}, {steps} steps"
    expected = adjoint_by_loop(gru, gru.solve().y)
    for given, told in ((True, "jac"), (False, "recorded operations")):
        solution = gru.solve(given=given)
        adjoint = solution.adjoint(gru.g)
        yield f"adjoint by {told} against the loop over Jacobians, {named}", deviation(adjoint.states, expected) or 0.0
        gradient = solution.gradient(adjoint, vjp=vjp) if given else solution.gradient(gru.g)
        slope = float(sum(np.sum(part * change) for part, change in zip(gradient, direction, strict=True)))
        for way, truth in (("complex step", by_complex_step), ("central differences", by_central_differences)):
            yield f"gradient by {told} against the {way}, {named}", abs(slope / truth(gru, direction) - 1)
    products = solution.gradient(adjoint, vjp=vjp)
    off = max(deviation(one, other) or 0.0 for one, other in zip(gradient, products, strict=True))
    yield f"gradient by recorded operations against the vjp, {named}", off


def peak_memory(steps: int, n: int) -> float:
    """Peak memory of a solution and its gradient, less what was held before, in units of the trajectory."""
    load_kernels()
    Gru.make(n, 3 * STRETCH).by_own_products(steps_per_call=STRETCH)  # loads whatever else is loaded once
    gru = Gru.make(n, steps)
    before = high_water()
    gru.by_own_products(steps_per_call=STRETCH)
    return (high_water() - before) / gru.x.nbytes


def figures(quick: bool) -> dict[str, float]:
    """Peak memory, measured in a process of its own, shall be below 8; errors below 1e-10 (adjoint) and 1e-6."""
    steps = 50_000 if quick else 1_000_000
    code = f"import derivatives; print(derivatives.peak_memory({steps}, 8))"
    here = Path(__file__).parent
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here)
    found = {f"peak memory of solution and gradient of a GRU, n=8, {steps} steps, in trajectories": float(run.stdout)}
    for n in TARGETS:
        found |= errors(n, 500 if quick else 20_000)
        found |= first_calls(n, 500 if quick else LENGTHS[-1])
    found |= dict(_fits.compile_times()) | dict(_gradients_of_members.figures())
    return found | dict(_stiff_gradients.figures())


def first_calls(n: int, steps: int) -> dict[str, float]:
    """Seconds of first calls, which compile, in a process of its own without code on disk."""
    found = {}
    for way in ("by_parscan", *(["by_jax"] if find_spec("jax") else [])):
        code = f"from derivatives import Gru; gru = Gru.make({n}, {steps}); print(gru.seconds_of_first_call('{way}'))"
        with TemporaryDirectory() as empty:
            run = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent,
                env=os.environ | {"PARSCAN_CACHE_DIR": empty},
            )  # fmt: skip
        found[f"seconds of the first call, {way.removeprefix('by_')}, GRU, n={n}, {steps} steps"] = float(run.stdout)
    return found


if __name__ == "__main__":
    main(__doc__ or "", cases, repeats=3, figures=figures)
