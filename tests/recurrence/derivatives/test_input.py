"""What derivatives are asked for wrongly, or too late, is named at once."""

import copy
import pickle

import numpy as np
import pytest

import parscan
from parscan import Adjoint, solve_recurrence
from parscan.warnings import NondeterministicStepWarning

T, N = 300, 2
X = np.random.default_rng(0).standard_normal((T, N))


def step(y, x, p, name="tanh"):
    return p["a"] * np.tanh(y) + p["b"] * x


P = {"a": np.array([0.5, 0.4]), "b": 1.0}


@pytest.fixture
def sol():
    return solve_recurrence(step, np.zeros(N), X, args=({**P}, "tanh"))


GRADIENTS = [
    (X[:-1], ValueError, r"`grad_y` has shape \(299, 2\); the trajectory `y` has \(300, 2\)"),
    (X[:, :1], ValueError, r"`grad_y` has shape \(300, 1\)"),
    (1.0, ValueError, r"`grad_y` has shape \(\)"),
    (X + 0j, TypeError, "`grad_y` is complex128 but `y` is float64; pass its real part"),
    (X.astype(np.float16), TypeError, "`grad_y` has dtype float16"),
    (X.astype(object), TypeError, "`grad_y` has dtype object"),
    (np.ma.masked_array(X), TypeError, "`grad_y` is a masked array"),
    (None, TypeError, "`grad_y` has dtype object"),
]


@pytest.mark.parametrize(("grad_y", "error", "message"), GRADIENTS, ids=str)
@pytest.mark.parametrize("derive", ["adjoint", "gradient"])
def test_gradients_of_the_wrong_kind(sol, derive, grad_y, error, message):
    options = {"params": "p"} if derive == "gradient" else {}
    with pytest.raises(error, match=message):
        getattr(sol, derive)(grad_y, **options)


def test_an_adjoint_of_another_trajectory(sol):
    with pytest.raises(ValueError, match=r"`grad_y` is an Adjoint.*\(299, 2\); this one has \(300, 2\)"):
        sol.gradient(Adjoint(X[:-1], np.zeros(2)), "p")


TANGENTS = [
    (None, None, ValueError, "neither `forcing` nor `y0` is given"),
    (X[:-1], None, ValueError, r"`forcing` has shape \(299, 2\); it needs that of the trajectory `y`, \(300, 2\), or"),
    (X[..., None, None], None, ValueError, r"`forcing` has shape \(300, 2, 1, 1\)"),
    (X + 0j, None, TypeError, "`forcing` is complex128"),
    (X, np.zeros(3), ValueError, r"`y0` has shape \(3,\); it needs that of one state, \(2,\), or as many forcings"),
    (X, np.zeros((2, 4)), ValueError, r"`y0` has shape \(2, 4\)"),
    (np.zeros((T, N, 3)), np.zeros((2, 4)), ValueError, r"`y0` has shape \(2, 4\)"),
    (None, np.zeros((2, 4, 1)), ValueError, r"`y0` has shape \(2, 4, 1\).*one more axis for many"),
    (X, np.zeros(2) + 0j, TypeError, "`y0` is complex128"),
    (X, "a", TypeError, "`y0` has dtype <U1"),
]


@pytest.mark.parametrize(("forcing", "y0", "error", "message"), TANGENTS, ids=str)
def test_forcings_of_the_wrong_kind(sol, forcing, y0, error, message):
    with pytest.raises(error, match=message):
        sol.tangent(forcing, y0)


def test_arrays_of_another_library(sol):
    xp = pytest.importorskip("array_api_strict")
    strict = xp.asarray(X)
    for derive, name in ((sol.adjoint, "grad_y"), (sol.tangent, "forcing"), (sol.gradient, "grad_y")):
        with pytest.raises(TypeError, match=f"different libraries: `{name}` is array_api_strict, `y` is numpy"):
            derive(strict, *(("p",) if derive == sol.gradient else ()))
    with pytest.raises(TypeError, match="different libraries: `y0` is array_api_strict"):
        sol.tangent(X, xp.zeros(2))


def test_integers_and_other_precisions_are_taken(sol):
    for g in (np.ones((T, N), int), np.ones((T, N), np.float32), np.ones((T, N)).tolist()):
        assert np.array_equal(sol.adjoint(g).states, sol.adjoint(np.ones((T, N))).states)


PARAMS = [
    (
        None,
        TypeError,
        r"`args\[1\]` is 'tanh'; gradients are with respect to numbers.*Choose other parameters by `params`",
    ),
    (1, TypeError, r"`args\[1\]` is 'tanh'"),
    ("name", TypeError, r"`args\[1\]` is 'tanh'"),
    ("q", ValueError, "`params` is 'q'; the step has 0, 1, 'x', 'p', 'name'"),
    (2, ValueError, "`params` is 2; the step has 0, 1"),
    (-3, ValueError, "`params` is -3"),
    (True, ValueError, "`params` is True"),
    ({"p": P}, ValueError, "`params` is {'p'"),
    ((0, None), ValueError, "`params` is None; the step has"),
]


