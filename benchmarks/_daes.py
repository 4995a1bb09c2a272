"""The differential-algebraic equations that `dae.py` solves, with digits at the end.

Robertson's reactions, the transistor amplifier and the chemical Akzo Nobel problem are those of the "Test Set for
Initial Value Problem Solvers" (Mazzia and Magherini, release 2.4, 2008); so are their digits. The state of the pendulum
is that of an ordinary equation for its angle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, sin, sqrt
from typing import Any

import numpy as np

Array = Any


@dataclass(frozen=True)
class Dae:
    """
    `F(t, y, yp) = 0` over `(0, end)`, in lines of Python that are the same for all contenders.

    Errors and tolerances are relative to `scale + |y|`: `atol` is `rtol * scale`.
    """

    name: str
    given: str
    """Lines before the equations: constants and terms."""
    equations: tuple[str, ...]
    y0: tuple[float, ...]
    yp0: tuple[float, ...]
    end: float
    algebraic: tuple[int, ...]
    """Components whose derivatives do not occur."""
    jacobian: dict[tuple[int, int], str]
    """Entries of `∂F/∂y + c ∂F/∂yp`."""
    reference: tuple[float, ...]
    scale: tuple[float, ...]
    index: int = 1
    constraint: Callable[[Array], Array] | None = field(default=None)
    """What is zero on the solution: by how much it is not."""

    def _written(self, head: str, lines: list[str]) -> Callable[..., Any]:
        names: dict[str, Any] = {"exp": exp, "sin": sin, "sqrt": sqrt, "np": np}
        body = [line.strip() for line in self.given.splitlines() if line.strip()]
        exec("\n".join([head, *(f"    {line}" for line in [*body, *lines])]), names)
        return names["f"]

    def residual(self) -> Callable[[Any, Any, Any], Any]:
        """As a user writes it."""
        given = self._written("def f(t, y, yp):", [f"return [{', '.join(self.equations)}]"])
        given.__globals__.update(exp=np.exp, sin=np.sin, sqrt=np.sqrt)
        return given

    def in_place(self) -> Callable[..., None]:
        """For Numba and IDA."""
        return self._written("def f(t, y, yp, res):", [f"res[{k}] = {one}" for k, one in enumerate(self.equations)])

    def jacobian_in_place(self) -> Callable[..., None]:
        """The matrix of IDA's Newton iterations."""
        lines = [f"JJ[{i}, {j}] = {entry}" for (i, j), entry in self.jacobian.items()]
        return self._written("def f(t, y, yp, res, c, JJ):", lines)

    def error(self, y: Array) -> float:
        """Largest error of the state at the end, relative to `scale + |y|`."""
        reference = np.asarray(self.reference)
        return float(np.max(np.abs(y - reference) / (np.asarray(self.scale) + np.abs(reference))))


ROBERTSON = Dae(
    "Robertson", "r = 0.04 * y[0] - 1e4 * y[1] * y[2]",
    ("yp[0] + r", "yp[1] - r + 3e7 * y[1] ** 2", "y[0] + y[1] + y[2] - 1"),
    (1.0, 0.0, 0.0), (-0.04, 0.04, 0.0), 1e11, (2,),
    {(0, 0): "0.04 + c", (0, 1): "-1e4 * y[2]", (0, 2): "-1e4 * y[1]", (1, 0): "-0.04",
     (1, 1): "1e4 * y[2] + 6e7 * y[1] + c", (1, 2): "1e4 * y[1]", (2, 0): "1.0", (2, 1): "1.0", (2, 2): "1.0"},
    (0.2083340149701255e-07, 0.8333360770334713e-13, 0.9999999791665050), (1e-4, 1e-10, 1e-2),
    constraint=lambda y: y[0] + y[1] + y[2] - 1,
)  # fmt: skip

TRANSISTOR = """
    g = 1e-6 * (exp((y[1] - y[2]) / 0.026) - 1)
    h = 1e-6 * (exp((y[4] - y[5]) / 0.026) - 1)
    dg = 1e-6 / 0.026 * exp((y[1] - y[2]) / 0.026)
    dh = 1e-6 / 0.026 * exp((y[4] - y[5]) / 0.026)
    one = 1e-6 * (yp[1] - yp[0])
    three = 3e-6 * (yp[4] - yp[3])
    five = 5e-6 * (yp[7] - yp[6])
"""

