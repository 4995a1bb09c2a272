"""Bad input raises at once, names the argument, says what came and what to do; bad numbers are reported."""

import warnings

import numpy as np
import pytest

import parscan
from parscan import BlockDiagonal, Diagonal, StackedDiagonal, Status, solve_recurrence

Y0 = np.zeros(2)
X = np.ones((100, 2))
METHODS = ("auto", "newton", "quasi-newton", "elk", "jacobi", "sequential")
PARALLEL = METHODS[:-1]


def step(y, x):
    return 0.5 * y + x


def coupled(y, x):
    """A step whose Jacobian is not symmetric."""
    return np.stack([0.5 * y[..., 0] + 0.3 * y[..., 1] * x[..., 0], 0.2 * y[..., 1]], axis=-1)


def coupled_jac(y, x):
    one = np.ones_like(y[..., 0])
    return np.stack([np.stack([0.5 * one, 0.3 * x[..., 0]], -1), np.stack([0 * one, 0.2 * one], -1)], -2)


ARGUMENTS = [
    ({"step": 3}, TypeError, "`step` must be callable.*got int"),
    ({"y0": 1.0}, ValueError, r"`y0` has shape \(\).*np.array\(\[value\]\)"),
    ({"y0": np.zeros(0)}, ValueError, r"`y0` has shape \(0,\)"),
    ({"y0": np.array([None, 1])}, TypeError, "`y0` has dtype object"),
    ({"y0": np.array(["a"])}, TypeError, "`y0` has dtype <U1"),
    ({"y0": [[1, 2], [3]]}, ValueError, "`y0` cannot be made an array"),
    ({"y0": np.zeros(2, np.float16)}, TypeError, "`y0` has dtype float16.*float32"),
    ({"y0": np.zeros(2, np.longdouble)}, TypeError, "`y0` has dtype.*Cast it first"),
    ({"x": None}, ValueError, "neither `x` nor `length`"),
    ({"length": 100}, ValueError, "`x` has 100 steps and `length` is 100; pass one of them"),
    ({"x": None, "length": -1}, ValueError, "`length` must be at least 0, got -1"),
    ({"x": None, "length": 2.5}, TypeError, "`length` must be an integer, got 2.5"),
    ({"x": None, "length": True}, TypeError, "`length` must be an integer, got True"),
    (
        {"x": None, "length": 2**61},
        MemoryError,
        "2305843009213693952 steps of 2 numbers takes 36893488147419103232 bytes",
    ),
    ({"x": np.ma.masked_array(X, X > 0)}, TypeError, "`x` is a masked array"),
    ({"rtol": 10**400}, ValueError, "`rtol` must be finite"),
    ({"rtol": True}, TypeError, "`rtol` must be a number, got True"),
    ({"x": 5.0}, ValueError, "`x` is a single number"),
    ({"x": ()}, ValueError, "`x` is an empty tuple"),
    ({"x": (X, X[:99])}, ValueError, r"differ.*`x\[0\]` has 100, `x\[1\]` has 99"),
    ({"x": np.array([object()] * 9)}, TypeError, "`x` has dtype object"),
    ({"method": "adams"}, ValueError, "`method` is 'adams'; choose one of 'auto', 'newton'"),
    ({"method": None}, ValueError, "`method` is None"),
    ({"args": 3.0}, TypeError, r"`args` must be a tuple, got float; write args=\(value,\)"),
    ({"jac": 3}, TypeError, "`jac` must be a callable, True or None, got 3"),
    ({"jac": False}, TypeError, "`jac` must be a callable, True or None, got False"),
    ({"structure": "dense"}, TypeError, "`structure` must be parscan.Dense.*got 'dense'"),
    ({"structure": BlockDiagonal}, TypeError, r"`structure` is the class BlockDiagonal.*BlockDiagonal\(size\)"),
    ({"structure": StackedDiagonal(3)}, ValueError, "`structure` has 3 parts but the state has 2 components"),
    ({"structure": BlockDiagonal(3)}, ValueError, "`structure` has blocks of 3 but the state has 2 components"),
    ({"rtol": -1.0}, ValueError, "`rtol` must be finite and not negative, got -1.0"),
    ({"atol": np.nan}, ValueError, "`atol` must be finite"),
    ({"atol": "tight"}, TypeError, "`atol` must be a number, got 'tight'"),
    ({"max_iterations": 0}, ValueError, "`max_iterations` must be at least 1, got 0"),
    ({"segment_length": 0}, ValueError, "`segment_length` must be at least 1"),
    ({"segment_length": 1.5}, TypeError, "`segment_length` must be an integer"),
    ({"window": 0}, ValueError, "`window` must be at least 1"),
    ({"guess": np.zeros((99, 2))}, ValueError, r"`guess` has shape \(99, 2\); the trajectory has \(100, 2\)"),
    ({"guess": np.full((100, 2), np.nan)}, ValueError, "`guess` has NaN"),
    ({"guess": np.zeros((100, 2), complex)}, TypeError, "`guess` is complex128 but `y0` is float64"),
]


