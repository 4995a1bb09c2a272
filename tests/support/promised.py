"""Problems of the tests and from practice, with their states at the end, for what is promised of errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp as scipys
from scipy.linalg import expm

from tests.support import ode_problems, people_problems, stiff_problems, switching_problems
from tests.support.ode_problems import prothero_robinson


@dataclass(frozen=True, eq=False)
class Promised:
    """
    `y' = fun(t, y, *args)` over a span, with its state at the end.

    Attributes
    ----------
    make : callable
        It returns `fun`: some remember what they were called with.
    end : callable
        It returns the first components of the state at the end; None where the solution does not get there.
    scale : float
        A tolerance `rtol` comes with `atol = scale * rtol`.
    is_chaotic : bool
        Whether small changes grow without end.
    digits : float
        Relative error of the state at the end.
    jumps : bool
        Whether `fun` jumps or has kinks.
    """

    name: str
    make: Callable[[], Any]
    span: tuple[float, float]
    y0: Any
    end: Callable[[], Any]
    scale: float = 1.0
    is_chaotic: bool = False
    digits: float = 1e-13
    jumps: bool = False
    args: tuple[Any, ...] | None = None

    def error(self, sol: Any, rtol: float) -> float:
        """Largest error at the end in tolerances; infinite where a solution claims to have got where there is none."""
        expected = expected_of(self)
        if expected is None:
            return inf
        found = sol.y[: len(expected), -1]
        tolerances = max(rtol, self.digits) * (self.scale + np.abs(expected))
        return float(np.max(np.abs(found - expected) / tolerances))


@cache
def expected_of(problem: Promised) -> Any:
    """The state at the end."""
    found = problem.end()
    return None if found is None else np.asarray(found)


def tight(fun: Any, span: Any, y0: Any, *, stiff: bool) -> Any:
    """The state at the end by SciPy's solvers with the tightest tolerances."""
    method, rtol = ("Radau", 3e-13) if stiff else ("DOP853", 2.3e-14)
    return scipys(lambda t, y: np.asarray(fun(t, y)), span, y0, method, rtol=rtol, atol=1e-17).y[:, -1]


def given(name: str, fun: Any, span: Any, y0: Any, end: Any, **facts: Any) -> Promised:
    """A problem with a function that remembers nothing, and a state at the end, or what returns it."""
    return Promised(name, lambda: fun, span, y0, end if callable(end) else lambda: end, **facts)


def lorenz(t, y):
    return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]


def e5(t, y):
    slow, fast, bound, freed = (
        7.89e-10 * y[0],
        1.13e9 * 1.76e-3 * y[1] * y[2],
        1.1e7 * 1.76e-3 * y[0] * y[2],
        1.13e3 * y[3],
    )
    return [-slow - bound, slow - fast, slow - bound + freed - fast, bound - freed]


def orbit(e, t):
    """Kepler's orbit from the pericentre."""
    angle = t
    for _ in range(300):
        angle -= (angle - e * np.sin(angle) - t) / (1 - e * np.cos(angle))
    width, way = np.sqrt(1 - e * e), 1 - e * np.cos(angle)
    return np.array([np.cos(angle) - e, width * np.sin(angle), -np.sin(angle) / way, width * np.cos(angle) / way])


def smooth():
    for ode in ode_problems.ODES:
        yield given(ode.name, ode.fun, (0.0, ode.end), ode.y0, ode.reference, scale=ode.scale,
                    digits=6e-11 if ode.name == "Arenstorf" else 5e-13)  # fmt: skip
    yield given("pendulum", ode_problems.pendulum, (0.0, 20.0), [2.0, 0.0], (-1.644567516512704, -0.8275778409430524))
    yield given("Lorenz 20", lorenz, (0.0, 20.0), [1.0, 1.0, 1.0],
                (13.7931995951286188, 12.9518039361898985, 34.9016086811351429), is_chaotic=True)  # fmt: skip
    yield given("E5", e5, (0.0, 1e4), [1.0, 0.0, 0.0, 0.0], (0.41138715352,), scale=1e-3, digits=3e-11)
    for e, end in ((0.9, 10.0), (0.99, 30.0)):
        yield given(f"Kepler {e}", ode_problems.kepler, (0.0, end), orbit(e, 0.0), orbit(e, end), digits=1e-11)
    yield given("growth", lambda t, y: [y[0] - np.sin(t) + np.cos(t)], (0.0, 10.0), [0.0], [np.sin(10.0)], digits=1e-11)
    yield given("late growth", lambda t, y: [y[0] * (1 - y[0])], (0.0, 30.0), [1e-12],
                [1 / (1 + (1e12 - 1) * np.exp(-30.0))], scale=1e-3)  # fmt: skip
    yield given("quadrature", lambda t, y: [np.cos(t)], (0.0, 100.0), [0.0], [np.sin(100.0)])
    yield given("Prothero-Robinson 1e4, complex", lambda t, y: -1e4 * (y - np.exp(1j * t)) + 1j * np.exp(1j * t),
                (0.0, 10.0), np.array([1 + 0j]), [np.exp(10j)])  # fmt: skip
    for name, (fun, y0, end, scale) in stiff_problems.PROBLEMS.items():
        yield given(f"stiff: {name}", fun, (0.0, end), y0, lambda f=fun, e=end, y=y0: tight(f, (0.0, e), y, stiff=True),
                    scale=scale, digits=1e-11)  # fmt: skip


