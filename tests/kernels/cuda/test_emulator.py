"""What the emulator of CUDA kernels finds: faults put in by hand, each in one line of a kernel of parscan's."""

import inspect
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import product
from types import ModuleType

import numpy as np
import pytest
from condensing import oracle
from condensing import problem as intervals
from cuda_emulator import ORDERS, UNUSED, EmulatedError, Places, guarded, slow_messages

from parscan._ivp.core.tableaux import radau
from parscan._kernels.cuda import affine_scan, choice, condense, condense_kernels, lookback_workspace, mend_kernels
from parscan._kernels.cuda.lookback_words import MAP
from parscan._kernels.cuda.tiles import tile_of
from parscan._kernels.generic import affine_scan as sequential


@dataclass(frozen=True)
class Fault:
    """One occurrence of a text in a file is replaced; a kernel then has the fault, for matrices of an order."""

    way: str
    kernel: str
    n: int
    file: str
    place: int
    text: str
    replacement: str = ""


def columns(*replaced):
    return Fault("columns", "summarise", 7, "column_kernels", *replaced)


def marching(*replaced):
    return Fault("columns", "march", 7, "march_kernels", *replaced)


def marching_wide(*replaced):
    return Fault("columns", "wide march", 14, "march_kernels", *replaced)


def threads(kernel, *replaced):
    return Fault("threads", kernel, 2 if kernel.startswith("wide") else 3, "thread_kernels", *replaced)


def tiles(*replaced):
    return Fault("tiles", "march", 1, "tiles", *replaced)


def mending(kernel, *replaced):
    return Fault("mending", kernel, 2, "mend_kernels", *replaced)


def condensing(*replaced):
    return Fault("condensing", "condense", 3, "condense_kernels", *replaced)


def scanning(file, *replaced):
    return Fault("look-back", "scan", 1, file, *replaced)


def repairing(file, *replaced):
    return Fault("look-back", "repair", 1, file, *replaced)


BARRIER = "            cuda.syncthreads()\n"

