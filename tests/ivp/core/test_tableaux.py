"""Collocation methods: known coefficients, order conditions, stability, and their polynomials."""

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import array_api_strict
import numpy as np
import pytest

from parscan._ivp.core.tableaux import FAMILIES, MOST_STAGES, gauss, radau

EPS = np.finfo(float).eps
TABLEAUX = [make(s) for make in FAMILIES.values() for s in range(1, MOST_STAGES + 1)]


class Kind(NamedTuple):
    """What is known of a family: the order that it lacks to 2s, whether it ends with a stage, and R(∞) for s stages."""

    lacks: int
    ends: bool
    limit: Callable[[int], float]


KINDS = {"Radau": Kind(1, True, lambda s: 0), "Gauss": Kind(0, False, lambda s: (-1) ** s)}

tableaux = pytest.mark.parametrize("tableau", TABLEAUX, ids=lambda tableau: f"{tableau.kind}{tableau.stages}")

S3, S6 = np.sqrt(3), np.sqrt(6)
KNOWN = {
    "radau1": (radau(1), [[1]], [1], [1]),
    "radau2": (radau(2), [[5 / 12, -1 / 12], [3 / 4, 1 / 4]], [3 / 4, 1 / 4], [1 / 3, 1]),
    "radau3": (
        radau(3),
        [
            [(88 - 7 * S6) / 360, (296 - 169 * S6) / 1800, (-2 + 3 * S6) / 225],
            [(296 + 169 * S6) / 1800, (88 + 7 * S6) / 360, (-2 - 3 * S6) / 225],
            [(16 - S6) / 36, (16 + S6) / 36, 1 / 9],
        ],
        [(16 - S6) / 36, (16 + S6) / 36, 1 / 9],
        [(4 - S6) / 10, (4 + S6) / 10, 1],
    ),
    "gauss1": (gauss(1), [[1 / 2]], [1], [1 / 2]),
    "gauss2": (
        gauss(2),
        [[1 / 4, 1 / 4 - S3 / 6], [1 / 4 + S3 / 6, 1 / 4]],
        [1 / 2, 1 / 2],
        [1 / 2 - S3 / 6, 1 / 2 + S3 / 6],
    ),
}
"""Hairer and Wanner, "Solving Ordinary Differential Equations II", tables IV.5.1 to IV.5.6."""


@pytest.mark.parametrize("name", KNOWN)
def test_known_coefficients(name):
    tableau, A, b, c = KNOWN[name]
    for found, expected in ((tableau.A, A), (tableau.b, b), (tableau.c, c)):
        assert np.abs(found - np.array(expected)).max() <= EPS


def test_nodes_and_weights_of_scipy():
    from scipy.special import roots_legendre

    for s in range(1, MOST_STAGES + 1):
        x, w = roots_legendre(s)
        assert np.allclose(gauss(s).c, (1 + x) / 2, rtol=0, atol=4 * EPS)
        assert np.allclose(gauss(s).b, w / 2, rtol=0, atol=4 * EPS)


@tableaux
def test_the_quadrature_has_the_order_of_the_method_and_no_more(tableau):
    """Sums of exact fractions, which show the rounding of the coefficients alone."""
    c, b = ([Fraction(x) for x in numbers.tolist()] for numbers in (tableau.c, tableau.b))
    off = [float(abs(sum(w * x**k for w, x in zip(b, c, strict=True)) - Fraction(1, k + 1))) for k in range(20)]
    assert max(off[: tableau.order]) <= EPS / 2
    assert off[tableau.order] > 1e3 * EPS or off[tableau.order] > 1e-3 * 0.06**tableau.stages
    assert tableau.order == 2 * tableau.stages - KINDS[tableau.kind].lacks


@tableaux
def test_simplifying_assumptions(tableau):
    """C(s), and D(p - s) for the order p (Hairer and Wanner, IV.5)."""
    A, b, c, s = tableau.A, tableau.b, tableau.c, tableau.stages
    for k in range(1, s + 1):
        assert np.abs(A @ c ** (k - 1) - c**k / k).max() <= 2 * EPS, k
    for k in range(1, tableau.order - s + 1):
        assert np.abs((b * c ** (k - 1)) @ A - b * (1 - c**k) / k).max() <= 2 * EPS, k


