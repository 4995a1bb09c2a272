"""The solution between the nodes of the mesh."""

import array_api_strict
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from parscan._ivp.core.polynomial import PiecewisePolynomial
from parscan._ivp.core.tableaux import FAMILIES, radau
from parscan._ivp.output.dense_output import DenseOutput

MESH = np.array([0.0, 0.1, 0.5, 0.6, 1.3, 2.0])


def of_parts(tableau, t, y, stages):
    return DenseOutput(PiecewisePolynomial(tableau, t, y, stages))


def sampled(tableau, t, y, slope, xp=np, dtype=np.float64):
    """Dense output of the functions `y(t)` and `slope(t)` of times (...,), which add the states' axes."""
    times = t[:-1, None] + np.diff(t)[:, None] * tableau.c
    arrays = (t.astype(np.zeros(0, dtype).real.dtype), y(t).astype(dtype), slope(times).astype(dtype))
    return of_parts(tableau, *map(xp.asarray, arrays))


def polynomial(degree, shape, rng, complex_too=False):
    """A polynomial in time for each entry of a state, and its derivative."""
    coefficients = rng.standard_normal((degree + 1, *shape))
    if complex_too:
        coefficients = coefficients + 1j * rng.standard_normal(coefficients.shape)
    evaluate = np.polynomial.polynomial.polyval
    slopes = np.polynomial.polynomial.polyder(coefficients)

    def last(values):  # polyval puts the coefficients' axes first
        return np.moveaxis(values, range(len(shape)), range(values.ndim - len(shape), values.ndim))

    return lambda t: last(evaluate(t, coefficients)), lambda t: last(evaluate(t, slopes))


def components_first(y):
    return np.moveaxis(y, -1, 0)


@pytest.mark.pairs(
    family=FAMILIES,
    stages=[1, 3, 9],
    shape=[(3,), (2, 3), (4, 2, 1)],
    mesh={"forward": MESH, "backward": MESH[::-1]},
    xp=[np, array_api_strict],
)
def test_polynomials_are_exact(family, stages, shape, mesh, xp, rng):
    tableau = family(stages)
    y, slope = polynomial(tableau.stages, shape, rng)
    dense = sampled(tableau, mesh, y, slope, xp)
    t = rng.permutation(np.concatenate([rng.uniform(-0.01, 2.01, 40), MESH]))
    found = dense(xp.asarray(t))
    assert found.shape == (shape[-1], len(t), *shape[:-1])
    assert np.allclose(np.asarray(found), components_first(y(t)), rtol=1e-12, atol=1e-11)
    assert np.allclose(np.asarray(dense.polynomial.evaluate(xp.asarray(t))), y(t), rtol=1e-12, atol=1e-11)
    assert np.allclose(np.asarray(dense.polynomial.derivative(xp.asarray(t))), slope(t), rtol=1e-12, atol=1e-10)
    one = dense(0.7)
    assert one.shape == (shape[-1], *shape[:-1])
    assert np.allclose(np.asarray(one), components_first(y(np.array(0.7))), atol=1e-12)
    assert type(one) is type(found) is type(dense.ts)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("xp", [np, array_api_strict], ids=["numpy", "strict"])
def test_the_dtype_is_that_of_the_states(dtype, xp, rng):
    y, slope = polynomial(3, (2,), rng, np.issubdtype(dtype, np.complexfloating))
    dense = sampled(radau(3), MESH, y, slope, xp, dtype)
    t = np.linspace(0, 2, 9)
    for times in (xp.asarray(t), t.tolist(), xp.asarray(t.astype(np.float32))):
        assert dense(times).dtype == getattr(xp, np.dtype(dtype).name)
        assert np.allclose(np.asarray(dense(times)), y(t).T, rtol=0, atol=1e3 * np.finfo(dtype).eps)
    assert dense(1).dtype == getattr(xp, np.dtype(dtype).name)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_contract_of_scipy(sign, rng):
    """Attributes, shapes, and whose polynomial continues the solution: against SciPy's own Radau."""
    A = np.array([[-1.0, 2.0], [-2.0, -0.5]])
    theirs = solve_ivp(lambda _, y: A @ y, (0, sign * 2), [1.0, 0.0], method="Radau", dense_output=True, rtol=1e-9).sol
    mesh = np.asarray(theirs.ts)
    times = mesh[:-1, None] + np.diff(mesh)[:, None] * radau(3).c
    ours = of_parts(radau(3), mesh, theirs(mesh).T, (A @ theirs(times.ravel())).T.reshape(*times.shape, 2))
    t = rng.uniform(min(0, 2 * sign), max(0, 2 * sign), 50)
    assert np.allclose(ours(t), theirs(t), rtol=0, atol=1e-7)
    assert np.allclose(ours(2.01 * sign), theirs(2.01 * sign), rtol=0, atol=1e-5)
    assert np.allclose(ours([-0.001 * sign]), theirs([-0.001 * sign]), rtol=0, atol=1e-5)
    assert np.array_equal(ours.ts, theirs.ts)
    assert (ours.t_min, ours.t_max) == (theirs.t_min, theirs.t_max)
    assert ours(0.5 * sign).shape == theirs(0.5 * sign).shape
    assert ours([0.5 * sign]).shape == theirs([0.5 * sign]).shape
    assert ours(np.empty(0)).shape == (2, 0)