@pytest.mark.parametrize(
    ("changed", "error", "match"), ARGUMENTS, ids=lambda v: next(iter(v)) if type(v) is dict else ""
)
def test_arguments(changed, error, match):
    arguments = {"step": step, "y0": Y0, "x": X, **changed}
    with pytest.raises(error, match=match):
        solve_recurrence(arguments.pop("step"), arguments.pop("y0"), **arguments)


STEPS = [
    (lambda y, x: [0.5 * y], TypeError, r"`step` must return an array of shape \(1, 2\), got list; .*np.stack"),
    (lambda y, x: None, TypeError, "`step` must return an array.*got NoneType"),
    (lambda y, x: y[..., :1], ValueError, r"`step` returned shape \(1, 1\) where \(1, 2\) was expected.*y\[..., i\]"),
    (lambda y, x: y.sum(), ValueError, r"`step` returned shape \(\)"),
    (lambda y, x: y.astype(np.float32), TypeError, "`step` returned dtype float32 where the state `y0` has float64"),
    (lambda y, x: y * 1j, TypeError, "`step` returned dtype complex128.*cast `y0`"),
    (lambda y, x: y > 0, TypeError, "`step` returned dtype bool"),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("bad", "error", "match"), STEPS)
def test_what_step_returns(bad, error, match, method):
    with pytest.raises(error, match=match):
        solve_recurrence(bad, Y0, X, method=method)


NOT_BROADCASTING = {
    "sum over all": lambda y, x: 0.5 * y + x / (1 + np.abs(x).sum()),
    "first row": lambda y, x: 0.5 * y + x[:1],
    "mean over the stack": lambda y, x: 0.5 * y.mean(axis=0, keepdims=True) + x,
    "running along the stack": lambda y, x: 0.5 * y + np.cumsum(x, axis=0),
    "mixed rows": lambda y, x: 0.1 * y @ y.T @ x + x,
}


@pytest.mark.parametrize("method", PARALLEL)
@pytest.mark.parametrize("name", NOT_BROADCASTING)
def test_a_step_that_does_not_broadcast(name, method, rng):
    x = 1 + rng.uniform(0, 1, (100, 2))
    with pytest.raises(ValueError, match="`step` does not broadcast over leading axes.*8 stacked states"):
        solve_recurrence(NOT_BROADCASTING[name], Y0, x, method=method)
    assert solve_recurrence(NOT_BROADCASTING[name], Y0, x, method="sequential").y.shape == (100, 2)


def test_a_step_with_memory_is_found_out(rng):
    def step(y, x):
        return 0.5 * y + rng.standard_normal(y.shape)

    with pytest.raises(ValueError, match="without random numbers or memory"):
        solve_recurrence(step, Y0, X)


BAD_JACOBIANS = [
    (lambda y, x: np.swapaxes(coupled_jac(y, x), -1, -2), {}, ValueError, "`jac` disagrees.*it looks transposed"),
    (lambda y, x: 2 * coupled_jac(y, x), {}, ValueError, "`jac` disagrees.*check its formula"),
    (lambda y, x: coupled_jac(y, x)[..., 0], {}, ValueError, r"`jac` returned shape \(8, 2\) where \(8, 2, 2\)"),
    (lambda y, x: np.moveaxis(coupled_jac(y, x), 0, -1), {}, ValueError, r"`jac` returned shape \(2, 2, 8\)"),
    (lambda y, x: None, {}, TypeError, r"`jac` must return an array of shape \(8, 2, 2\), got NoneType"),
    (lambda y, x: coupled_jac(y, x) * 1j, {}, TypeError, "`jac` returned dtype complex128"),
    (coupled_jac, {"structure": Diagonal}, ValueError, r"`jac` returned shape \(8, 2, 2\) where \(8, 2\) was expected"),
    (lambda y, x: 0 * y + 0.9, {"structure": Diagonal}, ValueError, "`jac` disagrees"),
    (
        lambda y, x: 0 * y[..., None, None] + 0.9,
        {"structure": BlockDiagonal(1)},
        ValueError,
        "`jac` disagrees",
    ),
]


