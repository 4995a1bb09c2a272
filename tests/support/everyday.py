"""
A hundred functions as people write them: right-hand sides of ODEs and steps of recurrences, in the manner of textbooks,
cookbook pages and forum answers. `CASES` lists them with the states to call them on, and why some cannot be recorded.
"""
# ruff: noqa: RET504, RUF059, N802, N815, NPY002, PLW0603 - people write so

import functools
import math
import random
from collections import namedtuple
from dataclasses import dataclass, field
from math import cos, pi, sin, sqrt, tanh
from types import SimpleNamespace

import everyday_helpers as helpers
import numba
import numpy as np
import numpy.linalg as la
from everyday_helpers import hill, michaelis_menten
from numpy import array, dot, zeros
from numpy.linalg import norm, solve
from scipy import interpolate, sparse, special
from scipy.special import erf, expit


@dataclass(frozen=True)
class Case:
    """
    A function, and what it is called on.

    Attributes
    ----------
    function : callable
    arguments : tuple of (shape, low, high)
        Shapes and ranges of the arguments.
    reason : str or None
        Why it cannot be recorded.
    constants : tuple
        Further arguments.
    """

    function: object
    arguments: tuple
    reason: str | None = None
    constants: tuple = ()

    @property
    def name(self):
        return getattr(self.function, "__name__", type(self.function).__name__)


CASES = []


def everyday(*arguments, reason=None, constants=(), name=None):
    """Enter a function into the list: sizes or shapes of its arguments, with their ranges."""

    def enter(function):
        given = []
        for one in arguments:
            shape, low, high = one if isinstance(one, tuple) and len(one) == 3 else (one, -1.0, 1.0)
            given.append(((shape,) if isinstance(shape, int) else shape, low, high))
        CASES.append(Case(function, tuple(given), reason, constants))
        return function

    return enter


TIME = ((), 0.1, 5.0)


# Celestial mechanics and mechanics


@everyday(TIME, (4, 0.5, 1.5))
def kepler(t, y):
    x, z, vx, vz = y
    r3 = (x**2 + z**2) ** 1.5
    return np.array([vx, vz, -x / r3, -z / r3])


MASSES = np.array([1.0, 0.5, 0.2])


@everyday(TIME, 12)
def three_bodies(t, y):
    positions = y[:6].reshape(3, 2)
    velocities = y[6:].reshape(3, 2)
    acc = np.zeros_like(positions)
    for i in range(3):
        for j in range(3):
            if i != j:
                d = positions[j] - positions[i]
                acc[i] += MASSES[j] * d / np.linalg.norm(d) ** 3
    return np.concatenate([velocities.ravel(), acc.ravel()])


@everyday(TIME, 18)
def bodies_without_loops(t, y):
    n = len(y) // 6
    r, v = y[: 3 * n].reshape(n, 3), y[3 * n :].reshape(n, 3)
    dr = r[np.newaxis, :, :] - r[:, np.newaxis, :]
    dist3 = (np.sum(dr**2, axis=-1) + 0.01) ** 1.5
    a = np.sum(MASSES[np.newaxis, :, np.newaxis] * dr / dist3[:, :, np.newaxis], axis=1)
    return np.hstack((v.flatten(), a.flatten()))


@everyday(TIME, (6, 0.5, 1.5))
def two_body_with_j2(t, state, mu=1.0, j2=1e-3, radius=0.9):
    r = state[0:3]
    v = state[3:6]
    rn = norm(r)
    a = -mu * r / rn**3
    factor = 1.5 * j2 * mu * radius**2 / rn**5
    z2 = 5 * r[2] ** 2 / rn**2
    a_j2 = factor * np.array([r[0] * (z2 - 1), r[1] * (z2 - 1), r[2] * (z2 - 3)])
    return np.r_[v, a + a_j2]


@everyday(TIME, (4, -0.4, 0.4))
def restricted_three_body(t, u):
    mu = 0.012277471
    mup = 1 - mu
    x, y, vx, vy = u
    d1 = ((x + mu) ** 2 + y**2) ** (3 / 2)
    d2 = ((x - mup) ** 2 + y**2) ** (3 / 2)
    return [vx, vy, x + 2 * vy - mup * (x + mu) / d1 - mu * (x - mup) / d2, y - 2 * vx - mup * y / d1 - mu * y / d2]


@everyday(TIME, 2)
def pendulum(t, y, b=0.25, c=5.0):
    theta, omega = y
    dydt = [omega, -b * omega - c * np.sin(theta)]
    return dydt


@everyday(TIME, 2)
def pendulum_with_math(t, y):
    return [y[1], -0.25 * y[1] - 5.0 * math.sin(y[0])]


@everyday(TIME, 4)
def double_pendulum(t, state):
    G, L1, L2, M1, M2 = 9.8, 1.0, 1.0, 1.0, 1.0
    dydx = np.zeros_like(state)
    dydx[0] = state[1]
    delta = state[2] - state[0]
    den1 = (M1 + M2) * L1 - M2 * L1 * cos(delta) * cos(delta)
    dydx[1] = (
        M2 * L1 * state[1] * state[1] * sin(delta) * cos(delta)
        + M2 * G * sin(state[2]) * cos(delta)
        + M2 * L2 * state[3] * state[3] * sin(delta)
        - (M1 + M2) * G * sin(state[0])
    ) / den1
    dydx[2] = state[3]
    den2 = (L2 / L1) * den1
    dydx[3] = (
        -M2 * L2 * state[3] * state[3] * sin(delta) * cos(delta)
        + (M1 + M2) * G * sin(state[0]) * cos(delta)
        - (M1 + M2) * L1 * state[1] * state[1] * sin(delta)
        - (M1 + M2) * G * sin(state[2])
    ) / den2
    return dydx


