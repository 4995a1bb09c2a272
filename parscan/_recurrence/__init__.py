"""Recurrences: their front doors, methods and results."""
