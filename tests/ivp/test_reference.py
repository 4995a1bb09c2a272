"""Digits that are known, at four tolerances: the error at the end is a few times the tolerance."""

import numpy as np
import pytest
from ode_problems import ODES

from parscan import solve_ivp

pytestmark = pytest.mark.roads

RTOLS = (1e-4, 1e-6, 1e-8, 1e-10)

MOST = 10
"""Tolerances that the error at the end may have: that of one interval is controlled, and there are many."""


@pytest.mark.parametrize(
    ("ode", "rtol"), [pytest.param(ode, rtol, id=f"{ode.name}, {rtol:.0e}") for ode in ODES for rtol in RTOLS]
)
def test_error_at_the_end(ode, rtol, road):
    sol = solve_ivp(ode.fun, (0, ode.end), ode.y0, rtol=rtol, atol=ode.scale * rtol)
    assert sol.success
    assert sol.compiled or sol.method == ("Radau" if len(ode.y0) <= 12 else "LSODA")
    assert sol.compiled == (road == "code")
    assert sol.t[-1] == ode.end
    assert np.all(np.isfinite(sol.y))
    assert ode.error(sol.y[:, -1], rtol) <= MOST


@pytest.mark.parametrize("ode", [ode for ode in ODES if ode.name in ("Lotka-Volterra 10", "Brusselator", "rigid body")])
def test_gauss_too(ode):
    sol = solve_ivp(ode.fun, (0, ode.end), ode.y0, "Gauss", rtol=1e-8, atol=1e-8 * ode.scale)
    assert sol.method == "Gauss"
    assert ode.error(sol.y[:, -1], 1e-8) <= MOST


@pytest.mark.parametrize("name", ["Kepler 0.5", "Lotka-Volterra 15", "Oregonator"])
def test_tighter_tolerances_give_smaller_errors(name):
    """Of 10⁴ times: the error at the end changes sign somewhere, and may be hundreds of times smaller by chance."""
    (ode,) = (ode for ode in ODES if ode.name == name)
    errors = []
    for rtol in RTOLS:
        sol = solve_ivp(ode.fun, (0, ode.end), ode.y0, rtol=rtol, atol=ode.scale * rtol)
        errors.append(rtol * ode.error(sol.y[:, -1], rtol))
    assert all(tight < loose for loose, tight in zip(errors, errors[2:], strict=False))
