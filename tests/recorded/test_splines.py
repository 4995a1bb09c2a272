"""Objects of SciPy and NumPy that evaluate tables of numbers, and sparse matrices, in recorded functions."""
# ruff: noqa: PLW0108 - the lambdas are what is tested

import numpy as np
import pytest
from scipy import interpolate, sparse

from parscan import solve_recurrence
from parscan._recorded.record import NotRecordedError, record

X = np.array([0.0, 0.5, 1.0, 2.0, 3.5, 4.0])
Y = np.array([1.0, -1.0, 0.5, 2.0, 0.0, 1.0])

KINDS = ("nearest", "nearest-up", "previous", "next", "zero", "slinear", "quadratic", "cubic")

OBJECTS = {
    "linear": interpolate.interp1d(X, Y),
    "linear beyond": interpolate.interp1d(X, Y, fill_value="extrapolate"),
    "linear and NaN": interpolate.interp1d(X, Y, bounds_error=False),
    **{f"{kind} of a table": interpolate.interp1d(X, Y, kind=kind) for kind in KINDS},
    **{f"{kind} beyond": interpolate.interp1d(X, Y, kind=kind, fill_value="extrapolate") for kind in KINDS},
    **{
        f"{kind} and levels beyond": interpolate.interp1d(X, Y, kind=kind, bounds_error=False, fill_value=(7.0, -8.0))
        for kind in ("linear", *KINDS)
    },
    "cubic": interpolate.CubicSpline(X, Y),
    "natural": interpolate.CubicSpline(X, Y, bc_type="natural", extrapolate=False),
    "periodic": interpolate.CubicSpline(X, Y, bc_type="periodic"),
    "pchip": interpolate.PchipInterpolator(X, Y),
    "Akima": interpolate.Akima1DInterpolator(X, Y),
    "B-spline": interpolate.make_interp_spline(X, Y, k=3),
    "quadratic": interpolate.make_interp_spline(X, Y, k=2),
    "univariate": interpolate.UnivariateSpline(X, Y, s=0),
    "interpolating": interpolate.InterpolatedUnivariateSpline(X, Y),
    "polynomial": np.polynomial.Polynomial([1.0, 2.0, 3.0], domain=[0, 2]),
    "poly1d": np.poly1d([1.0, 2.0, 3.0]),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_that_evaluate_tables(name):
    table = OBJECTS[name]
    places = np.concatenate([X, np.linspace(0.01, 3.99, 37)])
    if "beyond" in name or name in (
        "cubic",
        "pchip",
        "B-spline",
        "univariate",
        "linear and NaN",
        "natural",
        "polynomial",
    ):
        places = np.concatenate([places, [-0.5, 4.5]])
    program = record(lambda t: table(t) + 0.0, [0.0]).program
    np.testing.assert_allclose(program(places)[0], table(places), rtol=1e-12, atol=1e-13)
    whole = record(table, [X]).program
    np.testing.assert_allclose(whole(X[None])[0][0], table(X), rtol=1e-12, atol=1e-13)


def test_what_is_outside_of_a_table_is_nan_where_scipy_raises():
    table = OBJECTS["linear"]
    with pytest.raises(ValueError, match="above the interpolation range"):
        table(5.0)
    assert np.isnan(record(table, [0.0]).program(np.array([5.0]))[0]).all()


@pytest.mark.parametrize(
    "table",
    [
        interpolate.interp1d(X, np.stack([Y, Y])),
        interpolate.CubicSpline(X, np.stack([Y, Y], axis=1)),
        interpolate.UnivariateSpline(X, Y, s=0, ext="zeros"),
        interpolate.RegularGridInterpolator((X,), Y),
    ],
)
def test_other_tables_are_refused(table):
    with pytest.raises(NotRecordedError, match="not recorded"):
        record(table, [0.0])


MATRIX = sparse.random_array((6, 6), density=0.5, rng=np.random.default_rng(0), format="csr")
OLD = sparse.csr_matrix(MATRIX)


@pytest.mark.parametrize(
    "function",
    [
        lambda y: MATRIX @ y,
        lambda y: OLD * y,
        lambda y: OLD.dot(y),
        lambda y: MATRIX.T @ y,
        lambda y: y @ MATRIX,
        lambda y: (2.0 * OLD - sparse.eye(6) / 3 + sparse.diags(np.arange(6.0))) @ y,
        lambda y: MATRIX.tocsc().transpose() @ y,
        lambda y: MATRIX.toarray() @ y,
        lambda y: MATRIX @ np.outer(y, y)[:, :2],
        lambda y: (MATRIX @ MATRIX) @ y,
        lambda y: MATRIX.sum() * y,
        lambda y: -sparse.csr_array(([1.0, 2.0], ([0, 5], [1, 0])), shape=(6, 6)) @ y,
        lambda y: sparse.coo_matrix(MATRIX) @ y + MATRIX.shape[0],
    ],
)
def test_sparse_matrices(function):
    y = np.random.default_rng(1).normal(size=(5, 6))
    found = record(function, [y[0]]).program(y)[0]
    for one, other in zip(y, found, strict=True):
        np.testing.assert_allclose(other, function(one), rtol=1e-13, atol=1e-14)


def test_sparse_matrices_do_not_depend_on_values():
    with pytest.raises(NotRecordedError, match="a sparse matrix by a value"):
        record(lambda y: (OLD / y[0]) @ y, [np.zeros(6)])
    with pytest.raises(NotRecordedError, match="calls `diags"):
        record(lambda y: sparse.diags(y) @ y, [np.zeros(6)])


@pytest.mark.parametrize(
    "table", [interpolate.interp1d(X, Y), interpolate.UnivariateSpline(X, Y, s=0, ext=2)], ids=["interp1d", "spline"]
)
def test_places_outside_of_a_table_raise_even_if_nan_is_replaced(table):
    x = np.linspace(0.1, 3.9, 300)[:, None]

    def step(y, x):
        return 0.1 * y + np.nan_to_num(table(x))

    assert solve_recurrence(step, np.zeros(1), x, method="sequential", compile=True).compiled
    x[200] = 5.0
    with pytest.raises(ValueError, match="interpolation range|not in the domain"):
        solve_recurrence(step, np.zeros(1), x, method="sequential", compile=True)
