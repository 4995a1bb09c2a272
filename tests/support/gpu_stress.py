"""Thousands of single-pass scans on a device, in a process of their own, which can be stopped if tiles wait for ever.

    python tests/support/gpu_stress.py launches COUNT | streams COUNT [--dry-run]

It ends well if every scan gave the same numbers as the first, and those were right. A dry run takes short sequences on
the stand-in for CuPy.
"""

import sys
import threading
from dataclasses import replace
from importlib import import_module

import numpy as np

from parscan._kernels.cpu import affine_scan as cpu
from parscan._kernels.cuda import affine_scan as cuda
from parscan._kernels.cuda import choice as cuda_choice

DTYPES = ("float32", "float64", "complex64", "complex128")
LENGTHS = (65, 4_096, 4_097, 100_000, 1_000_003, 3_000_000)
"""Around a tile; a few tiles; about as many as run at once; several times as many."""

SHORT_LENGTHS = (65, 1_025, 4_097, 9_000)
SIDES, SHORT_SIDES = (64, 512, 2048), (64,)
"""Of matrices whose products take away multiprocessors."""


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


def launches(cupy, count, lengths=LENGTHS, sides=SIDES):
    """One after another, while another stream takes away some of the multiprocessors, now more, now fewer."""
    rng = np.random.default_rng(0)
    cases = [Case(cupy, seed, dtype, T) for seed, T in enumerate(lengths) for dtype in DTYPES]
    other, rivals = cupy.cuda.Stream(non_blocking=True), [cupy.ones((n, n), "float32") for n in sides]
    for launch in range(count):
        if rng.random() < 0.5:
            with other:
                rival = rivals[rng.integers(len(rivals))]
                rival @ rival
        cases[rng.integers(len(cases))].run()
        if launch % 100 == 99:
            cupy.cuda.Device().synchronize()
    assert [int(case.different) for case in cases] == [0] * len(cases)


def streams(cupy, count, lengths=LENGTHS):
    """Two at the same time, from two threads: neither may take what the other says for its own."""
    failures = []

    def work(seed):
        try:
            with cupy.cuda.Stream(non_blocking=True) as stream:
                cases = [Case(cupy, 10 * seed + k, dtype, lengths[-1 - k]) for k, dtype in enumerate(DTYPES)]
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


def main(what, count, *options):
    cuda_choice.TUNING = replace(cuda_choice.TUNING, single_pass=True)
    run = {"launches": launches, "streams": streams}[what]
    if not options:
        run(import_module("cupy"), int(count))
        return
    from cuda_emulator import Emulator
    from cupy_stand_in import installed

    short = {"lengths": SHORT_LENGTHS} | ({"sides": SHORT_SIDES} if what == "launches" else {})
    with installed(Emulator(at_once=4)) as cupy:
        run(cupy, int(count), **short)


if __name__ == "__main__":
    main(*sys.argv[1:])
