"""The initial value problems that `ivp.py` solves: as SciPy's users write them, with digits at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

Array = Any


@dataclass(frozen=True)
class Ode:
    """`y' = fun(t, y)` from `y0` over `(0, end)`; `reference` are the first components at the end.

    Errors and tolerances are relative to `scale + |y|`: `atol` is `rtol * scale`.
    """

    name: str
    fun: Callable[[Any, Any], Any]
    y0: tuple[float, ...]
    end: float
    reference: tuple[float, ...]
    scale: float = 1e-3
    stiff: bool = False
    chaotic: bool = False
    digits: float = 1e-14
    """Relative error of the reference."""

    def error(self, y: Array) -> float:
        """Largest error of a state at the end, relative to `scale + |y|`."""
        reference = np.asarray(self.reference)
        return float(np.max(np.abs(y[: reference.size] - reference) / (self.scale + np.abs(reference))))


def lotka_volterra(t: Any, y: Any) -> Any:
    prey, predators = y
    return [1.5 * prey - prey * predators, -3 * predators + prey * predators]


def van_der_pol(mu: float) -> Callable[[Any, Any], Any]:
    def fun(t: Any, y: Any) -> Any:
        x, v = y
        return [v, mu * (1 - x * x) * v - x]

    return fun


def robertson(t: Any, y: Any) -> Any:
    a, b, c = y
    slow, fast, fastest = 0.04 * a, 1e4 * b * c, 3e7 * b * b
    return [fast - slow, slow - fast - fastest, fastest]


def oregonator(t: Any, y: Any) -> Any:
    a, b, c = y
    return [77.27 * (b + a * (1 - 8.375e-6 * a - b)), (c - (1 + a) * b) / 77.27, 0.161 * (a - c)]


def hires(t: Any, y: Any) -> Any:
    a, b, c, d, e, f, g, h = y
    bound, unbound = 280 * f * h, 1.81 * g
    return [
        -1.71 * a + 0.43 * b + 8.32 * c + 0.0007,
        1.71 * a - 8.75 * b,
        -10.03 * c + 0.43 * d + 0.035 * e,
        8.32 * b + 1.71 * c - 1.12 * d,
        -1.745 * e + 0.43 * f + 0.43 * g,
        -bound + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g,
        bound - unbound,
        -bound + unbound,
    ]


def brusselator(t: Any, y: Any) -> Any:
    a, b = y
    return [1 + a * a * b - 4 * a, 3 * a - a * a * b]


def lorenz(t: Any, y: Any) -> Any:
    a, b, c = y
    return [10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c]


def rigid_body(t: Any, y: Any) -> Any:
    a, b, c = y
    return [-2 * b * c, 1.25 * a * c, -0.5 * a * b]


def kepler(t: Any, y: Any) -> Any:
    x, z, vx, vz = y
    r3 = (x * x + z * z) ** 1.5
    return [vx, vz, -x / r3, -z / r3]


def arenstorf(t: Any, y: Any) -> Any:
    moon = 0.012277471
    x, z, vx, vz = y
    d1, d2 = ((x + moon) ** 2 + z * z) ** 1.5, ((x - 1 + moon) ** 2 + z * z) ** 1.5
    return [
        vx,
        vz,
        x + 2 * vz - (1 - moon) * (x + moon) / d1 - moon * (x - 1 + moon) / d2,
        z - 2 * vx - (1 - moon) * z / d1 - moon * z / d2,
    ]


def pendulum(t: Any, y: Any) -> Any:
    angle, speed = y
    return [speed, -np.sin(angle)]


STARS = 7


def pleiades(t: Any, y: Any) -> Any:
    """Seven stars in a plane, the masses 1 to 7 (Hairer, Nørsett, Wanner, "Solving ODEs I", section II.10)."""
    places = [(y[k], y[STARS + k]) for k in range(STARS)]
    pulls_x, pulls_z = [], []
    for own, (x, z) in enumerate(places):
        pull_x, pull_z = 0.0, 0.0
        for other, (other_x, other_z) in enumerate(places):
            if other != own:
                mass = other + 1.0
                r3 = ((other_x - x) ** 2 + (other_z - z) ** 2) ** 1.5
                pull_x, pull_z = pull_x + mass * (other_x - x) / r3, pull_z + mass * (other_z - z) / r3
        pulls_x.append(pull_x)
        pulls_z.append(pull_z)
    return [*(y[2 * STARS + k] for k in range(2 * STARS)), *pulls_x, *pulls_z]


def e5(t: Any, y: Any) -> Any:
    """A chemical reaction (Hairer and Wanner, "Solving ODEs II", section IV.10), in units of its first start."""
    a, b, c, d = y
    slow, fast, bound, freed = 7.89e-10 * a, 1.13e9 * 1.76e-3 * b * c, 1.1e7 * 1.76e-3 * a * c, 1.13e3 * d
    return [-slow - bound, slow - fast, slow - bound + freed - fast, bound - freed]


def network(t: Any, y: Any) -> Any:
    """Twenty species: a chain of reactions to and fro, and some between two, with rates over eleven decades."""
    rates = [0.0 * y[0]] * SPECIES
    for k in range(SPECIES - 1):
        forward = 10.0 ** (7 * k % 11 - 3)
        flow = forward * y[k] - 0.1 * forward * y[k + 1]
        rates[k], rates[k + 1] = rates[k] - flow, rates[k + 1] + flow
    for k in range(0, SPECIES - 2, 5):
        flow = 10.0 ** (3 * k % 7) * y[k] * y[k + 2]
        rates[k], rates[k + 2], rates[-1] = rates[k] - flow, rates[k + 2] - flow, rates[-1] + 2 * flow
    return rates


SPECIES = 20


def heat(points: int, end: float) -> Ode:
    """The heat equation on (0, 1) by lines: exact for the semi-discrete system."""
    x = np.arange(1, points + 1) / (points + 1)
    inverse = float(points + 1) ** 2

    def fun(t: Any, u: Any) -> Any:
        rate = -2 * u
        rate[1:] += u[:-1]
        rate[:-1] += u[1:]
        return inverse * rate

    decay = np.exp(-4 * inverse * np.sin(np.pi / (2 * (points + 1))) ** 2 * end)
    start = np.sin(np.pi * x)
    return Ode(f"heat, {points} lines", fun, tuple(start), end, tuple(start * decay), 1e-3, stiff=True)


def prothero_robinson(rate: float) -> Ode:
    """A fast decay to a slow solution."""

    def fun(t: Any, y: Any) -> Any:
        return [-rate * (y[0] - np.cos(t)) - np.sin(t)]

    return Ode(f"Prothero-Robinson {rate:.0e}", fun, (1.0,), 10.0, (float(np.cos(10.0)),), 1.0, stiff=True)


PLEIADES = (
    *(3.0, 3.0, -1.0, -3.0, 2.0, -2.0, 2.0), *(3.0, -3.0, 2.0, 0.0, 0.0, -4.0, 4.0),
    *(0.0, 0.0, 0.0, 0.0, 0.0, 1.75, -1.5), *(0.0, 0.0, 0.0, -1.25, 1.0, 0.0, 0.0),
)  # fmt: skip

ARENSTORF = (0.994, 0.0, 0.0, -2.00158510637908252240537862224)

ODES = (
    Ode("Lotka-Volterra, T=15", lotka_volterra, (10.0, 5.0), 15.0, (0.713751378097759299, 0.0754077962407946931), 1e-3),
    Ode("Lotka-Volterra, T=10", lotka_volterra, (1.0, 1.0), 10.0, (1.02634476757508932, 0.909691078136041607), 1e-3),
    Ode("Van der Pol 1", van_der_pol(1.0), (2.0, 0.0), 10.0, (-2.00834078257971233, 0.0329070658633240644), 1e-3),
    Ode(
        "Van der Pol 1000",
        van_der_pol(1000.0),
        (2.0, 0.0),
        2000.0,
        (1.706167732170469, -8.928097010248125e-4),
        1e-3,
        stiff=True,
        digits=1e-13,
    ),
    Ode(
        "Robertson",
        robertson,
        (1.0, 0.0, 0.0),
        1e11,
        (2.083340149701255e-8, 8.333360770334713e-14, 0.9999999791665050),
        1e-8,
        stiff=True,
        digits=1e-12,
    ),
    Ode(
        "Oregonator",
        oregonator,
        (1.0, 2.0, 3.0),
        360.0,
        (1.000814870318523, 1228.178521549917, 132.0554942846706),
        1e-3,
        stiff=True,
        digits=3e-13,
    ),
    Ode(
        "HIRES",
        hires,
        (1.0, 0, 0, 0, 0, 0, 0, 0.0057),
        321.8122,
        (
            7.371312573325668e-4,
            1.442485726316185e-4,
            5.888729740967575e-5,
            1.175651343283149e-3,
            2.386356198831331e-3,
            6.238968252742796e-3,
            2.849998395185769e-3,
            2.850001604814231e-3,
        ),
        1e-4,
        stiff=True,
        digits=1e-12,
    ),
    Ode("Brusselator", brusselator, (1.5, 3.0), 20.0, (0.498637071268347849, 4.59678034945201118), 1e-3),
    Ode(
        "Lorenz, T=10",
        lorenz,
        (1.0, 1.0, 1.0),
        10.0,
        (-4.90268754113464573, -3.74387292180291962, 24.6908581027905555),
        1e-3,
        chaotic=True,
    ),
    Ode(
        "Lorenz, T=20",
        lorenz,
        (1.0, 1.0, 1.0),
        20.0,
        (13.7931995951286188, 12.9518039361898985, 34.9016086811351429),
        1e-3,
        chaotic=True,
    ),
    Ode(
        "rigid body",
        rigid_body,
        (1.0, 0.0, 0.9),
        20.0,
        (0.606203853964812222, 0.628747210450178331, 0.807385148575602576),
        1.0,
    ),
    Ode(
        "Kepler e=0.1",
        kepler,
        (0.9, 0.0, 0.0, sqrt(1.1 / 0.9)),
        20.0,
        (0.219883535200839661, 0.942707684634181309),
        1.0,
    ),
    Ode("Kepler e=0.5", kepler, (0.5, 0.0, 0.0, sqrt(3.0)), 20.0, (-0.578043295303536123, 0.863384000919419280), 1.0),
    Ode("Arenstorf", arenstorf, ARENSTORF, 17.0652165601579625588917206249, ARENSTORF, 1.0, digits=6e-11),
    heat(50, 0.1),
    prothero_robinson(1e3),
    prothero_robinson(1e6),
    Ode("pendulum", pendulum, (2.0, 0.0), 20.0, (-1.644567516512704, -0.8275778409430524), 1.0),
    Ode(
        "Pleiades",
        pleiades,
        PLEIADES,
        3.0,
        (
            0.3706139143983112,
            3.23728409205723,
            -3.222559032418293,
            0.659709145577512,
            0.3425581707155794,
            1.562172101400594,
            -0.7003092922213472,
            -3.943437585515952,
            -3.27138097397255,
            5.225081843456754,
            -2.59061243497742,
            1.198213693392063,
            -0.2429682344935689,
            1.091449240428799,
        ),
        1.0,
        digits=1e-12,
    ),
    Ode("E5-like", e5, (1.0, 0.0, 0.0, 0.0), 1e4, (0.41138715352,), 1e-3, stiff=True, digits=3e-11),
    Ode(
        "network of 20 species",
        network,
        (1.0, *[0.0] * (SPECIES - 1)),
        100.0,
        (
            0.86235185718458,
            4.66225614371182e-5,
            4.65363230399172e-4,
            3.91959724070525e-5,
            3.91959262559009e-4,
            3.91497072220207e-3,
        ),
        1e-6,
        stiff=True,
        digits=1e-13,
    ),
)
