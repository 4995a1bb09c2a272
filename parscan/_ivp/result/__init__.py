"""The result of solve_ivp and its message."""
