"""Derivatives of the states of a recurrence: tangents, adjoints, gradients, Lyapunov exponents."""
