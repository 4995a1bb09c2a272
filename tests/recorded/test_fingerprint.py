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


def test_the_skeleton_is_without_the_values_of_constants():
    rows, y = np.random.default_rng(0).random((3, 20, 20)), np.zeros(20)
    functions = [lambda y: rows[0] @ y, lambda y: rows[1] @ y, lambda y: y @ rows[2], lambda y: rows[0] * y[0] @ y]
    programs = [record(function, [y]).program for function in functions]
    assert programs[0].fingerprint != programs[1].fingerprint
    assert programs[0].skeleton == programs[1].skeleton
    assert len({program.skeleton for program in programs}) == 3
    tables = [record(lambda y, k=k: np.interp(y, np.arange(3.0), np.arange(3.0) + k), [y]).program for k in (0, 1)]
    assert tables[0].skeleton != tables[1].skeleton
