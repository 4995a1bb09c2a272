"""Decides when kernels are loaded: loading Numba takes longer than solving a small problem without it."""

from __future__ import annotations


class Account:
    """
    The time that kernels would have saved so far, in seconds.

    Kernels are loaded once this equals the time for loading them. The total time lost is then at most twice the optimum
    for a program whose calls are known in advance (the ski-rental rule: Karlin, Manasse, Rudolph & Sleator,
    Algorithmica 3 (1988)).

    The costs are estimates and not measurements, so that a program always computes the same numbers.
    """

    LOADING = 0.25
    """Seconds that Numba and kernels that are on disk take to load."""

    def __init__(self) -> None:
        self.spent = 0.0

    def pays(self, gain: float) -> bool:
        """Whether kernels should be used for a call in which they save `gain` seconds."""
        if self.spent < self.LOADING:
            self.spent += gain
        return self.spent >= self.LOADING
