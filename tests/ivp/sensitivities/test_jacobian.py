"""Derivatives of solutions by few parameters: variational equations by machine code, or tangents of a trajectory."""

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from ode_sensitivities import deviation

from parscan import solve_ivp
from parscan._ivp.compiled import variational
from parscan.warnings import DiscontinuousParameterWarning, StateJumpWarning

T = np.linspace(0, 3, 7)[1:]


def predators(t, y, p):
    return [p[0] * y[0] - p[1] * y[0] * y[1], p[3] * y[0] * y[1] - p[2] * y[1]]


def reaction(t, y, slow, fast, fastest):
    a, b, c = slow * y[0], fast * y[1] * y[2], fastest * y[1] ** 2
    return [b - a, a - b - c, c]


def oregonator(t, y, s, w):
    x = y[0]
    return [s * (y[1] + x * (1 - 8.375e-6 * x - y[1])), (y[2] - (1 + x) * y[1]) / s, w * (x - y[2])]


P = np.array([1.5, 1.0, 3.0, 0.8])


def by_complex_steps(fun, y0, args, t=T, start=0.0, method="DOP853", entries=None):
    """Derivatives of solutions by all entries of the first of `args`, and by the start, each from a solve by SciPy."""
    size, n = np.size(args[0]), len(y0)
    found = []
    for k in range(size + n):
        change = 1e-30j * np.eye(size + n)[k]
        first = args[0] + change[:size].reshape(np.shape(args[0]))
        run = scipy.integrate.solve_ivp(
            fun, (start, t[-1]), y0 + change[size:], method, t, args=(first, *args[1:]), rtol=1e-13, atol=1e-13
        )
        found.append(run.y.imag / 1e-30)
    both = np.stack(found, axis=-1)
    return both[..., :size], both[..., size:]


def solved(fun, y0, args, t=T, start=0.0, **options):
    options = {"rtol": 1e-11, "atol": 1e-13, "t_eval": t, "compile": True, **options}
    return solve_ivp(fun, (start, t[-1]), y0, args=args, **options)


def is_by_code(sol):
    """Whether machine code solves the variational equations: nothing else was made."""
    return sol._solution._refined is None and "_linearised" not in vars(sol._solution)


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("compiled", [True, None, False])
def test_derivatives_of_a_solution_that_is_not_stiff(back, compiled):
    t, start = (T[::-1] - T[0], T[-1]) if back else (T, 0.0)
    sol = solved(predators, [1.0, 2.0], (P,), t, start, compile=compiled)
    by_p, by_y0 = by_complex_steps(predators, np.array([1.0, 2.0]), (P,), t, start)
    assert deviation(sol.jacobian("p"), by_p) <= 1e-8
    assert deviation(sol.jacobian("y0"), by_y0) <= 1e-8
    assert sol.jacobian(0).shape == (2, 6, 4)
    both = sol.jacobian(("y0", "p"))
    assert deviation(both[0], by_y0) <= 1e-8
    assert deviation(both[1], by_p) <= 1e-8
    assert is_by_code(sol) == (compiled is True)


def test_tolerances_hold_for_derivatives():
    by_p, _ = by_complex_steps(predators, np.array([1.0, 2.0]), (P,))
    for rtol in (1e-4, 1e-6, 1e-8):
        sol = solved(predators, [1.0, 2.0], (P,), rtol=rtol, atol=rtol)
        assert deviation(sol.jacobian("p"), by_p) <= 10 * rtol


def test_the_stiff_method_solves_stiff_variational_equations():
    t = np.array([0.4, 4.0, 40.0, 400.0])
    args = (0.04, 1e4, 3e7)
    sol = solved(reaction, [1.0, 0.0, 0.0], args, t, rtol=1e-9, atol=1e-13)
    found = sol.jacobian()
    assert is_by_code(sol)
    for k, value in enumerate(args):

        def at(h, k=k, value=value):
            own = (*args[:k], value * (1 + h), *args[k + 1 :])
            run = scipy.integrate.solve_ivp(
                reaction, (0, 400), [1.0, 0, 0], "Radau", t, args=own, rtol=1e-12, atol=1e-16
            )
            return run.y / value

        expected = (8 * (at(1e-3) - at(-1e-3)) - (at(2e-3) - at(-2e-3))) / 12e-3
        assert deviation(found[k], expected) <= 1e-6


