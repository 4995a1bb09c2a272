"""Kernels of devices that correct meshes: by the CPU against operations on arrays, and as PTX."""

import re
from dataclasses import replace

import numpy as np
import pytest
from apart import NONE, is_found
from assembled import assembled
from cuda_child import needs_toolkit
from device_kernels import around, calls, doubles

from parscan._kernels.dispatch import Condensed, affine_scan
from parscan._kernels.generic.correct_mesh import correct_mesh
from parscan._recorded.native.device import KNOWN, ptx
from parscan._recorded.native.device_correct import corrected, ends

KERNELS = {"ends": ends, "corrected": corrected}


class Mesh:
    """Condensed intervals and a trial, at random."""

    def __init__(self, N, s, B, n, dtype="float64", arrays=False):
        rng, self.dtype, self.shape = np.random.default_rng(N + n), np.dtype(dtype), (N, s, B, n)

        def random(*shape):
            return rng.normal(size=shape).astype(dtype)

        self.condensed = Condensed(
            random(N * B, s, n), random(N * B, s, n, n), (0.3 * random(N * B, n, n)), random(N * B, n)
        )
        self.b, self.h, self.y, self.K = rng.uniform(size=s), random(N), random(N + 1, B, n), random(N, s, B, n)
        self.rtol = np.full(n, 1e-3, dtype) if arrays else np.asarray(1e-3, dtype)
        self.atol = np.linspace(1e-6, 1e-3, n).astype(dtype) if arrays else np.asarray(1e-5, dtype)

    def expected(self):
        return correct_mesh(self.condensed, self.b, self.h, self.y, self.K, self.rtol, self.atol)

    def found(self, change=lambda kernel: kernel):
        """By the kernels, with memory around what they write that must not change."""
        N, s, B, n = self.shape
        order = np.random.default_rng(0).permutation(-(-N * B // 64) * 64)
        outs = [around(np.zeros(shape, self.dtype)) for shape in ((N, B, n), self.y.shape, self.K.shape, (N, B))]
        distances, *results = [view for _, view in outs]
        sizes, given = (N * B, B, s, n), (self.h, self.y, self.K)
        weights = self.b.astype(self.dtype)
        change(ends(self.dtype.name)).host()(order, *sizes, weights, *given, self.condensed.offsets, distances)
        corrections = affine_scan(self.condensed.propagators.reshape(N, B, n, n), distances.copy())
        apart = self.rtol.ndim, self.atol.ndim
        change(corrected(self.dtype.name)).host()(
            order, *sizes, *apart, self.rtol, self.atol, *given, np.ascontiguousarray(corrections), self.condensed.X0,
            self.condensed.X1, *results,
        )  # fmt: skip
        for memory, _ in outs:
            assert (memory[:30] == 77).all()
            assert (memory[-30:] == 77).all()
        return results

    def check(self, **options):
        expected, (y, K, sizes) = self.expected(), self.found(**options)
        limits = {
            "rtol": 1e-4 if self.dtype == np.float32 else 1e-11,
            "atol": 1e-5 if self.dtype == np.float32 else 1e-12,
        }
        np.testing.assert_allclose(y, expected.y, **limits)
        np.testing.assert_allclose(K, expected.K, **limits)
        np.testing.assert_allclose(sizes.max(axis=1), expected.sizes, rtol=limits["rtol"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (9, 3, 1, 2), (5, 5, 4, 3), (20, 2, 7, 1), (3, 1, 2, 17)])
def test_corrections_are_those_of_arrays(shape, dtype, arrays):
    Mesh(*shape, dtype, arrays).check()


@pytest.mark.parametrize("place", ["offsets", "X0", "propagators"])
def test_values_that_are_not_finite(place):
    """Sizes from there on are infinite, as those of arrays."""
    mesh = Mesh(6, 2, 3, 2)
    getattr(mesh.condensed, place)[7] = np.nan
    with np.errstate(all="ignore"):
        expected, (y, _, sizes) = mesh.expected(), mesh.found()
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(expected.y))
    np.testing.assert_array_equal(np.isinf(sizes.max(axis=1)), np.isinf(expected.sizes))
    assert not np.isnan(sizes).any()


def test_no_error_is_none_without_a_tolerance():
    mesh = Mesh(4, 2, 1, 2)
    for one in (*mesh.condensed, mesh.y, mesh.K):
        one[...] = 0.0
    mesh.atol = np.asarray(0.0)
    assert (mesh.found()[2] == 0.0).all()


FAULTS = {
    "an interval too many": ("icmp slt i64 %thread", "icmp sle i64 %thread"),
    "another member": (r"sub i64 %thread, (%\w+)", r"sub i64 %thread, %thread"),
    "the wrong stages": ("%X1, i64", "%X0, i64"),
    "a tolerance": ("%apart_atol", "%apart_rtol"),
    "the first interval": (r"icmp eq i64 (%\w+), 0", r"icmp eq i64 \1, 1"),
    "a sign": ("fsub double", "fadd double"),
}


def check_fault(fault):
    right, wrong = FAULTS.get(fault, ("$", ""))
    seen = []

    def change(kernel):
        lines = tuple(re.sub(right, wrong, line) for line in kernel.lines)
        seen.append(lines != kernel.lines or fault == NONE)
        return replace(kernel, lines=lines)

    mesh = Mesh(5, 3, 4, 3, arrays=True)
    mesh.rtol = np.asarray(1e-3)
    mesh.check(change=change)
    if not any(seen):
        raise ValueError(f"{right!r} is nowhere in the kernels")


@pytest.mark.parametrize("fault", [NONE, *FAULTS])
def test_faults_are_found(fault):
    assert is_found(__file__, "check_fault", fault) == (fault != NONE)


@pytest.mark.parametrize("capability", KNOWN)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", KERNELS)
def test_all_architectures_compile(name, dtype, capability):
    text = ptx(KERNELS[name](dtype), capability)
    assert not calls(text)
    assert bool(doubles(text)) == (dtype == "float64")


@needs_toolkit
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", KERNELS)
def test_no_register_is_spilled(name, dtype):
    found = assembled(ptx(KERNELS[name](dtype), (9, 0)), (9, 0))
    assert (found.spills["parscan_kernel"], found.stack) == (0, 0)
    assert found.registers <= 96