def kick(t, y):
    return [np.where((t > 50) & (t < 51), 1.0, 0.0) + 0 * y[0]]


def pulsed(t, y):
    return [500 * np.exp(-(((t - 5.05) / 0.02) ** 2)) + 0 * y[0], -y[1]]


def ranges(t, y):
    return [1 + 0 * y[0], np.where((y[0] > 7.77) & (y[0] < 7.87), 100.0, 0.0) + 0 * y[0]]


def grazing(t, y):
    return [y[1], -y[0], np.where(y[0] > 0.9995, 10.0, 0.0) + 0 * y[0]]


ABOVE = float(np.arccos(0.9995))


def of_switches():
    for name, problem in switching_problems.PROBLEMS.items():
        yield given(f"switching: {name}", problem.fun, problem.span, problem.y0,
                    lambda p=problem: switching_problems.reference(p), digits=1e-11, jumps=True)  # fmt: skip
    for name, problem in people_problems.PROBLEMS.items():
        scale = 1e-3 * (np.abs(problem.y0).max() or 1.0)
        yield given(f"people: {name}", problem.fun, (0.0, problem.end), np.array(problem.y0, float),
                    lambda p=problem: people_problems.reference(p), scale=scale, digits=1e-10, jumps=True,
                    args=problem.args or None)  # fmt: skip
    yield given(
        "step input", lambda t, y: [np.where(t > 1, 1.0, 0.0) - y[0]], (0.0, 3.0), [0.0], [1 - np.exp(-2)], jumps=True
    )
    yield given(
        "square wave", lambda t, y: [np.where(np.sin(t) > 0, 1.0, -1.0)], (0.0, 3 * np.pi), [0.0], [np.pi], jumps=True
    )
    yield given("absolute value", lambda t, y: [1 - np.abs(y[0])], (0.0, 2.0), [-0.5], [1 - 2 * np.exp(-2)], jumps=True)
    yield given("kick", kick, (0.0, 100.0), [0.0], [1.0], jumps=True)
    yield given("pulse", pulsed, (0.0, 10.0), [1.0, 1.0], [1 + 10 * np.sqrt(np.pi), np.exp(-10.0)], jumps=True)
    yield given("range of the state", ranges, (0.0, 10.0), [0.0, 0.0], [10.0, 10.0], jumps=True)
    end = [np.sin(9.0), np.cos(9.0), 40 * ABOVE]
    yield given("grazed threshold", grazing, (0.0, 9.0), [0.0, 1.0, 0.0], end, jumps=True)
    yield given(
        "friction to rest", lambda t, y: [y[1], -3 * np.sign(y[1])], (0.0, 2.0), [0.0, 3.0], [1.5, 0.0], jumps=True
    )
    yield given("sliding", lambda t, y: [-np.sign(y[0]), y[0] - y[1]], (0.0, 3.0), [1.0, 0.0], sliding_end, jumps=True)


def sliding_end():
    """The first component is 1 - t up to 1, and 0 from there on."""
    at_one = 1 - 2 * np.exp(-1.0)  # the second one is 2 - t - 2 exp(-t) up to there
    return [0.0, at_one * np.exp(-2.0)]


