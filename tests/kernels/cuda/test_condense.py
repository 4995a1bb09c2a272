"""The CUDA kernel that condenses collocation stages, run by the emulator, against assembled systems."""

import array_api_strict
import numpy as np
import pytest
from condensing import assert_agree, oracle, precision, problem
from cuda_emulator import ORDERS

from parscan._ivp.core.tableaux import gauss, radau
from parscan._kernels import dispatch
from parscan._kernels.cuda import condense_kernels as kernels
from parscan._kernels.cuda.condense import condense
from parscan._kernels.generic.condense import condense as condense_by_solve

pytestmark = pytest.mark.usefixtures("emulator")


@pytest.mark.pairs(n=[1, 2, 3, 6], s=[1, 2, 3, 5], dtype=["float32", "float64"])
def test_against_the_oracle(rng, emulator, n, s, dtype):
    groups = kernels.groups(dtype, s, n)
    emulator.order = ORDERS[(n + s) % 3]
    tableau = radau(s)
    for N in {1, groups + 1, 2 * groups} if s * n < 10 else {2}:
        J, h, r = problem(rng, N, s, n, dtype)
        result = condense(J, tableau.A, tableau.b, h, r)
        assert all(x.dtype == dtype for x in result)
        assert_agree(result, oracle(J, tableau.A, tableau.b, h, r), 1000 * precision(dtype))
    assert set(emulator.launched) == {"condense"}


@pytest.mark.parametrize("order", [(1, 4), (2, 3), (3, 1), (1, 11)])
def test_groups_narrower_than_their_table(rng, monkeypatch, order):
    """A thread has several columns, and there are no more groups than one in a block."""
    monkeypatch.setattr(kernels, "WIDEST", 4)
    s, n = order
    J, h, r = problem(rng, 3, s, n)
    tableau = gauss(s)
    kernels.condense_kernel.cache_clear()
    result = condense(J, tableau.A, tableau.b, h, r)
    kernels.condense_kernel.cache_clear()
    assert_agree(result, oracle(J, tableau.A, tableau.b, h, r), 1e-11)


@pytest.mark.parametrize(("s", "n", "dtype"), [(2, 2, "complex64"), (1, 3, "complex128"), (1, 60, "float64")])
def test_complex_or_large_systems_are_the_solvers(rng, emulator, s, n, dtype):
    J, h, r = problem(rng, 3, s, n, dtype)
    tableau = radau(s)
    result = condense(J, tableau.A, tableau.b, h, r)
    assert_agree(result, oracle(J, tableau.A, tableau.b, h, r), 1000 * precision(dtype))
    assert not emulator.launched


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_no_interval(rng, emulator, dtype):
    tableau = radau(3)
    J, h, r = problem(rng, 0, 3, 2, dtype)
    shapes = [x.shape for x in condense(J, tableau.A, tableau.b, h, r)]
    assert shapes == [(0, 3, 2), (0, 3, 2, 2), (0, 2, 2), (0, 2)]
    assert not emulator.launched


@pytest.mark.parametrize("size", [1e-6, 10.0, 1e8])
def test_stiff_and_nonstiff(rng, size):
    J, h, r = problem(rng, 3, 3, 2, size=size)
    tableau = radau(3)
    assert_agree(condense(J, tableau.A, tableau.b, h, r), oracle(J, tableau.A, tableau.b, h, r), 1e-11)


@pytest.mark.parametrize("first", [0, 1])
def test_some_intervals_must_be_pivoted(rng, first):
    """The first entry of the matrix is about 0 in every second interval; there is nothing to pivot in the others."""
    J, h, r = problem(rng, 5, 2, 2, size=0.1)
    tableau = radau(2)
    J[first::2, 0, 0, 0] = 1 / (h[first::2] * tableau.A[0, 0])
    assert_agree(condense(J, tableau.A, tableau.b, h, r), oracle(J, tableau.A, tableau.b, h, r), 1e-11)


@pytest.mark.parametrize("size", [3.0, 1e8])
def test_rotations_that_must_be_pivoted_everywhere(rng, size):
    J = size * np.linalg.qr(rng.normal(size=(8, 1, 4, 4)))[0].repeat(2, axis=1)
    tableau = gauss(2)
    h, r = np.ones(8), rng.normal(size=(8, 2, 4))
    assert_agree(condense(J, tableau.A, tableau.b, h, r), oracle(J, tableau.A, tableau.b, h, r), 1e-11)


