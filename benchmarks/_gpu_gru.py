"""A GRU over long sequences on a GPU: parscan against a loop, a compiled kernel, and JAX's scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from math import exp, tanh
from typing import Any

import numpy as np
from _gpu_case import AbsentError, Contender, Entry, Prepared
from _gpu_others import jax_of, of_jax
from _gpu_platform import Array, Platform
from _harness import Target
from numba import cuda, float32

import parscan
from parscan._kernels.cuda import launch
from parscan._kernels.cuda.kernel import INTEGER, Kernel, pointer

PART = "gru"
BATCH = 16
STATES = (1, 2, 4, 8, 16, 32)
LENGTHS = (10_000, 100_000, 1_000_000)
LOOP_STEPS = 500
"""Steps of the loop over CuPy's functions that are timed; as every step takes as long, the others are reckoned."""

SHORT = 24
"""Steps of a small problem, at most."""

MOST_RECORDED = 8
"""Largest state of a step with kernels of its own."""

LOOP, PARSCAN, KERNEL, SCAN = "loop of CuPy calls", "parscan", "sequential kernel", "jax.lax.scan"
OWN_KERNELS, NEWTON, DEER = "parscan, kernels of the step", "parscan newton, jac", "parscan DEER, jac"
CONTENDERS = (KERNEL, PARSCAN, OWN_KERNELS, NEWTON, DEER, SCAN, LOOP)
TARGETS = (Target(PARSCAN, LOOP, 10.0), Target(PARSCAN, KERNEL, 1.0), Target(PARSCAN, SCAN, 1.0))


@dataclass(frozen=True)
class Gru:
    """Weights U(-1/√n, 1/√n) and inputs N(0, 1) in float32, as in the speed benchmark of Lim et al. (ICLR 2024)."""

    platform: Platform
    n: int
    steps: int

    @cached_property
    def weights(self) -> tuple[Array, Array, Array]:
        """Of the state, of the inputs, and the bias."""
        n, rng = self.n, np.random.default_rng(self.n)
        bound = 1 / np.sqrt(n)
        parts = [rng.uniform(-bound, bound, shape).astype("float32") for shape in ((n, 3 * n), (n, 3 * n), 3 * n)]
        return tuple(map(self.platform.xp.asarray, parts))

    @cached_property
    def x(self) -> Array:
        shape = (self.steps, BATCH, self.n)
        return self.platform.xp.random.default_rng(0).standard_normal(shape, dtype=np.float32)

    @property
    def y0(self) -> Array:
        return self.platform.xp.zeros(self.x.shape[1:], dtype="float32")

    def parts(self, y: Array, x: Array) -> tuple[Array, Array, Array, Array]:
        """Gates r and z, what r is applied to, and the candidate."""
        (W, U, b), n, xp = self.weights, self.n, self.platform.xp
        gx, gy = x @ U + b, y @ W
        gates = 1 / (1 + xp.exp(-gx[..., : 2 * n] - gy[..., : 2 * n]))
        r, z, h = gates[..., :n], gates[..., n:], gy[..., 2 * n :]
        return r, z, h, xp.tanh(gx[..., 2 * n :] + r * h)

    def step(self, y: Array, x: Array) -> Array:
        _, z, _, c = self.parts(y, x)
        return c + z * (y - c)

    def step_and_jacobian(self, y: Array, x: Array) -> tuple[Array, Array]:
        n, W = self.n, self.weights[0]
        r, z, h, c = self.parts(y, x)
        Wr, Wz, Wc = (W[:, i * n : (i + 1) * n].T for i in range(3))
        dz, dc = z * (1 - z) * (y - c), (1 - z) * (1 - c * c)
        jacobian = dz[..., None] * Wz + (dc * h * r * (1 - r))[..., None] * Wr + (dc * r)[..., None] * Wc
        return c + z * (y - c), jacobian + z[..., None] * self.platform.xp.eye(n, dtype="float32")

    def solve(self, **options: Any) -> Array:
        solution = parscan.solve_recurrence(
            self.step_and_jacobian if options.get("jac") else self.step, self.y0, self.x, **options
        )
        assert solution.success, solution.message
        return solution.y

    def loop(self, steps: int) -> None:
        """The first steps, one by one."""
        y = self.y0
        for t in range(steps):
            y = self.step(y, self.x[t])

    def by_kernel(self) -> Array:
        """The sequential kernel."""
        y, (W, U, b) = self.platform.xp.empty_like(self.x), self.weights
        arrays = [array.reshape(-1) for array in (W, U, b, self.x, y)]
        launch.LAUNCHER.launch(sequential_kernel(self.n), BATCH, 1, *arrays, self.steps, BATCH)
        return y

    def by_jax(self) -> Contender:
        """JAX's compiled scan over the same arrays; copies there are made here, not in the call."""
        jax, n = jax_of(self.platform), self.n
        jnp = jax.numpy
        W, U, b, x, y0 = of_jax(self.platform, *self.weights, self.x, self.y0)

        def step(y: Any, x: Any) -> Any:
            gx, gy = x @ U + b, y @ W
            gates = 1 / (1 + jnp.exp(-gx[..., : 2 * n] - gy[..., : 2 * n]))
            c = jnp.tanh(gx[..., 2 * n :] + gates[..., :n] * gy[..., 2 * n :])
            y = c + gates[..., n:] * (y - c)
            return y, y

        compiled = jax.jit(lambda x: jax.lax.scan(step, y0, x)[1])
        return Contender(lambda: compiled(x).block_until_ready())

    def by_loop(self) -> Contender:
        """A loop over CuPy's functions, reckoned from its first steps."""
        timed = min(self.steps, LOOP_STEPS)
        return Contender(partial(self.loop, timed), scale=self.steps / timed)

    def by_deer(self) -> Contender:
        """Newton's method with a segment for every step."""
        matrices = self.x.nbytes * self.n
        if 6 * matrices + 12 * self.x.nbytes >= self.platform.free_bytes():
            raise AbsentError("needs more memory than is free")
        return Contender(partial(self.solve, method="newton", jac=True, segment_length=1))


