"""The result, and what is told with it."""
