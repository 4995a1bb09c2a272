"""Tangents and adjoints of solved recurrences, against loops over dense Jacobians and differences of whole solves."""

import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import PROBLEMS, SAMPLE, N, Problem, each_partial_structure, each_structure, gru, loop, random_array
from recurrence_sensitivities import adjoint_loop, apart, tangent_loop

import parscan
from parscan import Adjoint, Dense, Diagonal, solve_recurrence
from parscan._arrays.memory import Limits, numbers_at_once

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
METHODS = ("auto", "newton", "quasi-newton", "elk", "jacobi", "sequential")
EXACT = {"float32": 2e-5, "complex64": 2e-5, "float64": 1e-10, "complex128": 1e-10}
DIFFERENCED = {"float32": 3e-3, "complex64": 3e-3, "float64": 1e-7, "complex128": 1e-7}


@dataclass
class Case:
    """A problem with its solution by the loop and its dense Jacobians there."""

    problem: object
    dtype: type
    batch: tuple
    steps: int
    rng: object

    def __post_init__(self):
        self.step, self.jac = self.problem.make(self.rng, self.dtype)
        self.y0, self.x = self.problem.inputs(self.rng, self.steps, self.batch, self.dtype)
        y = loop(self.step, self.y0, self.x)
        before = np.concatenate([self.y0[None], y[:-1]])
        self.dense = self.structure.to_dense(self.jac(before, self.x))
        self.g, self.f = random_array(self.rng, y.shape, self.dtype), random_array(self.rng, y.shape, self.dtype)
        self.start = random_array(self.rng, self.y0.shape, self.dtype)

    @property
    def structure(self):
        return self.problem.structure

    def solve(self, *, with_jac=True, **options):
        options = {"structure": self.structure, **options}
        sol = solve_recurrence(self.step, self.y0, self.x, jac=self.jac if with_jac else None, **options)
        assert sol.success, sol.message
        return sol


KINDS = {
    f"{name}-{dtype.__name__}": (problem, dtype)
    for name, problem in PROBLEMS.items()
    for dtype in (DTYPES if problem.complex_too else DTYPES[:2])
}
WITH_JAC = {"jac": True, "differences": False}


@pytest.mark.pairs(kind=KINDS, batch=[(), (3,), (2, 2)], with_jac=WITH_JAC)
def test_against_dense_loops(kind, batch, with_jac, rng, limit_memory):
    """Every problem, dtype and batch, in several stretches of time."""
    limit_memory(cached=500)
    problem, dtype = kind
    case = Case(problem, dtype, batch, 120, rng)
    sol = case.solve(with_jac=with_jac)
    bound = (EXACT if with_jac else DIFFERENCED)[np.dtype(dtype).name]
    assert apart(sol.tangent(case.f, case.start), tangent_loop(case.dense, case.f, case.start)) <= bound
    assert apart(sol.tangent(case.f), tangent_loop(case.dense, case.f, 0 * case.start)) <= bound
    states, y0 = adjoint_loop(case.dense, case.g)
    adjoint = sol.adjoint(case.g)
    assert isinstance(adjoint, Adjoint)
    assert apart(adjoint.states, states) <= bound
    assert apart(adjoint.y0, y0) <= bound


@pytest.mark.slow
@pytest.mark.pairs(name=[*SAMPLE, "quadratic"], method=METHODS, with_jac=WITH_JAC)
def test_the_jacobian_is_exact_whatever_the_method(name, method, with_jac, rng):
    """The diagonal of quasi-Newton and the zero of Jacobi are for iterations only."""
    case = Case(PROBLEMS[name], np.float64, (), 500, rng)
    sol = case.solve(with_jac=with_jac, method=method, segment_length=10)
    bound = (EXACT if with_jac else DIFFERENCED)["float64"]
    assert apart(sol.adjoint(case.g).states, adjoint_loop(case.dense, case.g)[0]) <= bound
    assert apart(sol.tangent(case.f), tangent_loop(case.dense, case.f, 0 * case.start)) <= bound


