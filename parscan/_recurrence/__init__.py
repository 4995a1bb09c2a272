"""Recurrences: `solve_recurrence` and `linear_recurrence`, their methods and results."""