@pytest.mark.parametrize("method", PARALLEL)
@pytest.mark.parametrize(("jac", "more", "error", "match"), BAD_JACOBIANS)
def test_jacobians(jac, more, error, match, method, rng):
    x = 1 + rng.uniform(0, 1, (100, 2))
    with pytest.raises(error, match=match):
        solve_recurrence(coupled, np.ones(2), x, jac=jac, method=method, **more)


def test_a_pair_must_be_a_pair():
    with pytest.raises(TypeError, match=r"`step` must return the pair \(f, J\) when `jac=True`, got ndarray"):
        solve_recurrence(step, Y0, X, jac=True)


def test_right_jacobians_pass_the_check_at_any_scale(rng):
    """No false alarm: states and derivatives of very different sizes, single precision, constant Jacobians."""
    for dtype in (np.float32, np.float64):
        for scale in (1e-20, 1e-3, 1.0, 1e3, 1e20):
            scales = np.array([1, scale], dtype)

            def scaled(y, x, scales=scales):
                return (scales * coupled(y / scales, x)).astype(y.dtype)

            def jac(y, x, scales=scales):
                return (scales[:, None] * coupled_jac(y / scales, x) / scales).astype(y.dtype)

            x = rng.uniform(0, 1, (100, 2)).astype(dtype)
            for method in ("newton", "auto"):
                assert solve_recurrence(scaled, scales, x, jac=jac, method=method).success
        constant = np.diag(np.array([0.5, 0.5], dtype))
        sol = solve_recurrence(step, np.zeros(2, dtype), x, jac=lambda y, x, c=constant: c, method="newton")
        assert sol.success


@pytest.mark.parametrize("method", METHODS)
def test_overflow_is_reported_where_the_loop_finds_it(method):
    y, expected = np.array([0.5]), []
    with np.errstate(over="ignore"):
        while np.isfinite(y).all():
            y = y * y + 1
            expected.append(y)
    sol = solve_recurrence(lambda y: y * y + 1, np.array([0.5]), length=200, method=method, segment_length=4)
    first = len(expected) - 1
    assert not sol.success
    assert sol.status is Status.NOT_FINITE
    assert f"step {first} of 200 is the first with NaN or infinite" in sol.message
    assert np.array_equal(sol.y[: first + 1], np.array(expected))
    assert np.isnan(sol.y[first + 1 :]).all()
    assert sol.residual == 0  # of the finite states before


@pytest.mark.pairs(method=METHODS, value=[np.nan, np.inf], at=[0, 5, 8, 70, 128, 500, 999])
def test_a_bad_input_stops_the_trajectory_there(method, value, at, rng):
    x = rng.standard_normal((1000, 2))
    x[at, 1] = value
    sol = solve_recurrence(step, Y0, x, method=method, segment_length=32)
    assert not sol.success
    assert f"step {at} of 1000" in sol.message
    assert np.isfinite(sol.y[:at]).all()
    assert not np.isfinite(sol.y[at]).all()
    assert np.isnan(sol.y[at + 1 :]).all()
    y = Y0
    for t in range(at):
        y = step(y, x[t])
        assert np.allclose(sol.y[t], y, rtol=1e-9)


def test_a_bad_start_is_reported_at_the_first_step():
    sol = solve_recurrence(step, np.array([np.nan, 0]), X)
    assert not sol.success
    assert "step 0 of 100" in sol.message


def test_a_state_that_is_only_briefly_infinite_is_reported():
    """The step heals what it broke; the trajectory is not finite all the same."""
    x = np.ones((300, 1))
    x[200] = np.inf

    def healing(y, x):
        return np.where(np.isfinite(y), 0.5 * y, 0.0) + x

    for method in METHODS:
        sol = solve_recurrence(healing, np.zeros(1), x, method=method, segment_length=60)
        assert "step 200 of 300" in sol.message


@pytest.mark.parametrize("method", METHODS)
def test_what_step_raises_reaches_the_user_with_a_note(method):
    def fussy(y, x):
        if (x < 0).any():
            raise ZeroDivisionError("my own words")
        return 0.5 * y + x

    x = np.ones((100, 2))
    x[77] = -1
    with pytest.raises(ZeroDivisionError, match="my own words") as caught:
        solve_recurrence(fussy, Y0, x, method=method)
    assert any("parscan called `step(y, x)` for the time steps" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    ("step", "options", "called"),
    [
        (lambda y, x: y + x, {"length": 9}, "step(y)"),
        (lambda y: y, {"x": np.ones((9, 1))}, "step(y, x)"),
        (lambda y, x: y + x, {"x": np.ones((9, 1)), "args": (1, 2)}, "step(y, x, args[0], args[1])"),
        (lambda y: y, {"x": (np.ones((9, 1)),), "method": "sequential"}, "step(y, x)"),
    ],
)
def test_a_step_with_other_arguments_is_told_which_it_got(step, options, called):
    with pytest.raises(TypeError, match="positional argument") as caught:
        solve_recurrence(step, np.zeros(1), **options)
    assert any(f"parscan called `{called}`" in note for note in caught.value.__notes__)


