"""Solvers that step: SciPy's, and wide batches with one step for all."""