@everyday(TIME, 4)
def cart_pole(t, z):
    m, M, L, g = 0.2, 1.0, 0.5, 9.81
    x, dx, th, dth = z
    mass = np.array([[M + m, m * L * np.cos(th)], [m * L * np.cos(th), m * L**2]])
    force = np.array([m * L * dth**2 * np.sin(th), m * g * L * np.sin(th)])
    ddx, ddth = np.linalg.solve(mass, force)
    return np.array([dx, ddx, dth, ddth])


STIFF = np.array([[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]])
MASS_INVERSE = la.inv(np.diag([1.0, 2.0, 3.0]))


@everyday(TIME, 6)
def springs(t, y):
    q, p = np.split(y, 2)
    return np.concatenate((MASS_INVERSE @ p, -STIFF @ q - 0.05 * p))


INERTIA = np.diag([1.0, 2.0, 3.0])


@everyday(TIME, 3)
def rigid_body(t, w):
    return np.linalg.inv(INERTIA) @ (-np.cross(w, INERTIA @ w))


def quaternion_product(a, b):
    w0, x0, y0, z0 = a
    w1, x1, y1, z1 = b
    return np.array(
        [
            w0 * w1 - x0 * x1 - y0 * y1 - z0 * z1,
            w0 * x1 + x0 * w1 + y0 * z1 - z0 * y1,
            w0 * y1 - x0 * z1 + y0 * w1 + z0 * x1,
            w0 * z1 + x0 * y1 - y0 * x1 + z0 * w1,
        ]
    )


@everyday(TIME, 7)
def attitude(t, y):
    q, w = y[:4], y[4:]
    q = q / np.linalg.norm(q)
    dq = 0.5 * quaternion_product(q, np.concatenate(([0.0], w)))
    dw = np.array([-1.0 / 3.0 * w[1] * w[2], w[0] * w[2], -w[0] * w[1]])
    return np.append(dq, dw)


@everyday(TIME, (4, 1.0, 3.0))
def projectile(t, u):
    k, g = 0.01, 9.81
    v = np.hypot(u[2], u[3])
    du = np.empty(4)
    du[:2] = u[2:]
    du[2] = -k * v * u[2]
    du[3] = -k * v * u[3] - g
    return du


@everyday(TIME, 2)
def van_der_pol(t, y, mu=5):
    return np.array([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]])


@everyday(TIME, 2)
def duffing(t, y):
    d, a, b, g, w = 0.3, -1.0, 1.0, 0.5, 1.2
    return (y[1], -d * y[1] - a * y[0] - b * y[0] ** 3 + g * math.cos(w * t))


@everyday(TIME, 2)
def coulomb_friction(t, y):
    x, v = y
    friction = 0.3 * np.sign(v)
    return np.array([v, -x - friction])


@everyday(TIME, (2, -2.0, 2.0))
def bouncing_wall(t, y):
    force = np.where(y[0] < 0, -100 * y[0], 0.0)
    return np.array([y[1], force - 9.81])


# Ecology and epidemics


@everyday(TIME, (2, 0.1, 3.0))
def lotka_volterra(t, z, a=1.5, b=1, c=3, d=1):
    x, y = z
    return [a * x - b * x * y, -c * y + d * x * y]


@everyday(((3,), 0.1, 0.9), constants=(0.3, 0.1))
def sir(y, beta, gamma):
    S, I, R = y  # noqa: E741
    N = sum(y)
    infections = beta * S * I / N
    recoveries = gamma * I
    return np.array([-infections, infections - recoveries, recoveries])


PARAMETERS = {"beta": 0.5, "sigma": 0.2, "gamma": 0.1, "mu": 0.01, "season": {"amplitude": 0.1, "period": 365.0}}


@everyday(TIME, (4, 0.1, 0.9))
def seir(t, y):
    p = PARAMETERS
    s, e, i, r = y
    n = s + e + i + r
    season = p["season"]
    beta = p["beta"] * (1 + season["amplitude"] * np.cos(2 * np.pi * t / season["period"]))
    ds = p["mu"] * (n - s) - beta * s * i / n
    de = beta * s * i / n - (p["sigma"] + p["mu"]) * e
    di = p["sigma"] * e - (p["gamma"] + p["mu"]) * i
    dr = p["gamma"] * i - p["mu"] * r
    return np.stack([ds, de, di, dr])


CONTACTS = np.array([[2.0, 0.5, 0.2], [0.5, 1.5, 0.4], [0.2, 0.4, 1.0]])


@everyday(TIME, (9, 0.1, 0.9))
def age_structured_sir(t, y):
    s, i, r = y.reshape(3, -1)
    n = s + i + r
    force = 0.05 * CONTACTS.dot(i / n)
    dy = np.zeros((3, 3))
    dy[0] = -force * s
    dy[1] = force * s - 0.1 * i
    dy[2] = 0.1 * i
    return dy.ravel()


@everyday(TIME, (4, 0.1, 0.9))
def competition(t, n):
    r = np.array([1.0, 0.72, 1.53, 1.27])
    a = np.array([[1, 1.09, 1.52, 0], [0, 1, 0.44, 1.36], [2.33, 0, 1, 0.47], [1.21, 0.51, 0.35, 1]])
    return r * n * (1 - np.dot(a, n))


