"""Solving on meshes: windows, one after the other, on meshes that are refined."""
