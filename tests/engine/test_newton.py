"""The loop on a system of its own: it needs nothing of recurrences, methods or segments."""

import numpy as np
import pytest

from parscan._arrays.elementwise import leading
from parscan._engine.convergence import StoppingRules, solve
from parscan._engine.linearisation import Linearisation, Propagator
from parscan._engine.newton import Ended
from parscan._engine.system import System
from parscan._engine.termination import Termination
from parscan._engine.tolerance import Tolerance, is_noise
from parscan._linalg.diagonal import Diagonal

TOLERANCE = Tolerance(1e-10, 1e-12)


class Chain(System):
    """z_p = f(z_{p-1}) elementwise, with `slope` for its derivative, right or wrong."""

    def __init__(self, function, slope, nodes):
        self._function = function
        self._slope = slope
        self._nodes = nodes
        self.sweeps = 0

    @property
    def nodes(self):
        return self._nodes

    def guess(self, y0):
        return np.broadcast_to(y0, (self._nodes, *y0.shape))

    def time_of(self, node):
        return node

    def linearise(self, z, first):
        self.sweeps += 1
        propagator = None if self._slope is None else Propagator(Diagonal(), self._slope(z[first:-1]))
        return Linearisation(z, propagator, self._function(z[first:-1]))

    def finish(self, z, first):
        return self._function(z[first:-1])

    def roundings(self, z, first):
        return np.zeros_like(z[first + 1 :])


def chain(function, nodes=200, slope=None):
    return Chain(function, slope, nodes), np.full((1,), 0.3)


def exact(function, y0, nodes):
    rows = [y0]
    for _ in range(nodes - 1):
        rows.append(function(rows[-1]))
    return np.stack(rows)


def run(system, y0, superlinear=True, propagates=True, **rules):
    return solve(
        system, system.guess(y0), TOLERANCE, StoppingRules(rules.pop("most", 50), propagates, superlinear, **rules)
    )


def f(z):
    return 0.5 * z + 0.1 * np.sin(z) + 0.2


def slope(z):
    return 0.5 + 0.1 * np.cos(z)


def test_newton_converges_quadratically():
    system, y0 = chain(f, slope=slope)
    outcome = run(system, y0)
    assert outcome.ending is Termination.CONVERGED
    assert outcome.first == 200
    assert np.abs(outcome.z - exact(f, y0, 200)).max() <= 1e-13
    assert len(outcome.history) <= 6


def test_without_propagators_the_exact_prefix_grows_node_by_node():
    system, y0 = chain(lambda z: 1.01 * z, nodes=30)
    outcome = run(system, y0, superlinear=False, propagates=False, most=7)
    assert outcome.ending is Termination.EXHAUSTED
    assert outcome.first == 7
    assert np.array_equal(outcome.z[:8], exact(lambda z: 1.01 * z, y0, 8))


def test_without_propagators_nothing_grows():
    system, y0 = chain(f)
    assert run(system, y0, most=3, largest_growth=1e3).growth == -np.inf


def test_wrong_propagators_converge_to_the_same_fixed_point():
    system, y0 = chain(f, slope=lambda z: np.full_like(z, 0.3))
    outcome = run(system, y0, superlinear=False)
    assert outcome.ending is Termination.CONVERGED
    assert np.abs(outcome.z - exact(f, y0, 200)).max() <= 1e-11


@pytest.mark.parametrize(
    ("rule", "ending", "iterations"),
    [
        ({"required_rate": 0.1}, Termination.STALLED, 2),
        ({"max_seconds": 0.0}, Termination.LATE, 1),
        ({"most": 3}, Termination.EXHAUSTED, 3),
    ],
    ids=["rate", "time", "iterations"],
)
def test_slow_convergence_is_given_up_by_the_rules(rule, ending, iterations):
    """Time counts from the end of the first iteration."""
    system, y0 = chain(lambda z: 0.9 * z + 0.1)
    outcome = run(system, y0, superlinear=False, propagates=False, **rule)
    assert outcome.ending is ending
    assert len(outcome.history) == iterations


