"""Fixtures and the hypothesis profile of all tests."""

import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile(
    "parscan",
    deadline=None,  # a first call compiles kernels
    max_examples=40,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=True,
)
hypothesis.settings.load_profile("parscan")


@pytest.fixture
def rng():
    return np.random.default_rng(20261120)
