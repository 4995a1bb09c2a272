"""Questions about arrays that are asked in the same way of every library."""

from contextlib import suppress

import numpy as np
import pytest

from parscan._arrays.namespace import all_finite, error_values, quiet


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("size", [0, 10, 10_000])
def test_all_finite_sees_every_entry(size, dtype):
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    assert all_finite(x)
    for bad in (np.nan, np.inf, -np.inf):
        for place in range(0, size, max(size // 7, 1)):
            y = x.copy()
            y[place] = bad
            assert not all_finite(y)


def test_all_finite_of_numbers_whose_sum_overflows():
    x = np.full(10_000, np.finfo(float).max)
    assert all_finite(x)
    x[:2] = np.inf, -np.inf
    assert not all_finite(x)


def overflow():
    return np.float64(1e308) * np.float64(10.0)


@pytest.mark.filterwarnings("error")
def test_a_quiet_context_ignores_floating_point_errors_and_nothing_else_changes():
    before, size = np.geterr(), np.getbufsize()
    with quiet(), quiet():
        assert set(np.geterr().values()) == {"ignore"}
        assert np.getbufsize() == size
        overflow()
    assert np.geterr() == before
    with pytest.raises(RuntimeWarning):
        overflow()
    with suppress(KeyError), quiet():
        raise KeyError
    assert np.geterr() == before


def test_a_quiet_context_keeps_what_the_user_has_set():
    with np.errstate(over="raise", divide="print"):
        mine, size = np.geterr(), np.setbufsize(16384)
        try:
            with quiet():
                overflow()
                assert np.getbufsize() == 16384
            assert np.geterr() == mine
            with pytest.raises(FloatingPointError):
                overflow()
        finally:
            np.setbufsize(size)


def test_what_ignores_errors_is_made_once_for_what_the_user_has_set():
    usual = error_values()
    with np.errstate(over="raise"):
        mine = error_values()
        assert mine != usual
        with quiet():
            assert error_values() is mine
        assert error_values() is mine
        with np.errstate(all="ignore"):
            now, ignored = error_values()
            assert now is ignored
            assert now not in mine
    assert error_values() == usual
    with quiet():
        assert error_values() == usual


def test_quiet_contexts_set_the_variable_of_numpy_at_once():
    assert not isinstance(quiet(), np.errstate), "NumPy keeps the handling of errors otherwise than before"