@pytest.mark.parametrize(("limit", "iterations"), [(2.5, 2), (3.5, 3), (4.5, 4)])
def test_what_a_library_loads_at_the_first_iteration_is_not_counted(monkeypatch, limit, iterations):
    """Each takes a second; the first one, by another library than NumPy, much more."""
    now, system = [0.0], Chain(None, None, 200)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def slow(z):
        now[0] += 1.0 if system.sweeps > 1 else 100.0
        return 0.9 * z + 0.1

    system._function = slow
    z = np.full((200, 1), 0.3)
    rules = StoppingRules(100, superlinear=False, propagates=False, max_seconds=limit)
    assert solve(system, z, TOLERANCE, rules).ending is Termination.LATE
    assert system.sweeps == 1
    system.sweeps = 0
    monkeypatch.setattr("parscan._engine.convergence.library", lambda z: "cupy")
    outcome = solve(system, z, TOLERANCE, rules)
    assert outcome.ending is Termination.LATE
    assert len(outcome.history) == iterations


def test_what_is_not_finite_ends_the_loop_and_leaves_the_prefix():
    system, y0 = chain(lambda z: np.where(z > 1e3, np.inf, 10 * z), nodes=40, slope=lambda z: np.full_like(z, 10.0))
    with np.errstate(all="ignore"):
        outcome = run(system, y0)
    assert outcome.ending is Termination.NOT_FINITE
    assert 0 < outcome.first < 40
    assert np.isfinite(outcome.z[: outcome.first]).all()


def test_what_a_system_rejects_is_noted():
    def fussy(z):
        raise Ended(Termination.RAISED, "ZeroDivisionError: not here") from ZeroDivisionError("not here")

    system, y0 = chain(fussy)
    outcome = run(system, y0)
    assert outcome.ending is Termination.RAISED
    assert outcome.note == "ZeroDivisionError: not here"


def test_one_node_is_known():
    system, y0 = chain(f, nodes=1)
    outcome = run(system, y0)
    assert outcome.ending is Termination.CONVERGED
    assert np.array_equal(outcome.z[0], y0)


def test_reports_never_step_back():
    told = []
    system, y0 = chain(f, slope=slope)
    outcome = solve(
        system, system.guess(y0), TOLERANCE, StoppingRules(50, True, True), lambda *report: told.append(report)
    )
    nodes, iterations, corrections = zip(*told, strict=True)
    assert list(nodes) == sorted(nodes)
    assert list(iterations) == list(range(1, len(outcome.history) + 1))
    assert corrections == outcome.history


@pytest.mark.parametrize("nodes", [0, 1, 5])
def test_leading(nodes):
    for unset in range(nodes + 1):
        flags = np.ones((nodes, 2), bool)
        flags[unset:] = False
        flags[unset + 1 :, 1] = True
        assert leading(np, flags) == unset


def test_noise_is_measured_by_size():
    sizes = np.array([0.0, 1e-300, 1.0, 1e300])
    assert is_noise(sizes * 1e-16, sizes).all()
    assert not is_noise(sizes[1:] * 1e-14, sizes[1:]).any()
    assert not is_noise(np.array([np.nan, np.inf]), np.ones(2)).any()
    assert is_noise(np.full(1, 5e-324), np.full(1, 1e-323)).all()  # neighbours, where nothing is smaller


def test_a_propagator_that_is_not_finite_does_not_reach_exact_nodes():
    """The nodes before it met their targets: their corrections are zero, and zero times infinity is NaN."""
    z = exact(f, np.full(1, 0.3), 20)
    z[10:] += 1e300
    system = Chain(f, lambda z: np.full_like(z, np.inf), 20)
    outcome = solve(system, z, TOLERANCE, StoppingRules(1, propagates=True, superlinear=True))
    assert outcome.ending is Termination.NOT_FINITE
    assert outcome.first == 10
    assert np.array_equal(outcome.z[:11], exact(f, np.full(1, 0.3), 11))
