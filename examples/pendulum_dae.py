"""A pendulum in Cartesian coordinates, with the force in its rod: of index 1, 2 and 3, by a mass matrix.

The constraint is the length of the rod, or its first or second derivative by time. All are compared with the equation
for the angle, which has no constraint. Hairer and Wanner, "Solving Ordinary Differential Equations II", chapter VII.
"""

import argparse

import numpy as np

import parscan

GRAVITY = 9.81
MASS = [1, 1, 1, 1, 0]
ANGLE, SPEED = 1.0, 0.5


def pendulum(t, state, index):
    x, y, u, v, force = state
    constraint = {
        3: x**2 + y**2 - 1,
        2: x * u + y * v,
        1: u**2 + v**2 - force * (x**2 + y**2) - GRAVITY * y,
    }
    return [u, v, -force * x, -force * y - GRAVITY, constraint[index]]


def by_angle(t, state):
    angle, speed = state
    return [speed, -GRAVITY * np.sin(angle)]


def as_state(angle, speed):
    """Coordinates, velocities, and the force, for an angle from the lowest point."""
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([sine, -cosine, cosine * speed, sine * speed, speed**2 + GRAVITY * cosine])


def main(tolerance=1e-6, end=2.0):
    """Print a table; returns the errors of positions, in tolerances, for each index."""
    exact = parscan.solve_ivp(by_angle, (0, end), [ANGLE, SPEED], rtol=1e-11, atol=1e-12, t_eval=[end])
    expected = as_state(*exact.y[:, -1])
    start = as_state(ANGLE, SPEED)
    start[4] = 0.0  # the force is found
    print(f"{'index':>5} {'steps':>6}  {'position':>9} {'velocity':>9} {'force':>9}  errors at the end, in tolerances")
    found = []
    for index in (1, 2, 3):
        sol = parscan.solve_ivp(
            pendulum, (0, end), start, mass=MASS, args=(index,), rtol=tolerance, atol=tolerance
        )  # fmt: skip
        off = np.abs(sol.y[:, -1] - expected) / (tolerance * (1 + np.abs(expected)))
        print(f"{index:5} {sol.mesh.shape[0] - 1:6}  {off[:2].max():9.2g} {off[2:4].max():9.2g} {off[4]:9.2g}")
        found.append(float(off[:2].max()))
    print(*sol.decisions, sep="\n")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tolerance", type=float, default=1e-6)
    main(parser.parse_args().tolerance)
