"""The result and its message."""
