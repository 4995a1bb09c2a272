"""The examples run, and agree with their references."""

import runpy
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.filterwarnings("default")  # of the packages that the examples compare with


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


def test_gru_series_agrees_with_the_loop():
    assert example("gru_series")["main"]() <= 1e-12


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.name)
def test_examples_are_short(path):
    assert len(path.read_text().splitlines()) < 80
