"""What tests of the table of operations share: special numbers, and distances in units of the last place."""

import numpy as np

from parscan._recorded.operations import OPERATIONS

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.0, 2.5, -2.5, 3.7, -3.7, 0.3, -0.3, 7.0, 40.0, -40.0,
           1e5, -1e5, 0.9999, -0.9999, 1e-9, -1e-9, 1e300, -1e300,
           5e-324, -5e-324, 1e-310, np.inf, -np.inf, np.nan]  # fmt: skip
ROUNDED = {"logaddexp", "expit", "hypot"} | {name for name, row in OPERATIONS.items() if row.llvm.startswith("libm")}
EXACT = OPERATIONS.keys() - ROUNDED
BOOLEANS = {"logical_and", "logical_or", "logical_xor", "logical_not"}


def pairs(dtype):
    """All pairs of special values, and of some in between."""
    with np.errstate(over="ignore"):
        values = np.asarray(SPECIAL, dtype=dtype)
    values = np.concatenate([values, np.random.default_rng(0).normal(size=10).astype(dtype) * 3])
    one, other = np.meshgrid(values, values)
    return one.ravel(), other.ravel()


def ulps(found, expected):
    """Distance in units of the last place; infinities and NaN must be equal."""
    found, expected = np.asarray(found), np.asarray(expected)
    if expected.dtype.kind != "f":
        return np.where(found == expected, 0.0, np.inf)
    with np.errstate(all="ignore"):
        size = np.spacing(np.maximum(np.abs(expected), np.finfo(expected.dtype).tiny))
        apart = np.abs(found.astype(float) - expected.astype(float)) / size.astype(float)
    alike = (found == expected) | (np.isnan(found) & np.isnan(expected))
    far = np.finfo(expected.dtype).max
    apart = np.where(np.isfinite(expected) & np.isfinite(found), apart, np.inf)
    overflow = (np.abs(found) >= far) & (np.abs(expected) >= far) & (np.sign(found) == np.sign(expected))
    return np.where(alike | overflow, 0.0, apart)
