"""Structures against dense matrices, finite differences against formulas."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import PROBLEMS, SAMPLE, STRUCTURES, N, each_partial_structure, random_array
from problems import each_structure as each

from parscan import BlockDiagonal, Dense, Diagonal, StackedDiagonal, solve_recurrence
from parscan._engine.correction import scan_corrections
from parscan._engine.linearisation import Propagator
from parscan._functions.differences import central, forward
from parscan._linalg import structures
from parscan._linalg.structure import apply


@pytest.mark.parametrize("family", structures.STRUCTURES)
def test_every_structure_is_tested_and_documented(family):
    assert family in map(type, STRUCTURES)
    assert family in {type(PROBLEMS[name].structure) for name in SAMPLE}
    assert f"parscan.{family.__name__}" in solve_recurrence.__doc__


@each
def test_a_structure_is_full_that_leaves_nothing_out(structure):
    assert structure.is_full(N) == structure.to_dense(np.ones(structure.shape(N))).all()


@each
def test_no_row_meets_a_colour_twice(structure):
    pattern = structure.to_dense(np.ones(structure.shape(N)))
    colours = structure.colouring(np.arange(N), N)
    assert sorted(set(colours)) == list(range(structure.colours(N)))
    assert all(pattern[:, colours == c].sum(axis=1).max() == 1 for c in colours)


def matrices(structure, rng, lead=(4, 3), dtype=np.float64):
    return random_array(rng, (*lead, *structure.shape(N)), dtype)


@each
def test_product_is_the_matrix_product(structure, rng):
    left, right = matrices(structure, rng), matrices(structure, rng)
    product = structure.to_dense(structure.product(left, right))
    assert np.allclose(product, structure.to_dense(left) @ structure.to_dense(right))


@each
def test_adjoints(structure, rng):
    A = matrices(structure, rng, dtype=np.complex128)
    expected = np.conj(np.swapaxes(structure.to_dense(A), -1, -2))
    assert np.array_equal(structure.to_dense(structure.conjugate_transpose(A)), expected)


@each
def test_diagonal(structure, rng):
    A = matrices(structure, rng)
    assert np.array_equal(
        Diagonal().from_dense(structure.to_dense(A)), np.diagonal(structure.to_dense(A), axis1=-2, axis2=-1)
    )


@each
def test_scaled_columns(structure, rng):
    A, scales = matrices(structure, rng), rng.standard_normal((4, 3, N))
    assert np.allclose(
        structure.to_dense(structure.scale_columns(A, scales)), structure.to_dense(A) * scales[..., None, :]
    )


@each
def test_operands_apply_the_matrices(structure, rng):
    """What a scan multiplies, elementwise or by blocks, is the matrix-vector product."""
    A, v = matrices(structure, rng), rng.standard_normal((4, 3, N))
    operand, vectors = structure.operands(A, v)
    applied = operand * vectors if operand.ndim == vectors.ndim else (operand @ vectors[..., None])[..., 0]
    assert np.allclose(structure.from_scan(applied), (structure.to_dense(A) @ v[..., None])[..., 0])


def check_scan_of_corrections(xp, structure, dtype, rng):
    A, d = matrices(structure, rng, (9, 2), dtype), random_array(rng, (9, 2, N), dtype)
    expected = d.copy()
    for t in range(1, 9):
        expected[t] += (structure.to_dense(A[t]) @ expected[t - 1, ..., None])[..., 0]
    found = scan_corrections(Propagator(structure, xp.asarray(A)), xp.asarray(d))
    assert found.dtype == xp.asarray(d).dtype
    assert np.allclose(np.asarray(found), expected, rtol=0, atol=1e3 * np.finfo(dtype).eps * np.abs(expected).max())


BOTH = pytest.mark.parametrize("dtype", [np.float32, np.complex128], ids=lambda d: d.__name__)


@each
@BOTH
def test_corrections_are_scanned_in_any_layout(structure, dtype, rng):
    check_scan_of_corrections(np, structure, dtype, rng)


@each
@BOTH
@pytest.mark.usefixtures("emulator")
def test_corrections_are_scanned_in_any_layout_by_kernels_for_cuda(structure, dtype, rng):
    check_scan_of_corrections(pytest.importorskip("array_api_strict"), structure, dtype, rng)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128], ids=lambda d: d.__name__)
def test_differences_recover_a_linear_map(structure, dtype, rng):
    A = structure.to_dense(matrices(structure, rng, lead=(), dtype=dtype))
    states = random_array(rng, (5, 2, N), dtype)
    found = structure.to_dense(forward(lambda y: y @ A.T, states, structure))
    assert found.dtype == dtype
    assert np.abs(found - A).max() <= 100 * np.sqrt(np.finfo(dtype).eps)


@pytest.mark.parametrize("name", PROBLEMS)
def test_differences_match_the_formulas_of_the_problems(name, rng):
    problem = PROBLEMS[name]
    step, jac = problem.make(rng, np.float64)
    states, x = random_array(rng, (7, problem.n), np.float64), rng.standard_normal((7, problem.m))
    found = forward(lambda y: step(y, x), states, problem.structure)
    assert np.abs(found - jac(states, x)).max() <= 1e-5


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128], ids=lambda d: d.__name__)
def test_central_differences_are_those_of_each_state_alone(structure, dtype, rng):
    """And recover a linear map to rounding over the perturbation."""
    A = structure.to_dense(matrices(structure, rng, lead=(), dtype=dtype))
    states, among = random_array(rng, (5, 2, N), dtype), random_array(rng, (9, 2, N), dtype)
    found = central(lambda y: y @ A.T, states, structure, among)
    assert found.dtype == dtype
    assert np.abs(structure.to_dense(found) - A).max() <= 100 * np.finfo(dtype).eps ** (2 / 3)
    alone = [central(lambda y: y @ A.T, row[None], structure, among)[0] for row in states]
    assert np.allclose(found, np.stack(alone), rtol=0, atol=10 * np.finfo(dtype).eps ** (2 / 3))


@pytest.mark.parametrize("decades", [3, 8, 20, 150])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_central_differences_of_a_component_that_bends_on_the_scale_of_each_of_its_sizes(decades):
    states = np.logspace(0, -decades, 40)[:, None]
    found = central(lambda y: y**1.5, states, Dense(), states)
    assert np.allclose(found[:, 0, 0], 1.5 * states[:, 0] ** 0.5, rtol=1e-8, atol=0)


@pytest.mark.parametrize("decades", [3, 8, 20, 150])
def test_central_differences_of_a_component_that_has_decayed_beside_others_that_have_not(decades):
    states, x = np.stack([np.logspace(0, -decades, 40), np.ones(40)], axis=-1), np.linspace(-1, 1, 40)

    def step(y):
        return np.stack([0.5 * y[..., 0], np.tanh(x + 0.7 * y[..., 0] + 0.2 * y[..., 1])], axis=-1)

    found = central(step, states, Dense(), states)
    slope = 1 - step(states)[:, 1] ** 2
    assert np.allclose(found[:, 1], np.stack([0.7 * slope, 0.2 * slope], axis=-1), rtol=1e-7)
    assert np.allclose(found[:, 0], [0.5, 0], rtol=1e-7, atol=0)


@given(exponent=st.integers(-300, 290), zero=st.booleans())
def test_differences_at_any_scale(exponent, zero):
    """The step sizes follow the states, so a homogeneous function is differentiated alike at every scale."""
    scale = 10.0**exponent
    states = scale * np.array([[1.0, 0.0 if zero else -2.0], [0.5, 3.0]])
    found = forward(lambda y: y * 0.5 + y[..., ::-1], states, Dense())
    assert np.abs(found - np.array([[0.5, 1], [1, 0.5]])).max() <= 1e-6


def test_differences_of_denormal_states_are_finite():
    found = forward(lambda y: 0.5 * y, np.full((2, 1), 5e-324), Diagonal())
    assert np.allclose(found, 0.5)


BLOCKS = [(BlockDiagonal, "size"), (StackedDiagonal, "parts")]


@pytest.mark.parametrize(("family", "name"), BLOCKS)
@pytest.mark.parametrize("value", [0, -1])
def test_a_block_has_components(family, name, value):
    with pytest.raises(ValueError, match=f"`{name}` of {family.__name__} must be at least 1"):
        family(value)


@pytest.mark.parametrize(("family", "name"), BLOCKS)
@pytest.mark.parametrize("value", [2.0, "2", True, None])
def test_a_block_size_is_an_integer(family, name, value):
    with pytest.raises(TypeError, match=f"`{name}` of {family.__name__} must be an integer"):
        family(value)


@each
def test_products_with_vectors(structure, rng):
    A, v = matrices(structure, rng, lead=(5, 3)), rng.standard_normal((5, 3, N))
    assert np.allclose(apply(structure, A, v), (structure.to_dense(A) @ v[..., None])[..., 0])


@pytest.mark.slow
@pytest.mark.parametrize("given_jac", [True, False])
@each_partial_structure
def test_many_components_are_never_a_full_matrix(structure, given_jac, rng):
    """Eight full matrices of 4000 components would take a gigabyte."""
    n = 4002
    rate = rng.uniform(0.3, 0.9, n)
    jac = (lambda y: structure.from_differences(_columns(structure, rate * np.cos(y)))) if given_jac else None
    options = {"structure": structure, "method": "newton", "segment_length": 5, "jac": jac}
    tracemalloc.start()
    sol = solve_recurrence(lambda y: rate * np.sin(y) + 0.1, np.ones(n), length=70, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sol.success
    assert peak <= 2e8


def _columns(structure, diagonal):
    """Responses to the perturbations of each colour, of a Jacobian that is diagonal."""
    n = diagonal.shape[-1]
    colours = structure.colouring(np.arange(n), n)
    return np.stack([np.where(colours == c, diagonal, 0) for c in range(structure.colours(n))])
