"""Fits of ODEs by least squares: exact Jacobians of compiled solutions against differences of SciPy's, and diffrax."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.integrate
from _harness import Case, Target
from scipy.optimize import least_squares

import parscan

NOISE, OBSERVATIONS, RTOL = 0.01, 100, 1e-8
BESIDE = 1.02
"""Factor on the true parameters with which a fit begins."""

WAYS = {False: "2-point", True: "3-point"}
"""Differences of `least_squares`."""

STOPS = {"xtol": 1e-10, "ftol": 1e-10, "gtol": 1e-10, "x_scale": "jac"}


@dataclass(frozen=True)
class Fit:
    """Parameters that noisy observations shall give back."""

    name: str
    fun: Callable[..., Any]
    truth: tuple[float, ...]
    y0: tuple[float, ...]
    end: float
    methods: tuple[str, ...]
    """Those of SciPy that are fast here."""

    solver: str
    """That of diffrax; its stiff ones take minutes for a fit at this tolerance, and are left out."""

    at_least: float

    @property
    def times(self) -> Any:
        return np.linspace(0, self.end, OBSERVATIONS + 1)[1:]

    @property
    def first(self) -> Any:
        return BESIDE * np.array(self.truth)

    def states(self, solve: Callable[..., Any], p: Any, rtol: float = RTOL, **options: Any) -> Any:
        """A solution at the times of the observations."""
        given = {"t_eval": self.times, "rtol": rtol, "atol": rtol * 1e-3, **options}
        return solve(self.fun, (0.0, self.end), list(self.y0), args=(p,), **given)

    def observed(self) -> tuple[Any, Any]:
        """True states with relative noise, and their sizes."""
        exact = self.states(scipy.integrate.solve_ivp, np.array(self.truth), 1e-10, method=self.methods[0]).y
        data = exact * (1 + NOISE * np.random.default_rng(1).normal(size=exact.shape))
        return data, np.abs(data).max(axis=1, keepdims=True)

    def by_differences(self, solve: Callable[..., Any], data: Any, size: Any, **options: Any) -> Any:
        """The fit with differences by `least_squares`, of second order with another tolerance."""

        def residuals(p: Any) -> Any:
            return ((self.states(solve, p, **options).y - data) / size).ravel()

        return least_squares(residuals, self.first, WAYS["rtol" in options], diff_step=1e-5, **STOPS).x

    def by_jacobian(self, data: Any, size: Any) -> Any:
        """The fit with residuals and exact Jacobian from one solve."""
        sol: Any = None

        def residuals(p: Any) -> Any:
            nonlocal sol
            sol = self.states(parscan.solve_ivp, p)
            return ((sol.y - data) / size).ravel()

        def jacobian(p: Any) -> Any:
            return (sol.jacobian("p") / size[..., None]).reshape(data.size, -1)

        return least_squares(residuals, self.first, jacobian, **STOPS).x


def lotka_volterra(t: Any, y: Any, p: Any) -> Any:
    return [p[0] * y[0] - p[1] * y[0] * y[1], p[3] * y[0] * y[1] - p[2] * y[1]]


def oregonator(t: Any, y: Any, p: Any) -> Any:
    s, w = p[0], p[1]
    return [s * (y[1] + y[0] * (1 - 8.375e-6 * y[0] - y[1])), (y[2] - (1 + y[0]) * y[1]) / s, w * (y[0] - y[2])]


def pendulum_with(sin: Callable[[Any], Any]) -> Callable[..., Any]:
    """With the sine of NumPy or of JAX."""

    def pendulum(t: Any, y: Any, p: Any) -> Any:
        return [y[1], p[3] - p[0] * sin(y[0]) - p[1] * y[1] - p[2] * y[1] ** 3]

    return pendulum


pendulum = pendulum_with(np.sin)


EXPLICIT = ("DOP853", "LSODA")

FITS = (
    Fit("Lotka-Volterra", lotka_volterra, (1.5, 1.0, 3.0, 1.0), (10.0, 5.0), 15.0, EXPLICIT, "Dopri8", 60),
    Fit("Oregonator", oregonator, (77.27, 0.161), (1.0, 2.0, 3.0), 360.0, ("LSODA",), "", 60),
    Fit("pendulum", pendulum, (9.81, 0.02, 0.002, 0.1), (2.5, 0.0), 20.0, EXPLICIT, "Dopri8", 40),
)


def cases(quick: bool) -> Iterator[Case]:
    """The fits; with diffrax, where it is installed."""
    for fit in FITS:
        data, size = fit.observed()
        contenders: dict[str, Callable[[], Any]] = {
            f"SciPy {method}, differences": partial(
                fit.by_differences, scipy.integrate.solve_ivp, data, size, method=method
            )
            for method in fit.methods[: 1 if quick else None]
        }
        slow = tuple(contenders)
        contenders["parscan, differences"] = partial(fit.by_differences, parscan.solve_ivp, data, size)
        contenders["parscan, sol.jacobian"] = partial(fit.by_jacobian, data, size)
        targets = [Target("parscan, sol.jacobian", slow, fit.at_least)]
        if (jax := diffrax_fit(fit, data, size)) is not None:
            contenders["diffrax, jacfwd"] = jax[0]
            targets.append(Target("parscan, sol.jacobian", "diffrax, jacfwd", 1))
        for _ in range(3):  # what repeats of a solve need is made
            fit.by_jacobian(data, size)
        tight = fit.by_differences(parscan.solve_ivp, data, size, rtol=1e-12)
        yield Case(f"fit of {fit.name}, rtol={RTOL:g}", contenders, tight, targets)


def compile_times() -> Iterator[tuple[str, float]]:
    """Seconds until diffrax's states and their Jacobian are compiled, where it is installed."""
    for fit in FITS:
        if (found := diffrax_fit(fit, *fit.observed())) is not None:
            yield f"seconds to compile diffrax's states and Jacobian, {fit.name}", found[1]


def diffrax_fit(fit: Fit, data: Any, size: Any) -> tuple[Callable[[], Any], float] | None:
    """The fit by diffrax with `jax.jacfwd`, and the seconds that it took to compile; None without diffrax."""
    if not fit.solver:
        return None
    try:
        import jax.numpy as jnp  # noqa: PLC0415 - need not be there
        from _peers_diffrax import states_of  # noqa: PLC0415
    except ImportError:
        return None
    begin = time.perf_counter()
    fun = pendulum_with(jnp.sin) if fit.fun is pendulum else fit.fun
    states, slopes = states_of(fun, fit.solver, fit.y0, fit.times, RTOL, RTOL * 1e-3)
    for each in (states, slopes):
        each(fit.first)
    seconds = time.perf_counter() - begin

    def run() -> Any:
        return least_squares(
            lambda p: ((np.asarray(states(p)).T - data) / size).ravel(),
            fit.first,
            lambda p: (np.moveaxis(np.asarray(slopes(p)), 0, 1) / size[..., None]).reshape(data.size, -1),
            **STOPS,
        ).x

    return run, seconds