def test_inputs_without_an_axis_for_components_are_told_of():
    with pytest.raises(
        ValueError, match=r"does not broadcast.*give inputs of one number per time an axis.* x\[:, None\]"
    ):
        solve_recurrence(lambda y, x: 0.5 * y + x[..., 0], np.zeros(1), np.arange(100.0))


def test_no_advice_to_iterate_better_where_the_input_is_nan():
    x = np.ones((300, 1))
    x[200] = np.nan
    sol = solve_recurrence(lambda y, x: 0.999 * y + x, np.zeros(1), x, method="newton", segment_length=20)
    assert "step 200 of 300" in sol.message
    assert "To do better" not in sol.message


def test_a_step_that_raises_on_nan_does_not_hide_the_first_bad_state():
    def fussy(y, x):
        if np.isnan(y).any():
            raise ValueError("NaN came in")
        return y + x

    x = np.zeros((100, 1))
    x[50] = np.nan
    sol = solve_recurrence(fussy, np.zeros(1), x, method="sequential")
    assert "step 50 of 100" in sol.message


def test_keyboard_interrupt_passes_through():
    def impatient(y, x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve_recurrence(impatient, Y0, X)


def test_inputs_cannot_be_written_by_the_step():
    def greedy(y, x):
        x += 1
        return y + x

    x = X.copy()
    with pytest.raises(ValueError, match="read-only"):
        solve_recurrence(greedy, Y0, x)
    assert np.array_equal(x, X)


def test_arrays_of_other_libraries_are_named():
    class ndarray:  # noqa: N801
        """Looks like an array of another library."""

        def __array_namespace__(self, api_version=None):
            return None

    ndarray.__module__ = "elsewhere"
    with pytest.raises(TypeError, match="`y0` is a elsewhere.*parscan takes NumPy and CuPy arrays"):
        solve_recurrence(step, ndarray(), X)


def test_mixed_libraries_are_named():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="different libraries: `y0` is numpy, `x` is array_api_strict"):
        solve_recurrence(step, Y0, strict.asarray(X))


def test_a_caller_who_makes_warnings_errors_gets_none(rng):
    with np.errstate(all="raise"):
        sol = solve_recurrence(lambda y: y * y + 1, np.array([0.5]), length=100)
    assert not sol.success
    assert parscan.Status.NOT_FINITE is sol.status


def test_a_batch_in_args_alone_is_told_of():
    """`y0` is one state, and `args` hold a value for each of five."""
    with pytest.raises(ValueError, match=r"`args` hold a value per member of a batch, `y0` needs the batch's axes"):
        solve_recurrence(lambda y, a: a * y, np.ones(3), length=50, args=(np.ones((5, 1)),))
    with pytest.raises(ValueError, match="broadcast") as caught:
        solve_recurrence(lambda y, a: a * y, np.ones(3), length=50, args=(np.ones(5),))
    assert any("`y0` needs its axes, too: (*batch, n)" in note for note in caught.value.__notes__)


def test_components_first_are_told_of():
    with pytest.raises(ValueError, match="unpack") as caught:
        solve_recurrence(lambda y: np.array([y_i for y_i, _ in [y]]), np.ones(2), length=50)
    assert any("components y[..., i] last" in note and "axis=-1" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("method", ["auto", "jacobi", "newton"])
def test_infinite_inputs_in_the_middle_cause_no_warnings_of_numpy(method):
    """The first states are compared at inputs that are spread over all times."""
    x = np.random.default_rng(0).standard_normal((3000, 2))
    x[1500, 1] = np.inf
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sol = solve_recurrence(lambda y, x: 0.5 * y + x, np.zeros(2), x, method=method, compile=True)
    assert not sol.success
    assert "step 1500" in sol.message
    assert not [one for one in caught if one.category is RuntimeWarning]


def test_another_byte_order_is_named():
    with pytest.raises(TypeError, match="returned dtype float64 in another byte order where"):
        solve_recurrence(lambda y: (0.5 * y).astype(">f8"), np.ones(1), length=10)
