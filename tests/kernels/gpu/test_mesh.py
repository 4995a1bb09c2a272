"""ODEs on meshes with kernels of the recorded function, on a device or the stand-in: the results of the NumPy call."""

import numpy as np
import pytest
from devices import cut

from parscan import solve_ivp
from parscan._ivp.compiled.mesh_on_device import TOLD

pytestmark = pytest.mark.gpu

SPAN = (0.0, 3.0)
MESH = np.linspace(*SPAN, cut(4000, 250))


class Problems:
    """Functions over a library."""

    def __init__(self, xp):
        self.xp = xp

    def forced(self, t, y, mu):
        x, v = y[0], y[1]
        return self.xp.stack([v, mu * (1 - x * x) * v - x + self.xp.cos(3 * t) + 0 * x])

    def ring(self, t, y, k):
        return -y + self.xp.roll(y, 1, axis=0) * k - 0.1 * self.xp.roll(y, -1, axis=0) * y

    def turning(self, t, y, k):
        return 1j * k * y * self.xp.cos(t) + 0.1 * self.xp.roll(y, 1, axis=0)


STARTS = {"forced": np.array([1.0, 0.5]), "ring": np.linspace(0.5, 1.5, 6), "turning": np.array([1.0 + 0.5j, 0.3j])}

METHODS = {
    "Radau": {"method": "Radau"},
    "Gauss": {"method": "Gauss", "mesh": MESH},
    "RK4": {"method": "RK4", "mesh": MESH, "rtol": 1e-4, "atol": 1e-6},
    "DOP853": {"method": "DOP853", "mesh": MESH[::3]},
    "auto": {"method": "auto"},
}


def solved(xp, name, batch=(), dtype=None, **options):
    """The result of a call, with parameters that differ between members."""
    y0 = STARTS[name].reshape(-1, *[1] * len(batch)) * np.linspace(0.9, 1.1, int(np.prod(batch))).reshape(batch)
    k = np.linspace(0.5, 1.5, int(np.prod(batch))).reshape(batch)
    given = {"rtol": 1e-7, "atol": 1e-9, "compile": True} | options
    args = (xp.asarray(k) if batch else 0.8,)
    return solve_ivp(getattr(Problems(xp), name), SPAN, xp.asarray(y0.astype(dtype or y0.dtype)), args=args, **given)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", STARTS)
def test_solutions_are_those_of_calls(cp, name, method, batch):
    if method == "auto" and batch:
        pytest.skip("by threads of members")
    sol = solved(cp, name, batch, **METHODS[method])
    assert sol.success, sol.message
    assert sol.compiled
    assert TOLD in sol.decisions
    assert isinstance(sol.y, cp.ndarray)
    exact = solved(np, name, batch, method="auto", rtol=1e-11, atol=1e-12).y[:, -1]
    rtol = 1e-4 if method == "RK4" else 1e-6
    np.testing.assert_allclose(cp.asnumpy(sol.y[:, -1]), exact, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(("name", "dtype"), [("forced", "float32"), ("ring", "float32"), ("turning", "complex64")])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_single_precision(cp, name, dtype, batch):
    sol = solved(cp, name, batch, dtype, method="Radau", rtol=2e-5, atol=2e-6)
    assert sol.success, sol.message
    assert sol.compiled
    assert sol.y.dtype == dtype
    exact = solved(np, name, batch, method="auto", rtol=1e-11, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(cp.asnumpy(sol.y[:, -1]), exact, rtol=1e-4, atol=1e-4)


def test_a_guess_is_corrected(cp):
    first = solved(cp, "forced", method="Radau")
    again = solved(cp, "forced", method="Radau", guess=first, rtol=1e-8)
    assert again.compiled
    assert again.iterations <= 4
    exact = solved(np, "forced", method="auto", rtol=1e-11, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(cp.asnumpy(again.y[:, -1]), exact, rtol=1e-7)


def test_events_and_dense_output(cp):
    sol = solved(cp, "forced", method="Radau", dense_output=True, events=lambda t, y, mu: y[0] - 1.2)
    assert sol.compiled
    usual = solved(np, "forced", method="Radau", events=lambda t, y, mu: y[0] - 1.2)
    np.testing.assert_allclose(cp.asnumpy(sol.t_events[0]), usual.t_events[0], atol=1e-6)
    np.testing.assert_allclose(
        cp.asnumpy(sol.sol(0.7)), solved(np, "forced", dense_output=True, rtol=1e-10).sol(0.7), atol=1e-6
    )