FAULTS = {
    "columns: no barrier before a matrix is multiplied": columns(1, BARRIER),
    "columns: no barrier before a matrix is replaced": columns(2, BARRIER),
    "columns: a column too many": columns(1, "            if j < n:\n", "            if j <= n:\n"),
    "columns: a row too many": columns(1, "block * ROWS + r < n", "block * ROWS + r <= n"),
    "columns: no mask of idle groups": columns(1, "        if idle < chunk:\n", "        if True:\n"),
    "march: no barrier before the first state is read": marching(1, "= state\n        cuda.syncthreads()", "= state"),
    "march: no barrier before sums are read": marching(1, BARRIER),
    "march: no barrier before a state is read": marching(2, BARRIER),
    "march: no barrier before the last sums are read": marching(
        1, "own, partial, mine, i)\n        cuda.syncthreads()\n", "own, partial, mine, i)\n"
    ),
    "march: a row too many": marching(1, "row + uint32(k * classes) < uint32(n)", "True"),
    "march: a column too many": marching(1, "column + uint32(c * LANES) < uint32(n)", "True"),
    "march: no mask of idle steps": marching(1, "if is_row and t >= idle_steps:", "if is_row:"),
    "march: no mask of the last lane": marching(1, "if is_row and t >= idle_steps:", "if t >= idle_steps:"),
    "wide march: a row too many": marching_wide(1, "row + uint32(k * classes) < uint32(n)", "True"),
    "wide march: a column too many": marching_wide(1, "column + uint32(c * LANES) < uint32(n)", "True"),
    "wide march: no barrier before sums are read": marching_wide(1, BARRIER),
    "wide march: columns of another lane": marching_wide(2, " * uint32(vector)"),
    "wide march: all rows are taken to exist": marching_wide(
        1, "self.rows * self.classes == self.n, LANES", "True, LANES"
    ),
    "march: no mask of idle groups": marching(1, "if is_row and idle < chunk:", "if is_row:"),
    "march: no place for idle groups": Fault(
        "columns", "march", 7, "groups", 1, "index if exists else uint32(0)", "index"
    ),
    "threads: no mask of the last threads": threads("summarise", 1, "            return\n", "            pass\n"),
    "wide threads: no mask of the last steps": threads(
        "wide march", 1, "if t < last:\n                read_vector", "if True:\n                read_vector"
    ),
    "wide threads: a step too many": threads("wide march", 1, "if begin + u < last:", "if begin + u <= last:"),
    "wide threads: other steps": threads(
        "wide summarise", 1, "read_vector(b, b0 + t * bt,", "read_vector(b, b0 + u * bt,"
    ),
    "tiles: no barrier before steps are replaced": tiles(1, BARRIER),
    "tiles: no barrier before steps are read": tiles(2, BARRIER),
    "tiles: no barrier before states are read": tiles(3, BARRIER),
    "tiles: no barrier before maps are read": tiles(
        1, "        cuda.syncthreads()\n\n    return compose", "\n    return compose"
    ),
    "tiles: no mask of the last steps": tiles(
        1, "if begin <= first + i < end else filler", "if begin <= first + i else filler"
    ),
    "look-back: no barrier before a tile has its number": scanning(
        "lookback_kernels", 1, "        cuda.syncthreads()\n        number", "        number"
    ),
    "look-back: no barrier before numbers are replaced": scanning("tiles", 1, BARRIER),
    "look-back: no barrier before numbers are read": scanning("tiles", 2, BARRIER),
    "look-back: no barrier before maps are read": scanning(
        "tiles", 1, "        cuda.syncthreads()\n\n    return compose", "\n    return compose"
    ),
    "look-back: no barrier before votes are read": scanning("lookback_words", 1, BARRIER),
    "look-back: no barrier before votes are replaced": scanning(
        "lookback_words", 1, "cuda.syncthreads_or(1 if found < 0 else 0)", "1 if found < 0 else 0"
    ),
    "look-back: no barrier before the state is read": scanning(
        "lookback_kernels", 1, "        cuda.syncthreads()\n\n    return enter", "\n    return enter"
    ),
    "look-back: no barrier before states are read": scanning("tiles", 3, BARRIER),
    "repair: no barrier before the words are made ready": repairing(
        "lookback_kernels", 1, "        cuda.syncthreads()\n        if cuda", "        if cuda"
    ),
    "repair: no barrier before threads agree": repairing(
        "lookback_kernels",
        1,
        "cuda.syncthreads_or(broken if entering - entering == scalar(0) else 0)",
        "(broken if entering - entering == scalar(0) else 0)",
    ),
    "repair: no barrier between tiles": repairing("lookback_kernels", 1, BARRIER),
    "mend: no barrier before the least one is looked for": mending(
        "mend", 1, "        cuda.syncthreads()\n        width", "        width"
    ),
    "mend: no barrier between halves": mending("mend", 1, BARRIER),
    "mend: a chunk too many": mending("mend", 1, "while k < chunks:", "while k <= chunks:"),
    "mend: no mask of the last vectors": mending("mend", 1, " if begin + u * THREADS < count else count - 1"),
    "mend: no mask of the last steps": mending("mend", 1, " if (k + 1) * chunk < length else length"),
    "spoil: a step too many": mending(
        "spoil", 1, "cuda.threadIdx.x, length, THREADS", "cuda.threadIdx.x, length + 1, THREADS"
    ),
    "condense: no barrier before systems are formed": condensing(
        1, "        cuda.syncthreads()\n        form", "        form"
    ),
    "condense: no barrier before a pivot is read": condensing(
        1, "        cuda.syncthreads()\n        for", "        for"
    ),
    "condense: no barrier between pivots": condensing(1, BARRIER),
    "condense: a row too many": condensing(1, "range(lane, m, lanes)", "range(lane, m + 1, lanes)"),
    "condense: no mask of the last step": condensing(1, " if k < intervals else scalar(0)"),
    "condense: no mask of the last interval": condensing(1, "        if k < intervals:\n", "        if True:\n"),
}

