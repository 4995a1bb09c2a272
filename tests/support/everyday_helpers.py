"""A module of helper functions, as users have them beside their scripts."""

import numpy as np

R_GAS = 8.314
STOICHIOMETRY = np.array([[-1.0, 0.0], [1.0, -1.0], [0.0, 1.0]])


def michaelis_menten(s, vmax, km):
    return vmax * s / (km + s)


def arrhenius(a, e, temperature):
    return a * np.exp(-e / (R_GAS * temperature))


def hill(x, k, n):
    return x**n / (k**n + x**n)


def reactions(y):
    rates = np.zeros(2)
    rates[0] = michaelis_menten(y[0], 1.0, 0.5)
    rates[1] = 0.3 * y[1]
    return rates


def saturate(u, low=-1.0, high=1.0):
    return min(max(u, low), high)
