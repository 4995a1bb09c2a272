"""Solves by sequential solvers: SciPy's, and DOP853 for wide batches."""