@everyday(TIME, (3, 0.2, 2.0))
def food_chain(t, y):
    holling = lambda x, a, b: a * x / (1 + b * x)  # noqa: E731
    x, p, q = y
    f1, f2 = holling(x, 5.0, 3.0), holling(p, 0.1, 2.0)
    return np.array([x * (1 - x) - f1 * p, f1 * p - f2 * q - 0.4 * p, f2 * q - 0.01 * q])


@everyday((1, 0.1, 2.0))
def ricker(n):
    return n * np.exp(2.0 * (1 - n))


@everyday((3, 0.1, 2.0))
def leslie(n):
    fecundity = [0.0, 1.5, 1.0]
    survival = [0.5, 0.25]
    L = np.diag(survival, k=-1)
    L[0] = fecundity
    return L @ n


@everyday((2, 0.1, 2.0))
def nicholson_bailey(y):
    h, p = y
    escape = math.exp(-0.5 * p)
    return [2.0 * h * escape, h * (1 - escape)]


@everyday(TIME, (2, 0.1, 2.0))
def allee(t, n):
    dn = n * (1 - n / 2.0) * (n / 0.3 - 1)
    dn[n < 0.2] = 0
    return dn


@dataclass
class Chemostat:
    dilution: float = 0.2
    feed: float = 10.0
    vmax: float = 0.5
    km: float = 0.3
    yields: list = field(default_factory=lambda: [0.5, 0.4])

    def growth(self, s):
        return self.vmax * s / (self.km + s)

    def __call__(self, t, y):
        s, x, z = y
        mu = self.growth(s)
        return np.array(
            [
                self.dilution * (self.feed - s) - mu * x / self.yields[0],
                (mu - self.dilution) * x,
                mu * self.yields[1] * x - self.dilution * z,
            ]
        )


everyday(TIME, (3, 0.1, 2.0))(Chemostat())


# Chemistry


@everyday(TIME, (3, 0.1, 1.0))
def robertson(t, y):
    dy = np.zeros(3)
    dy[0] = -0.04 * y[0] + 1e4 * y[1] * y[2]
    dy[2] = 3e7 * y[1] ** 2
    dy[1] = -dy[0] - dy[2]
    return dy


@everyday(TIME, (3, 0.5, 2.0))
def oregonator(t, y):
    s, q, w = 77.27, 8.375e-6, 0.161
    f = zeros(3)
    f[0] = s * (y[1] - y[0] * y[1] + y[0] - q * y[0] ** 2)
    f[1] = (y[2] - y[1] - y[0] * y[1]) / s
    f[2] = w * (y[0] - y[2])
    return f


@everyday(TIME, (2, 0.2, 3.0))
def brusselator(t, y):
    x2y = y[0] ** 2 * y[1]
    return array([1 + x2y - 4 * y[0], 3 * y[0] - x2y])


@everyday(TIME, (3, 0.1, 2.0))
def enzyme(t, y):
    v = np.empty(2)
    v[0] = michaelis_menten(y[0], vmax=1.2, km=0.4)
    v[1] = michaelis_menten(y[1], 0.8, 0.9)
    return helpers.STOICHIOMETRY @ v


@everyday(TIME, (3, 0.1, 2.0))
def enzyme_in_module(t, y):
    return helpers.STOICHIOMETRY.dot(helpers.reactions(y))


@everyday(TIME, (2, 0.5, 1.5))
def cstr(t, x):
    ca, temperature = x[0], 300 * x[1]
    k = helpers.arrhenius(7.2e10, 72750.0, temperature)
    rate = k * ca
    dca = 1.0 * (1.0 - ca) - rate
    dT = 1.0 * (350 - temperature) + 200 * rate + 2.0 * (300 - temperature)
    return np.array([dca, dT / 300])


@everyday(TIME, (3, 0.1, 2.0))
def repressilator(t, p):
    n = len(p)
    dp = [0.0] * n
    for i in range(n):
        dp[i] = 10.0 / (1 + p[(i - 1) % n] ** 2.1) - p[i]
    return np.asarray(dp)


@everyday(TIME, (2, 0.1, 2.0))
def toggle_switch(t, y):
    u, v = y
    return [hill(1 / v, 1.0, 2) * 3 - u, hill(1 / u, 1.0, 3) * 3 - v]


REACTIONS = [((0,), (1,), 0.5), ((1,), (0,), 0.1), ((0, 1), (2,), 0.3), ((2,), (0, 1), 0.05)]


@everyday(TIME, (3, 0.1, 2.0))
def mass_action(t, c):
    dcdt = np.zeros(len(c))
    for reactants, products, k in REACTIONS:
        rate = k * np.prod([c[i] for i in reactants])
        for i in reactants:
            dcdt[i] -= rate
        for i in products:
            dcdt[i] += rate
    return dcdt


def make_batch_reactor(k1, k2, temperature):
    factor = np.exp(-1000 / (8.314 * temperature))

    def rhs(t, c):
        r1 = k1 * factor * c[0]
        r2 = k2 * factor * c[1]
        return np.array([-r1, r1 - r2, r2])

    return rhs


everyday(TIME, (3, 0.1, 2.0))(make_batch_reactor(1.0, 0.5, 350.0))


