"""Newton's method on trajectories of recurrences: windows, convergence, tolerances."""
