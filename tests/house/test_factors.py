"""The factors of tests: every pair of values occurs, in not many more rows than the two longest factors need."""

from itertools import combinations, product

import numpy as np
import pytest
from factors import all_pairs, parameters

SIZES = [(1,), (3,), (2, 2), (2, 5), (2, 2, 2, 2, 2), (3, 4, 4, 4, 5), (11, 8, 2), (1, 1, 3)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_all_pairs_occur(sizes):
    factors = [[f"{k}{value}" for value in range(size)] for k, size in enumerate(sizes)]
    rows = all_pairs(factors)
    assert len(set(rows)) == len(rows)
    assert {value for row in rows for value in row} == {value for factor in factors for value in factor}
    for i, j in combinations(range(len(factors)), 2):
        assert {(row[i], row[j]) for row in rows} == set(product(factors[i], factors[j]))
    least = np.prod(sorted(sizes)[-2:])
    assert len(rows) <= 2 * least


def test_the_product_and_ids():
    names, rows = parameters({"kind": {"a": 1, "b": 2}, "size": [3, None], "way": [len, max]}, whole=True)
    assert names == ("kind", "size", "way")
    assert [row.values for row in rows] == list(product([1, 2], [3, None], [len, max]))
    assert rows[0].id == "a-3-len"
