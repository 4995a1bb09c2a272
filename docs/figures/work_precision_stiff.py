"""Time against achieved error, from the record of benchmarks/ivp.py: stiff problems."""

from _ivp_plots import diagram
from _ivp_tables import runs


def draw():
    """A panel per problem."""
    odes, found = runs()
    return diagram([ode for ode in odes if ode.stiff], found)