@everyday(TIME, (2, 0.1, 2.0))
def glycolysis(t, y):
    a, b = 0.08, 0.6
    x2 = np.power(y[0], 2)
    return np.array([-y[0] + a * y[1] + x2 * y[1], b - a * y[1] - x2 * y[1]])


# Neurons


def alpha_m(v):
    return 0.1 * (v + 40.0) / (1.0 - np.exp(-(v + 40.0) / 10.0))


def beta_m(v):
    return 4.0 * np.exp(-(v + 65.0) / 18.0)


def alpha_h(v):
    return 0.07 * np.exp(-(v + 65.0) / 20.0)


def beta_h(v):
    return 1.0 / (1.0 + np.exp(-(v + 35.0) / 10.0))


def alpha_n(v):
    return 0.01 * (v + 55.0) / (1.0 - np.exp(-(v + 55.0) / 10.0))


def beta_n(v):
    return 0.125 * np.exp(-(v + 65) / 80.0)


class HodgkinHuxley:
    C_m = 1.0
    g_Na, g_K, g_L = 120.0, 36.0, 0.3
    E = (50.0, -77.0, -54.387)

    def I_Na(self, V, m, h):
        return self.g_Na * m**3 * h * (V - self.E[0])

    def I_K(self, V, n):
        return self.g_K * n**4 * (V - self.E[1])

    def I_L(self, V):
        return self.g_L * (V - self.E[2])

    @staticmethod
    def I_inj(t):
        return 10 * (t > 1) - 10 * (t > 2) + 35 * (t > 3)

    def dALLdt(self, X, t):
        V, m, h, n = X
        dVdt = (self.I_inj(t) - self.I_Na(V, m, h) - self.I_K(V, n) - self.I_L(V)) / self.C_m
        dmdt = alpha_m(V) * (1.0 - m) - beta_m(V) * m
        dhdt = alpha_h(V) * (1.0 - h) - beta_h(V) * h
        dndt = alpha_n(V) * (1.0 - n) - beta_n(V) * n
        return dVdt, dmdt, dhdt, dndt


everyday((4, 0.1, 0.9), TIME)(HodgkinHuxley().dALLdt)


@everyday(TIME, 2)
def fitzhugh_nagumo(t, y):
    v, w = y
    stimulus = 0.5 if True else 0.0
    return np.array([v - v**3 / 3 - w + stimulus, 0.08 * (v + 0.7 - 0.8 * w)])


@everyday(TIME, (2, -0.5, 0.5))
def morris_lecar(t, y):
    v, n = y
    m_inf = 0.5 * (1 + tanh((v + 0.01) / 0.15))
    n_inf = 0.5 * (1 + tanh(v / 0.3))
    tau = 1 / math.cosh(v / 0.6)
    return [-m_inf * (v - 1) - 2 * n * (v + 0.7) - 0.5 * (v + 0.5), (n_inf - n) / tau]


@everyday((2, -1.0, 1.5))
def integrate_and_fire(y):
    v, refractory = y
    fired = v > 1.0
    v = np.where(fired, 0.0, np.where(refractory > 0, v, v + 0.1 * (1.2 - v)))
    refractory = np.where(fired, 5.0, np.maximum(refractory - 1.0, 0.0))
    return np.array([v, refractory])


@everyday((2, -1.0, 1.5), reason="branches on a value")
def integrate_and_fire_with_if(y):
    v, refractory = y
    if v > 1.0:
        return np.array([0.0, 5.0])
    return np.array([v + 0.1 * (1.2 - v), refractory - 1])


@everyday(TIME, 3)
def hindmarsh_rose(t, state):
    x, y, z = state
    return np.array([y - x**3 + 3.0 * x**2 - z + 3.0, 1.0 - 5.0 * x**2 - y, 0.006 * (4.0 * (x + 1.6) - z)])


WEIGHTS = np.random.default_rng(3).standard_normal((12, 12)) / 4


@everyday(TIME, 12)
def rate_network(t, r):
    return (-r + np.tanh(WEIGHTS @ r + 0.5)) / 0.1


@everyday(TIME, 8)
def kuramoto(t, theta):
    omega = np.linspace(-1, 1, len(theta))
    coupling = np.sin(theta[None, :] - theta[:, None]).sum(axis=1)
    return omega + 2.0 / len(theta) * coupling


@everyday(TIME, 5)
def kuramoto_by_subtract_outer(t, theta):
    return 1.0 + 0.3 * np.mean(np.sin(np.subtract.outer(theta, theta)), axis=0)


# Control


@dataclass
class Gains:
    kp: float = 2.0
    ki: float = 0.5
    kd: float = 0.1
    limit: float = 1.0


@everyday(3, (1, -1.0, 1.0), constants=(Gains(), 0.01))
def pid(state, reference, gains, dt):
    y, integral, last = state
    error = reference[0] - y
    integral = integral + error * dt
    u = gains.kp * error + gains.ki * integral + gains.kd * (error - last) / dt
    u = np.clip(u, -gains.limit, gains.limit)
    return np.array([y + dt * (u - y), integral, error])


@everyday(2, (1, -3.0, 3.0))
def pid_with_builtin_clamp(state, x):
    error = x[0] - state[0]
    u = helpers.saturate(2.0 * error + state[1])
    anti_windup = max(-0.5, min(0.5, state[1] + 0.1 * error))
    return [state[0] + 0.1 * (u - state[0]), anti_windup]


