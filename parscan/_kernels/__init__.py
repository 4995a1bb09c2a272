"""Scans, condensations and sweeps: one implementation per array library."""
