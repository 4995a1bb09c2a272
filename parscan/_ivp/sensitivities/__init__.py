"""Derivatives of a solution: tangents, adjoints and gradients of the discrete equations."""
