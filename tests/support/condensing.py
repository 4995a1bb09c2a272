"""Collocation intervals to condense, and the oracle: systems assembled and solved one by one in double precision."""

import numpy as np

NAMES = ("X0", "X1", "propagators", "offsets")


def problem(rng, N, s, n, dtype="float64", size=1.0):
    """Jacobians of norm about `size` with random steps, and residuals; unstable modes are not made stiff."""
    scale = size if size <= 1 else -size
    noise = rng.normal(size=(N, s, n, n)) + 1j * rng.normal(size=(N, s, n, n))
    J = scale * (np.eye(n) + 0.3 * noise / n if size > 1 else noise / n)
    r = rng.normal(size=(N, s, n)) + 1j * rng.normal(size=(N, s, n))
    h = rng.uniform(0.5, 1.0, N)
    real = np.dtype(dtype).kind == "f"
    J, r = (x.real if real else x for x in (J, r))
    return J.astype(dtype), h.astype(np.zeros(0, dtype).real.dtype), r.astype(dtype)


def oracle(J, A, b, h, r):
    """X0, X1, propagators and offsets by one Kronecker-structured system per interval."""
    N, s, n = r.shape
    wide = np.result_type(J.dtype, np.float64)
    J, h, r = J.astype(wide), h.astype(np.float64), r.astype(wide)
    X = np.empty((N, s, n, n + 1), wide)
    for k in range(N):
        matrix = np.eye(s * n, dtype=wide)
        for i in range(s):
            matrix[i * n : (i + 1) * n] -= h[k] * np.kron(A[i], J[k, i])
        sides = np.concatenate([r[k][..., None], J[k]], axis=-1).reshape(s * n, n + 1)
        X[k] = np.linalg.solve(matrix, sides).reshape(s, n, n + 1)
    sums = h[:, None, None] * np.einsum("i,kiac->kac", b, X)
    return X[..., 0], X[..., 1:], np.eye(n) + sums[..., 1:], sums[..., 0]


def assert_agree(result, expected, tolerance):
    """All four results, each interval against its own largest number; propagators, that rise from `I`, at least 1."""
    for name, wanted in zip(NAMES, expected, strict=True):
        got = np.asarray(getattr(result, name))
        assert got.shape == wanted.shape, name
        axes = tuple(range(1, wanted.ndim))
        error = np.max(np.abs(got - wanted), axis=axes, initial=0)
        least = 1 if name == "propagators" else 0
        assert np.all(error <= tolerance * np.max(np.abs(wanted), axis=axes, initial=least)), (name, error)


def precision(dtype):
    return float(np.finfo(dtype).eps)
