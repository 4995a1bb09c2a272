"""Thousands of single-pass scans on a device, in a process of their own, which can be stopped if tiles wait for ever.

    python tests/support/gpu_stress.py launches COUNT | streams COUNT

It ends well if every scan gave the same numbers as the first, and those were right.
"""

import sys
import threading
from dataclasses import replace

import numpy as np

from parscan._kernels.cpu import affine_scan as cpu
from parscan._kernels.cuda import affine_scan as cuda
from parscan._kernels.cuda import choice as cuda_choice

DTYPES = ("float32", "float64", "complex64", "complex128")
LENGTHS = (65, 4_096, 4_097, 100_000, 1_000_003, 3_000_000)
"""Around a tile; a few tiles; about as many as run at once; several times as many."""


def problem(seed, dtype, length):
    """Coefficients and offsets, in NumPy, of a recurrence that forgets slowly."""
    rng = np.random.default_rng(seed)
    A, b = rng.uniform(0.9, 1.0, length), rng.standard_normal(length)
    if dtype.startswith("complex"):
        A, b = A * np.exp(1j * rng.uniform(0, 6, length)), b * (1 + 0.5j)
    return A.astype(dtype), b.astype(dtype)


class Case:
    """A problem on the device, and how many of its solutions were not those of the first time."""

    def __init__(self, cupy, seed, dtype, length):
        A, b = problem(seed, dtype, length)
        wide = np.complex128 if dtype.startswith("complex") else np.float64
        self.A, self.b = cupy.asarray(A), cupy.asarray(b)
        self.first = cuda.affine_scan(self.A, self.b)
        expected = cpu.affine_scan(A.astype(wide), b.astype(wide))
        tolerance = 1e3 * np.finfo(dtype).eps * np.abs(expected).max()
        np.testing.assert_allclose(cupy.asnumpy(self.first), expected, rtol=0, atol=tolerance)
        self.different = cupy.zeros((), "int64")

    def run(self):
        self.different += (cuda.affine_scan(self.A, self.b) != self.first).sum()


def launches(cupy, count):
    """One after another, while another stream takes away some of the multiprocessors, now more, now fewer."""
    rng = np.random.default_rng(0)
    cases = [Case(cupy, seed, dtype, T) for seed, T in enumerate(LENGTHS) for dtype in DTYPES]
    other, rivals = cupy.cuda.Stream(non_blocking=True), [cupy.ones((n, n), "float32") for n in (64, 512, 2048)]
    for launch in range(count):
        if rng.random() < 0.5:
            with other:
                rival = rivals[rng.integers(len(rivals))]
                rival @ rival
        cases[rng.integers(len(cases))].run()
        if launch % 100 == 99:
            cupy.cuda.Device().synchronize()
    assert [int(case.different) for case in cases] == [0] * len(cases)


def streams(cupy, count):
    """Two at the same time, from two threads: neither may take what the other says for its own."""
    failures = []

    def work(seed):
        try:
            with cupy.cuda.Stream(non_blocking=True) as stream:
                cases = [Case(cupy, 10 * seed + k, dtype, LENGTHS[-1 - k]) for k, dtype in enumerate(DTYPES)]
                for launch in range(count):
                    cases[launch % len(cases)].run()
                stream.synchronize()
                assert [int(case.different) for case in cases] == [0] * len(cases)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


if __name__ == "__main__":
    import cupy

    cuda_choice.TUNING = replace(cuda_choice.TUNING, single_pass=True)
    {"launches": launches, "streams": streams}[sys.argv[1]](cupy, int(sys.argv[2]))