@cache
def sequential_kernel(n: int) -> Kernel:
    """A GRU of n states that a thread marches through; the state in registers where the compiler can."""
    one, gates = np.float32(1), 3 * n

    def march(W, U, b, x, y, steps, sequences):  # type: ignore[no-untyped-def]
        sequence = cuda.blockIdx.x
        state = cuda.local.array(n, float32)
        inputs = cuda.local.array(gates, float32)
        carried = cuda.local.array(gates, float32)
        for i in range(n):
            state[i] = 0
        for t in range(steps):
            first = (t * sequences + sequence) * n
            for i in range(gates):
                inputs[i] = b[i]
                carried[i] = 0
                for j in range(n):
                    inputs[i] += U[j * gates + i] * x[first + j]
                    carried[i] += W[j * gates + i] * state[j]
            for i in range(n):
                r = one / (one + exp(-inputs[i] - carried[i]))
                z = one / (one + exp(-inputs[n + i] - carried[n + i]))
                c = tanh(inputs[2 * n + i] + r * carried[2 * n + i])
                state[i] = c + z * (state[i] - c)
                y[first + i] = state[i]

    return Kernel(march, (*(pointer("float32"),) * 5, INTEGER, INTEGER))


def _prepared(n: int, steps: int, platform: Platform) -> Prepared:
    gru = Gru(platform, n, platform.size(steps, min(steps, SHORT)))

    def solved(**options: Any) -> Callable[[], Contender]:
        return lambda: Contender(partial(gru.solve, **options))

    makers: dict[str, Callable[[], Contender]] = {
        KERNEL: lambda: Contender(gru.by_kernel),
        PARSCAN: solved(),
        OWN_KERNELS: solved(compile=True),
        NEWTON: solved(method="newton", jac=True),
        DEER: gru.by_deer,
        SCAN: gru.by_jax,
        LOOP: gru.by_loop,
    }
    return Prepared({name: makers[name] for name in _contenders(n)}, most=5e-3)


def _contenders(n: int) -> tuple[str, ...]:
    """Who solves it: a recorded step has kernels up to a size."""
    return tuple(name for name in CONTENDERS if name != OWN_KERNELS or n <= MOST_RECORDED)


def entries(states: Sequence[int] | None = None, lengths: Sequence[int] | None = None) -> Iterator[Entry]:
    """All sizes, or those given."""
    for steps in lengths or LENGTHS:
        for n in states or STATES:
            name = f"GRU, n = {n}, batch {BATCH}, {steps} steps, float32"
            yield Entry(PART, name, _contenders(n), partial(_prepared, n, steps), TARGETS)
