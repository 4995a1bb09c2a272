"""Random functions of two arrays, for tests of recorded functions."""

import numpy as np
from hypothesis import strategies as st


def written(v):
    found = np.zeros_like(v)
    found[1:] = v[:-1] * 2
    found[0] += v[-1]
    return found


SMOOTH = {
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "arctan": np.arctan,
    "arcsinh": np.arcsinh,
    "exp": lambda v: np.exp(np.sin(v)),
    "sqrt": lambda v: np.sqrt(1.5 + np.sin(v)),
    "negative": np.negative,
    "log": lambda v: np.log(2.5 + np.cos(v)),
    "expm1": lambda v: np.expm1(np.sin(v)),
    "square": lambda v: v**2 / 4,
    "cube": lambda v: np.sin(v) ** 3,
    "reciprocal": lambda v: 1 / (1.5 + np.sin(v)),
    "sinh": lambda v: np.sinh(np.sin(v)),
    "power": lambda v: (1.5 + np.sin(v)) ** 1.7,
    "arcsin": lambda v: np.arcsin(np.sin(v) / 2),
    "log1p": lambda v: np.log1p(np.sin(v) / 2),
    "cosh": lambda v: np.cosh(np.sin(v)),
    "tan": lambda v: np.tan(np.sin(v)),
}
PAIRS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": lambda v, w: np.sin(v) * w,
    "outer": lambda v, w: np.outer(v, w)[0],
    "divide": lambda v, w: v / (1.5 + np.cos(w)),
    "power": lambda v, w: (1.5 + np.sin(v)) ** np.sin(w),
}
STRUCTURE = {
    "roll": lambda v: np.roll(v, 2),
    "reverse": lambda v: v[::-1],
    "cumsum": lambda v: np.cumsum(v) / v.size,
    "diff": lambda v: np.diff(v, append=0.5),
    "sum": lambda v: v + np.sum(v) / v.size,
    "mean": lambda v: v - np.mean(v),
    "split": lambda v: np.concatenate([v[v.size // 2 :], v[: v.size // 2]]),
    "prod": lambda v: v * np.prod(np.cos(v[:3])),
    "matrix": lambda v: MATRIX[: v.size, : v.size] @ v,
    "rows": lambda v: np.sum(np.stack([v, 2 * v, v[::-1]]), axis=0),
    "gram": lambda v: np.outer(np.sin(v), np.cos(v)) @ v / v.size,
    "scale": lambda v: np.linspace(-1, 1, v.size) * v,
    "write": written,
    "reshape": lambda v: np.stack([v, v * 2]).T.reshape(-1)[: v.size],
}
KINKED = {
    "maximum": np.maximum,
    "minimum": np.minimum,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "hypot": np.hypot,
    "where": lambda v, w: np.where(v > w, np.sin(v), w * w),
    "absolute": lambda v, w: np.abs(v) + w,
    "root": lambda v, w: np.where(v > 0, np.sqrt(np.where(v > 0, v, 1.0)), w),
    "clip": lambda v, w: np.clip(v, -0.3, 0.4) * w,
    "sign": lambda v, w: np.sign(v) * w,
    "copysign": np.copysign,
    "logaddexp": np.logaddexp,
    "arctan2": np.arctan2,
    "sorted": lambda v, w: np.where(v < w, v, w),
    "unchosen": lambda v, w: np.where(v > 0, np.log(v), w),
}
MATRIX = np.random.default_rng(5).standard_normal((40, 40)) / 5


def functions(*tables):
    """Strategy of functions of two arrays of one shape: operations in turn, each on what earlier ones gave."""
    names = st.sampled_from([(table, name) for table in tables for name in table_of(table)])
    line = st.tuples(names, st.integers(0, 99), st.integers(0, 99))
    return st.lists(line, min_size=1, max_size=8).map(Function)


def table_of(name):
    return {"smooth": SMOOTH, "pairs": PAIRS, "structure": STRUCTURE, "kinked": KINKED}[name]


class Function:
    """The operations of some lines; it is printed as them."""

    def __init__(self, lines):
        self.lines = lines
        self.__name__ = "random"

    def __repr__(self):
        return f"Function({self.lines})"

    def __call__(self, y, x):
        found = [y, x]
        for (table, name), first, second in self.lines:
            operation = table_of(table)[name]
            v, w = found[-1 - first % 3 % len(found)], found[second % len(found)]
            found.append(operation(v, w) if table in ("pairs", "kinked") else operation(v))
        return found[-1] + found[-2 % len(found)]


SIZES = st.sampled_from([1, 2, 3, 5, 16, 17, 40])
SMOOTHLY = functions("smooth", "pairs", "structure")
ANY = functions("smooth", "pairs", "structure", "kinked")


def arguments(size, seed):
    return np.random.default_rng(seed).uniform(-1.5, 1.5, (2, size))
