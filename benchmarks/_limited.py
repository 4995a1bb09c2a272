"""A long solve in a process that may use little memory: python _limited.py METHOD STEPS GIB; prints JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import numpy as np

import parscan


def step(y: Any) -> Any:
    """Four components, each driven by another."""
    return 0.9 * np.tanh(y[..., ::-1]) + 0.1


def jac(y: Any) -> Any:
    """Derivative of `step`."""
    return (0.9 * (1 - np.tanh(y[..., ::-1]) ** 2))[..., None] * np.eye(4)[::-1]


def main() -> None:
    method, steps, gib = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (gib * 2**30,) * 2)
    # Newton on every single step is what takes most memory.
    options: dict[str, Any] = {} if method == "auto" else {"method": method, "segment_length": 1, "jac": jac}
    begin = time.perf_counter()
    solution = parscan.solve_recurrence(step, np.linspace(0, 1, 4), length=steps, **options)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    windows = sum(one.termination is parscan.Termination.CONVERGED for one in solution.attempts)
    told = {"success": solution.success, "status": solution.status.name, "seconds": seconds, "peak_bytes": peak}
    print(json.dumps({**told, "windows": windows, "residual": solution.residual}))


if __name__ == "__main__":
    main()
