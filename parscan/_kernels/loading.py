"""When kernels are loaded: loading Numba takes longer than a small problem takes without it."""

from __future__ import annotations


class Account:
    """
    What calls without kernels have cost more than with them, in seconds.

    Kernels are loaded once this is as much as loading them takes. Then no program spends more than twice the time on
    both that it would have spent had its calls been known beforehand (ski rental: Karlin, Manasse, Rudolph & Sleator,
    Algorithmica 3 (1988)).

    The costs are estimates and not measurements, so that a program always computes the same numbers.
    """

    LOADING = 0.25
    """Seconds that Numba and kernels that are on disk take to load."""

    def __init__(self) -> None:
        self.spent = 0.0

    def pays(self, gain: float) -> bool:
        """Whether kernels should be used for a call that costs `gain` seconds more without them."""
        if self.spent < self.LOADING:
            self.spent += gain
        return self.spent >= self.LOADING