class StateSpace:
    def __init__(self, a, b, c):
        self.a, self.b, self.c = map(np.asarray, (a, b, c))
        self.k = np.array([[1.0, 1.5]])

    @property
    def closed_loop(self):
        return self.a - self.b @ self.k

    def step(self, x):
        return self.closed_loop @ x

    @classmethod
    def oscillator(cls):
        return cls([[0.0, 1.0], [-1.0, 0.0]], [[0.0], [1.0]], [[1.0, 0.0]])


everyday(2)(StateSpace.oscillator().step)


@everyday(6)
def kalman_filter(y):
    F = np.array([[1.0, 0.1], [0.0, 1.0]])
    H = np.array([[1.0, 0.0]])
    Q, R = 0.01 * np.eye(2), np.array([[0.5]])
    x, P = y[:2], y[2:].reshape(2, 2)
    x = F @ x
    P = F @ P @ F.T + Q
    S = H @ P @ H.T + R
    K = P @ H.T @ np.linalg.inv(S)
    x = x + K @ (np.array([0.3]) - H @ x)
    P = (np.eye(2) - K @ H) @ P
    return np.concatenate([x, P.flatten()])


@everyday((4, -0.5, 0.5))
def riccati_step(p):
    P = p.reshape(2, 2) + 3 * np.identity(2)
    A, B = np.array([[1.0, 0.1], [-0.2, 0.9]]), np.array([[0.0], [0.1]])
    Q = np.eye(2)
    gain = solve(np.eye(1) + B.T @ P @ B, B.T @ P @ A)
    return (Q + A.T @ P @ (A - B @ gain)).reshape(-1)


@everyday(TIME, 3)
def dc_motor(t, x):
    R, L, Kt, J, b = 1.0, 0.5, 0.01, 0.01, 0.1
    A = np.array([[-b / J, Kt / J, 0], [-Kt / L, -R / L, 0], [1, 0, 0]])
    u = 1.0 if True else 0.0
    return A.dot(x) + np.array([0, 1 / L, 0]) * u


@everyday(TIME, (3, 0.2, 2.0))
def tanks(t, h):
    q = [0.3 * sqrt(2 * 9.81 * level) for level in h]
    inflow = 1.0 + 0.1 * sin(2 * pi * t)
    return [inflow - q[0], q[0] - q[1], q[1] - q[2]]


@everyday((2, 17.0, 25.0))
def thermostat(y):
    temperature, heater = y
    heater = np.select([temperature < 19.0, temperature > 22.0], [1.0, 0.0], default=heater)
    return np.array([temperature + 0.1 * (5.0 * heater - 0.2 * (temperature - 10.0)), heater])


@everyday(TIME, 3)
def bicycle(t, state):
    x, y, heading = state
    steering = 0.2 * np.sin(t)
    wrapped = (heading + np.pi) % (2 * np.pi) - np.pi
    return np.array([np.cos(wrapped), np.sin(wrapped), np.tan(steering) / 2.5])


@everyday((2, -4.0, 4.0))
def wrap_angle(y):
    return np.arctan2(np.sin(y + 0.3), np.cos(y + 0.3))


# Hydrology


@everyday((2, 1.0, 30.0), ((2,), 0.0, 10.0))
def bucket(state, forcing):
    storage, ground = state
    rain, pet = forcing
    storage = storage + rain
    evaporation = min(pet, storage)
    storage -= evaporation
    runoff = max(storage - 25.0, 0.0)
    storage -= runoff
    recharge = 0.05 * storage
    return np.array([storage - recharge, 0.9 * ground + recharge + runoff])


@everyday((1, 0.0, 30.0), ((2,), 0.0, 10.0))
def snow(pack, weather):
    precipitation, temperature = weather
    temperature = temperature - 5
    snowfall = np.where(temperature < 0, precipitation, 0)
    melt = np.minimum(2.5 * np.maximum(temperature, 0), pack)
    return pack + snowfall - melt


STAGES = np.array([0.0, 1.0, 2.0, 4.0, 8.0])
FLOWS = np.array([0.0, 0.5, 2.0, 9.0, 40.0])


@everyday((1, 0.1, 9.0))
def rating_curve(h):
    return h + 0.1 * (2.0 - np.interp(h, STAGES, FLOWS))


@everyday((1, 0.1, 7.5))
def lookup_by_searchsorted(h):
    i = np.searchsorted(STAGES, h, side="right") - 1
    slope = np.diff(FLOWS) / np.diff(STAGES)
    return FLOWS[i] + slope[i] * (h - STAGES[i])


@everyday((5, 0.5, 2.0))
def muskingum(q):
    k, x, dt = 2.0, 0.2, 1.0
    d = 2 * k * (1 - x) + dt
    c0, c1, c2 = (dt - 2 * k * x) / d, (dt + 2 * k * x) / d, (2 * k * (1 - x) - dt) / d
    new = q.copy()
    for j in range(1, len(q)):
        new[j] = c0 * new[j - 1] + c1 * q[j - 1] + c2 * q[j]
    return new


@everyday((4, 0.1, 1.0))
def nash_cascade(s):
    out = s / 3.0
    s = s - out
    s[1:] += out[:-1]
    s[0] += 0.4
    return s


# Lines of PDEs


@everyday(TIME, 16)
def heat(t, u):
    dx = 1 / 15
    dudt = np.zeros(u.shape)
    dudt[1:-1] = (u[2:] - 2 * u[1:-1] + u[:-2]) / dx**2
    dudt[0] = 0
    dudt[-1] = 0
    return dudt