def hires(t, y, p):
    """Schäfer (1975), as in the test set of Mazzia and Magherini, by two of its rates."""
    fast = p[1] * y[5] * y[7]
    return [
        -p[0] * y[0] + 0.43 * y[1] + 8.32 * y[2] + 0.0007, p[0] * y[0] - 8.75 * y[1],
        -10.03 * y[2] + 0.43 * y[3] + 0.035 * y[4], 8.32 * y[1] + 1.71 * y[2] - 1.12 * y[3],
        -1.745 * y[4] + 0.43 * y[5] + 0.43 * y[6], -fast + 0.69 * y[3] + 1.71 * y[4] - 0.43 * y[5] + 0.69 * y[6],
        fast - 1.81 * y[6], 1.81 * y[6] - fast,
    ]  # fmt: skip


def test_derivatives_of_stiff_solutions_are_more_exact_than_their_tolerances():
    start, p, times = [1.0, 0, 0, 0, 0, 0, 0, 0.0057], np.array([1.71, 280.0]), np.linspace(16, 320, 20)
    expected = solved(hires, start, (p,), times, rtol=1e-10, atol=1e-14).jacobian("p")
    sol = solved(hires, start, (p,), times, rtol=1e-6, atol=1e-10)
    found, size = sol.jacobian("p"), np.abs(expected).max(axis=(0, 1))
    assert is_by_code(sol)
    assert (np.abs(found - expected) / size).max() <= 8e-10


def test_too_many_steps_end_variational_equations(monkeypatch):
    """Where rounding keeps a solver from meeting the tolerances, its steps shrink on and on: others take over."""
    monkeypatch.setattr(variational, "MORE", 0)
    monkeypatch.setattr(variational, "SHORT", 0.0)  # no tangents of the steps of the solution instead
    p, times = np.array([77.27, 0.161]), np.linspace(30, 300, 5)

    def fun(t, y, p):
        return oregonator(t, y, p[0], p[1])

    def found(fun, steps):
        monkeypatch.setattr(variational, "STEPS", steps)
        sol = solved(fun, [1.0, 2.0, 3.0], (p,), times, rtol=1e-9, atol=1e-11)
        return sol.jacobian("p"), is_by_code(sol)

    expected, by_code = found(lambda t, y, p: oregonator(t, y, *p), 1 << 20)
    assert by_code
    for steps in (64, 1 << 20):  # what failed is not tried again
        jacobian, by_code = found(fun, steps)
        assert deviation(jacobian, expected) <= 1e-6
        assert not by_code


def test_steps_become_stiff_on_the_way():
    """The explicit method gives up, and the stiff one begins anew; it is the first one from then on."""
    t = np.array([10.0, 30.0])
    sol = solved(oregonator, [1.0, 2.0, 3.0], (77.27, 0.161), t, rtol=1e-9, atol=1e-12)
    found = sol.jacobian()
    assert is_by_code(sol)
    sol._solution._variational = None
    for one, other in zip(found, sol.jacobian(), strict=True):
        assert deviation(one, other) <= 1e-6


def test_many_components():
    def ring(t, y, p):
        return (np.roll(y, -1) - np.roll(y, 2)) * np.roll(y, 1) - y + p[0]

    y0 = 8 + 0.01 * np.cos(np.arange(24.0))
    sol = solved(ring, y0, (np.array([8.0]),), [0.3])
    for found, expected in zip(
        sol.jacobian((0, "y0")), by_complex_steps(ring, y0, (np.array([8.0]),), [0.3]), strict=True
    ):
        assert deviation(found, expected) <= 1e-8
    assert is_by_code(sol)


