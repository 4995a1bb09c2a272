"""The few cases that stand for all of a parametrised test."""

from itertools import product

import pytest
from few import representatives

NAMES, SIZES = ["one", "two", "three"], [10, 20]


@pytest.mark.parametrize("number", [1, 2, 5, 6, 9])
def test_a_number_of_cases(number):
    found = representatives([{"name": name} for name in "abcdef"], number)
    assert len(found) == min(number, 6)
    assert found <= set(range(6))


def test_every_value_occurs():
    cases = [{"name": name, "size": size} for name, size in product(NAMES, SIZES)]
    found = [cases[k] for k in representatives(cases)]
    assert len(found) == 3
    assert {case["name"] for case in found} == set(NAMES)
    assert {case["size"] for case in found} == set(SIZES)


def test_no_case_is_left_out_whose_value_is_its_own():
    assert representatives([{"name": name} for name in "abc"]) == {0, 1, 2}
    assert representatives([{}]) == set()
    assert representatives([]) == set()
