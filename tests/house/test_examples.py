"""The examples run, and agree with their references."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import parscan

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [
    pytest.mark.docs,
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # of the packages that the examples compare with
]


def example(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_garch_is_the_recursion_of_arch(capsys):
    """Real returns, and parameters from calm to almost integrated."""
    module = example("garch_volatility")
    shocks = module["daily_returns"]()
    for parameters in ([0.02, 0.1, 0.88], [0.5, 0.3, 0.2], [0.001, 0.05, 0.9499]):
        ours = module["conditional_variance"](shocks, 1.3, np.array(parameters))
        expected = module["reference_variance"](shocks, 1.3, np.array(parameters))
        assert ours.success
        assert np.abs(ours.y[:, 0] / expected - 1).max() <= 1e-12
    assert module["main"]() <= 1e-12
    assert "largest relative deviation from the recursion of arch" in capsys.readouterr().out


def test_filters_agree_with_pandas_and_scipy():
    average, butterworth = example("filters")["main"]()
    assert average <= 1e-13
    assert butterworth <= 1e-11


def test_a_seasonal_series_is_that_of_the_loop_and_found_again():
    deviation, error = example("seasonal_series")["main"](3000)
    assert deviation <= 1e-12
    assert error <= 2e-3


def test_reaction_diffusion_has_the_exact_heat(capsys):
    error, grown = example("reaction_diffusion")["main"](40)
    assert error <= 1
    assert 0.5 < grown < 1
    assert "entries of the Jacobian are zero" in capsys.readouterr().out


def test_gru_series_agrees_with_the_loop():
    assert example("gru_series")["main"]() <= 1e-12


def test_a_pendulum_of_each_index_is_that_by_the_angle():
    assert max(example("pendulum_dae")["main"](1e-5, 1.0)) <= 10


def test_a_scipy_script_gives_the_same_by_parscan(capsys):
    assert example("from_scipy")["main"]() <= 1e-8
    assert "times faster" in capsys.readouterr().out


def test_stiff_chemistry_has_the_published_digits():
    errors = example("stiff_chemistry")["main"]([1e-6, 1e-9])
    assert errors[0] <= 1e-5
    assert errors[1] <= 1e-8


def test_gauss_keeps_the_energy_of_orbits_and_radau_does_not(tmp_path):
    module = example("planetary_orbits")
    assert module["main"](30, tmp_path / "drift.png") <= 1.01
    assert (tmp_path / "drift.png").stat().st_size > 1000
    drifts, _, _ = module["by_collocation"]("Radau", 30)
    assert drifts[2] >= 2.5 * drifts[0]


@pytest.mark.parametrize("name", ["SciPy LSODA", "parscan"])
def test_pendulum_fits_agree(name):
    module = example("pendulum_fit")
    times = np.linspace(0, 10, 41)
    exact = module["solve"]("SciPy DOP853", times, module["TRUTH"]).y
    fitted = module["fit"](name, times, exact)
    assert np.abs(fitted.x / module["TRUTH"] - 1).max() <= 1e-3
    assert np.abs(fitted.fun).max() <= 1e-5


def test_pendulum_fits_of_noisy_angles_agree():
    assert example("pendulum_fit")["main"](10) <= 0.001


def test_an_orbit_fitted_by_exact_jacobians_is_that_fitted_by_differences(capsys):
    assert example("two_body_fit")["main"](2, solvers=("DOP853",)) <= 0.01
    assert "times faster" in capsys.readouterr().out


def test_rate_constants_are_those_of_a_fit_by_differences(capsys):
    assert example("kinetics_fit")["main"](2) <= 1e-3
    assert "times faster" in capsys.readouterr().out


def test_a_network_learns_a_series():
    apart, first, last = example("series_fit")["main"](2000, 10)
    assert apart <= 1e-5
    assert last < 0.2 * first


def test_ensemble_agrees_with_its_members_alone():
    assert example("ensemble")["main"](rtol=1e-6, sample=3) <= 1e-7


def test_garch_fits_as_arch_does():
    apart, better, off = example("garch_fit")["main"]()
    assert apart <= 1e-12
    assert better >= -1e-6
    assert off <= 1e-4


def directional(function, p, direction, h=1e-6):
    """Derivative of a number along a direction, by central differences."""
    return (function(p + h * direction) - function(p - h * direction)) / (2 * h)


def test_gradients_of_linear_networks(rng):
    """The same by both ways, and that of the outputs."""
    module = example("linear_rnns")
    assert module["main"](300) <= 1e-12
    x, g = rng.standard_normal((2, 50, module["N"]))
    shapes = {"leaky": [1, 1], "sru": [1, 1, 1], "qrnn": [2, 2, 2], "gilr_lstm": [2, 2, 2, 2, 1, 1]}
    for name, rows in shapes.items():
        sizes = [rows * module["N"] ** 2 for rows in rows]
        p, direction = rng.standard_normal((2, sum(sizes)))

        def evaluate(p, name=name, sizes=sizes):
            weights = [part.reshape(-1, module["N"]) for part in np.split(p, np.cumsum(sizes)[:-1])]
            return module["evaluate"](module[name], parscan.linear_recurrence, x, g, weights)

        expected = directional(lambda p, f=evaluate: np.sum(g.ravel() * f(p)[: g.size]), p, direction)
        assert evaluate(p)[g.size :] @ direction == pytest.approx(expected, rel=1e-7)


def test_the_first_symbol_is_remembered():
    apart, right = example("memory_task")["main"]()
    assert apart <= 1e-14
    assert right >= 0.9


def test_gradients_of_the_memory_task(rng):
    module = example("memory_task")
    symbols, classes = module["sequences"](rng, 50)
    S, n = module["SYMBOLS"], module["STATES"]
    p = {"gates": rng.standard_normal((S, n)), "candidates": rng.standard_normal((S, n)), "bias": 0.3}
    p["weights"] = rng.standard_normal(n)
    _, found = module["gradient"](p, symbols, classes)
    for name, value in p.items():
        direction = rng.standard_normal(np.shape(value))
        expected = directional(lambda v, n=name: module["gradient"]({**p, n: v}, symbols, classes)[0], value, direction)
        assert np.sum(found[name] * direction) == pytest.approx(expected, rel=1e-6)


def test_gradients_of_the_classifier(rng):
    module = example("gru_classifier")
    apart, losses = module["main"](600, 3)
    assert apart <= 1e-13
    assert np.isfinite(losses).all()
    x = module["series"](rng, 300, 1)
    p, direction = 0.5 * rng.standard_normal((2, sum(module["SIZES"])))
    expected = directional(lambda p: module["loss_and_gradient"](p, x, 1)[0], p, direction)
    assert module["loss_and_gradient"](p, x, 1)[1] @ direction == pytest.approx(expected, rel=1e-6)


LONGER = {"gru_classifier.py": 120, "memory_task.py": 120}
"""Networks with their loops, with derivatives by hand, and their training."""


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.name)
def test_examples_are_short(path):
    assert len(path.read_text().splitlines()) < LONGER.get(path.name, 100)
