"""Differential equations: their front door, methods and results."""
