"""Structures of Jacobians, and what is done with matrices."""