@everyday(TIME, 24)
def heat_by_roll(t, u):
    return 0.1 * (np.roll(u, 1) - 2 * u + np.roll(u, -1)) * 24**2


LAPLACIAN = sparse.diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(20, 20), format="csr")


@everyday(TIME, 20)
def sparse_heat(t, u):
    return LAPLACIAN @ u + 0.1 * u * (1 - u)


@everyday(TIME, 20)
def burgers(t, u):
    dx = 0.05
    flux = 0.5 * u**2
    dudt = -np.gradient(flux, dx)
    dudt += 0.01 * np.gradient(np.gradient(u, dx), dx)
    return dudt


@everyday(TIME, 20)
def upwind(t, u):
    a = 1.0
    du = np.diff(u, prepend=u[-1])
    return -a * du / 0.05


@everyday(TIME, 32)
def gray_scott(t, y):
    n = y.size // 2
    u, v = y[:n], y[n:]
    lap = lambda w: np.concatenate(([w[1] - w[0]], w[2:] - 2 * w[1:-1] + w[:-2], [w[-2] - w[-1]]))  # noqa: E731
    uvv = u * v * v
    return np.concatenate((0.16 * lap(u) - uvv + 0.04 * (1 - u), 0.08 * lap(v) + uvv - 0.1 * v))


@everyday(TIME, 25)
def heat_2d(t, y):
    u = y.reshape((5, 5))
    padded = np.pad(u, 1, mode="edge")
    lap = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2] - 4 * u
    return lap.reshape(y.shape)


@everyday(20)
def smooth_by_convolution(u):
    kernel = np.array([0.25, 0.5, 0.25])
    return np.convolve(u, kernel, mode="same")


@everyday(TIME, 10)
def lorenz_96(t, x):
    N = len(x)
    d = np.zeros(N)
    for i in range(N):
        d[i] = (x[(i + 1) % N] - x[i - 2]) * x[i - 1] - x[i] + 8
    return d


@everyday(TIME, 16)
def spectral(t, u):
    k = np.fft.fftfreq(16, 1 / 16)
    return np.real(np.fft.ifft(-(k**2) * np.fft.fft(u)))


# Signal processing


B, A = np.array([0.2, 0.3, 0.2]), np.array([1.0, -0.5, 0.2])


@everyday(2, (1, -1.0, 1.0))
def biquad(z, x):
    y = B[0] * x[0] + z[0]
    z_new = np.zeros(2)
    z_new[0] = B[1] * x[0] - A[1] * y + z[1]
    z_new[1] = B[2] * x[0] - A[2] * y
    return z_new


@everyday(1, 1)
def envelope(level, x):
    peak = np.abs(x)
    coefficient = np.where(peak > level, 0.1, 0.01)
    return level + coefficient * (peak - level)


@everyday(5, (4, -1.0, 1.0))
def lms(state, u):
    w, _ = state[:4], state[4]
    e = 0.3 - np.dot(w, u)
    w = w + 0.05 * e * u
    return np.r_[w, e]


@everyday(8)
def delay_line(buffer):
    buffer = np.roll(buffer, 1)
    buffer[0] = 0.5 * buffer[-1] + np.tanh(buffer[3])
    return buffer


@everyday(2, (1, 0.0, 1.0))
def schmitt_trigger(state, x):
    out = np.where(x[0] > 0.7, 1.0, np.where(x[0] < 0.3, 0.0, state[0]))
    return np.array([out, state[1] + out])


@everyday(1, 1, reason="branches on a value")
def schmitt_trigger_with_if(state, x):
    if x[0] > 0.7:
        return np.ones(1)
    return state


@everyday(5)
def median_filter(window):
    return np.append(window[1:], np.median(window))


# Economics and finance


@everyday((3, 0.1, 1.0), (1, 0.5, 2.0))
def holt_winters(state, x):
    level, trend, season = state
    new_level = 0.5 * (x[0] - season) + 0.5 * (level + trend)
    new_trend = 0.1 * (new_level - level) + 0.9 * trend
    return np.array([new_level, new_trend, 0.3 * (x[0] - level - trend) + 0.7 * season])


@everyday((1, 0.1, 1.0), 1)
def garch(variance, shock):
    omega, alpha, beta = 0.05, 0.1, 0.85
    return omega + alpha * shock**2 * variance + beta * variance


@everyday((2, 0.1, 1.0), (2, -1.0, 1.0))
def heston(state, z):
    s, v = state
    v_plus = max(v, 0.0)
    dt, rho = 1 / 252, -0.7
    z2 = rho * z[0] + np.sqrt(1 - rho**2) * z[1]
    return np.array(
        [
            s * np.exp((0.02 - 0.5 * v_plus) * dt + math.sqrt(dt) * sqrt(v_plus) * z[0]),
            v + 2.0 * (0.04 - v_plus) * dt + 0.3 * np.sqrt(v_plus * dt) * z2,
        ]
    )


@everyday((2, 0.5, 3.0))
def solow(y):
    capital, technology = y
    output = capital**0.3 * (technology * 1.0) ** 0.7
    return np.array([0.2 * output + (1 - 0.05) * capital, 1.02 * technology])


@everyday((1, 0.5, 3.0))
def cobweb(p):
    supply, demand = (lambda q: 0.5 + 0.3 * q), (lambda q: 4 - q)
    return p + 0.2 * (demand(p) - supply(p))


