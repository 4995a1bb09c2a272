"""Condensing of collocation stages: every path against systems assembled and solved one by one in double precision."""

import threading

import array_api_strict
import numpy as np
import pytest
from condensing import assert_agree, oracle, precision, problem

from parscan._arrays.threads import Threads
from parscan._ivp.core.tableaux import FAMILIES, gauss, radau
from parscan._kernels.cpu import condense as cpu_condense
from parscan._kernels.dispatch import condense
from parscan._kernels.generic.condense import condense as condense_by_solve
from parscan._kernels.generic.condense_frozen import condense_frozen

DTYPES = ["float32", "float64", "complex64", "complex128"]


def strict(J, A, b, h, r):
    J, h, r = (array_api_strict.asarray(np.asarray(x)) for x in (J, h, r))
    result = condense(J, A, b, h, r)
    assert all(type(x) is type(J) for x in result)
    return result


WAYS = {"numpy": condense, "by solve": condense_by_solve, "strict": strict}
"""Ways of condensing NumPy arrays: the kernel or LAPACK, the generic path, the standard's reference library."""


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def run(request):
    return request.param


@pytest.mark.pairs(run=WAYS, n=[1, 2, 3, 6], s=[1, 2, 3, 7], N=[0, 1, 2, 5, 33], dtype=DTYPES)
def test_against_the_oracle(rng, run, n, s, N, dtype):
    J, h, r = problem(rng, N, s, n, dtype)
    tableau = radau(s)
    result = run(J, tableau.A, tableau.b, h, r)
    assert all(str(x.dtype).endswith(dtype) for x in result)
    assert_agree(result, oracle(J, tableau.A, tableau.b, h, r), 1000 * precision(dtype))


@pytest.mark.pairs(run=WAYS, make=FAMILIES, s=[1, 5, 9], size=[1e-6, 10.0, 1e4, 1e8])
def test_stiff_and_nonstiff(rng, run, make, s, size):
    J, h, r = problem(rng, 20, s, 4, size=size)
    tableau = make(s)
    assert_agree(run(J, tableau.A, tableau.b, h, r), oracle(J, tableau.A, tableau.b, h, r), 1e-11)


@pytest.mark.parametrize("first", [0, 1])
def test_some_intervals_must_be_pivoted(rng, run, first):
    """The first entry of the matrix is about 0 in every second interval; there is nothing to pivot in the others."""
    J, h, r = problem(rng, 33, 3, 3, size=0.1)
    tableau = radau(3)
    J[first::2, 0, 0, 0] = 1 / (h[first::2] * tableau.A[0, 0])
    assert_agree(run(J, tableau.A, tableau.b, h, r), oracle(J, tableau.A, tableau.b, h, r), 1e-9)