AMPLIFIER = Dae(
    "transistor amplifier", TRANSISTOR,
    ("one + 0.1 * sin(200 * 3.141592653589793 * t) / 1000 - y[0] / 1000",
     "-one + 6 / 9000 - y[1] * (2 / 9000) - 0.01 * g",
     "-2e-6 * yp[2] + g - y[2] / 9000",
     "three + 6 / 9000 - y[3] / 9000 - 0.99 * g",
     "-three + 6 / 9000 - y[4] * (2 / 9000) - 0.01 * h",
     "-4e-6 * yp[5] + h - y[5] / 9000",
     "five + 6 / 9000 - y[6] / 9000 - 0.99 * h",
     "-five - y[7] / 9000"),
    (0.0, 3.0, 3.0, 6.0, 3.0, 3.0, 6.0, 0.0),
    (51.338775, 51.338775, -166.66666666666666, -24.9757667, -24.9757667, -83.33333333333333, -10.00564453,
     -10.00564453),
    0.2, (),
    {(0, 0): "-1e-6 * c - 1 / 1000", (0, 1): "1e-6 * c", (1, 0): "1e-6 * c",
     (1, 1): "-1e-6 * c - 2 / 9000 - 0.01 * dg", (1, 2): "0.01 * dg", (2, 1): "dg", (2, 2): "-2e-6 * c - dg - 1 / 9000",
     (3, 1): "-0.99 * dg", (3, 2): "0.99 * dg", (3, 3): "-3e-6 * c - 1 / 9000", (3, 4): "3e-6 * c", (4, 3): "3e-6 * c",
     (4, 4): "-3e-6 * c - 2 / 9000 - 0.01 * dh", (4, 5): "0.01 * dh", (5, 4): "dh", (5, 5): "-4e-6 * c - dh - 1 / 9000",
     (6, 4): "-0.99 * dh", (6, 5): "0.99 * dh", (6, 6): "-5e-6 * c - 1 / 9000", (6, 7): "5e-6 * c", (7, 6): "5e-6 * c",
     (7, 7): "-5e-6 * c - 1 / 9000"},
    (-0.5562145012262709e-02, 0.3006522471903042e01, 0.2849958788608128e01, 0.2926422536206241e01,
     0.2704617865010554e01, 0.2761837778393145e01, 0.4770927631616772e01, 0.1236995868091548e01), (1e-2,) * 8,
)  # fmt: skip

REACTIONS = """
    root = sqrt(y[1])
    r1 = 18.7 * y[0] ** 4 * root
    r2 = 0.58 * y[2] * y[3]
    r3 = 0.58 / 34.4 * y[0] * y[4]
    r4 = 0.09 * y[0] * y[3] ** 2
    r5 = 0.42 * y[5] ** 2 * root
"""


def _first_slopes() -> tuple[float, ...]:
    """Of the reactions: at first, there is only the first one, and oxygen enters."""
    root, other = sqrt(0.00123), 115.83 * 0.444 * 0.007
    first, last = 18.7 * 0.444**4 * root, 0.42 * other**2 * root
    fourth = 0.09 * 0.444 * 0.007**2
    slopes = (-2 * first - fourth, -0.5 * first - fourth - 0.5 * last + 3.3 * (0.9 / 737 - 0.00123), first,
              -2 * fourth, last)  # fmt: skip
    return *slopes, 115.83 * (slopes[0] * 0.007 + 0.444 * slopes[3])