def test_large_stiff_systems_are_left_to_tangents(monkeypatch):
    monkeypatch.setattr("parscan._ivp.compiled.variational.MOST_STIFF", 5)
    sol = solved(lambda t, y, k: -k * (y - np.cos(t)), [1.0, 1.0, 1.0], (1e5,), [1.0], rtol=1e-7, atol=1e-9)
    assert sol.method != "DOP853"
    found = sol.jacobian("k")[:, 0]
    assert not is_by_code(sol)
    assert deviation(found, np.full(3, -np.sin(1.0) / 1e10)) <= 1e-2


@pytest.mark.parametrize("compiled", [True, False])
def test_linear_equations_have_the_derivative_of_the_exponential(compiled):
    A = np.random.default_rng(3).standard_normal((3, 3))
    y0 = np.array([1.0, -2.0, 0.5])
    sol = solved(lambda t, y, A: A @ y, y0, (A,), [1.0], start=0.0, compile=compiled)
    by_matrix, by_start = sol.jacobian((0, "y0"))
    assert by_matrix.shape == (3, 1, 3, 3)
    assert deviation(by_start[:, 0], scipy.linalg.expm(A)) <= 1e-9
    for i, j in np.ndindex(3, 3):
        change = scipy.linalg.expm_frechet(A, np.outer(np.eye(3)[i], np.eye(3)[j]), compute_expm=False)
        assert deviation(by_matrix[:, 0, i, j], change @ y0) <= 1e-9


def nested(t, y, rates, gain):
    growth = rates["growth"]
    return [growth[0] * y[0] - growth[1] * y[0] * y[1], gain * y[0] * y[1] - rates["death"] * y[1]]


@pytest.mark.parametrize("compiled", [True, False])
def test_structures_of_parameters(compiled):
    args = ({"growth": P[:2], "death": 3.0}, 0.8)
    sol = solved(nested, [1.0, 2.0], args, compile=compiled)
    expected, _ = by_complex_steps(predators, np.array([1.0, 2.0]), (P,))
    rates, gain = sol.jacobian()
    assert list(rates) == ["growth", "death"]
    assert rates["growth"].shape == (2, 6, 2)
    assert rates["death"].shape == (2, 6)
    assert deviation(rates["growth"], expected[..., :2]) <= 1e-8
    assert deviation(rates["death"], expected[..., 2]) <= 1e-8
    assert deviation(gain, expected[..., 3]) <= 1e-8
    assert deviation(sol.jacobian("gain"), expected[..., 3]) <= 1e-8
    assert is_by_code(sol) == compiled


def test_single_precision():
    sol = solve_ivp(predators, (0, 3), np.array([1, 2], np.float32), t_eval=T, args=(P,), rtol=2e-5, compile=True)
    found, (by_p, by_y0) = sol.jacobian(("p", "y0")), by_complex_steps(predators, np.array([1.0, 2.0]), (P,))
    assert found[0].dtype == found[1].dtype == np.float32
    assert deviation(found[0], by_p) <= 1e-4
    assert deviation(found[1], by_y0) <= 1e-4


def test_members_of_a_batch_have_derivatives_by_their_own_start():
    y0 = np.array([[1.0, 2.0, 0.5], [2.0, 1.0, 1.0]])
    sol = solved(predators, y0, (P,), rtol=1e-9)
    by_p, by_y0 = sol.jacobian(("p", "y0"))
    assert by_p.shape == (2, 6, 3, 4)
    assert by_y0.shape == (2, 6, 3, 2)
    for member in range(3):
        expected = by_complex_steps(predators, y0[:, member], (P,))
        assert deviation(by_p[:, :, member], expected[0]) <= 1e-6
        assert deviation(by_y0[:, :, member], expected[1]) <= 1e-6


