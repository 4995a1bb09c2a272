"""Structures of Jacobians, and the linear algebra of many small matrices."""
