"""Fixtures and the hypothesis profile of all tests."""

from importlib import import_module

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


class Clock:
    """Time that passes only while a step is evaluated: what auto measures and chooses does not depend on the machine.

    `call` seconds per call and `state` seconds per stacked state.
    """

    def __init__(self, call=1e-5, state=2e-8):
        self.call, self.state = call, state
        self.now, self.states = 0.0, 0

    def timed(self, step):
        def timed_step(y, *arguments):
            self.now += self.call + self.state * len(y)
            self.states += len(y)
            return step(y, *arguments)

        return timed_step


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", lambda: clock.now)
    return clock


@pytest.fixture(scope="session", autouse=True)
def loaded_scans():
    """What auto chooses depends on whether the compiled scans are loaded: let every test find the same."""
    import_module("parscan.scan.cpu")


@pytest.fixture
def rng():
    return np.random.default_rng(20261120)
