"""Programs in single precision: their values are those of the record, and times keep their digits."""

import numpy as np
import pytest

from parscan._recorded.record import record
from parscan._recorded.single import in_single

TABLE = np.linspace(0.0, 3.0, 9) ** 2


def forced(t, y, k):
    return np.sin(50.0 * t) * y + k[0] * np.roll(y, 1) ** 2 - np.where(t < 2.0, k[1], y / 3.0)


def products(t, y, k):
    return np.array([[1.0, 2.0, -0.3], [0.1, 0.7, 0.2], [0.5, 0.5, 0.4]]) @ np.tanh(y) - k[0] * np.sqrt(2.0)


def tables(t, y, k):
    slow = TABLE[np.floor(np.clip(np.abs(y), 0.0, 8.0)).astype(int)]
    return np.interp(y, np.arange(9.0), TABLE) + slow * k[1] + np.interp(t, np.arange(9.0), TABLE)


def counted(t, y, k):
    return (y > 0.5).astype(float) * y + np.floor(y) + (np.arange(3) * k[0]).astype(np.float32)


@pytest.mark.parametrize("fun", [forced, products, tables, counted])
def test_values_are_those_of_the_record(fun, rng):
    recorded = record(fun, [np.array(0.0), np.ones(3), np.ones(2)]).program
    single = in_single(recorded)
    t, y, k = rng.uniform(0.0, 3.0, 40), rng.uniform(0.1, 3.0, (40, 3)), rng.uniform(0.5, 1.0, (40, 2))
    y, k = y.astype(np.float32), k.astype(np.float32)
    (expected,), (found,) = recorded(t, y.astype(float), k.astype(float)), single(t, y, k)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=3e-6)
    others = [block for block in single.blocks if block.dtype == float and block.operation != "constant"]
    assert bool(others) == (fun in (forced, tables))


def test_a_late_time_keeps_its_digits():
    """In single precision, the phase would be wrong by more than a thousandth."""
    single = in_single(record(lambda t, y: np.sin(7.0 * t) * y, [np.array(0.0), np.ones(1)]).program)
    t = np.linspace(1e4, 1e4 + 1.0, 30)
    (found,) = single(t, np.ones((30, 1), np.float32))
    np.testing.assert_allclose(found[:, 0], np.sin(7.0 * t), atol=1e-6)
    assert np.abs(np.sin(np.float32(7.0) * t.astype(np.float32)) - np.sin(7.0 * t)).max() > 1e-3


def test_several_results_and_constants():
    from parscan._recorded.linearised import values_and_entries

    places = values_and_entries(record(forced, [np.array(0.0), np.ones(3), np.ones(2)]))
    single = in_single(places.program)
    assert single.dtypes == (np.float32, np.float32)
    t, y, k = np.full(2, 0.3), np.full((2, 3), 0.7, np.float32), np.ones((2, 2), np.float32)
    for one, other in zip(single(t, y, k), places.program(t, y.astype(float), k.astype(float)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
