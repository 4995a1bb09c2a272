"""The single pass on CUDA: the messages of the tiles, in every order in which they may be published.

The emulator runs one block after another, so that every tile finds the last state of the one before it. Here
messages are set beforehand, or blocks run at the same time. Devices are tested in
`tests/kernels/gpu/test_tiles.py`.
"""

import threading
import time

import numpy as np
import pytest
from cuda_emulator import slow_messages

from parscan._kernels.cuda import affine_scan as cuda
from parscan._kernels.cuda import choice as cuda_choice
from parscan._kernels.cuda import lookback_kernels as kernels
from parscan._kernels.cuda import lookback_words as lookback
from parscan._kernels.cuda import lookback_workspace as cuda_workspace
from parscan._kernels.cuda import primitives as cuda_primitives
from parscan._kernels.cuda import tiles as cuda_tiles
from parscan._kernels.generic import affine_scan as sequential

DTYPES = ("float32", "float64", "complex64", "complex128")
WORKSPACE = 17
"""Place of the shared words among the arguments of `scan`."""


@pytest.fixture(autouse=True)
def single_pass(emulator, tune, monkeypatch):
    tune(longest=0, single_pass=True)
    monkeypatch.setattr(cuda_workspace, "_KEPT", {})


def problem(rng, dtype, length):
    A, b, h0 = rng.uniform(-1.1, 1.1, length), rng.standard_normal(length), rng.standard_normal(1)
    if dtype.startswith("complex"):
        A, b, h0 = A * np.exp(1j * rng.uniform(0, 6, length)), b * (1 + 0.5j), h0 * (1 - 1j)
    return A.astype(dtype), b.astype(dtype), h0.astype(dtype)


def sparse_problem(rng, dtype, tiles, steps):
    """Most steps do nothing: what tiles hand on matters over the distance of the whole window."""
    A, b = np.ones((tiles, steps), dtype), np.zeros((tiles, steps), dtype)
    factors, offsets, h0 = problem(rng, dtype, 2 * tiles)
    A[:, [3, -2]] = (factors / np.abs(factors) * rng.uniform(0.9, 1.1, 2 * tiles)).reshape(tiles, 2)
    b[:, [0, -1]] = offsets.reshape(tiles, 2)
    return A.reshape(-1), b.reshape(-1), h0


def assert_same(found, expected):
    eps = float(np.finfo(expected.dtype).eps)
    np.testing.assert_allclose(found, expected, rtol=400 * eps, atol=400 * eps)


