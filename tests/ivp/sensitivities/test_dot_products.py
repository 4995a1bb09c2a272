"""Dot products of derivatives of ODEs, for random programs, all methods, stiff and not, and batches.

A solve by SciPy in complex numbers gives the change δ of the solution when the parameters and the start change. Then
⟨g, δ⟩ is what the gradient gives for these changes.
"""

import numpy as np
import pytest
import scipy.integrate
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import SMOOTHLY

from parscan import solve_ivp
from parscan._ivp.choose import NAMES

N, TIMES = 3, np.array([0.2, 0.5, 1.0])
TINY, CLOSE = 1e-30, 1e-6
BATCHES = st.sampled_from([(), (1,), (5,), (2, 2)])
TIGHT = {"rtol": 1e-9, "atol": 1e-11}
LOOSE = {"DEER": 1e-6, "RK4": 1e-6}
"""Relative tolerances of methods of low order, whose meshes would be long."""


def equations(function, rate):
    """Random equations; of stiff ones, the first component follows the others at some rate."""

    def fun(t, y, p, q):
        own = np.stack([one + 0 * y[0] for one in p])
        columns = zip(np.reshape(y, (N, -1)).T, np.reshape(own, (N, -1)).T, strict=True)
        found = np.reshape(np.stack([function(*rows) for rows in columns], axis=-1), y.shape)
        found = [np.tanh(one) - 0.5 * other for one, other in zip(found, y, strict=True)]
        return [found[0] + rate * (np.sin(y[1]) - y[0]), found[1] + q["drive"] * np.sin(3 * t), found[2]]

    return fun


def by_scipy(fun, y0, p, drive, changes):
    """Changes `(n, m, *batch)` of the solution, member by member."""
    moved = [one + 1j * TINY * change for one, change in zip((y0, *p, drive), changes, strict=True)]
    batch, found = y0.shape[1:], []
    for member in np.ndindex(batch):
        args = [one[member] if one.ndim else complex(one) for one in moved[1:-1]], {"drive": complex(moved[-1])}
        run = scipy.integrate.solve_ivp(
            fun, (0, 1), moved[0][(slice(None), *member)], "DOP853", TIMES, args=args, rtol=1e-11, atol=1e-13
        )
        found.append(run.y.imag / TINY)
    return np.reshape(np.stack(found, axis=-1), (N, TIMES.size, *batch))


def dot(one, other):
    """The product, and its terms."""
    return np.sum(one * other), np.sum(np.abs(one * other))


def check(function, batch, method, rate, seed, **options):
    fun, rng = equations(function, rate), np.random.default_rng(seed)
    own = [batch if seed >> k & 1 else () for k in range(N)]
    y0, *p = (np.asarray(rng.uniform(-1, 1, shape)) for shape in ((N, *batch), *own))
    drive = np.asarray(rng.uniform(-1, 1))
    changes = [np.asarray(rng.uniform(-1, 1, one.shape)) for one in (y0, *p, drive)]
    rtol = LOOSE.get(method, TIGHT["rtol"])
    given = {"t_eval": TIMES, "rtol": rtol, "atol": rtol / 100, **options}
    sol = solve_ivp(fun, (0, 1), y0, method, args=(p, {"drive": float(drive)}), **given)
    assert sol.success, sol.message
    expected, g = by_scipy(fun, y0, p, drive, changes), rng.uniform(-1, 1, sol.y.shape)
    close = CLOSE * rtol / TIGHT["rtol"]
    left, terms = dot(g, expected)
    by_p, by_q = sol.gradient(g)
    parts = [sol.adjoint(g).y0, *by_p, by_q["drive"]]
    rights = [dot(*pair) for pair in zip(parts, changes, strict=True)]
    terms += sum(one for _, one in rights)
    assert abs(left - sum(one for one, _ in rights)) <= close * max(terms, 1e-3)
    tangent = sol.tangent(y0=changes[0])
    start = dot(g, tangent)
    assert abs(start[0] - rights[0][0]) <= close * max(start[1] + rights[0][1], 1e-3)


@settings(max_examples=6, deadline=None)
@given(SMOOTHLY, st.sampled_from(NAMES), st.sampled_from([0.0, 300.0]), st.integers(0, 2**32 - 1))
def test_all_methods(function, method, rate, seed):
    check(function, (), method, 0.0 if method in LOOSE else rate, seed)


@settings(max_examples=4, deadline=None)
@given(SMOOTHLY, BATCHES, st.sampled_from([0.0, 300.0]), st.integers(0, 2**32 - 1))
def test_batches(function, batch, rate, seed):
    check(function, batch, "auto", rate, seed)


@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(
    SMOOTHLY, BATCHES, st.sampled_from(["auto", "DOP853"]), st.sampled_from([0.0, 300.0]), st.integers(0, 2**32 - 1),
    st.sampled_from([None, True, False]),
)  # fmt: skip
def test_many_programs(function, batch, method, rate, seed, compiled):
    compiled = compiled if method in ("auto", "DOP853") else None
    check(function, batch, method, 0.0 if method in LOOSE else rate, seed, compile=compiled)
