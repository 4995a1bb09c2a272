"""An installed parscan does what it is for, with or without its extras: run it outside a checkout."""

from __future__ import annotations

import contextlib
import io
import math
import sys
import warnings
from importlib.metadata import distribution, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

warnings.simplefilter("error")

import parscan  # noqa: E402


def check(holds: bool, told: str) -> None:
    """Exit if something is not as it should be."""
    if not holds:
        sys.exit(f"FAILED: {told}")


def step(y, x):
    """A recurrence that forgets."""
    return 0.5 * np.tanh(y) + x


def pendulum(t, y):
    """Of unit length."""
    return [y[1], -np.sin(y[0])]


def installation() -> None:
    """It is the installed one."""
    here = Path(parscan.__file__).parent
    check(here.parent.name == "site-packages", f"imported from {here}")
    check(version("parscan") == parscan.__version__, "two versions")
    check((here / "py.typed").exists(), "no py.typed")
    files = [str(path) for path in distribution("parscan").files or ()]
    check(not any("test" in Path(path).name for path in files), "tests were installed")


def recurrences() -> None:
    """All methods agree with the loop."""
    x = np.random.default_rng(0).standard_normal((20_000, 2))
    y, expected = np.zeros(2), np.empty_like(x)
    for t in range(len(x)):
        expected[t] = y = step(y, x[t])
    for method in ("auto", "newton", "quasi-newton", "elk", "jacobi", "sequential"):
        sol = parscan.solve_recurrence(step, np.zeros(2), x, method=method)
        check(sol.success and np.abs(sol.y - expected).max() < 1e-9, f"{method}: {sol}")
    h = parscan.linear_recurrence(0.5, np.array([1.0, 0.0, 4.0]))
    check(np.array_equal(h, [1.0, 0.5, 4.25]), "linear_recurrence")


def odes() -> None:
    """The period of a pendulum, by all methods."""
    period = 8.349752926935296
    for method in ("auto", "Radau", "Gauss", "DOP853", "LSODA", "BDF"):
        sol = parscan.solve_ivp(pendulum, (0, period), [2.0, 0.0], method, rtol=1e-9, atol=1e-11)
        check(sol.success and math.dist(sol.y[:, -1], [2.0, 0.0]) < 1e-5, f"{method}: {sol}")


def cuda() -> None:
    """A kernel for CUDA can be compiled, to PTX, where the extra is installed; that takes no device."""
    if find_spec("numba_cuda") is None:
        return
    from numba.cuda import compile_ptx  # noqa: PLC0415

    from parscan._kernels.cuda.thread_kernels import march_kernel  # noqa: PLC0415

    kernel = march_kernel("float32", 1)
    check(".entry" in compile_ptx(kernel.body, kernel.signature, cc=(9, 0))[0], "no kernel in the PTX")
    print("compiles a kernel for CUDA")


def extras() -> None:
    """What is not installed is done without, or named."""
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        sol = parscan.solve_recurrence(np.cos, np.zeros(1), length=5000, progress=True)
    check("parscan: 100%" in shown.getvalue(), "progress=True showed nothing")
    try:
        sol.plot()
    except ImportError as error:
        check("matplotlib" in str(error), f"plot: {error}")


if __name__ == "__main__":
    for part in (installation, recurrences, odes, cuda, extras):
        part()
    numbers = ", ".join(f"{name} {version(name)}" for name in ("parscan", "numpy", "scipy", "numba"))
    print(f"works on Python {sys.version.split()[0]} with {numbers}")
