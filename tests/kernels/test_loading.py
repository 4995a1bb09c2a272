"""The kernels of the CPU are loaded once calls without them have cost as much."""

import subprocess
import sys
from textwrap import dedent

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parscan import linear_recurrence, solve_ivp
from parscan._kernels import dispatch
from parscan._kernels.loading import Account


@given(st.lists(st.floats(0, 1)))
def test_no_more_than_twice_the_time_of_the_better_choice_is_spent(gains):
    account = Account()
    without = [gain for gain in gains if not account.pays(gain)]
    spent = sum(without) + (Account.LOADING if len(without) < len(gains) else 0)
    assert spent <= 2 * min(sum(gains), Account.LOADING) + 1e-12
    assert gains[: len(without)] == without, "kernels that are loaded are used"


@pytest.fixture
def account(monkeypatch):
    monkeypatch.setattr(dispatch, "account", Account())
    return dispatch.account


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("n", [None, 1, 3])
@pytest.mark.parametrize("T", [0, 1, 50])
def test_a_linear_recurrence_without_kernels_is_that_with_them(account, dtype, n, T):
    rng = np.random.default_rng(3)
    b = rng.standard_normal((T,) if n is None else (T, n)).astype(dtype)
    A = rng.uniform(-0.9, 0.9, b.shape if n is None else (T, n, n)).astype(dtype) / (n or 1)
    without = linear_recurrence(A, b)
    assert account.spent < Account.LOADING
    account.spent = Account.LOADING
    with_them = linear_recurrence(A, b)
    assert without.dtype == with_them.dtype
    assert without.shape == with_them.shape
    np.testing.assert_allclose(without, with_them, rtol=100 * np.finfo(dtype).eps, atol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("A", "b"),
    [
        (np.full(200_000, 0.5), np.ones(1)),
        (np.full((2, 1), 0.5, np.float32), np.broadcast_to(np.float32(1), (2, 30_000_000))),
        (np.broadcast_to(np.float32(0.5), (200, 200_000)), np.ones((1, 1), np.float32)),
    ],
    ids=["constant offset", "wide", "wide coefficients"],
)
def test_what_takes_long_without_kernels_loads_them(account, A, b, monkeypatch):
    monkeypatch.setattr(dispatch, "_function", lambda _, folder: lambda *__, **___: folder)
    assert linear_recurrence(A, b) == dispatch.CPU


def van_der_pol(t, y):
    return np.stack([y[1], (1 - y[0] ** 2) * y[1] - y[0]])


@pytest.mark.parametrize(
    ("method", "options"),
    [("Radau", {"rtol": 1e-6}), ("Gauss", {"rtol": 1e-6}), ("DEER", {"t_eval": np.linspace(0, 5, 500), "atol": 1e-4})],
)
def test_an_ode_without_kernels_is_that_with_them(account, method, options):
    def solve():
        sol = solve_ivp(van_der_pol, (0, 5), [2.0, 0.0], method, **options)
        assert sol.success
        return sol

    without = solve()
    assert 0 < account.spent < Account.LOADING
    account.spent = Account.LOADING
    with_them = solve()
    assert without.iterations == with_them.iterations
    assert np.array_equal(without.t, with_them.t)
    np.testing.assert_allclose(without.y, with_them.y, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_a_script_with_one_small_problem_does_not_load_numba():
    script = """
        import sys
        import numpy as np
        from parscan import linear_recurrence, solve_ivp
        assert solve_ivp(lambda t, y: -y**3, (0, 5), [1.0], "Radau", rtol=1e-6).success
        assert "numba" not in sys.modules, "small"
        linear_recurrence(np.full(1_000_000, 0.5), np.ones(1_000_000))
        assert "numba" in sys.modules, "large"
    """
    subprocess.run([sys.executable, "-c", dedent(script)], check=True)
