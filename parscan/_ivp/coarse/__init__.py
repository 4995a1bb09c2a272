"""Coarse solutions, from which Newton's method starts: by sequential solvers, or from an earlier solution."""