@everyday((1, 80.0, 120.0))
def delta_hedge(s):
    d1 = (np.log(s / 100.0) + 0.5 * 0.2**2) / 0.2
    delta = 0.5 * (1 + erf(d1 / np.sqrt(2)))
    return s + delta


@everyday((1, 0.1, 1.0), reason="draws random numbers")
def geometric_brownian(s):
    return s * np.exp(0.01 + 0.2 * np.random.normal())


RNG = np.random.default_rng(1)


@everyday((1, 0.1, 1.0), reason="draws random numbers")
def ornstein_uhlenbeck(x):
    return x - 0.1 * x + 0.1 * RNG.standard_normal(1) + 0.0 * random.random()


@everyday((1, 0.0, 5.0), 1)
def lindley(wait, x):
    return np.maximum(0, wait + x)


Bond = namedtuple("Bond", ["rate", "mean", "speed"])
BOND = Bond(rate=0.03, mean=0.05, speed=0.2)


@everyday((1, 0.01, 0.1))
def vasicek(r):
    return r + BOND.speed * (BOND.mean - r) / 12


# Machine learning


rng = np.random.default_rng(0)
W = {name: rng.standard_normal((4, 4)) / 2 for name in ("z", "r", "h")}
U = {name: rng.standard_normal((4, 3)) / 2 for name in ("z", "r", "h")}
b = {name: rng.standard_normal(4) / 2 for name in ("z", "r", "h")}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@everyday(4, 3)
def gru(h, x):
    z = sigmoid(W["z"] @ h + U["z"] @ x + b["z"])
    r = sigmoid(W["r"] @ h + U["r"] @ x + b["r"])
    n = np.tanh(W["h"] @ (r * h) + U["h"] @ x + b["h"])
    return (1 - z) * n + z * h


class LSTM:
    def __init__(self, n, m, seed):
        generator = np.random.RandomState(seed)
        self.n = n
        self.kernel = generator.randn(n + m, 4 * n) / 2
        self.bias = np.zeros(4 * n)
        self.bias[:n] = 1.0

    def __call__(self, state, x):
        h, c = np.split(state, 2, axis=-1)
        gates = np.hstack([h, x]) @ self.kernel + self.bias
        f, i, o, g = np.array_split(gates, 4)
        c = expit(f) * c + expit(i) * np.tanh(g)
        return np.concatenate([expit(o) * np.tanh(c), c])


everyday(6, 2)(LSTM(3, 2, seed=1))


@everyday(TIME, 6)
def neural_ode(t, y):
    hidden = np.maximum(0.0, np.einsum("ij,j->i", WEIGHTS[:8, :6], y) + 0.1)
    return WEIGHTS[:6, :8] @ hidden


@everyday(4)
def attention(y):
    keys = WEIGHTS[:4, :4]
    scores = keys @ y / np.sqrt(4)
    e = np.exp(scores - np.max(scores))
    return keys.T @ (e / e.sum())


@everyday(4)
def momentum(state):
    w, v = state[:2], state[2:]
    gradient = np.array([2 * (w[0] - 1) - 400 * w[0] * (w[1] - w[0] ** 2), 200 * (w[1] - w[0] ** 2)]) * 1e-3
    v = 0.9 * v - 0.01 * gradient
    return np.concatenate([w + v, v])


@everyday(4)
def layer_norm(x):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5)


@everyday(4)
def outer_product_memory(y):
    m = np.outer(y[:2], y[2:])
    return 0.9 * y + 0.1 * m.ravel()


@everyday(3)
def leaky_relu(y):
    return np.piecewise(y, [y < 0, y >= 0], [lambda v: 0.01 * v, lambda v: v])


# Maps, tricks and habits


@everyday((1, 0.1, 0.9))
def logistic(x):
    return 3.9 * x * (1 - x)


@everyday(2)
def henon(z):
    x, y = z
    return np.array([1 - 1.4 * x**2 + y, 0.3 * x])


@everyday(2, (1, 0.0, 6.0))
def standard_map(z, kick):
    p = np.mod(z[0] + kick[0] * np.sin(z[1]), 2 * np.pi)
    return np.array([p, np.mod(z[1] + p, 2 * np.pi)])


everyday(TIME, (2, 0.1, 3.0))(functools.partial(lotka_volterra, a=1.1, d=0.4))