MADE_BY = {
    ("tiles", "tiles"): "tile_kernels",
    ("columns", "groups"): "march_kernels",
    ("look-back", "tiles"): "lookback_kernels",
    ("look-back", "lookback_words"): "lookback_kernels",
}
"""Files of kernels, by the way and the files of functions that they are made by."""

PLACES = {
    "mending": lambda name: (vars(mend_kernels), f"{name}_kernel"),
    "condensing": lambda name: (vars(condense_kernels), f"{name}_kernel"),
}
"""Where a kernel is found, by the way; of ways to scan in their tables."""


def scan_of(fault):
    """A function that makes the kernel with the fault."""
    module = import_module(f"parscan._kernels.cuda.{fault.file}")
    parts = inspect.getsource(module).split(fault.text)
    assert len(parts) > fault.place
    changed = fault.text.join(parts[: fault.place]) + fault.replacement + fault.text.join(parts[fault.place :])
    kernels = made = _module(module, changed, fault)
    if user := MADE_BY.get((fault.way, fault.file)):
        module = import_module(f"parscan._kernels.cuda.{user}")
        kernels = _module(module, inspect.getsource(module), fault)
        kernels.__dict__.update({name: vars(made)[name] for name in vars(made) if name.startswith("make_")})
    wide, _, name = fault.kernel.rpartition(" ")
    make = getattr(kernels, f"{name}_kernel")
    return partial(make, wide=True) if wide else make


def _module(module, source, fault):
    """A module like another, with a name of its own, by which no kernel of it is taken for one without the fault."""
    changed = ModuleType(f"{module.__name__}.{fault}")
    changed.__package__ = module.__package__
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(import_module("sys").modules, changed.__name__, changed)  # dataclasses look for it
        exec(compile(source, str(module.__file__), "exec"), changed.__dict__)
    return changed


def scan(n):
    """Long sequences: what is computed, and what it should give."""
    rng = np.random.default_rng(0)
    shape = (131, 3, n) if n > 1 else (9001,)
    A, b = rng.standard_normal((*shape, n) if n > 1 else shape) / (2 * n), rng.standard_normal(shape)
    return lambda: [affine_scan.affine_scan(A, b)], [sequential.affine_scan(A, b)]


def overflowing_scan(n):
    """Products of chunks overflow where states do not; of other sequences, states are not finite from some step on."""
    rng, steps = np.random.default_rng(0), 500
    A = np.ones((steps, 3, n))
    # In a chunk in the middle, then in the last one, which is shorter.
    A[125:155, 0], A[190:220, 0], A[440, 1], A[481:495, 2] = 1e20, 1e-9, np.nan, 1e30
    b = np.where(np.arange(3)[:, None] == 1, rng.random((steps, 3, n)), 0)
    h0 = np.array([1e-300, 1.0, 1e-300])[:, None] * np.ones((3, n))
    A = np.where(np.eye(n) > 0, A[..., None], 0.0)
    with np.errstate(all="ignore"):
        return lambda: [affine_scan.affine_scan(A, b, h0)], [sequential.affine_scan(A, b, h0)]


def single_pass(kernel, emulator):
    """Tiles that run at the same time and wait for each other, or some that have to be repaired."""
    rng, steps = np.random.default_rng(0), 9 * tile_of("float64").steps - 3
    A, b, h0 = rng.uniform(-1.1, 1.1, steps), rng.standard_normal(steps), np.float64(1e-300)
    if kernel == "repair":
        A[:400], A[400:420], A[420:440], b[:440] = 1, 1e20, 1e-20, 0
    expected = sequential.affine_scan(A, b, h0)

    def compute():
        if kernel == "repair":
            return [affine_scan.affine_scan(A, b, h0)]
        emulator.at_once = 4
        lookback_workspace._KEPT.clear()  # what is late is told from what was never written
        with slow_messages(MAP):
            return [affine_scan.affine_scan(A, b, h0)]

    return compute, [expected]


