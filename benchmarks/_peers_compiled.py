"""Solvers that compile a right-hand side of their own: heyoka, CyRK, pydiffsol, and CVODE of scikit-sundae.

Each one gets the right-hand side of a problem of `_odes.py` in its own language. The translation is made from the
Python function, so that nobody profits from a better formula; it is not part of any measured time.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, sin
from typing import Any

import numba
import numpy as np
from _odes import Ode

Array = Any
Solve = Callable[[float], Array]

MOST_STEPS = 10_000_000


class Expression:
    """A formula of numbers in the notation that most languages share."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __add__(self, other: Any) -> Expression:
        return Expression(f"({self.text} + {_text(other)})")

    def __radd__(self, other: Any) -> Expression:
        return Expression(f"({_text(other)} + {self.text})")

    def __sub__(self, other: Any) -> Expression:
        return Expression(f"({self.text} - {_text(other)})")

    def __rsub__(self, other: Any) -> Expression:
        return Expression(f"({_text(other)} - {self.text})")

    def __mul__(self, other: Any) -> Expression:
        return Expression(f"({self.text} * {_text(other)})")

    def __rmul__(self, other: Any) -> Expression:
        return Expression(f"({_text(other)} * {self.text})")

    def __truediv__(self, other: Any) -> Expression:
        return Expression(f"({self.text} / {_text(other)})")

    def __pow__(self, other: Any) -> Expression:
        return Expression(f"pow({self.text}, {_text(other)})")

    def __neg__(self) -> Expression:
        return Expression(f"(0.0 - {self.text})")

    def sin(self) -> Expression:
        """For `np.sin`, which calls a method of this name."""
        return Expression(f"sin({self.text})")

    def cos(self) -> Expression:
        """For `np.cos`."""
        return Expression(f"cos({self.text})")


def _text(value: Any) -> str:
    return value.text if isinstance(value, Expression) else repr(float(value))


def formulas(ode: Ode, component: str) -> list[str]:
    """The rates of a problem; `component` is how the component of a number is written."""
    states = np.array([Expression(component.format(k)) for k in range(len(ode.y0))], dtype=object)
    return [_text(rate) for rate in ode.fun(Expression("t"), states)]


def in_language(ode: Ode, functions: dict[str, Any]) -> Callable[[Any, Any], list[Any]]:
    """The right-hand side `fun(t, y)` with other functions for `sin` and `cos`."""
    codes = [compile(rate, ode.name, "eval") for rate in formulas(ode, "y[{}]")]
    return lambda t, y: [eval(code, functions, {"t": t, "y": y}) for code in codes]


def in_place(ode: Ode, arguments: str) -> Callable[..., None]:
    """The right-hand side as a function of `t`, `y` and `rate`, into which it writes; for Numba to compile."""
    lines = [f"def f({arguments}):", *(f"    rate[{k}] = {rate}" for k, rate in enumerate(formulas(ode, "y[{}]")))]
    variables: dict[str, Any] = {"sin": sin, "cos": cos}
    exec("\n".join(lines), variables)
    return variables["f"]


def by_heyoka(ode: Ode) -> Solve:
    """Taylor series of adaptive order; its tolerance is one number, for each step."""
    import heyoka  # noqa: PLC0415 - need not be there

    variables = heyoka.make_vars(*(f"y{k}" for k in range(len(ode.y0))))
    rates = in_language(ode, {"sin": heyoka.sin, "cos": heyoka.cos})(heyoka.time, variables)
    system = list(zip(variables, rates, strict=True))
    solvers: dict[float, Any] = {}

    def solve(rtol: float) -> Array:
        if rtol not in solvers:
            solvers[rtol] = heyoka.taylor_adaptive(system, list(ode.y0), tol=rtol)
        solver = solvers[rtol]
        solver.time, solver.state[:] = 0.0, ode.y0
        solver.propagate_until(ode.end)
        return solver.state.copy()

    return solve


def by_cyrk(ode: Ode, method: str) -> Solve:
    """Its solvers in C++ around a function of Numba; all of a solve is compiled."""
    import CyRK  # noqa: PLC0415 - need not be there

    address = CyRK.nb_diffeq_addr(in_place(ode, "rate, t, y, arguments"))
    nothing, solve_there = np.zeros(0), CyRK.nbsolve2_ivp

    def run(y0: Array, end: float, rtol: float, atol: float) -> Array:
        found = solve_there(address, (0.0, end), y0, method, None, False, nothing, rtol, atol)
        last = found.y[:, -1].copy()
        found.free()
        return last

    y0 = np.asarray(ode.y0)
    compiled = numba.njit(run)
    return lambda rtol: compiled(y0, ode.end, rtol, rtol * ode.scale)


def by_cvode(ode: Ode) -> Solve:
    """Backward differences of SUNDIALS around a function of Numba, which Python calls."""
    from sksundae.cvode import CVODE  # noqa: PLC0415 - need not be there

    fun = numba.njit(error_model="numpy")(in_place(ode, "t, y, rate"))
    fun(0.0, np.asarray(ode.y0), np.zeros(len(ode.y0)))
    method = "BDF" if ode.stiff else "Adams"

    def solve(rtol: float) -> Array:
        options = {"method": method, "rtol": rtol, "atol": rtol * ode.scale, "max_num_steps": MOST_STEPS}
        return CVODE(fun, **options).solve([0.0, ode.end], np.asarray(ode.y0)).y[-1]

    return solve


def by_diffsol(ode: Ode, method: str) -> Solve:
    """A solver of pydiffsol, whose language is DiffSL."""
    import pydiffsol  # noqa: PLC0415 - need not be there

    states = "\n".join(f"  y{k} = {value!r}," for k, value in enumerate(ode.y0))
    rates = "\n".join(f"  {rate}," for rate in formulas(ode, "y{}"))
    code = f"u_i {{\n{states}\n}}\nF_i {{\n{rates}\n}}\n"
    solver = pydiffsol.Ode(code, matrix_type=pydiffsol.nalgebra_dense, ode_solver=getattr(pydiffsol, method))
    solver.options.max_error_test_failures = 1000
    nothing = np.zeros(0)

    def solve(rtol: float) -> Array:
        solver.rtol, solver.atol, solver.h0 = rtol, rtol * ode.scale, 1e-6
        return solver.solve(nothing, ode.end).ys[:, -1]

    return solve
