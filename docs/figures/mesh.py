"""A mesh, drawn: intervals of Van der Pol's oscillator, a hundred times shorter where it jumps."""

import parscan


def van_der_pol(t, y):
    """Stiffness 20."""
    return [y[1], 20 * (1 - y[0] ** 2) * y[1] - y[0]]


def draw():
    """What `plot()` draws."""
    sol = parscan.solve_ivp(van_der_pol, (0, 120), [2.0, 0.0], rtol=1e-8, atol=1e-8)
    figure = sol.plot()
    figure.set_size_inches(7.5, 4.5)
    return figure
