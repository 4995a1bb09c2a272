"""Initial value problems: `solve_ivp`, its methods and results."""
