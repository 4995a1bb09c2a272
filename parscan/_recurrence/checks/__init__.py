"""Checks of the step and its Jacobian, on samples and on the solution."""