def test_kinks_and_jumps_in_time_that_no_parameter_moves():
    def fun(t, y, k):
        return np.where(t < 1.3, -k * y, 1 - k * y) + np.abs(t - 2.1)

    def by_pieces(k):
        y = np.array([1.0 + 0j])
        for begin, end in ((0, 1.3), (1.3, 2.1), (2.1, 3.0)):
            middle = (begin + end) / 2

            def piece(t, y, middle=middle):
                return -k * y + (middle > 1.3) + (t - 2.1) * np.sign(middle - 2.1)

            y = scipy.integrate.solve_ivp(piece, (begin, end), y, "DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
        return y

    sol = solved(fun, [1.0], (0.7,), [3.0])
    assert deviation(sol.jacobian("k")[:, 0], by_pieces(0.7 + 1e-30j).imag / 1e-30) <= 1e-9
    assert is_by_code(sol)


def test_after_a_terminal_event_times_are_those_of_the_solution():
    def low(t, y, p):
        return y[0] - 1.2

    low.terminal = True
    sol = solve_ivp(predators, (0, 3), [1.0, 2.0], events=low, args=(P,), rtol=1e-10, atol=1e-12, compile=True)
    assert sol.status == 1
    expected, _ = by_complex_steps(predators, np.array([1.0, 2.0]), (P,), sol.t)
    assert deviation(sol.jacobian("p"), expected) <= 1e-7


def test_other_parameters_need_no_other_code():
    def fun(t, y, k):
        return [-k * y[0] + np.sin(0.3 * t)]

    systems = set()
    for k in np.linspace(0.2, 2.0, 30):
        sol = solved(fun, [1.0], (k,), rtol=1e-9)
        expected, _ = by_complex_steps(fun, np.array([1.0]), (k,))
        assert deviation(sol.jacobian("k"), expected[..., 0]) <= 1e-7
        systems |= {
            id(plan.system) for plan in sol._solution._variational._recorded.notes.values() if hasattr(plan, "system")
        }
    assert len(systems) == 1


@pytest.mark.parametrize("times", [None, T], ids=["steps", "t_eval"])
def test_what_was_changed_after_the_solve_is_noticed(times):
    p = P.copy()
    for _ in range(4):  # the last ones repeat the first one
        sol = solve_ivp(predators, (0, 3), [1.0, 2.0], t_eval=times, args=(p,), rtol=1e-9, compile=True)
    p[0] = 9.0
    with pytest.raises(RuntimeError, match="no longer gives this solution"):
        sol.jacobian("p")


def test_parameters_that_move_jumps_are_warned_of():
    def fun(t, y, switch):
        return np.where(t < switch, 1.0, -1.0) - y

    sol = solved(fun, [1.0], (1.37,), rtol=1e-8, compile=False)
    with pytest.warns(DiscontinuousParameterWarning, match="switch"):
        sol.jacobian("switch")


def test_jumps_that_the_state_triggers_are_warned_of():
    sol = solved(lambda t, y, k: np.where(y < 0.5, -2.0, -1.0) * k, [1.0], (1.1,), [0.9], rtol=1e-8, compile=False)
    with pytest.warns(StateJumpWarning):
        sol.jacobian("k")


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ("q", ValueError, "`params` is 'q'"),
        (3, ValueError, "`params` is 3"),
        ((0, "q"), ValueError, "`params` is 'q'"),
        (1, TypeError, r"`args\[1\]` is 'fast'"),
        (2, TypeError, r"`args\[2\]` is complex"),
    ],
)
def test_wrong_parameters(params, error, message):
    sol = solve_ivp(lambda t, y, k, way, c: -k * y, (0, 1), [1.0], args=(1.0, "fast", 1j))
    with pytest.raises(error, match=message):
        sol.jacobian(params)


def test_without_parameters_there_is_the_start():
    k = 0.5
    sol = solve_ivp(lambda t, y: -k * y, (0, 1), [1.0], rtol=1e-9, atol=1e-12, t_eval=[1.0])
    with pytest.raises(ValueError, match="nothing to differentiate by"):
        sol.jacobian()
    assert deviation(sol.jacobian("y0"), np.exp([[[-0.5]]])) <= 1e-7


