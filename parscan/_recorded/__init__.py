"""Recorded functions: a user's unchanged function as a graph of operations, with its exact derivatives."""