@pytest.mark.parametrize(("params", "error", "message"), PARAMS, ids=str)
@pytest.mark.parametrize("vjp", [None, lambda *_: None], ids=["differences", "product"])
def test_parameters_that_are_none(sol, params, error, message, vjp):
    with pytest.raises(error, match=message):
        sol.gradient(X, params, vjp=vjp)


def test_the_inputs_of_a_step_without():
    sol = solve_recurrence(lambda y: 0.5 * y, np.zeros(1), length=10)
    with pytest.raises(ValueError, match="`params` is 'x'; the step has 'y0'"):
        sol.gradient(sol.y, "x")


@pytest.mark.parametrize("value", [True, None, np.array([True]), np.array(["a"]), {"a": [None]}], ids=str)
def test_parameters_without_derivatives(value):
    sol = solve_recurrence(lambda y, p: 0.5 * y, np.zeros(1), length=10, args=(value,))
    with pytest.raises(TypeError, match=r"`args\[0\]"):
        sol.gradient(sol.y)


A, B = np.zeros(2), 0.0
PRODUCTS = [
    (None, r"returned NoneType for `args\[0\]` where a dict of \['a', 'b'\] was expected"),
    ([A, B], r"returned a tuple of 2 for `args\[0\]` where a dict of \['a', 'b'\]"),
    ({"a": A}, r"returned a dict of \['a'\] for `args\[0\]`"),
    ({"a": A, "c": B}, r"returned a dict of \['a', 'c'\] for `args\[0\]`"),
    (
        {"a": np.zeros(3), "b": B},
        r"returned an array of shape \(3,\) for `args\[0\]\['a'\]` where an array of shape \(2,\)",
    ),
    ({"a": A, "b": A}, r"returned an array of shape \(2,\) for `args\[0\]\['b'\]` where a number"),
    ({"a": 0.0, "b": B}, r"returned float for `args\[0\]\['a'\]` where an array of shape \(2,\)"),
    ({"a": A, "b": None}, r"returned NoneType for `args\[0\]\['b'\]` where a number"),
    ({"a": A, "b": {"c": B}}, r"returned a dict of \['c'\] for `args\[0\]\['b'\]` where a number"),
    ({"a": A, "b": np.array(1j)}, r"returned a complex number for `args\[0\]\['b'\]` where a real one"),
    ({"a": A, "b": 1j}, r"returned a complex number for `args\[0\]\['b'\]` where a real one"),
]


@pytest.mark.parametrize(("returned", "message"), PRODUCTS, ids=str)
def test_products_of_the_wrong_structure(sol, returned, message):
    with pytest.raises(ValueError, match=f"`vjp` {message}.*: the structure of `params`"):
        sol.gradient(X, "p", vjp=lambda *_: returned)


def test_other_products_of_the_wrong_kind(sol):
    with pytest.raises(
        TypeError, match=r"`vjp\(...\) for args\[0\]\['a'\]` is complex128 but `args\[0\]\['a'\]` is float64"
    ):
        sol.gradient(X, "p", vjp=lambda *_: {"a": A + 0j, "b": B})
    with pytest.raises(TypeError, match=r"`args\[0\]\['b'\]` has dtype <U1"):
        sol.gradient(X, "p", vjp=lambda *_: {"a": A, "b": "1"})
    with pytest.raises(ValueError, match=r"returned a dict of \['a', 'b'\] for `params` where a tuple of 1"):
        sol.gradient(X, ("p",), vjp=lambda *_: P)
    with pytest.raises(ValueError, match="`steps_per_call` is for `vjp`"):
        sol.gradient(X, "p", steps_per_call=100)
    with pytest.raises(TypeError, match=r"`vjp` must be callable as vjp\(adjoint, y, x, \*args\), got dict"):
        sol.gradient(X, "p", vjp=P)


def every(sol):
    yield "tangent", lambda: sol.tangent(sol.y)
    yield "adjoint", lambda: sol.adjoint(sol.y)
    yield "gradient", lambda: sol.gradient(sol.y)


def test_an_unfinished_trajectory():
    sol = solve_recurrence(lambda y: y * y + 1, np.array([0.5]), length=100)
    for name, derive in every(sol):
        message = f"`{name}` needs the whole solution.*not succeed: The recurrence reached values that are not finite"
        with pytest.raises(RuntimeError, match=message):
            derive()


def test_a_step_that_contradicts_itself():
    calls = []

    def drifting(y):
        calls.append(1)
        return 0.5 * y + 1e-9 * len(calls)

    with pytest.warns(NondeterministicStepWarning):
        sol = solve_recurrence(drifting, np.ones(1), length=3000, method="jacobi")
    with pytest.raises(RuntimeError, match="did not succeed: The step contradicts itself"):
        sol.adjoint(sol.y)


@pytest.mark.parametrize("duplicate", [lambda sol: pickle.loads(pickle.dumps(sol)), copy.copy, copy.deepcopy])
def test_copies_have_forgotten_their_step(duplicate):
    for name, derive in every(duplicate(solve_recurrence(lambda y: 0.5 * y, np.ones(2), length=100))):
        with pytest.raises(
            RuntimeError,
            match=f"`{name}` needs the functions that were solved, which .* not have: it was copied or pickled",
        ):
            derive()


