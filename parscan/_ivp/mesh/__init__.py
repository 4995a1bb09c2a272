"""Solving on meshes: one window after the other, each on meshes that are refined until errors are small enough."""
