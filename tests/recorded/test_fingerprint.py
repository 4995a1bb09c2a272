"""Programs with one fingerprint are the same: compiled code is found by it."""

from itertools import combinations

import numpy as np

from parscan._recorded.record import record


def fingerprint(function, *examples):
    return record(function, examples).program.fingerprint


def test_a_function_that_is_recorded_again_has_the_same():
    rows = np.random.default_rng(0).random((30, 30))
    assert fingerprint(lambda y: rows @ y, np.zeros(30)) == fingerprint(lambda y: rows @ y, np.ones(30))


def test_whatever_differs_shows():
    y, rows = np.zeros(20), np.random.default_rng(0).random((20, 20))
    changed, whole = rows.copy(), np.arange(3)
    alike = whole.view(float)
    changed[7, 3] = np.nextafter(changed[7, 3], 1)
    found = [
        fingerprint(lambda y: y + 1.0, y),
        fingerprint(lambda y: y + 1.5, y),
        fingerprint(lambda y: y - 1.0, y),
        fingerprint(lambda y: y + 0.0, y),
        fingerprint(lambda y: y + -0.0, y),
        fingerprint(lambda y: y, y),
        fingerprint(lambda y: y[::-1], y),
        fingerprint(lambda y: y.reshape(4, 5), y),
        fingerprint(lambda y: y + 1.0, y.astype(np.float32)),
        fingerprint(lambda y: y + 1.0, y[:19]),
        fingerprint(lambda y, x: y + 1.0, y, y),
        fingerprint(lambda y: rows @ y, y),
        fingerprint(lambda y: changed @ y, y),
        fingerprint(lambda y: y @ rows, y),
        fingerprint(lambda y: np.searchsorted(whole, y) + y, y),
        fingerprint(lambda y: np.searchsorted(alike, y) + y, y),  # the same bytes, other numbers
        fingerprint(lambda y: np.interp(y, [0.0, 1.0], [2.0, 3.0]), y),
        fingerprint(lambda y: np.interp(y, [0.0, 1.0], [2.0, 4.0]), y),
        fingerprint(lambda y: np.interp(y, [0.0, 2.0], [2.0, 3.0]), y),
    ]
    assert all(one != other for one, other in combinations(found, 2))
