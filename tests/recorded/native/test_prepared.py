"""Members that are prepared together: the same solves as those that lanes begin one by one."""

import numpy as np
import pytest

from parscan._recorded.native.ensemble import integrate_members
from parscan._recorded.native.explicit import Explicit
from parscan._recorded.native.integrate import Solver
from parscan._recorded.native.members import STATES, Form
from parscan._recorded.native.prepared import SHARE
from parscan._recorded.native.status import Status
from parscan._recorded.native.text import UnsupportedError
from parscan._recorded.record import record


def swing(t, y, strength, push):
    return np.array([y[1], -strength * np.sin(y[0]) + push[0] * np.sin(push[1] * t)])


PUSH = np.array([0.3, 2.0])
PROGRAM = record(swing, [np.zeros(()), np.zeros(2), np.zeros(()), np.zeros(2)]).program


def solver(form):
    """A solver whose code is not kept."""
    writer = Explicit(PROGRAM, form)
    driver = writer.driver()
    driver.compile()
    return Solver([PROGRAM], driver, writer.facts)


def otherwise(form):
    raise UnsupportedError("is not to be stiff")


def solved(count, *, threads=1, shared=False, **options):
    """Members with begins, ends, tolerances and strengths of their own."""
    rng = np.random.default_rng(count)
    given = {
        "t0": rng.uniform(0, 1, count), "end": rng.uniform(-3, 6, count), "y0": rng.uniform(-1, 1, (count, 2)),
        "share": rng.uniform(0.1, 10, count), "max_step": rng.uniform(0.05, 3, count),
        "parameters": (rng.uniform(0.5, 20, count), PUSH if shared else PUSH * rng.uniform(0.5, 2, (count, 1))),
    }  # fmt: skip
    t0, end, y0 = (given.pop(name) for name in ("t0", "end", "y0"))
    return integrate_members(
        [solver, otherwise], t0, end, y0, rtol=1e-7, atol=1e-8, shared=(False, shared), threads=threads, **given,
        **options,
    )  # fmt: skip


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("count", [2, 9, 16, 8 * SHARE + 5])
def test_members_are_those_that_begin_one_by_one(count, shared, monkeypatch):
    options = {"shared": shared, "first_step": np.where(np.arange(count) % 3 == 1, 1e-3, 0.0)}
    one = solved(count, **options)
    threaded = solved(count, threads=2, **options)
    monkeypatch.setattr(Explicit, "prepares", False)
    other = solved(count, **options)
    assert (one.counts[:, 0] == Status.FINISHED).all()
    for found in (one, threaded):
        np.testing.assert_array_equal(found.counts, other.counts)
        np.testing.assert_array_equal(found.y, other.y)
        np.testing.assert_array_equal(found.t, other.t)
        np.testing.assert_array_equal(found.rates, other.rates)


def test_members_without_a_step_of_their_own(monkeypatch):
    """First steps that are chosen and given, in the same vector, and members whose end is their begin."""
    t0, end = np.zeros(20), np.where(np.arange(20) % 4 == 2, 0.0, 2.0)
    given = {"rtol": 1e-7, "atol": 1e-8, "parameters": (np.ones(20), PUSH), "shared": (False, True), "threads": 1}
    one = integrate_members([solver], t0, end, np.ones((20, 2)), **given)
    monkeypatch.setattr(Explicit, "prepares", False)
    other = integrate_members([solver], t0, end, np.ones((20, 2)), **given)
    np.testing.assert_array_equal(one.counts, other.counts)
    np.testing.assert_array_equal(one.y, other.y)


@pytest.mark.parametrize(
    "options",
    [
        {"lanes": 1},
        {"has_times": True, "checks_polynomials": True},
        {"has_stretches": True},
        {"log": STATES},
    ],
)
def test_others_begin_one_by_one(options):
    """One lane waits for none, and members with times of their own or stretches enter these when they begin."""
    usual = {"lanes": 8, "shared": (False, True)}
    assert Explicit(PROGRAM, Form(**usual | options)).prepared is None
    assert Explicit(PROGRAM, Form(**usual)).prepared is not None