def without_an_end():
    nothing = {"end": None, "jumps": True}
    yield given("pole", lambda t, y: y * y, (0.0, 2.0), [1.0], **nothing)
    yield given("tangent", lambda t, y: 1 + y * y, (0.0, 3.0), [0.0], **nothing)
    yield given("square root", lambda t, y: [-np.sqrt(1 - t) * y[0] ** 0], (0.0, 2.0), [1.0], **nothing)
    yield given("not a number", lambda t, y: [np.where(t > 1, np.nan, 1.0) * y[0]], (0.0, 2.0), [1.0], **nothing)


# From practice


def outbreak(t, y):
    total = y[:3].sum()
    return [-0.5 * y[0] * y[1] / total, 0.5 * y[0] * y[1] / total - 0.1 * y[1], 0.1 * y[1], 1e10 * y[1] - 2.0 * y[3]]


def buffered():
    out = np.zeros(2, complex)

    def coupled(t, y):
        out[0], out[1] = 1j * y[1], 1j * y[0]
        return out

    return coupled


HAMILTONIAN = np.diag([0.0, 1.0, 2.3, 3.1]) + 0.3 * (np.eye(4, k=1) + np.eye(4, k=-1))


def commutator(t, y):
    rho = y.reshape(4, 4)
    return (-1j * (HAMILTONIAN @ rho - rho @ HAMILTONIAN)).ravel()


def evolved():
    turned = expm(-50j * HAMILTONIAN)
    return np.outer(turned[:, 0], turned[:, 0].conj()).ravel()


HOURS = np.arange(0.0, 24 * 20 + 1)
OUTSIDE = 10 + 8 * np.sin(2 * np.pi * HOURS / 24) + np.random.default_rng(2).standard_normal(HOURS.size)


def room(t, y):
    return [(np.interp(t, HOURS, OUTSIDE) - y[0]) / 20 + (y[1] - y[0]) / 5, (y[0] - y[1]) / 50]


def heated():
    """By exponentials, hour by hour."""
    matrix, y = np.zeros((4, 4)), np.array([15.0, 15.0])
    matrix[:2, :2] = [[-0.25, 0.2], [0.02, -0.02]]
    matrix[0, 2], matrix[2, 3] = 1 / 20, 1.0
    hour = expm(matrix)
    for low, high in pairwise(OUTSIDE):
        y = (hour @ np.r_[y, low, high - low])[:2]
    return y


def controlled():
    """It remembers its last call: no solver can be held to the right answer, but none may call it a success."""
    last = {"t": 0.0, "error": 1.0}

    def fun(t, y):
        error, passed = 1 - y[0], t - last["t"]
        slope = (error - last["error"]) / passed if passed > 0 else 0.0
        last["t"], last["error"] = t, error
        return [y[1], -y[1] - y[0] + 5 * error + 0.5 * slope]

    return fun


def meant(t, y):
    return [y[1], -y[1] - y[0] + 5 * (1 - y[0]) - 0.5 * y[1]]


def tone(t, y):
    return [y[1], -((2 * np.pi * 100) ** 2) * y[0]]


def of_practice():
    y0 = [0.99, 0.01, 0.0, 1e6]
    yield given("outbreak", outbreak, (0.0, 60.0), y0, lambda: tight(outbreak, (0.0, 60.0), y0, stiff=False))
    yield Promised("one buffer", buffered, (0.0, 10.0), [1 + 0j, 0j], lambda: [np.cos(10.0), 1j * np.sin(10.0)])
    start = np.zeros(16, complex)
    start[0] = 1
    yield given("density matrix", commutator, (0.0, 50.0), start, evolved)
    yield given("hourly weather", room, (0.0, HOURS[-1]), [15.0, 15.0], heated, jumps=True)
    yield Promised("memory", controlled, (0.0, 10.0), [0.0, 0.0],
                   lambda: tight(meant, (0.0, 10.0), [0.0, 0.0], stiff=False), jumps=True)  # fmt: skip
    yield given("three zeros", lambda x, y: [3 * x**2 + 12 * x - 4], (-8.0, 4.0), [-120.0], [120.0])
    yield given("epoch seconds", tone, (1.7e9, 1.7e9 + 0.0625), [1.0, 0.0], [np.cos(12.5 * np.pi)], digits=1e-3)
    fast = prothero_robinson(1e8)
    yield given("stiffer", fast.fun, (0.0, 10.0), fast.y0, fast.reference)


PROBLEMS = [*smooth(), *of_switches(), *without_an_end(), *of_practice()]
"""All of them; their names differ."""
