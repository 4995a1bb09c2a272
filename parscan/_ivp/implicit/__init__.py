"""Differential-algebraic equations `F(t, y, y') = 0`, and equations with a mass matrix, `M y' = f(t, y)`."""