@pytest.mark.parametrize("size", [3.0, 1e4, 1e8])
def test_rotations_that_must_be_pivoted_everywhere(rng, run, size):
    """Orthogonal Jacobians, well conditioned and with their large entries anywhere."""
    J = size * np.linalg.qr(rng.normal(size=(200, 1, 6, 6)))[0].repeat(5, axis=1)
    tableau = gauss(5)
    h, r = np.ones(200), rng.normal(size=(200, 5, 6))
    assert_agree(run(J, tableau.A, tableau.b, h, r), oracle(J, tableau.A, tableau.b, h, r), 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("order", [cpu_condense.LARGEST_KERNEL, cpu_condense.LARGEST_KERNEL + 1])
def test_at_the_change_from_kernel_to_solver(rng, order):
    J, h, r = problem(rng, 3, 1, order)
    tableau = radau(1)
    assert_agree(condense(J, tableau.A, tableau.b, h, r), oracle(J, tableau.A, tableau.b, h, r), 1e-10)


@pytest.mark.parametrize("make", [lambda s, z: radau(s), lambda s, z: gauss(s)])
@pytest.mark.parametrize("z", [-1e3, -1.0, -0.1, 0.0, 0.5])
def test_propagator_is_the_stability_function(run, make, z):
    """`R(z) = 1 + z b^T (I - z A)^-1 1`, known in closed form for one stage."""
    tableau = make(1, z)
    result = run(np.full((2, 1, 1, 1), z), tableau.A, tableau.b, np.ones(2), np.zeros((2, 1, 1)))
    expected = 1 / (1 - z) if tableau.A[0, 0] == 1 else (1 + z / 2) / (1 - z / 2)
    np.testing.assert_allclose(np.asarray(result.propagators), np.full((2, 1, 1), expected), rtol=1e-13)


def test_an_explicit_method_is_taken_too(run):
    """Heun's method: `R(z) = 1 + z + z^2 / 2`."""
    A, b = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([0.5, 0.5])
    result = run(np.full((1, 2, 1, 1), -3.0), A, b, np.ones(1), np.zeros((1, 2, 1)))
    np.testing.assert_allclose(np.asarray(result.propagators), [[[2.5]]])


@pytest.mark.parametrize("bad", [0, 4, 32])
@pytest.mark.parametrize("spoil", ["singular", "NaN in J", "NaN in r", "infinite J", "infinite h"])
def test_a_bad_interval_does_not_touch_the_others(rng, run, spoil, bad):
    J, h, r = problem(rng, 33, 2, 2)
    tableau = radau(2)
    before = run(J, tableau.A, tableau.b, h, r)
    if spoil == "singular":
        # With A = I / 2 the system falls apart; its matrix is then exactly 0.
        tableau_A = np.eye(2) / 2
        before = run(J, tableau_A, tableau.b, h, r)
        J[bad], h[bad] = 2 * np.eye(2), 1.0
    else:
        tableau_A = tableau.A
        array, value = {"J": J, "r": r, "h": h}[spoil[-1]], np.nan if "NaN" in spoil else np.inf
        array[(bad, *(0,) * (array.ndim - 1))] = value
    after = run(J, tableau_A, tableau.b, h, r)
    others = np.arange(33) != bad
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(np.asarray(new)[others], np.asarray(old)[others])
    assert not np.all(np.isfinite(np.asarray(after.X0)[bad]))
    assert not np.all(np.isfinite(np.asarray(after.offsets)[bad]))
    assert np.all(np.isfinite(np.asarray(after.X1)[bad])) == (spoil == "NaN in r")


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_any_layout_of_the_operands(rng, dtype):
    J, h, r = problem(rng, 7, 3, 2, dtype)
    tableau = gauss(3)
    expected = condense(J, tableau.A, tableau.b, h, r)
    strange = [np.repeat(np.asfortranarray(x), 2, axis=0)[::2] for x in (J, h, r)]
    for x in strange:
        x.flags.writeable = False
    result = condense(strange[0], tableau.A.T.copy().T, tableau.b[::-1].copy()[::-1], *strange[1:])
    for got, wanted in zip(result, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
        assert got.flags.writeable
    broadcast = np.broadcast_to(J[:1], J.shape)
    assert_agree(condense(broadcast, tableau.A, tableau.b, h, r), oracle(broadcast, tableau.A, tableau.b, h, r), 1e-12)


def test_operands_are_left_alone(rng, run):
    J, h, r = problem(rng, 9, 3, 2)
    tableau = radau(3)
    copies = J.copy(), h.copy(), r.copy()
    run(J, tableau.A, tableau.b, h, r)
    for x, y in zip((J, h, r), copies, strict=True):
        np.testing.assert_array_equal(x, y)


def test_the_generic_path_in_chunks(rng):
    J, h, r = problem(rng, 11, 2, 2)
    tableau = radau(2)
    whole = condense_by_solve(J, tableau.A, tableau.b, h, r)
    in_chunks = condense_by_solve(J, tableau.A, tableau.b, h, r, chunk_bytes=4 * 4 * 7 * 8)
    for got, wanted in zip(in_chunks, whole, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-14)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_change_nothing(rng, threads):
    J, h, r = problem(rng, 101, 3, 2)
    tableau = radau(3)
    expected = condense(J, tableau.A, tableau.b, h, r)
    shared = cpu_condense.condense(J, tableau.A, tableau.b, h, r, threads=Threads(work_per_thread=1, available=threads))
    for got, wanted in zip(shared, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_concurrent_calls(rng):
    two = Threads(work_per_thread=1, available=2)
    tableau = radau(3)
    problems = [problem(rng, 301, 3, n) for n in (2, 3)]
    expected = [cpu_condense.condense(J, tableau.A, tableau.b, h, r, threads=two) for J, h, r in problems]
    wrong = []

    def repeat(which):
        J, h, r = problems[which]
        for _ in range(20):
            result = cpu_condense.condense(J, tableau.A, tableau.b, h, r, threads=two)
            wrong.extend(0 for x, y in zip(result, expected[which], strict=True) if not np.array_equal(x, y))

    callers = [threading.Thread(target=repeat, args=(which,)) for which in (0, 1)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


KINDS = {"one": (1, "float64", 1.0), "complex": (3, "complex128", 1.0), "stiff": (4, "float64", 1e8)}
"""Components, dtype and norm of Jacobians."""


@pytest.mark.pairs(xp=[np, array_api_strict], make=FAMILIES, s=[1, 2, 3, 5, 9], kind=KINDS)
def test_frozen_is_one_jacobian_for_all_stages(rng, xp, make, s, kind):
    n, dtype, size = kind
    J, h, r = problem(rng, 9, s, n, dtype, size)
    tableau = make(s)
    frozen = condense_frozen(xp.asarray(J[:, 0].copy()), tableau.A, tableau.b, xp.asarray(h), xp.asarray(r))
    same = np.repeat(J[:, :1], s, axis=1)
    assert_agree(frozen, oracle(same, tableau.A, tableau.b, h, r), 1e-9 if s == 9 else 1e-11)


@pytest.mark.parametrize(("s", "tolerance"), [(3, 1e-4), (5, 1e-3), (7, 1e-2)])
def test_frozen_in_single_precision(rng, s, tolerance):
    J, h, r = problem(rng, 9, s, 3, "float32")
    tableau = radau(s)
    frozen = condense_frozen(J[:, 0], tableau.A, tableau.b, h, r)
    assert all(x.dtype == np.float32 for x in frozen)
    assert_agree(frozen, oracle(np.repeat(J[:, :1], s, axis=1), tableau.A, tableau.b, h, r), tolerance)


def test_frozen_takes_no_interval_and_keeps_bad_ones_apart(rng):
    tableau = radau(3)
    J, h, r = problem(rng, 9, 3, 2)
    before = condense_frozen(J[:, 0], tableau.A, tableau.b, h, r)
    J[4] = np.nan
    after = condense_frozen(J[:, 0], tableau.A, tableau.b, h, r)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(np.delete(new, 4, 0), np.delete(old, 4, 0))
        assert np.all(np.isnan(new[4]))
    empty = condense_frozen(J[:0, 0], tableau.A, tableau.b, h[:0], r[:0])
    assert [x.shape for x in empty] == [(0, 3, 2), (0, 3, 2, 2), (0, 2, 2), (0, 2)]