TERMS = {
    "product": lambda t, y, p: p[0] * y[0] * y[-1],
    "wave": lambda t, y, p: np.sin(p[1] * y[-1] + t),
    "decay": lambda t, y, p: -p[2] * y[0],
    "bounded": lambda t, y, p: np.tanh(p[0] - y[0]),
    "quotient": lambda t, y, p: p[1] / (1 + y[-1] ** 2),
    "power": lambda t, y, p: (1 + y[0] ** 2) ** p[2],
    "forcing": lambda t, y, p: np.exp(-p[2] * t) * p[0],
}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(sorted(TERMS)), min_size=1, max_size=3), min_size=1, max_size=3),
    st.lists(st.floats(-0.9, 0.9), min_size=3, max_size=3),
    st.booleans(),
)
def test_random_programs(terms, p, back):
    def fun(t, y, p):
        return [0.3 * sum(TERMS[name](t, y, p) for name in names) for names in terms]

    y0, p = np.linspace(0.2, 0.7, len(terms)), np.array(p)
    t, start = ([0.0], 1.0) if back else ([1.0], 0.0)
    sol = solved(fun, y0, (p,), t, start)
    for found, expected in zip(sol.jacobian(("p", "y0")), by_complex_steps(fun, y0, (p,), t, start), strict=True):
        assert np.abs(found - expected).max() <= 1e-8 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("back", [False, True])
def test_gradients_and_tangents_by_the_same_code(back):
    t, start = (T[::-1] - T[0], T[-1]) if back else (T, 0.0)
    args = ({"growth": P[:2], "death": P[2]}, P[3])
    sol = solved(nested, [1.0, 2.0], args, t, start)
    by_p, by_y0 = by_complex_steps(predators, np.array([1.0, 2.0]), (P,), t, start)
    for params in (None, "y0", "gain"):
        sol.jacobian(params)  # makes the code
    grad_y = np.cos(np.arange(sol.y.size)).reshape(sol.y.shape)
    expected = np.tensordot(grad_y, by_p, axes=2)
    rates, gain = sol.gradient(grad_y)
    assert type(rates["death"]) is np.float64
    assert type(gain) is np.float64
    assert deviation([*rates["growth"], rates["death"], gain], expected) <= 1e-8
    assert deviation(sol.gradient(grad_y, "gain"), expected[3]) <= 1e-8
    changes = np.array([[1.0, 0.5, -1.0], [0.0, 2.0, 1.0]])
    assert deviation(sol.tangent(y0=changes), by_y0 @ changes) <= 1e-8
    assert deviation(sol.tangent(y0=changes[:, 0]), by_y0 @ changes[:, 0]) <= 1e-8
    some = [4, 1, 3]
    assert deviation(sol.tangent(y0=changes, t=t[some]), (by_y0 @ changes)[:, some]) <= 1e-8
    assert deviation(sol.tangent(y0=changes, t=t[2]), (by_y0 @ changes)[:, 2]) <= 1e-8
    assert is_by_code(sol)
    with pytest.raises(ValueError, match="outside of the solution"):
        sol.tangent(y0=changes, t=[99.0])


def test_code_for_gradients_is_made_once_it_pays():
    def fun(t, y, k):
        return [-k * y[0] + 0.1 * np.cos(k * t)]

    ways = []
    for k in np.linspace(0.5, 1.5, 12):
        sol = solved(fun, [1.0], (k,), rtol=1e-9)
        found = sol.gradient(np.ones_like(sol.y), "k")
        expected, _ = by_complex_steps(fun, np.array([1.0]), (k,))
        assert deviation(found, expected.sum()) <= 1e-7
        ways.append(is_by_code(sol))
    assert ways == sorted(ways)  # never back again
    assert not ways[0]
    assert ways[-1]