def with_logging(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        wrapper.calls = "counted elsewhere"
        return function(*args, **kwargs)

    return wrapper


@everyday(TIME, 3)
@with_logging
def lorenz(t, xyz):
    sigma, rho, beta = 10, 28, 8 / 3
    x, y, z = xyz
    dx, dy, dz = sigma * (y - x), x * (rho - z) - y, x * y - beta * z
    return np.asarray([dx, dy, dz])


@everyday(TIME, 3)
@numba.njit
def rossler(t, u):
    out = np.empty(3)
    out[0] = -u[1] - u[2]
    out[1] = u[0] + 0.2 * u[1]
    out[2] = 0.2 + u[2] * (u[0] - 5.7)
    return out


@functools.lru_cache
def stages(order):
    return np.array([1.0 / math.factorial(k) for k in range(order + 1)])


@everyday(2)
def taylor_step(y):
    generator = np.array([[0.0, 1.0], [-1.0, 0.0]])
    total, term = np.zeros(2), y
    for coefficient in stages(5):
        total = total + coefficient * term
        term = 0.1 * generator @ term
    return total


@everyday(2)
def runge_kutta_step(y, h=0.1):
    f = lambda v: np.array([v[1], -np.sin(v[0])])  # noqa: E731
    k1 = f(y)
    k2 = f(y + h / 2 * k1)
    k3 = f(y + h / 2 * k2)
    k4 = f(y + h * k3)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


@everyday(2)
def implicit_step_by_newton(y):
    x = y.copy()
    iteration = 0
    while iteration < 4:
        residual = x - y - 0.1 * np.array([x[1], -np.sin(x[0])])
        jacobian = np.array([[1.0, -0.1], [0.1 * np.cos(x[0]), 1.0]])
        x = x - np.linalg.solve(jacobian, residual)
        iteration += 1
    return x


@everyday(2, reason="branches on a value")
def implicit_step_until_convergence(y):
    x = y
    while True:
        new = y + 0.1 * np.array([x[1], -np.sin(x[0])])
        if np.allclose(new, x):
            return new
        x = new


@everyday(TIME, (2, 0.1, 1.0))
def in_place_updates(t, y):
    y = y.copy()
    y *= 2
    y -= 0.5
    y[y < 0.1] = 0.1
    np.sqrt(y, out=y)
    return y


@everyday(TIME, (3, 0.2, 1.0))
def division_guard(t, y):
    share = np.divide(y, y.sum(), out=np.zeros_like(y), where=y > 0.4)
    return share - y


@everyday(TIME, 3)
def scaled_by_float(t, y):
    k = float(np.sqrt(4.0)) * float(t)
    return np.array([float(v) * k for v in y])


@everyday(TIME, 2)
def polynomial_drag(t, y):
    drag = np.polyval([0.1, -0.2, 0.3], abs(y[1]))
    return np.array([y[1], -drag * np.copysign(1.0, y[1])])


CONFIG = SimpleNamespace(rate=0.1, target=np.array([1.0, 2.0]), active=True)


@everyday(TIME, 2)
def relax_to_target(t, y):
    if CONFIG.active:
        return CONFIG.rate * (CONFIG.target - y)
    return np.zeros_like(y)


class Component:
    def __init__(self, size):
        self.size = size

    def rate(self, y):
        raise NotImplementedError


class Leak(Component):
    def rate(self, y):
        return -0.1 * y


class Pump(Leak):
    def __init__(self, size, power):
        super().__init__(size)
        self.power = power
        self.buffer = np.zeros(size)

    def rate(self, y):
        self.buffer[:] = self.power
        self.buffer[0] += np.sin(y[-1])
        return super().rate(y) + self.buffer


class Plant:
    def __init__(self, *components):
        self.components = list(components)

    def rhs(self, t, y):
        dy = np.zeros_like(y)
        for component in self.components:
            if isinstance(component, Component):
                dy += component.rate(y)
        return dy


everyday(TIME, 3)(Plant(Leak(3), Pump(3, 0.5)).rhs)


@everyday(TIME, 3)
def imports_inside(t, y):
    from math import log1p

    import numpy as xp

    return xp.array([log1p(y[0] ** 2), xp.cosh(y[1]), xp.linalg.norm(y)])


@everyday(TIME, 3)
def checks_its_input(t, y):
    y = np.atleast_1d(np.asarray(y, dtype=float))
    assert isinstance(y, np.ndarray)
    assert y.ndim == 1
    if len(y) != 3:
        raise ValueError("three states")
    return dot(np.triu(np.ones((3, 3))), y)


@everyday(TIME, 4)
def component_names(t, y):
    state = dict(zip(("a", "b", "c", "d"), y, strict=True))
    rates = {"a": -state["a"], "b": state["a"] - state["b"] ** 2, "c": abs(state["c"]), "d": 0.0}
    return np.fromiter((rates[name] for name in state), dtype=float)


@everyday(2)
def complex_rotation(y):
    z = (y[0] + 1j * y[1]) * np.exp(0.1j)
    return np.array([z.real, z.imag])


SPLINE = interpolate.CubicSpline(np.linspace(0, 1, 5), np.array([0.0, 1.0, 0.5, 2.0, 1.0]))


@everyday((1, 0.1, 0.9))
def spline_forcing(y):
    return -y + SPLINE(y)


PCHIP = interpolate.PchipInterpolator([0.0, 1.0, 2.0, 6.0], [1.0, 0.0, 2.0, 3.0])
RAIN = interpolate.interp1d(np.arange(8.0), np.array([0.0, 3.0, 1.0, 0.0, 5.0, 2.0, 0.0, 0.0]))


@everyday(TIME, 2)
def forced_by_tables(t, y):
    return np.array(
        [
            RAIN(t) - 0.1 * y[0],
            PCHIP(t) * np.exp(-y[1]),
        ]
    )


@everyday(TIME, 9)
def sparse_matrix_made_inside(t, y):
    one = sparse.diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(3, 3))
    laplacian = sparse.kron(one, sparse.eye(3)) + sparse.kron(sparse.eye(3), one)
    return 0.1 * laplacian.dot(y) - y**3


@everyday((1, 0.1, 5.0), reason="calls `gamma`")
def gamma_function(y):
    return special.gamma(y)


@everyday((1, 0.1, 5.0))
def table_by_int(y):
    return FLOWS[int(y[0])] - y


calls = 0


@everyday(1, reason="does something else when it is called again")
def counts_its_calls(y):
    global calls
    calls += 1
    return y * calls


@everyday(2, reason="prints")
def prints_its_state(y):
    print("y =", y)
    return -y