def condensed(n):
    """Systems of three stages; the last block has no interval for some of its threads."""
    J, h, r = intervals(np.random.default_rng(0), 3, 3, n)
    tableau = radau(3)
    return lambda: condense.condense(J, tableau.A, tableau.b, h, r), oracle(J, tableau.A, tableau.b, h, r)


def found(emulator, compute, expected, *, are_finite=True):
    """What is wrong in some order of the threads; None if nothing is."""
    for emulator.order in ORDERS:
        for _ in range(2):
            emulator.launched.append("nothing")  # the other arrays begin after forbidden memory
            try:
                results = compute()
            except EmulatedError as error:
                return str(error)
            for one, other in zip(results, expected, strict=True):
                finite = np.isfinite(other)
                if not np.array_equal(np.isfinite(one), finite):
                    return "other results are finite"
                if not np.allclose(one[finite], other[finite], rtol=1e-11, atol=1e-11 if are_finite else 0):
                    return "results are wrong"
            if are_finite and not all(emulator.finite):
                return "maps are not finite"
    return None


def problem_of(way, kernel, n, tune, emulator):
    """What to compute, what it should give, and whether all numbers on the way are finite."""
    if way == "look-back":
        tune(longest=0, single_pass=True)
        return *single_pass(kernel, emulator), True
    tune(shortest=40 if way == "mending" else 4)
    if way == "condensing":
        return *condensed(n), True
    if kernel in ("mend", "spoil"):
        return *overflowing_scan(n), False
    return *scan(n), True


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(emulator, monkeypatch, tune, fault):
    monkeypatch.setattr("cuda_emulator.PATIENCE", 2)  # seconds until threads wait for ever
    fault = FAULTS[fault]
    monkeypatch.setattr(lookback_workspace, "_KEPT", {})  # a fault may leave anything in it
    *problem, are_finite = problem_of(fault.way, fault.kernel, fault.n, tune, emulator)
    if place := PLACES.get(fault.way):
        monkeypatch.setitem(*place(fault.kernel), scan_of(fault))
    else:
        way = next(way for way in choice.WAYS if way.name == fault.way)
        monkeypatch.setitem(way.kernels, fault.kernel, scan_of(fault))
    told = found(emulator, *problem, are_finite=are_finite)
    print(told)
    assert told is not None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("way", "kernel", "n"),
    [*(("phases", "", n) for n in (1, 3, 7)), *dict.fromkeys((one.way, one.kernel, one.n) for one in FAULTS.values())],
)
def test_without_a_fault_nothing_is_found(emulator, tune, way, kernel, n):
    *problem, are_finite = problem_of(way, kernel, n, tune, emulator)
    assert found(emulator, *problem, are_finite=are_finite) is None


def test_arrays_lie_beside_forbidden_memory():
    """Right beside it, or, for wide kernels, aligned as they were; what is written into the bytes between is told."""
    whole = np.arange(5003, dtype="float32")
    for x in (whole, whole[1:], whole[3:-2], whole[:0]):
        for behind, aligned in product((False, True), repeat=2):
            copy, beside = guarded(x, behind, aligned)
            assert np.array_equal(copy, x)
            assert not aligned or (copy.ctypes.data - x.ctypes.data) % 16 == 0
            left = (copy.ctypes.data if behind else -copy.ctypes.data - copy.nbytes) % 4096
            assert left < 16 if aligned else left == 0
            assert all((part == UNUSED).all() for part in beside)
    places = Places((whole,), in_place=False, behind=False, aligned=True)
    places.copies[0][2][1][0] = 0
    with pytest.raises(EmulatedError, match="beside an array"):
        places.give_back()