def test_nodes_keep_their_states_when_the_stages_only_nearly_fit(rng):
    """An iteration stops at its tolerance: then what is left is spread over the interval."""
    y, slope = polynomial(3, (2,), rng)
    exact = sampled(radau(3), MESH, y, slope)
    dense = sampled(radau(3), MESH, lambda t: y(t) + 1e-3 * np.cos(9 * t)[:, None], slope)
    nodes = y(MESH) + 1e-3 * np.cos(9 * MESH)[:, None]
    assert np.allclose(dense(MESH), nodes.T, rtol=1e-14, atol=1e-14)
    step = 1e-13
    assert np.allclose(dense(MESH[1:-1] - step), dense(MESH[1:-1] + step), rtol=0, atol=1e-11)  # continuous
    t = np.linspace(0, 2, 50)
    assert 1e-4 < np.abs(dense(t) - exact(t)).max() < 2e-3
    assert np.array_equal(dense.polynomial.derivative(t), exact.polynomial.derivative(t))  # that of the stages


def test_a_node_belongs_to_the_interval_before_it(rng):
    """There, Radau's last stage is the slope of the node; the next interval's polynomial only comes near it."""
    tableau, slopes = radau(2), rng.standard_normal((3, 2, 1))
    dense = of_parts(tableau, np.arange(4.0), np.zeros((4, 1)), slopes)
    assert np.allclose(dense.polynomial.derivative(np.array([1.0, 2.0, 3.0])), slopes[:, -1])
    backward = of_parts(tableau, -np.arange(4.0), np.zeros((4, 1)), slopes)
    assert np.allclose(backward.polynomial.derivative(-np.array([1.0, 2.0, 3.0])), slopes[:, -1])


@pytest.mark.parametrize("t_end", [0.3, 0.1, 0.1 + 1e-12, 1.9999, 2.0, 0.0])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("xp", [np, array_api_strict], ids=["numpy", "strict"])
def test_restrict(t_end, sign, xp, rng):
    dense = sampled(radau(4), sign * MESH, *polynomial(6, (2, 3), rng), xp)
    short = DenseOutput(dense.polynomial.restrict(sign * t_end))
    assert float(short.ts[-1]) == sign * t_end
    assert (float(short.t_min), float(short.t_max)) == tuple(sorted([0.0, sign * t_end]))
    t = xp.asarray(sign * np.append(rng.uniform(0, t_end, 20), [0.0, t_end]))
    assert np.allclose(np.asarray(short(t)), np.asarray(dense(t)), rtol=1e-13, atol=1e-13)
    assert np.allclose(
        np.asarray(short.polynomial.derivative(t)), np.asarray(dense.polynomial.derivative(t)), rtol=1e-11, atol=1e-11
    )
    assert short.ts.shape[0] == max(2, int(np.sum(t_end > MESH)) + 1)


@pytest.mark.parametrize("t_end", [-0.1, 2.1, np.nan])
def test_restrict_to_times_outside(t_end, rng):
    dense = sampled(radau(2), MESH, *polynomial(2, (1,), rng))
    with pytest.raises(ValueError, match=r"`t_end` is .*; the solution reaches from 0.0 to 2.0"):
        dense.polynomial.restrict(t_end)


def test_a_span_of_length_zero():
    dense = of_parts(radau(2), np.zeros(2), np.ones((2, 1)), np.full((1, 2, 1), 3.0))
    assert np.array_equal(dense([0.0, 0.0]), [[1.0, 1.0]])


def test_bad_times(rng):
    dense = sampled(radau(2), MESH, *polynomial(2, (2,), rng))
    with pytest.raises(ValueError, match=r"`t` has shape \(1, 2\)"):
        dense([[0.1, 0.2]])
    with pytest.raises(TypeError, match="different libraries: `t` is array_api_strict"):
        dense(array_api_strict.ones(2))
    assert np.isnan(dense([0.1, np.nan])).tolist() == [[False, True]] * 2


@pytest.mark.parametrize("mesh", [[0.0, 1.0, 1.0], [0.0, 1.0, 0.5], [0.0, np.nan, 1.0]])
def test_bad_meshes(mesh):
    with pytest.raises(ValueError, match="`t` must be strictly increasing or decreasing"):
        of_parts(radau(1), np.array(mesh), np.zeros((3, 1)), np.zeros((2, 1, 1)))


@pytest.mark.parametrize(("y", "stages"), [((2, 1), (2, 1, 1)), ((3, 1), (2, 2, 1)), ((3, 1), (2, 1, 2))])
def test_shapes_that_do_not_fit(y, stages):
    with pytest.raises(ValueError, match="do not fit"):
        of_parts(radau(1), np.arange(3.0), np.zeros(y), np.zeros(stages))
