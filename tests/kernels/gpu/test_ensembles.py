"""Batches of ODEs by threads of the device, or of the stand-in for it: the results of the NumPy call."""

import numpy as np
import pytest
from devices import cut

from parscan import solve_ivp
from parscan._ivp.compiled.cupy_threads import CupyThreads
from parscan._ivp.compiled.on_device import TOLD, TOLD_SINGLE
from parscan._recorded.native.members import Form
from parscan._recorded.native.on_device import explicit
from parscan._recorded.record import record

pytestmark = pytest.mark.gpu


class Problems:
    """Functions over a library, with starts and parameters of members by NumPy."""

    def __init__(self, xp, count):
        self.xp, rng = xp, np.random.default_rng(0)
        self.starts = 1 + rng.random((2, count))
        self.rates = np.geomspace(0.1, 2.0, count)
        self.stiffness = rng.permutation(np.geomspace(0.1, 300.0, count))

    def lotka_volterra(self, t, y, rate):
        a, b = y[0], y[1]
        return self.xp.stack([rate * a - a * b, -3.0 * b + a * b + 0.1 * self.xp.sin(t + 0 * a) ** 2])

    def van_der_pol(self, t, y, mu):
        return self.xp.stack([y[1], mu * ((1 - y[0] ** 2) * y[1]) - y[0]])

    def rotation(self, t, y, rate):
        return 1j * rate * y * self.xp.exp(-y * self.xp.conj(y))


def solved(xp, count, name, span, **options):
    """The result of a call, with arrays on the host."""
    problems = Problems(xp, count)
    args = problems.stiffness if name == "van_der_pol" else problems.rates
    y0 = problems.starts.astype(complex) if name == "rotation" else problems.starts
    given = {"rtol": 1e-7, "atol": 1e-9, "t_eval": np.linspace(*span, 9), "compile": True} | options
    return solve_ivp(getattr(problems, name), span, xp.asarray(y0), args=(xp.asarray(args),), **given)


@pytest.mark.parametrize("count", [1, 33, cut(100_000, 300)])
@pytest.mark.parametrize("name", ["lotka_volterra", "van_der_pol", "rotation"])
def test_members(cp, name, count):
    sol, expected = solved(cp, count, name, (0.0, 10.0)), solved(np, count, name, (0.0, 10.0))
    assert sol.success
    assert TOLD in sol.decisions
    assert isinstance(sol.y, cp.ndarray)
    y = cp.asnumpy(sol.y)
    limits = {"rtol": 1e-4, "atol": 1e-4} if name == "van_der_pol" else {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(y, expected.y, **limits)
    assert sol.error_estimate <= max(1.0, 2 * expected.error_estimate)


@pytest.mark.parametrize("name", ["lotka_volterra", "van_der_pol"])
def test_members_in_single_precision(cp, name):
    problems, rtol, atol = Problems(cp, 50), 1e-3, 1e-4
    args = problems.stiffness if name == "van_der_pol" else problems.rates
    y0, given = problems.starts.astype(np.float32), {"t_eval": [0.0, 6.0], "compile": True}
    given_args = (cp.asarray(args),)
    sol = solve_ivp(getattr(problems, name), (0.0, 6.0), cp.asarray(y0), args=given_args, rtol=rtol, atol=atol, **given)
    assert TOLD_SINGLE in sol.decisions
    assert sol.y.dtype == cp.float32
    fun = getattr(Problems(np, 50), name)
    exact = solve_ivp(fun, (0.0, 6.0), y0.astype(float), args=(args,), rtol=1e-9, atol=1e-11, **given).y[:, -1]
    assert (np.abs(cp.asnumpy(sol.y)[:, -1] - exact) <= 10 * (atol + rtol * np.abs(exact))).all()


def test_marches_are_alike(cp):
    """Bit by bit, whichever thread takes a member, and however many attempts a launch has."""
    problems = Problems(np, cut(100_000, 300))
    program = record(problems.van_der_pol, [np.zeros(()), np.zeros(2), np.zeros(())]).program
    found = []
    for attempts in (7, 1000):
        solver = explicit(program, Form(shared=(False,)), CupyThreads())
        given = {"rtol": 1e-6, "atol": 1e-8, "parameters": (problems.rates,)}
        run = solver.start(0.0, 5.0, np.ascontiguousarray(problems.starts.T), **given)
        while run.advance(attempts):
            pass
        run.end()
        found.append((run.y, run.counts))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_end_alone_and_backwards(cp):
    for span in ((0.0, 4.0), (4.0, 1.0)):
        sol, expected = (solved(xp, 50, "lotka_volterra", span, t_eval=[span[1]]) for xp in (cp, np))
        np.testing.assert_allclose(cp.asnumpy(sol.y), expected.y, rtol=2e-6, atol=1e-8)
