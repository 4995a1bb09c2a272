"""The correction of a mesh: compiled and generic, against one linear system of everything."""

import threading

import array_api_strict
import numpy as np
import pytest

from parscan._arrays.threads import Threads
from parscan._ivp.core.tableaux import radau
from parscan._kernels.cpu import correct_mesh as cpu
from parscan._kernels.dispatch import correct_mesh
from parscan._kernels.generic import correct_mesh as generic
from parscan._kernels.generic.condense import condense as condense_by_solve

DTYPES = ["float32", "float64", "complex64", "complex128"]
WAYS = {"compiled": cpu.correct_mesh, "generic": generic.correct_mesh, "dispatched": correct_mesh}


def problem(rng, N, s, B, n, dtype):
    def numbers(*shape):
        values = rng.normal(size=shape)
        return (values + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else values).astype(dtype)

    tableau, h = radau(s), rng.uniform(0.1, 0.5, N).astype(np.zeros(0, dtype).real.dtype)
    J, F, y, K = numbers(N * B, s, n, n), numbers(N, s, B, n), numbers(N + 1, B, n), numbers(N, s, B, n)
    residuals = np.moveaxis(F - K, 2, 1).reshape(N * B, s, n)
    return tableau, h, J, F, y, K, condense_by_solve(J, tableau.A, tableau.b, np.repeat(h, B), residuals)


def oracle(tableau, h, J, F, y, K):
    """Stages and nodes of every member by one system: no condensing, no scan."""
    N, s, B, n = K.shape
    J = J.reshape(N, B, s, n, n)
    wide = np.result_type(y.dtype, np.float64)
    dK, dy = np.zeros((N, s, B, n), wide), np.zeros((N + 1, B, n), wide)
    for q in range(B):
        for p in range(N):
            blocks = np.eye(s * n, dtype=wide)
            for i in range(s):
                blocks[i * n : (i + 1) * n] -= float(h[p]) * np.kron(tableau.A[i], J[p, q, i].astype(wide))
            right = np.concatenate([F[p, i, q] - K[p, i, q] + J[p, q, i] @ dy[p, q] for i in range(s)])
            dK[p, :, q] = np.linalg.solve(blocks, right).reshape(s, n)
            end = y[p, q] + dy[p, q] + float(h[p]) * np.tensordot(tableau.b, K[p, :, q] + dK[p, :, q], 1)
            dy[p + 1, q] = end - y[p + 1, q]
    return y + dy, K + dK, dy, dK


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("N", "s", "B", "n"), [(1, 1, 1, 1), (3, 2, 1, 2), (7, 3, 4, 2), (5, 5, 2, 5), (40, 1, 1, 5)])
def test_against_one_system_of_everything(way, dtype, N, s, B, n, rng):
    tableau, h, J, F, y, K, condensed = problem(rng, N, s, B, n, dtype)
    rtol, atol = 1e-3, rng.uniform(1e-4, 1e-2, n).astype(h.dtype)
    found = WAYS[way](condensed, tableau.b, h, y, K, rtol, atol)
    y_new, K_new, dy, dK = oracle(tableau, h, J, F, y, K)
    precision = 2e3 * np.finfo(dtype).eps
    assert found.y.dtype == found.K.dtype == dtype
    assert np.abs(found.y - y_new).max() <= precision * np.abs(y_new).max()
    assert np.abs(found.K - K_new).max() <= precision * np.abs(K_new).max()
    bound = atol + rtol * np.maximum(np.abs(y_new[:-1]), np.abs(y_new[1:]))
    of_states = np.sqrt(np.mean(np.abs(dy[1:] / bound) ** 2, axis=-1)).max(axis=-1)
    of_stages = np.abs(h[:, None, None, None] * dK / bound[:, None]) ** 2
    of_stages = np.sqrt(np.mean(of_stages, axis=(1, 3))).max(axis=-1)
    assert np.allclose(found.sizes, np.maximum(of_states, of_stages), rtol=100 * precision)


@pytest.mark.parametrize("way", WAYS)
def test_the_first_state_stays_and_nothing_of_the_callers_is_written_to(way, rng):
    tableau, h, _, _, y, K, condensed = problem(rng, 6, 3, 2, 2, "float64")
    before = [x.copy() for x in (*condensed, h, y, K)]
    found = WAYS[way](condensed, tableau.b, h, y, K, 1e-3, np.full(2, 1e-6))
    assert np.array_equal(found.y[0], y[0])
    for x, old in zip((*condensed, h, y, K), before, strict=True):
        assert np.array_equal(x, old)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_a_number_reaches_later_intervals_only(way, rng):
    tableau, h, _, _, y, K, condensed = problem(rng, 8, 2, 3, 2, "float64")
    clean = WAYS[way](condensed, tableau.b, h, y, K, 1e-3, np.full(2, 1e-6))
    condensed.X0[4 * 3 + 1] = np.nan
    condensed.offsets[4 * 3 + 1] = np.nan
    spoilt = WAYS[way](condensed, tableau.b, h, y, K, 1e-3, np.full(2, 1e-6))
    assert np.array_equal(spoilt.sizes[:4], clean.sizes[:4])
    assert np.isinf(spoilt.sizes[4:]).all()
    assert np.array_equal(spoilt.y[:5], clean.y[:5])


@pytest.mark.parametrize("way", WAYS)
def test_no_correction_is_none_where_the_bound_is_zero(way):
    tableau, h = radau(2), np.full(3, 0.5)
    y, K = np.zeros((4, 1, 1)), np.zeros((3, 2, 1, 1))
    condensed = condense_by_solve(np.ones((3, 2, 1, 1)), tableau.A, tableau.b, h, np.zeros((3, 2, 1)))
    found = WAYS[way](condensed, tableau.b, h, y, K, 1e-3, np.zeros(1))
    assert np.array_equal(found.sizes, np.zeros(3))


def test_any_array_library(rng):
    tableau, h, _, _, y, K, condensed = problem(rng, 5, 3, 2, 2, "float64")
    strict = type(condensed)(*map(array_api_strict.asarray, condensed))
    arrays = (array_api_strict.asarray(x) for x in (h, y, K))
    found = correct_mesh(strict, tableau.b, *arrays, 1e-3, array_api_strict.asarray(np.full(2, 1e-6)))
    expected = correct_mesh(condensed, tableau.b, h, y, K, 1e-3, np.full(2, 1e-6))
    for got, wanted in zip(found, expected, strict=True):
        assert np.allclose(np.asarray(got), wanted, rtol=1e-12)


def test_threads_share_the_members(rng):
    tableau, h, _, _, y, K, condensed = problem(rng, 30, 3, 9, 2, "float64")
    alone = cpu.correct_mesh(condensed, tableau.b, h, y, K, 1e-3, np.full(2, 1e-6))
    four = Threads(work_per_thread=1, available=4)
    found, errors = [], []

    def run():
        try:
            found.append(cpu.correct_mesh(condensed, tableau.b, h, y, K, 1e-3, np.full(2, 1e-6), threads=four))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for one in found:
        for got, wanted in zip(one, alone, strict=True):
            assert np.array_equal(got, wanted)