def test_a_pivot_of_zero_is_found_a_partner(rng):
    """`I - h A⊗J` is a permutation of order 3 with signs: every pivot has to be fetched from below."""
    matrix = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    J = (np.eye(3) - matrix)[None, None]
    r = rng.normal(size=(1, 1, 3))
    result = condense(J, np.eye(1), np.ones(1), np.ones(1), r)
    np.testing.assert_array_equal(result.X0[0, 0], np.linalg.solve(matrix, r[0, 0]))


@pytest.mark.parametrize("bad", [0, 4])
@pytest.mark.parametrize("spoil", ["singular", "NaN in J", "NaN in r", "infinite J", "infinite h"])
def test_a_bad_interval_does_not_touch_the_others(rng, spoil, bad):
    J, h, r = problem(rng, 5, 2, 1)
    A, b = radau(2).A, radau(2).b
    if spoil == "singular":
        A = np.eye(2) / 2  # the system falls apart; the matrix of the bad interval is then exactly 0
    before = condense(J, A, b, h, r)
    if spoil == "singular":
        J[bad], h[bad] = 2.0, 1.0
    else:
        array, value = {"J": J, "r": r, "h": h}[spoil[-1]], np.nan if "NaN" in spoil else np.inf
        array[(bad, *(0,) * (array.ndim - 1))] = value
    after = condense(J, A, b, h, r)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(np.delete(new, bad, 0), np.delete(old, bad, 0))
    assert not np.all(np.isfinite(after.X0[bad]))
    assert not np.all(np.isfinite(after.offsets[bad]))
    assert np.all(np.isfinite(after.X1[bad])) == (spoil == "NaN in r")


def test_any_layout_of_the_operands_and_none_is_changed(rng):
    J, h, r = problem(rng, 5, 3, 2)
    tableau = gauss(3)
    expected = condense(J, tableau.A, tableau.b, h, r)
    strange = [np.repeat(np.asfortranarray(x), 2, axis=0)[::2] for x in (J, h, r)]
    for x in strange:
        x.flags.writeable = False
    result = condense(strange[0], tableau.A.T.copy().T, tableau.b[::-1].copy()[::-1], *strange[1:])
    for got, wanted in zip(result, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    broadcast = np.broadcast_to(J[:1], J.shape)
    assert_agree(condense(broadcast, tableau.A, tableau.b, h, r), oracle(broadcast, tableau.A, tableau.b, h, r), 1e-12)


def test_another_library_stays_with_its_arrays(rng, emulator):
    """The front door takes array-api-strict to the kernel, as it does CuPy."""
    J, h, r = problem(rng, 3, 2, 2)
    tableau = radau(2)
    strict = [array_api_strict.asarray(x) for x in (J, h, r)]
    result = dispatch.condense(strict[0], tableau.A, tableau.b, *strict[1:])
    assert emulator.launched == ["condense"]
    assert all(type(x) is type(strict[0]) for x in result)
    assert_agree(result, oracle(J, tableau.A, tableau.b, h, r), 1e-12)


def test_as_the_solver_does(rng):
    J, h, r = problem(rng, 9, 3, 1)
    tableau = radau(3)
    mine, theirs = (run(J, tableau.A, tableau.b, h, r) for run in (condense, condense_by_solve))
    for got, wanted in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::parscan.warnings.CoarseMeshWarning")
def test_an_ode_is_solved_through_it(emulator):
    import parscan

    def decay(t, y):
        fast, slow = y[0, ...], y[1, ...]
        return [-50 * (fast - slow), -slow]

    options = {"method": "Radau", "mesh": np.linspace(0, 1, 5), "stages": 3}
    expected = parscan.solve_ivp(decay, (0, 1), [1.0, 1.0], **options)
    found = parscan.solve_ivp(decay, (0, 1), array_api_strict.asarray([1.0, 1.0]), **options)
    assert "condense" in emulator.launched
    np.testing.assert_allclose(np.asarray(found.y), expected.y, rtol=1e-9)
