"""Arrays of results are the user's: what the results tell later does not change with them, nor with `args`."""

import numpy as np
import pytest

from parscan import solve_ivp

TIMES = np.linspace(0.0, 4.0, 9)


def pendulum(t, y):
    return [y[1], -np.sin(y[0])]


def solved(fun=pendulum, **options):
    return solve_ivp(fun, (0.0, 4.0), [1.0, 0.5], rtol=1e-8, atol=1e-8, **options)


def told(sol):
    """What a result tells when it is asked."""
    dense = np.zeros(0) if sol.sol is None else sol.sol(TIMES)
    start = np.asarray([1.0, 0.0])
    return dense, sol.errors, sol.tangent(y0=start), sol.adjoint(np.ones((2, sol.t.shape[0]))).y0


@pytest.mark.parametrize(
    "options",
    [{"compile": True}, {"compile": False}, {"method": "Radau", "compile": False}, {"method": "DOP853"}],
    ids=lambda options: str(sorted(options.items())),
)
@pytest.mark.parametrize("output", [{}, {"dense_output": True}, {"dense_output": True, "t_eval": TIMES}])
def test_states_are_written_to(options, output):
    """In the first solve, and in a repeated one."""
    for _ in range(2):
        expected, sol = told(solved(**options, **output)), solved(**options, **output)
        sol.y[...] *= 57.0
        for one, other in zip(told(sol), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("output", [{}, {"dense_output": True}])
def test_times_are_written_to(output):
    for compiles in (True, True, False):
        sol, other = (solved(compile=compiles, **output) for _ in range(2))
        sol.t[...] *= 2.0
        sol.mesh[...] *= 3.0
        times = np.linspace(0.1, 3.9, 5)
        if compiles:
            np.testing.assert_array_equal(sol._dense.evaluate(times), other._dense.evaluate(times))
        if output:
            np.testing.assert_array_equal(sol.sol(times), other.sol(times))


def test_parameters_are_written_to():
    """In the first solve, and in a repeated one."""

    expected = solved(compile=True)._dense.evaluate(TIMES)

    def rated(t, y, rates):
        return [rates[0] * y[1], -rates[1] * np.sin(y[0])]

    for _ in range(2):
        rates = np.ones(2)
        sol = solved(rated, args=(rates,), compile=True)
        rates[:] = 3.0
        assert np.max(sol.errors) < 100
        np.testing.assert_allclose(sol._dense.evaluate(TIMES), expected, atol=1e-6)