@pytest.mark.slow
@each_partial_structure
@pytest.mark.parametrize("with_jac", [True, False], ids=["jac", "differences"])
@pytest.mark.parametrize("method", ["quasi-newton", "jacobi", "sequential"])
def test_a_structure_that_leaves_out_a_part_is_not_believed(method, with_jac, structure, rng):
    """Quasi-Newton takes a diagonal of a coupled step; its derivative is that of the whole step."""
    case = Case(Problem("gru", N, N, gru(N)), np.float64, (2,), 300, rng)
    part = (lambda y, x: structure.from_dense(case.jac(y, x))) if with_jac else None
    sol = solve_recurrence(case.step, case.y0, case.x, jac=part, structure=structure, method=method)
    assert apart(sol.adjoint(case.g).states, adjoint_loop(case.dense, case.g)[0]) <= DIFFERENCED["float64"]


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-10, 1e-20, 1e-200, 1e-310])
@pytest.mark.parametrize("bends", [False, True])
def test_a_component_far_smaller_than_the_others(size, bends):
    """A change by a part of it is lost in their roundings, unless the step bends on its scale."""
    A = np.array([[0.5, 0.0], [0.7, 0.4]])
    x = np.stack([np.ones(80), np.full(80, size)], -1)
    felt = bends and size > 1e-300

    def step(y, x):
        return np.tanh(y @ A) + x + (np.sin(y[..., 1:] / size) * [1, 0] if felt else 0)

    def jac(y, x):
        J = (1 - np.tanh(y @ A) ** 2)[..., None] * A.T
        J[..., 0, 1] += np.cos(y[..., 1] / size) / size if felt else 0
        return J

    sol = solve_recurrence(step, np.zeros(2), x, method="sequential")
    exact = solve_recurrence(step, np.zeros(2), x, jac=jac, method="sequential")
    g = np.ones_like(x)
    apart = np.abs(sol.adjoint(g).states - exact.adjoint(g).states) / np.abs(exact.adjoint(g).states).max(0)
    assert apart.max() <= 1e-8


def test_a_small_component_that_must_be_positive():
    """The change that would be felt is refused: then it is one by a part of the component."""

    def step(y, x):
        if (y[..., 1] <= 0).any():
            raise ValueError("negative")
        return 0.5 * y + x + y[..., 1:] * [1, 0]

    sol = solve_recurrence(step, np.array([0.0, 1e-5]), np.full((80, 2), [1.0, 1e-5]), method="sequential")
    exact = adjoint_loop(np.broadcast_to([[0.5, 1.0], [0.0, 0.5]], (80, 2, 2)), np.ones((80, 2)))[0]
    assert apart(sol.adjoint(np.ones((80, 2))).states, exact) <= 1e-4


@each_structure
def test_a_jacobian_that_is_not_the_derivative_is_not_believed(structure, rng):
    """The loop never asks for it."""
    case = Case(Problem("gru", N, N, gru(N)), np.float64, (2,), 300, rng)
    sol = solve_recurrence(
        case.step,
        case.y0,
        case.x,
        jac=lambda y, x: structure.from_dense(0.9 * case.jac(y, x)),
        structure=structure,
        method="sequential",
    )
    assert apart(sol.adjoint(case.g).states, adjoint_loop(case.dense, case.g)[0]) <= DIFFERENCED["float64"]
    assert apart(sol.tangent(case.f), tangent_loop(case.dense, case.f, 0 * case.start)) <= DIFFERENCED["float64"]