def test_what_was_changed_since_the_solve(sol):
    """Weights updated in place before their gradient is asked for are a common mistake."""
    p, x = {"a": P["a"].copy(), "b": 1.0}, X.copy()
    for change in (lambda: p["a"].__imul__(0.99), lambda: p.update(b=1.01), lambda: x.__iadd__(1e-3)):
        sol = solve_recurrence(step, np.zeros(N), x, args=(p,))
        sol.adjoint(sol.y)
        change()
        for name, derive in every(sol):
            with pytest.raises(RuntimeError, match=f"`{name}` cannot be evaluated.*changed since; solve again"):
                derive()
    sol = solve_recurrence(step, np.zeros(N), x, args=(p,))
    sol.y[:] *= 1.01
    with pytest.raises(RuntimeError, match="changed since"):
        sol.adjoint(sol.y)


@pytest.mark.parametrize("options", [{"segment_length": 1, "method": "jacobi"}, {"segment_length": 7}], ids=str)
def test_a_loose_solution_is_not_taken_for_a_changed_one(options):
    x = np.random.default_rng(1).standard_normal((3000, 1))
    sol = solve_recurrence(lambda y, x: 0.9 * np.tanh(y) + x, np.zeros(1), x, rtol=1e-2, atol=1e-2, **options)
    assert sol.adjoint(x).states.shape == x.shape


def test_what_a_step_raises_on_perturbed_parameters_reaches_the_user():
    def step(y, x, p):
        if p != 0.5:
            raise ZeroDivisionError("not half")
        return p * y + x

    sol = solve_recurrence(step, np.zeros(1), X[:, :1], args=(0.5,))
    with pytest.raises(ZeroDivisionError, match="not half") as error:
        sol.gradient(sol.y)
    assert any("parscan called `step(y, x, args[0])` for the time steps" in note for note in error.value.__notes__)


@pytest.mark.parametrize("index", [2, np.asarray(2), [2, 1]])
def test_integers_that_are_indices_are_named(index):
    table = np.linspace(0.1, 0.9, 5)

    def looked_up(y, x, index):
        return table[index[0] if isinstance(index, list) else index] * y + table[x]

    x = np.arange(20)[:, None] % 5
    sol = solve_recurrence(looked_up, np.zeros(1), x, args=(index,))
    for params, name in ((0, "args[0]"), ("x", "x")):
        with pytest.raises(IndexError) as caught:
            sol.gradient(np.ones_like(sol.y), params)
        assert any(f"`{name}` was changed by fractions" in note for note in caught.value.__notes__)


def test_a_wrong_shape_on_perturbed_parameters_is_named():
    def step(y, x, p):
        return p * y + x if p == 0.5 else np.zeros((1, 3))

    sol = solve_recurrence(step, np.zeros(1), X[:, :1], args=(0.5,))
    with pytest.raises(ValueError, match=r"`step` returned shape \(1, 3\)"):
        sol.gradient(sol.y)


def test_a_wrong_jacobian_shape_later_on_is_named():
    def jac(y, x):
        return np.zeros((len(y), 1, 1)) + 0.5 if len(y) < 100 else np.zeros(3)

    sol = solve_recurrence(lambda y, x: 0.5 * y + x, np.zeros(1), X[:, :1], jac=jac, method="jacobi")
    with pytest.raises(ValueError, match=r"`jac` returned shape \(3,\)"):
        sol.adjoint(sol.y)


def test_public_names():
    assert parscan.Adjoint is Adjoint


@pytest.mark.parametrize("integer", [np.int64(0), np.uint8(0), np.array(0)])
def test_indices_of_other_integer_types(sol, integer):
    expected = sol.gradient(X, 0, vjp=lambda adjoint, y, x, p, name: p)
    assert sol.gradient(X, integer, vjp=lambda adjoint, y, x, p, name: p).keys() == expected.keys()


def test_a_product_that_writes_to_its_arguments(sol):
    def vjp(adjoint, y, x, p, name):
        adjoint *= 0
        y *= 0
        return {"a": np.zeros(N), "b": 0.0}

    adjoint, y = sol.adjoint(X), sol.y.copy()
    states = adjoint.states.copy()
    sol.gradient(adjoint, "p", vjp=vjp)
    np.testing.assert_array_equal(adjoint.states, states)
    np.testing.assert_array_equal(sol.y, y)


@pytest.mark.parametrize("compiled", [None, False])
def test_complex_steps_without_a_complex_derivative(compiled):
    """A Jacobian of one number for each component would be wrong, and nothing would tell."""

    def rotating(y, x, a):
        return 1j * a * y * np.abs(y) + x

    sol = parscan.solve_recurrence(
        rotating, np.array([0.3 + 0.2j]), np.full((50, 1), 0.1), args=(0.5,), compile=compiled
    )
    for derivative in (lambda: sol.gradient(np.ones_like(sol.y)), sol.jacobian, lambda: sol.adjoint(sol.y)):
        with pytest.raises(RuntimeError, match="not complex differentiable"):
            derivative()
