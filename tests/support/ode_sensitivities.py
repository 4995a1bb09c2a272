"""Initial value problems with parameters, and what their derivatives are, computed in other ways."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy.integrate
import scipy.linalg

from parscan._recorded.native import dop853


@dataclass(frozen=True)
class Family:
    """`y' = fun(t, y, *args)` over `(0, end)`, with `∂f/∂θ` by all of `args`, which are numbers, and `∂f/∂y`."""

    name: str
    fun: Any
    forcing: Any
    jac: Any
    y0: tuple[float, ...]
    end: float
    args: tuple[float, ...]


def lotka_volterra(t, y, growth, death):
    return [growth * y[0, ...] - y[0, ...] * y[1, ...], y[0, ...] * y[1, ...] - death * y[1, ...]]


def lotka_volterra_forcing(t, y, growth, death):
    return [[y[0, ...], 0], [0, -y[1, ...]]]


def lotka_volterra_jac(t, y, growth, death):
    return [[growth - y[1, ...], -y[0, ...]], [y[1, ...], y[0, ...] - death]]


def driven(t, y, mu, force):
    return [y[1, ...], mu * (1 - y[0, ...] ** 2) * y[1, ...] - y[0, ...] + force * (t * t - t)]


def driven_forcing(t, y, mu, force):
    return [[0, 0], [(1 - y[0, ...] ** 2) * y[1, ...], t * t - t]]


def driven_jac(t, y, mu, force):
    return [[0, 1], [-2 * mu * y[0, ...] * y[1, ...] - 1, mu * (1 - y[0, ...] ** 2)]]


def robertson(t, y, slow, fast, fastest):
    a, b, c = slow * y[0, ...], fast * y[1, ...] * y[2, ...], fastest * y[1, ...] ** 2
    return [b - a, a - b - c, c]


def robertson_forcing(t, y, slow, fast, fastest):
    a, b, c = y[0, ...], y[1, ...] * y[2, ...], y[1, ...] ** 2
    return [[-a, b, 0], [a, -b, -c], [0, 0, c]]


def robertson_jac(t, y, slow, fast, fastest):
    b, c, d = fast * y[2, ...], fast * y[1, ...], 2 * fastest * y[1, ...]
    return [[-slow, b, c], [slow, -b - d, -c], [0, d, 0]]


SMOOTH = [
    Family("Lotka-Volterra", lotka_volterra, lotka_volterra_forcing, lotka_volterra_jac, (2.0, 1.0), 3.0, (1.5, 3.0)),
    Family("Van der Pol", driven, driven_forcing, driven_jac, (2.0, 0.0), 2.0, (2.0, 0.5)),
]
STIFF = [
    Family("Robertson", robertson, robertson_forcing, robertson_jac, (1.0, 0.0, 0.0), 1e4, (0.04, 1e4, 3e7)),
    Family("stiff Van der Pol", driven, driven_forcing, driven_jac, (2.0, 0.0), 1.0, (1e3, 0.0)),
]


def dense(value, n):
    """Nested lists of numbers as a matrix."""
    return np.array([[float(entry) for entry in row] for row in value]).reshape(n, -1)


@cache
def by_augmenting(family, times, rtol=1e-10):
    """`dy/dθ` and `dy/dy0`, `(n, N, p + n)`, by the variational equations, step after step."""
    n, p = len(family.y0), len(family.args)

    def fun(t, z):
        y, S = z[:n], z[n:].reshape(n, p + n)
        J = dense(family.jac(t, y, *family.args), n)
        forced = np.hstack([dense(family.forcing(t, y, *family.args), n), np.zeros((n, n))])
        return np.concatenate([np.asarray(family.fun(t, y, *family.args)), (J @ S + forced).ravel()])

    z0 = np.concatenate([family.y0, np.hstack([np.zeros((n, p)), np.eye(n)]).ravel()])
    span = (0.0, times[-1])
    sol = scipy.integrate.solve_ivp(fun, span, z0, "Radau", t_eval=times, rtol=rtol, atol=1e-3 * rtol)
    return np.moveaxis(sol.y[n:].reshape(n, p + n, -1), 1, -1)


def extrapolated(values, step=1e-3):
    """Derivative of `values(change)` at zero, by differences of sixth order."""

    def central(h):
        return (values(h) - values(-h)) / (2 * h)

    first, second, third = central(step), central(step / 2), central(step / 4)
    one, other = (4 * second - first) / 3, (4 * third - second) / 3
    return (16 * other - one) / 15


def deviation(found, expected):
    """Largest difference, relative to the largest number."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def exponentials(A, times):
    """The fundamental matrix of y' = A y, `(n, N, n)`."""
    return np.stack([scipy.linalg.expm(A * t) for t in times], axis=1)


def steps_of(fun, nodes, y0, *args):
    """States at nodes by DOP853, one step from each to the next one."""
    states = [y0]
    for t, h in zip(nodes[:-1], np.diff(nodes), strict=True):
        slopes = []
        for node, weights in zip(dop853.C, ((), *dop853.A), strict=True):
            stage = states[-1] + h * sum((w * k for w, k in zip(weights, slopes, strict=False)), 0 * y0)
            slopes.append(fun(t + node * h, stage, *args))
        states.append(states[-1] + h * sum(w * k for w, k in zip(dop853.B, slopes, strict=True)))
    return np.stack(states)