def test_a_structure_that_holds_all_is_used(rng):
    """A thousand components with a kink each: as full matrices they would take 2 GB."""
    a = rng.uniform(0.1, 0.9, 1000)
    x = rng.standard_normal((300, 1000))

    def step(y, x):
        return np.maximum(a * y + x, 0.1 * (a * y + x))

    sol = solve_recurrence(step, np.zeros(1000), x, structure=Diagonal)
    tracemalloc.start()
    adjoint = sol.adjoint(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    slope = a * np.where(sol.y > 0, 1, 0.1)[..., :]
    expected = parscan.linear_recurrence(np.concatenate([slope[1:], slope[:1]]), x, reverse=True)
    assert apart(adjoint.states, expected) <= 1e-6
    assert peak <= 2e7


def test_jac_true(rng):
    case = Case(PROBLEMS["gru4"], np.float64, (), 300, rng)

    def pair(y, x):
        return case.step(y, x), case.jac(y, x)

    sol = solve_recurrence(pair, case.y0, case.x, jac=True)
    assert apart(sol.adjoint(case.g).states, adjoint_loop(case.dense, case.g)[0]) <= 1e-12
    assert apart(sol.gradient(case.g, "x"), solve_recurrence(case.step, case.y0, case.x).gradient(case.g, "x")) <= 1e-7


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("batch", [(), (3,)], ids=str)
@pytest.mark.parametrize("name", ["gru4", "leaky tanh", "blocks"])
def test_many_forcings(name, batch, count, rng, limit_memory):
    limit_memory(cached=500)
    case = Case(PROBLEMS[name], np.float64, batch, 100, rng)
    sol = case.solve()
    f = rng.standard_normal((*sol.y.shape, count))
    starts = rng.standard_normal((*case.y0.shape, count))
    found = sol.tangent(f, starts)
    assert found.shape == f.shape
    for k in range(count):
        assert apart(found[..., k], tangent_loop(case.dense, f[..., k], starts[..., k])) <= 1e-12
        assert apart(found[..., k], sol.tangent(f[..., k], starts[..., k])) <= 1e-13
    same = sol.tangent(f, starts[..., 0])
    assert apart(same[..., -1], tangent_loop(case.dense, f[..., -1], starts[..., 0])) <= 1e-12


@pytest.mark.parametrize("name", ["gru4", "leaky tanh", "blocks"])
def test_the_identity_gives_the_fundamental_matrix(name, rng):
    """Against the solve itself from perturbed starts."""
    case = Case(PROBLEMS[name], np.float64, (), 30, rng)
    found = case.solve().tangent(None, np.eye(case.problem.n))
    assert found.shape == (30, case.problem.n, case.problem.n)
    h = 1e-5
    for j, column in enumerate(np.eye(case.problem.n)):
        up, down = (loop(case.step, case.y0 + sign * h * column, case.x) for sign in (1, -1))
        assert np.abs(found[..., j] - (up - down) / (2 * h)).max() <= 1e-9
    one = case.solve().tangent(None, np.eye(case.problem.n)[0])
    assert np.array_equal(one, found[..., 0])


def test_the_tangent_by_a_complex_step(rng):
    """The derivative of the whole loop along a direction of the inputs and the start, to rounding."""
    case = Case(PROBLEMS["gru4"], np.float64, (), 500, rng)
    direction = rng.standard_normal(case.x.shape)
    h = 1e-30
    changed = loop(case.step, case.y0 + 1j * h * case.start, case.x + 1j * h * direction)
    sol = case.solve()
    before = np.concatenate([case.y0[None], sol.y[:-1]])
    forcing = case.step(before, case.x + 1j * h * direction).imag / h
    assert apart(sol.tangent(forcing, case.start), changed.imag / h) <= 1e-12
    loss = np.sum(case.g * changed).imag / h
    adjoint = sol.adjoint(case.g)
    assert np.sum(adjoint.states * forcing) + np.sum(adjoint.y0 * case.start) == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("cached", [1, 37, 2**17])
@pytest.mark.parametrize("seed", [0, 2])
def test_tangents_and_adjoints_take_the_same_jacobians(cached, seed):
    """NumPy rounds some functions otherwise in arrays of another length: steps have to be cut at the same times."""
    case = Case(PROBLEMS["gru1"], np.float64, (), 2, np.random.default_rng(seed))
    sol = case.solve(with_jac=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("parscan._arrays.memory.LIMITS", Limits(cached=cached))
        change, adjoint = sol.tangent(case.f, case.start), sol.adjoint(case.g)
    one, other = np.vdot(adjoint.states, case.f) + np.vdot(adjoint.y0, case.start), np.vdot(case.g, change)
    assert one == pytest.approx(other, rel=1e-14)


@pytest.mark.slow
@given(
    name=st.sampled_from(sorted(PROBLEMS)),
    steps=st.integers(1, 60),
    batch=st.sampled_from([(), (1,), (3,), (2, 2)]),
    with_jac=st.booleans(),
    cached=st.sampled_from([1, 37, 2**17]),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_dot_product(name, steps, batch, with_jac, cached, seed, data):
    """⟨λ, f⟩ + ⟨λ_start, start⟩ = ⟨g, δ⟩, to rounding, for whatever Jacobians are used."""
    problem = PROBLEMS[name]
    dtype = data.draw(st.sampled_from([np.float64, np.complex128] if problem.complex_too else [np.float64]))
    case = Case(problem, dtype, batch, steps, np.random.default_rng(seed))
    sol = case.solve(with_jac=with_jac)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("parscan._arrays.memory.LIMITS", Limits(cached=cached))
        change, adjoint = sol.tangent(case.f, case.start), sol.adjoint(case.g)
    sides = np.vdot(adjoint.states, case.f) + np.vdot(adjoint.y0, case.start), np.vdot(case.g, change)
    size = np.sum(np.abs(adjoint.states) * np.abs(case.f)) + np.sum(np.abs(case.g) * np.abs(change))
    assert abs(sides[0] - sides[1]) <= 1e-13 * size


@pytest.mark.slow
@given(steps=st.integers(2, 80), cut=st.integers(1, 79), seed=st.integers(0, 2**32 - 1))
def test_a_trajectory_in_two_parts(steps, cut, seed):
    """What the second half leaves at its start is added to the last gradient of the first half."""
    cut = min(cut, steps - 1)
    case = Case(PROBLEMS["gru4"], np.float64, (), steps, np.random.default_rng(seed))
    whole = case.solve().adjoint(case.g)
    second = solve_recurrence(case.step, case.solve().y[cut - 1], case.x[cut:], jac=case.jac).adjoint(case.g[cut:])
    g = case.g[:cut].copy()
    g[-1] += second.y0
    first = solve_recurrence(case.step, case.y0, case.x[:cut], jac=case.jac).adjoint(g)
    assert np.allclose(np.concatenate([first.states, second.states]), whole.states, rtol=1e-11, atol=1e-13)
    assert np.allclose(first.y0, whole.y0, rtol=1e-11, atol=1e-13)


@each_structure
def test_all_structures_give_the_same(structure, rng):
    case = Case(PROBLEMS["leaky tanh"], np.float64, (), 100, rng)

    def double(y, x):
        return np.concatenate([case.step(y[..., :3], x), case.step(y[..., 3:], x)], axis=-1)

    def jac(y, x):
        return structure.from_dense(
            Diagonal().to_dense(np.concatenate([case.jac(y[..., :3], x), case.jac(y[..., 3:], x)], axis=-1))
        )

    sol = solve_recurrence(double, np.concatenate([case.y0, case.y0]), case.x, jac=jac, structure=structure)
    expected = adjoint_loop(case.dense, case.g)
    adjoint = sol.adjoint(np.concatenate([case.g, case.g], axis=-1))
    assert apart(adjoint.states[:, 3:], expected[0]) <= 1e-13
    assert apart(adjoint.y0[:3], expected[1]) <= 1e-13


@pytest.mark.parametrize("with_jac", [True, False], ids=["jac", "differences"])
@pytest.mark.parametrize("name", ["stable affine", "running sum"])
def test_array_api_strict(name, with_jac, rng):
    """Nothing outside the kernels knows a library."""
    xp = pytest.importorskip("array_api_strict")
    case = Case(PROBLEMS[name], np.float64, (2,), 40, rng)
    A = xp.asarray(np.ascontiguousarray(case.dense[0, 0].T))

    def step(y, x):
        return xp.matmul(y, A) + x if case.structure == Dense() else y + x

    def jac(y, x):
        return xp.matrix_transpose(A) if case.structure == Dense() else xp.ones_like(y)

    sol = solve_recurrence(
        step, xp.asarray(case.y0), xp.asarray(case.x), jac=jac if with_jac else None, structure=case.structure
    )
    adjoint = sol.adjoint(xp.asarray(case.g))
    states, y0 = adjoint_loop(case.dense, case.g)
    assert type(adjoint.states) is type(sol.y)
    assert np.allclose(np.asarray(adjoint.states), states)
    assert np.allclose(np.asarray(adjoint.y0), y0)
    f = rng.standard_normal((*case.f.shape, 2))
    found = sol.tangent(xp.asarray(f), xp.asarray(case.start))
    assert np.allclose(np.asarray(found)[..., 1], tangent_loop(case.dense, f[..., 1], case.start))


def test_a_step_that_does_not_stack(rng):
    """Called on one state at a time."""
    W = rng.standard_normal((2, 2)) / 2
    x = rng.standard_normal((50, 2))

    def step(y, x):
        assert len(y) == 1
        return np.tanh(y @ W + x)

    sol = solve_recurrence(step, np.zeros(2), x, method="sequential")
    J = (1 - sol.y**2)[..., None] * W.T
    states, y0 = adjoint_loop(J, x)
    adjoint = sol.adjoint(x)
    assert apart(adjoint.states, states) <= 1e-8
    assert apart(adjoint.y0, y0) <= 1e-8
    assert apart(sol.tangent(x), tangent_loop(J, x, np.zeros(2))) <= 1e-8


def test_a_step_that_stacks_is_stacked_after_the_loop_too(rng):
    case = Case(PROBLEMS["gru4"], np.float64, (), 2000, rng)
    calls = []

    def jac(y, x):
        calls.append(len(y))
        return case.jac(y, x)

    sol = solve_recurrence(case.step, case.y0, case.x, jac=jac, method="sequential")
    sol.adjoint(case.g)
    assert len(calls) <= 4
    assert 2000 <= sum(calls) <= 2064  # some states are looked at before


def test_a_step_that_writes_to_its_state(rng):
    """Neither the trajectory nor the result is touched."""
    x = rng.standard_normal((500, 2))

    def step(y, x):
        y *= 0.5
        y += x
        return y

    sol = solve_recurrence(step, np.zeros(2), x)
    before = sol.y.copy()
    adjoint = sol.adjoint(x)
    assert np.allclose(adjoint.states, parscan.linear_recurrence(0.5, x, reverse=True))
    assert np.allclose(sol.tangent(x), parscan.linear_recurrence(0.5, x))
    assert np.array_equal(sol.y, before)


def test_a_step_that_returns_the_same_memory_again(rng):
    x, buffers = rng.standard_normal((500, 2)), {}

    def step(y, x, a):
        buffer = buffers.setdefault(y.shape, np.empty_like(y))
        np.multiply(a, y, out=buffer)
        buffer += x
        return buffer

    sol = solve_recurrence(step, np.zeros(2), x, args=(0.5,))
    adjoint = sol.adjoint(x)
    assert np.allclose(adjoint.states, parscan.linear_recurrence(0.5, x, reverse=True))
    assert np.allclose(sol.tangent(x), parscan.linear_recurrence(0.5, x))
    assert np.isclose(sol.gradient(x, "a"), np.sum(adjoint.states[1:] * sol.y[:-1]))
    assert np.allclose(sol.gradient(x, "x"), adjoint.states)


def test_nothing_of_the_users_is_modified(rng):
    case = Case(PROBLEMS["gru4"], np.float64, (), 200, rng)
    sol, g, f, start = case.solve(), case.g.copy(), case.f.copy(), case.start.copy()
    adjoint = sol.adjoint(case.g)
    sol.tangent(case.f, case.start)
    adjoint.states[:] = 0
    assert np.array_equal(case.g, g)
    assert np.array_equal(case.f, f)
    assert np.array_equal(case.start, start)
    assert np.array_equal(sol.adjoint(case.g).states[-1], g[-1])


@pytest.mark.parametrize(("y0", "length"), [(np.ones(2), 0), (np.ones((0, 2)), 5), (np.ones((3, 0, 2)), 0)])
def test_nothing_to_differentiate(y0, length):
    sol = solve_recurrence(lambda y: 0.5 * y, y0, length=length)
    adjoint = sol.adjoint(np.ones_like(sol.y))
    assert adjoint.states.shape == sol.y.shape
    assert np.array_equal(adjoint.y0, np.zeros_like(y0))
    assert sol.tangent(np.ones((*sol.y.shape, 4)), y0).shape == (*sol.y.shape, 4)
    assert sol.tangent(np.ones((*sol.y.shape, 0))).shape == (*sol.y.shape, 0)


def test_one_step(rng):
    case = Case(PROBLEMS["gru4"], np.float64, (), 1, rng)
    sol = case.solve()
    adjoint = sol.adjoint(case.g)
    assert np.array_equal(adjoint.states, case.g)
    assert np.allclose(adjoint.y0, case.dense[0].T @ case.g[0])
    assert np.allclose(sol.tangent(case.f, case.start)[0], case.dense[0] @ case.start + case.f[0])


@pytest.mark.parametrize("options", [{"window": 50}, {"segment_length": 1}, {"segment_length": 7}], ids=str)
def test_windows_and_segments_do_not_matter(options, rng):
    case = Case(PROBLEMS["gru4"], np.float64, (), 300, rng)
    found = case.solve(method="newton", **options).adjoint(case.g).states
    assert apart(found, adjoint_loop(case.dense, case.g)[0]) <= 1e-10


def test_a_sensitive_trajectory_overflows_as_the_loop(rng):
    """No warning, and infinity where the loop has it."""
    sol = solve_recurrence(lambda y: y + 0 * y, np.zeros(1), length=2000, jac=lambda y: np.full((1, 1), 1.0))
    assert np.array_equal(sol.adjoint(np.ones((2000, 1))).states[::-1, 0], np.arange(1, 2001))
    grown = solve_recurrence(lambda y: 2 * y, np.zeros(1), length=2000)
    assert np.isinf(grown.adjoint(np.ones((2000, 1))).states[0, 0])


@pytest.mark.slow
def test_memory_does_not_hold_all_jacobians(rng):
    """Of 100 000 steps with matrices of 256 numbers: they would take 16 trajectories."""
    A = 0.9 * np.linalg.qr(rng.standard_normal((16, 16)))[0]
    x = rng.standard_normal((100_000, 16))
    sol = solve_recurrence(lambda y, x: y @ A.T + x, np.zeros(16), x, jac=lambda y, x: np.tile(A, (len(y), 1, 1)))
    for derive in (sol.adjoint, sol.tangent):
        derive(x)  # loads the kernels, whose code counts as well
        tracemalloc.start()
        derive(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= 1.5 * x.nbytes


def test_stretches_depend_on_the_memory_of_other_libraries():
    xp = pytest.importorskip("array_api_strict")
    assert numbers_at_once(np.zeros(1)) < numbers_at_once(xp.zeros(1))
