"""Coarse solutions that Newton's method starts from: by sequential solvers, or from an earlier solution."""
