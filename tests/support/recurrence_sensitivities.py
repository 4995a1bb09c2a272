"""Tangents and adjoints of recurrences by loops over dense Jacobians."""

import numpy as np


def tangent_loop(J, f, start):
    """δ_t = J_t δ_{t-1} + f_t, one product per step."""
    state, rows = start, []
    for matrix, forcing in zip(J, f, strict=True):
        state = (matrix @ state[..., None])[..., 0] + forcing
        rows.append(state)
    return np.stack(rows)


def adjoint_loop(J, g):
    """λ_t = g_t + J_{t+1}ᴴ λ_{t+1}, and what is left at the start."""
    state, rows = np.zeros_like(g[0]), []
    for matrix, gradient in zip(J[::-1], g[::-1], strict=True):
        rows.append(gradient + state)
        state = (np.conj(np.swapaxes(matrix, -1, -2)) @ rows[-1][..., None])[..., 0]
    return np.stack(rows[::-1]), state


def apart(found, expected):
    assert np.shape(found) == np.shape(expected)
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    return np.abs(found - expected).max() / np.abs(expected).max()


def gru(y, x, W, U, b):
    """A step of a gated recurrent unit."""
    n = y.shape[-1]
    inputs, carried = x @ U + b, y @ W
    gates = 1 / (1 + np.exp(-inputs[..., : 2 * n] - carried[..., : 2 * n]))
    r, z = gates[..., :n], gates[..., n:]
    c = np.tanh(inputs[..., 2 * n :] + r * carried[..., 2 * n :])
    return c + z * (y - c)
