"""``python -m parscan``: the environment, and a GRU by the plain loop and by parscan."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

import parscan

PACKAGES = (
    "parscan",
    "numpy",
    "scipy",
    "numba",
    "array-api-compat",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "numba-cuda",
    "tqdm",
    "matplotlib",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report and run the demo; returns 0 if the loop and parscan agree."""
    options = _parser().parse_args(arguments)
    print("\n".join(_environment()))
    return _demo(options.states, options.length, options.batch, np.dtype(options.dtype))


def _parser() -> argparse.ArgumentParser:
    """Options of the demo."""
    parser = argparse.ArgumentParser(
        prog="python -m parscan", description="Report the environment, then evaluate a GRU in parallel over time."
    )
    parser.add_argument("--states", type=_positive, default=4, metavar="N", help="states of the GRU (default 4)")
    parser.add_argument("--length", type=_positive, default=100_000, metavar="T", help="time steps (default 100000)")
    parser.add_argument("--batch", type=_positive, default=1, metavar="B", help="sequences at once (default 1)")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64", help="default float64")
    return parser


def _positive(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, got {text}")
    return int(text)


def _environment() -> list[str]:
    """Versions, processor and GPUs, a line each."""
    lines = [f"python            {platform.python_version()} on {platform.system()} {platform.machine()}"]
    lines += [f"{name:<17} {_version(name)}" for name in PACKAGES]
    lines.append(f"processor         {_processor()}, {_cores()} cores usable")
    lines.append(f"GPUs              {_gpus()}")
    return lines


def _version(package: str) -> str:
    """Installed version of a distribution."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """Model name, as far as the system knows it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> str:
    """Names of the GPUs that the driver's tool lists; CUDA is not initialised."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "none found"
    query = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    run = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    return "; ".join(run.stdout.split("\n")).strip("; ") or "none found"


def _gru(states: int, dtype: np.dtype[Any], rng: np.random.Generator) -> Callable[..., Any]:
    """A GRU step with random weights, written for one state or a stack of them."""
    bound = 1 / np.sqrt(states)
    W, U = (rng.uniform(-bound, bound, (states, 3 * states)).astype(dtype) for _ in range(2))
    b = rng.uniform(-bound, bound, 3 * states).astype(dtype)

    def step(y: Any, x: Any) -> Any:
        gx, gy = x @ U + b, y @ W
        gates = 1 / (1 + np.exp(-gx[..., : 2 * states] - gy[..., : 2 * states]))
        r, z = gates[..., :states], gates[..., states:]
        c = np.tanh(gx[..., 2 * states :] + r * gy[..., 2 * states :])
        return c + z * (y - c)

    return step


def _demo(states: int, length: int, batch: int, dtype: np.dtype[Any]) -> int:
    """Evaluate a GRU by a plain loop and by parscan, and print times and deviation."""
    rng = np.random.default_rng(0)
    step = _gru(states, dtype, rng)
    x = rng.standard_normal((length, batch, states)).astype(dtype)
    y0 = np.zeros((batch, states), dtype)
    print(f"\nGRU: {states} states, {length} steps, batch {batch}, {dtype.name}")
    begin = time.perf_counter()
    expected, y = np.empty((length, batch, states), dtype), y0
    for t in range(length):
        expected[t] = y = step(y, x[t])
    loop_seconds = time.perf_counter() - begin
    print(f"plain loop        {loop_seconds:9.4f} s")
    seconds, solution = min((_timed(step, y0, x) for _ in range(3)), key=lambda run: run[0])
    deviation = float(np.abs(solution.y - expected).max())
    print(f"parscan           {seconds:9.4f} s, the best of 3   speed-up {loop_seconds / seconds:.1f}x")
    print(f"largest deviation {deviation:9.2g}\n\n{solution!r}")
    return 0 if solution.success and deviation <= 1e3 * np.finfo(dtype).eps * length**0.5 else 1


def _timed(step: Callable[..., Any], y0: Any, x: Any) -> tuple[float, parscan.RecurrenceResult]:
    """Seconds and result of one solve with default arguments."""
    begin = time.perf_counter()
    solution = parscan.solve_recurrence(step, y0, x)
    return time.perf_counter() - begin, solution


if __name__ == "__main__":
    raise SystemExit(main())
