"""The problem, its functions near the start, and how solves end."""
