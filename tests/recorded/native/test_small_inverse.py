"""Inverses in registers, against NumPy."""

import numpy as np
import pytest

from parscan._recorded.native.driver import Fields, Machine, Module
from parscan._recorded.native.small_inverse import inverse, product


def inverted(matrices, vectors):
    """Inverses of matrices `(lanes, n, n)`, and their products with vectors `(lanes, n)`."""
    lanes, n, _ = matrices.shape
    fields, dtype = Fields(), matrices.dtype
    for name, size in {"matrix": n * n, "vector": n, "inverse": n * n, "product": n}.items():
        fields.add(name, dtype, size, lanes)
    module = Module(np.zeros(0), [], fields)
    code = module.code
    at = {name: fields.array(code, name, lanes) for name in ("matrix", "vector", "inverse", "product")}
    found = inverse(code, [[at["matrix"][n * r + c] for c in range(n)] for r in range(n)])
    for r, row in enumerate(found):
        for c, value in enumerate(row):
            at["inverse"][n * r + c] = value
    for r, value in enumerate(product(code, found, [at["vector"][k] for k in range(n)])):
        at["product"][r] = value
    machine = Machine(module.driver(), [])
    memory = machine.memory()
    views = machine.views(memory)
    views["matrix"][...] = matrices.reshape(lanes, -1).T
    views["vector"][...] = vectors.T
    machine.run(memory, 1)
    return views["inverse"].T.reshape(lanes, n, n), views["product"].T


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("lanes", [1, 4, 8])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_inverses(n, lanes, dtype):
    rng = np.random.default_rng(n)
    matrices = rng.normal(size=(lanes, n, n)) + np.eye(n)
    matrices[0] = np.eye(n)[::-1]  # has no factors unless rows change places
    vectors = rng.normal(size=(lanes, n)).astype(dtype)
    found, products = inverted(matrices.astype(dtype), vectors)
    limit = 50 * np.finfo(dtype).eps * np.linalg.cond(matrices)
    assert (np.abs(found @ matrices - np.eye(n)).max(axis=(1, 2)) < limit).all()
    np.testing.assert_allclose(products, np.einsum("lrc,lc->lr", found, vectors), rtol=1e-4, atol=limit.max())


def test_singular_matrices_give_no_numbers():
    matrices = np.stack([np.ones((2, 2)), 2 * np.eye(2)])
    found, _ = inverted(matrices, np.ones((2, 2)))
    assert not np.isfinite(found[0]).any()
    np.testing.assert_array_equal(found[1], np.eye(2) / 2)
