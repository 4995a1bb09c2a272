"""Large systems with banded and sparse Jacobians, against SciPy's solvers and CVODE.

python benchmarks/sparse.py [--quick] [--json benchmarks/results/sparse.json]

The heat equation on a line, and the Brusselator on a periodic square, by lines. Deviations are from solves with much
tighter tolerances. CVODE, by scikit-sundae, is left out where that is not installed. It calls the same function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.integrate
import scipy.sparse as sp
from _harness import Case, Target, main

from parscan import solve_ivp

BANDS, FOUND, CODE = "parscan, bands", "parscan, nothing told", "parscan, machine code"
PATTERN = "parscan, jac_sparsity"

RTOL = 1e-5
"""Of all solves; absolute tolerances are a hundredth."""

SWITCH = 1.1
"""Time from which on the Brusselator is fed on a disc: all solvers stop there."""


def heat(n: int) -> tuple[Callable[..., Any], Any]:
    """The heat equation on a line, and its start."""
    square, x = (n + 1.0) ** 2, np.arange(1, n + 1) / (n + 1)

    def fun(t: Any, y: Any) -> Any:
        change = -2 * y
        change[1:] += y[:-1]
        change[:-1] += y[1:]
        return square * change

    return fun, np.sin(np.pi * x) + np.sin(3 * np.pi * x)


def brusselator(side: int, spread: float) -> tuple[Callable[..., Any], Any, Any]:
    """Hairer and Wanner (1996), section IV.10, on `side` × `side` points: the function, its start, its pattern."""
    x = np.arange(side) / side
    first, second = np.meshgrid(x, x, indexing="ij")
    disc = 5.0 * ((first - 0.3) ** 2 + (second - 0.6) ** 2 <= 0.01)

    def fun(t: Any, y: Any) -> Any:
        both = y.reshape(2, side, side)
        change = -4 * both
        change[:, 1:] += both[:, :-1]
        change[:, :-1] += both[:, 1:]
        change[:, 0] += both[:, -1]
        change[:, -1] += both[:, 0]
        change[:, :, 1:] += both[:, :, :-1]
        change[:, :, :-1] += both[:, :, 1:]
        change[:, :, 0] += both[:, :, -1]
        change[:, :, -1] += both[:, :, 0]
        change *= spread * side**2
        product = both[0] ** 2 * both[1]
        change[0] += 1 + product - 4.4 * both[0] + (disc if t >= SWITCH else 0.0)
        change[1] += 3.4 * both[0] - product
        return change.ravel()

    y0 = np.stack([22 * (second * (1 - second)) ** 1.5, 27 * (first * (1 - first)) ** 1.5]).ravel()
    line = sp.diags([1.0] * 5, [1 - side, -1, 0, 1, side - 1], shape=(side, side))
    own, other = sp.kron(line, sp.eye(side)) + sp.kron(sp.eye(side), line), sp.eye(side**2)
    return fun, y0, sp.csc_matrix(sp.bmat([[own, other], [other, own]]))


def ours(fun: Any, span: Any, y0: Any, rtol: float = RTOL, **options: Any) -> Any:
    return solve_ivp(fun, span, y0, t_eval=[span[1]], rtol=rtol, atol=rtol / 100, **options).y[:, -1]


def scipys(fun: Any, spans: Any, y0: Any, method: str, rtol: float = RTOL, **options: Any) -> Any:
    for span in spans:
        found = scipy.integrate.solve_ivp(fun, span, y0, method, [span[1]], rtol=rtol, atol=rtol / 100, **options)
        y0 = found.y[:, -1]
    return y0


def cvode(fun: Any, spans: Any, y0: Any, rtol: float = RTOL, **options: Any) -> Any:
    from sksundae.cvode import CVODE  # noqa: PLC0415 - not everywhere installed

    def into(t: Any, y: Any, out: Any) -> None:
        out[:] = fun(t, y)

    for span in spans:
        solver = CVODE(into, method="BDF", rtol=rtol, atol=rtol / 100, max_num_steps=1_000_000, **options)
        y0 = solver.solve(np.array(span), y0).y[-1]
    return y0


def sundials() -> bool:
    """Whether CVODE is there."""
    try:
        import sksundae  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


def cases(quick: bool) -> Iterator[Case]:
    n, span = 500, (0.0, 0.1)
    fun, y0 = heat(n)
    bands = {"lband": 1, "uband": 1}
    contenders: dict[str, Callable[[], Any]] = {
        BANDS: partial(ours, fun, span, y0, compile=False, **bands),
        FOUND: partial(ours, fun, span, y0, compile=False),
        CODE: partial(ours, fun, span, y0, compile=True),
        "LSODA, bands": partial(scipys, fun, [span], y0, "LSODA", **bands),
    }
    if sundials():
        contenders["CVODE, bands"] = partial(cvode, fun, [span], y0, linsolver="band", **bands)
    x = np.arange(1, n + 1) / (n + 1)
    rates = {k: -4 * (n + 1.0) ** 2 * np.sin(k * np.pi / (2 * (n + 1))) ** 2 for k in (1, 3)}
    exact = sum(np.exp(rate * span[1]) * np.sin(k * np.pi * x) for k, rate in rates.items())
    yield Case(f"heat, n={n}", contenders, exact, (Target(CODE, "LSODA, bands", 1.0),))
    for spread in (0.1,) if quick else (0.1, 10.0):
        side = 16 if quick else 100
        fun, y0, pattern = brusselator(side, spread)
        spans = [(0.0, np.nextafter(SWITCH, 0)), (SWITCH, 11.5)]
        known = {"jac_sparsity": pattern}
        reference = ours(fun, (0.0, 11.5), y0, 1e-8, jumps=[SWITCH], compile=False, **known)
        of_scipy: dict[str, Callable[[], Any]] = {
            f"{name}, jac_sparsity, rtol={rtol:g}": partial(scipys, fun, spans, y0, name, rtol, **known)
            for name in ("BDF", "Radau")
            for rtol in (RTOL, RTOL / 10)
        }
        contenders = {PATTERN: partial(ours, fun, (0.0, 11.5), y0, jumps=[SWITCH], compile=False, **known), **of_scipy}
        if sundials():
            for rtol in (RTOL, RTOL / 10):
                contenders[f"CVODE, GMRES, rtol={rtol:g}"] = partial(cvode, fun, spans, y0, rtol, linsolver="gmres")
        tight = tuple(name for name in of_scipy if name.endswith(f"{RTOL:g}"))
        yield Case(f"Brusselator, {2 * side**2}, α={spread:g}", contenders, reference, (Target(PATTERN, tight, 3.0),))


if __name__ == "__main__":
    main(__doc__ or "", cases, repeats=5)