@tableaux
def test_nodes_lie_in_order_and_weights_are_positive(tableau):
    assert np.all(np.diff(tableau.c) > 0)
    assert np.all(tableau.b > 0)
    assert tableau.c[0] > 0
    assert tableau.c[-1] <= 1
    assert tableau.ends_with_a_stage == KINDS[tableau.kind].ends
    if tableau.ends_with_a_stage:
        assert np.array_equal(tableau.A[-1], tableau.b)  # stiffly accurate


@tableaux
def test_stability_at_infinity(tableau):
    """R(∞) = 1 - bᵀ A⁻¹ 1."""
    limit = 1 - tableau.b @ np.linalg.solve(tableau.A, np.ones(tableau.stages))
    assert limit == pytest.approx(KINDS[tableau.kind].limit(tableau.stages), abs=1e-12)


@tableaux
@pytest.mark.parametrize("z", [-1e-3, -1.0, -50.0, -1e6, 3j, 1e3j, -1 + 5j])
def test_a_stability(tableau, z):
    R = 1 + z * tableau.b @ np.linalg.solve(np.eye(tableau.stages) - z * tableau.A, np.ones(tableau.stages))
    assert abs(R) <= 1 + 1e-12
    if abs(z) <= 1:
        assert np.isclose(R, np.exp(z), rtol=0, atol=max(abs(z) ** (tableau.order + 1), 1e-15))


@tableaux
def test_polynomials_at_the_nodes(tableau):
    assert np.allclose(tableau.derivatives(tableau.c), np.eye(tableau.stages), rtol=0, atol=20 * EPS)
    assert np.allclose(tableau.integrals(tableau.c), tableau.A, rtol=0, atol=10 * EPS)
    assert np.allclose(tableau.integrals(np.ones(1)), tableau.b, rtol=0, atol=10 * EPS)
    assert not np.any(tableau.integrals(np.zeros(1)))


@tableaux
@pytest.mark.parametrize(("low", "high", "tolerance"), [(0.0, 1.0, 50 * EPS), (-0.1, 1.1, 1000 * EPS)])
def test_polynomials_are_exact(tableau, low, high, tolerance):
    theta = np.linspace(low, high, 101)
    for k in range(tableau.stages):
        stages = tableau.c**k
        assert np.abs(tableau.derivatives(theta) @ stages - theta**k).max() <= tolerance, k
        assert np.abs(tableau.integrals(theta) @ stages - theta ** (k + 1) / (k + 1)).max() <= tolerance, k


@tableaux
def test_integrals_are_exact_near_the_start(tableau):
    """Relative to θ: a solution that starts at zero keeps its digits."""
    theta = np.array([1e-300, 1e-12, -1e-12])
    assert np.allclose(tableau.integrals(theta).sum(-1), theta, rtol=100 * EPS, atol=0)


@pytest.mark.parametrize("name", ["derivatives", "integrals"])
def test_any_library_and_precision(name):
    theta = np.linspace(0, 1, 7)
    expected = getattr(radau(4), name)(theta)
    strict = getattr(radau(4), name)(array_api_strict.asarray(theta))
    assert strict.shape == (7, 4)
    assert np.array_equal(np.asarray(strict), expected)
    single = getattr(radau(4), name)(theta.astype(np.float32))
    assert single.dtype == np.float32
    assert np.allclose(single, expected, atol=1e-5)


def test_tableaux_are_made_once_and_nobody_can_spoil_them():
    assert radau(3) is radau(3)
    assert radau(3).stages == 3
    with pytest.raises(ValueError, match="read-only"):
        radau(3).A[0, 0] = 0


@pytest.mark.parametrize("make", FAMILIES.values())
@pytest.mark.parametrize("stages", [0, -1, 12])
def test_numbers_of_stages_that_there_are_not(make, stages):
    with pytest.raises(ValueError, match=f"`stages` is {stages}; collocation has 1 to 11"):
        make(stages)