class Launch:
    """A launch in which some tiles have published messages, and the last tile starts."""

    def __init__(self, rng, dtype, tiles, epoch=3):
        self.dtype, self.epoch = dtype, epoch
        # The messages of 128 tiles are staged in the memory for the steps of a tile: there must be at least 256.
        self.tile = cuda_tiles.Tile(32, 5, 2, cuda_primitives.WIDE // np.dtype(dtype).itemsize)
        self.tiles, self.steps = tiles, self.tile.steps
        self.A, self.b, self.h0 = sparse_problem(rng, dtype, tiles, self.steps)
        self.expected = sequential.affine_scan(self.A, self.b, self.h0[0])
        self.words = np.zeros(lookback.workspace_size(dtype, tiles), "int64")
        self.words[lookback.TICKETS], self.words[lookback.EPOCH] = tiles - 1, epoch

    def _post(self, number, kind, values, epoch):
        """Write a message as the kernel of a tile does."""
        payload = np.array(values, self.dtype).view("int64")
        first = lookback.HEAD + 2 * lookback.words_per_tile(self.dtype) * number
        for word, bits in enumerate(payload):
            self.words[first + 2 * word] = 4 * epoch + kind
            self.words[first + 2 * word + 1] = bits

    def publish_map(self, number, epoch=None, wrong=False):
        steps = slice(number * self.steps, (number + 1) * self.steps)
        offset = np.nan if wrong else sequential.affine_scan(self.A[steps], self.b[steps])[-1]
        values = [np.prod(self.A[steps]), offset]
        self._post(number, lookback.MAP, values, self.epoch if epoch is None else epoch)

    def publish_state(self, number, epoch=None, wrong=False):
        state = np.nan if wrong else self.expected[(number + 1) * self.steps - 1]
        # In single precision, a number of 4 bytes does not fill a word.
        values = [state] * (2 if self.dtype == "float32" else 1)
        self._post(number, lookback.STATE, values, self.epoch if epoch is None else epoch)

    def last_tile(self, emulator):
        """States of the tile that starts now."""
        known = (self.A, 0, 1, 0, 0, 0, self.b, 0, 1, 0, 0, 1, self.b.size, self.steps, self.tiles, 1)
        out = np.zeros_like(self.b)
        kernel = kernels.scan_kernel(self.dtype, 1, tile=self.tile)
        emulator.launch(kernel, 1, self.tile.threads, *known, self.h0, self.words, out, 0, 1, 0, 0)
        assert not out[: -self.steps].any()
        return out[-self.steps :]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distance", [1, 2, 31, 32, 33, 97, 127, 128])
def test_the_nearest_state_and_the_maps_behind_it(rng, emulator, dtype, distance):
    """Of five warps, four read the messages of 128 tiles."""
    launch = Launch(rng, dtype, 130)
    for number in range(129):
        launch.publish_map(number)
    launch.publish_state(129 - distance)
    if distance < 128:
        launch.publish_state(128 - distance, wrong=True)  # a state further away is not used
    assert_same(launch.last_tile(emulator), launch.expected[-launch.steps :])


@pytest.mark.parametrize("dtype", DTYPES)
def test_before_the_first_tile_there_is_nothing(rng, emulator, dtype):
    launch = Launch(rng, dtype, 4)
    launch.publish_state(0)
    launch.publish_map(1)
    launch.publish_map(2)
    assert_same(launch.last_tile(emulator), launch.expected[-launch.steps :])


def compile_for(rng, emulator, dtype):
    """Compile the kernel: a later launch starts at once, before what it has to wait for."""
    launch = Launch(rng, dtype, 2)
    launch.publish_state(0)
    assert_same(launch.last_tile(emulator), launch.expected[-launch.steps :])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tile_waits_for_missing_messages(rng, emulator, dtype):
    """A tile has published nothing, or in another launch only, or a map only; at last it publishes."""
    compile_for(rng, emulator, dtype)
    emulator.in_place = True
    launch = Launch(rng, dtype, 6)
    launch.publish_state(1)
    launch.publish_map(2)
    launch.publish_state(3, epoch=2, wrong=True)
    launch.publish_map(4)
    waited = []

    def publish():
        time.sleep(0.05)
        waited.append(not result)
        launch.publish_map(3)

    result = []
    publisher = threading.Thread(target=publish)
    publisher.start()
    result.append(launch.last_tile(emulator))
    publisher.join()
    assert waited == [True]
    assert_same(result[0], launch.expected[-launch.steps :])


def test_half_of_a_state(rng, emulator):
    """A state takes two words; while the second one is still that of the map, there is neither state nor map."""
    compile_for(rng, emulator, "complex128")
    launch = Launch(rng, "complex128", 3)
    launch.publish_state(0)
    launch.publish_map(1)
    whole = launch.words.copy()
    launch.publish_state(1)
    first = lookback.HEAD + 2 * lookback.words_per_tile("complex128")
    complete = launch.words[first + 2 : first + 4].copy()
    launch.words[first + 2 : first + 4] = whole[first + 2 : first + 4]
    emulator.in_place = True
    timer = threading.Timer(0.05, lambda: launch.words.__setitem__(slice(first + 2, first + 4), complete))
    timer.start()
    assert_same(launch.last_tile(emulator), launch.expected[-launch.steps :])
    timer.join()


@pytest.fixture
def at_once(emulator):
    """Blocks run at the same time."""
    emulator.at_once = 4
    return emulator


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("late", [lookback.MAP, lookback.STATE])
def test_blocks_at_the_same_time(rng, at_once, dtype, late):
    """A tile publishes its map, or its state, only after another tile has missed it."""
    A, b, h0 = problem(rng, dtype, 6 * cuda_tiles.tile_of(dtype).steps - 3)
    expected = sequential.affine_scan(A, b, h0[0])
    with slow_messages(late) as seen:
        assert_same(cuda.affine_scan(A, b, h0[0]), expected)
    assert seen[late - 1] > 0
    assert seen[lookback.STATE] > 0
    assert_same(cuda.affine_scan(A, b, h0[0]), expected)


def test_the_same_numbers_in_every_run(rng, at_once):
    """Whatever the tiles have published when they are read."""
    A, b, _ = problem(rng, "float32", 20_000)
    first = cuda.affine_scan(A, b)
    for _ in range(3):
        assert np.array_equal(cuda.affine_scan(A, b), first)


def test_a_launch_leaves_everything_ready_for_the_next(rng):
    """Shorter and longer ones, and one that has to be repaired, share their memory."""
    for length in (9000, 4500, 20_000, 0, 14_000, 20_000):
        A, b, _ = problem(rng, "float32", length)
        A[length // 2 : length // 2 + 1] = np.nan if length == 14_000 else 0.5
        with np.errstate(all="ignore"):
            expected = sequential.affine_scan(A, b)
        found = cuda.affine_scan(A, b)
        assert np.array_equal(np.isfinite(found), np.isfinite(expected))
        assert_same(found[np.isfinite(expected)], expected[np.isfinite(expected)])
        for words in cuda_workspace._KEPT.values():
            assert words[lookback.TICKETS] == words[lookback.BROKEN] == 0
    assert len(cuda_workspace._KEPT) == 1
    assert words[lookback.EPOCH] == 3  # since the memory grew


def test_products_that_overflow_are_not_applied_to_zeros(emulator, monkeypatch):
    """Else every tile would have to be repaired, one after another."""
    broken, launch = [], emulator.launch

    def watched(kernel, blocks, threads, *arguments):
        launch(kernel, blocks, threads, *arguments)
        if kernel.body.__name__ == "scan":
            broken.append(arguments[WORKSPACE][lookback.BROKEN])

    monkeypatch.setattr(emulator, "launch", watched)
    for factor, expected in ((1e30, False), (np.nan, True)):
        for dtype in DTYPES:
            A, b = np.full(9000, factor, dtype), np.zeros(9000, dtype)
            h = cuda.affine_scan(A, b, b[0])
            assert np.isnan(h).all() if expected else not h.any()
        assert [tiles > 0 for tiles in broken] == [expected] * len(DTYPES)
        broken.clear()


def test_streams_have_memory_of_their_own():
    like = np.zeros(1)
    with cuda_workspace.workspace(like, 0, 10) as first:
        assert first.shape == (10,)
    with cuda_workspace.workspace(like, 1, 10) as second:
        assert second is not first
    with cuda_workspace.workspace(like, 0, 8) as again:
        assert again is first
    with cuda_workspace.workspace(like, 0, 11) as larger:
        assert larger.shape == (11,)
        assert not larger.any()


def test_it_is_off_until_it_has_run_on_devices(monkeypatch):
    monkeypatch.undo()
    assert not cuda_choice.TUNING.single_pass
    assert cuda_choice.choose("float32", 1, 1, 10**6).name == "tiles"
    assert cuda_choice.choose("float32", 1, 1, 10).name == "threads"
    assert cuda_choice.choose("float32", 1, 100, 10**6).name == "threads"
    assert cuda_choice.choose("float32", 2, 1, 10**6).name == "threads"
    assert cuda_choice.choose("complex128", 5, 1, 10**6).name == "columns"