AKZO = Dae(
    "Akzo Nobel", REACTIONS,
    ("yp[0] + 2 * r1 - r2 + r3 + r4", "yp[1] + 0.5 * r1 + r4 + 0.5 * r5 - 3.3 * (0.9 / 737 - y[1])",
     "yp[2] - r1 + r2 - r3", "yp[3] + r2 - r3 + 2 * r4", "yp[4] - r2 + r3 - r5", "115.83 * y[0] * y[3] - y[5]"),
    (0.444, 0.00123, 0.0, 0.007, 0.0, 115.83 * 0.444 * 0.007),
    _first_slopes(), 180.0, (5,),
    {(0, 0): "c + 149.6 * y[0] ** 3 * root + 0.58 / 34.4 * y[4] + 0.09 * y[3] ** 2",
     (0, 1): "18.7 * y[0] ** 4 / root", (0, 2): "-0.58 * y[3]", (0, 3): "-0.58 * y[2] + 0.18 * y[0] * y[3]",
     (0, 4): "0.58 / 34.4 * y[0]",
     (1, 0): "37.4 * y[0] ** 3 * root + 0.09 * y[3] ** 2",
     (1, 1): "c + 18.7 * y[0] ** 4 / root / 4 + 0.42 * y[5] ** 2 / root / 4 + 3.3", (1, 3): "0.18 * y[0] * y[3]",
     (1, 5): "0.42 * y[5] * root",
     (2, 0): "-74.8 * y[0] ** 3 * root - 0.58 / 34.4 * y[4]", (2, 1): "-18.7 * y[0] ** 4 / root / 2",
     (2, 2): "c + 0.58 * y[3]", (2, 3): "0.58 * y[2]", (2, 4): "-0.58 / 34.4 * y[0]",
     (3, 0): "-0.58 / 34.4 * y[4] + 0.18 * y[3] ** 2", (3, 2): "0.58 * y[3]",
     (3, 3): "c + 0.58 * y[2] + 0.36 * y[0] * y[3]", (3, 4): "-0.58 / 34.4 * y[0]",
     (4, 0): "0.58 / 34.4 * y[4]", (4, 1): "-0.42 * y[5] ** 2 / root / 2", (4, 2): "-0.58 * y[3]",
     (4, 3): "-0.58 * y[2]", (4, 4): "c + 0.58 / 34.4 * y[0]", (4, 5): "-0.84 * y[5] * root",
     (5, 0): "115.83 * y[3]", (5, 3): "115.83 * y[0]", (5, 5): "-1.0"},
    (0.1150794920661702, 0.1203831471567715e-2, 0.1611562887407974, 0.3656156421249283e-3, 0.1708010885264404e-1,
     0.4873531310307455e-2), (1e-4,) * 6,
    constraint=lambda y: 115.83 * y[0] * y[3] - y[5],
)  # fmt: skip

GRAVITY, SWING = 9.81, 3.0


def _swung() -> tuple[float, ...]:
    """The pendulum that begins on the right, at rest: its position, velocity and tension at the end."""
    from scipy.integrate import solve_ivp  # noqa: PLC0415

    found = solve_ivp(
        lambda t, a: [a[1], -GRAVITY * np.sin(a[0])], (0.0, SWING), [np.pi / 2, 0.0], "DOP853", rtol=3e-14, atol=1e-14
    ).y[:, -1]
    angle, speed = found.tolist()
    x, z = np.sin(angle), -np.cos(angle)
    return float(x), float(z), float(speed * np.cos(angle)), float(speed * np.sin(angle)), float(speed**2 - GRAVITY * z)


MOTION = ("yp[0] - y[2]", "yp[1] - y[3]", "yp[2] + y[4] * y[0]", "yp[3] + y[4] * y[1] + 9.81")
OF_MOTION = {(0, 0): "c", (0, 2): "-1.0", (1, 1): "c", (1, 3): "-1.0", (2, 0): "y[4]", (2, 2): "c", (2, 4): "y[0]",
             (3, 1): "y[4]", (3, 3): "c", (3, 4): "y[1]"}  # fmt: skip
START = (1.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, -GRAVITY, 0.0)
LENGTH = "y[0] ** 2 + y[1] ** 2 - 1"

PENDULUM = Dae(
    "pendulum of index 1", "",
    (*MOTION, "y[2] ** 2 + y[3] ** 2 - y[4] * (y[0] ** 2 + y[1] ** 2) - 9.81 * y[1]"), *START, SWING, (4,),
    {**OF_MOTION, (4, 0): "-2 * y[4] * y[0]", (4, 1): "-2 * y[4] * y[1] - 9.81", (4, 2): "2 * y[2]", (4, 3): "2 * y[3]",
     (4, 4): "-(y[0] ** 2 + y[1] ** 2)"}, _swung(), (1e-2,) * 5,
    constraint=lambda y: y[2] ** 2 + y[3] ** 2 - y[4] * (y[0] ** 2 + y[1] ** 2) - GRAVITY * y[1],
)  # fmt: skip

PENDULUM_3 = Dae(
    "pendulum of index 3", "", (*MOTION, LENGTH), *START, SWING, (4,),
    {**OF_MOTION, (4, 0): "2 * y[0]", (4, 1): "2 * y[1]"}, PENDULUM.reference, (1e-2,) * 5, 3,
    constraint=lambda y: y[0] ** 2 + y[1] ** 2 - 1,
)  # fmt: skip

DAES = ROBERTSON, AMPLIFIER, AKZO, PENDULUM, PENDULUM_3
