"""Time against achieved error, from the record of benchmarks/ivp.py: problems that are not stiff."""

from _ivp_plots import diagram
from _ivp_tables import runs


def draw():
    """A panel per problem."""
    odes, found = runs()
    return diagram([ode for ode in odes if not ode.stiff], found)
