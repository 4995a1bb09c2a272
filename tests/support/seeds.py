"""Seeds of random tests: some for the fast tests, more for the slow ones."""

import pytest


def seeds(fast, count):
    """The numbers below `count`, those from `fast` on marked as slow."""
    return [*range(fast), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(fast, count))]
