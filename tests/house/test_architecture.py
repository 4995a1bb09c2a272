"""The shape of the package: who may import whom, and what is public and documented."""

import ast
import inspect
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import parscan

ROOT = Path(parscan.__file__).parent
DOCS = ROOT.parent / "docs"
FILES = sorted(ROOT.rglob("*.py"))

ROOMS = {
    "warnings": 0,
    "_arrays": 1,
    "_linalg": 2,
    "_reporting": 2,
    "_kernels": 3,
    "_recorded": 3,
    "_functions": 4,
    "_engine": 5,
    "_recurrence": 6,
    "_ivp": 6,
}
"""The rooms of the house: files import of their own room, and of rooms with a lower number."""

FLOORS = {
    "_recurrence": ("systems", "checks", "derivatives"),
    "_ivp": (
        "core",
        "methods",
        "output",
        "coarse",
        "mesh",
        "sensitivities",
        "result",
        "sequential",
        "implicit",
        "compiled",
    ),
}
"""Folders of a room, each of which may import those before it; the room's own files are the roof above all of them."""

ROOFS = (("__init__",), ("__main__",))
"""Files that may import everything."""


@cache
def import_statements(path):
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def imports(path):
    """Modules of parscan that a file imports, as names below the package."""
    package = ("parscan", *path.relative_to(ROOT).with_suffix("").parts)[:-1]
    for node in import_statements(path):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            full = ".".join((*base, *((node.module or "").split("."))))
            names = [full] if node.module else [f"{full}{alias.name}" for alias in node.names]
        else:
            names = [alias.name for alias in node.names]
        for name in names:
            if name.split(".")[0] == "parscan" and name != "parscan":
                yield name.removeprefix("parscan.")


def parts(path):
    return path.relative_to(ROOT).with_suffix("").parts


def floor(names):
    """Where a file of a room with folders is: the number of its folder, or that of the roof."""
    folders = FLOORS[names[0]]
    return folders.index(names[1]) if len(names) > 2 or (names[1:2] and names[1] in folders) else len(folders)


def climbs(own, other):
    """Whether a file that imports another, both given as their names below the package, imports from above itself."""
    if other[0] not in ROOMS:
        return True
    if other[0] != own[0]:
        return ROOMS[other[0]] >= ROOMS[own[0]]
    return own[0] in FLOORS and floor(other) > floor(own)


def test_layers():
    files = [path for path in FILES if parts(path) not in ROOFS]
    assert {parts(path)[0] for path in files} == set(ROOMS)
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imports(path)
        if climbs(parts(path), name.split("."))
    }
    assert not wrong


def test_folders_import_in_no_circle():
    """A folder and what it holds are below another, or above it, never both."""
    edges = {(parts(path)[:-1], _folder(name)) for path in FILES for name in imports(path) if len(parts(path)) > 1}
    assert not _in_circles(edges)


def test_files_import_in_no_circle():
    """Nor do files, not even by imports for the type checker alone."""
    assert not _in_circles({(parts(path), tuple(name.split("."))) for path in FILES for name in imports(path)})


def test_circles_are_found():
    assert _in_circles({("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"), ("d", "d")}) == {"b", "c"}


def _in_circles(edges):
    """What imports, or imports what imports, ..., itself; pairs of equals do not count."""
    below = {}
    for one, other in edges:
        if one != other:
            below.setdefault(one, set()).add(other)
    found = set()
    for start in below:
        seen, todo = set(), [start]
        while todo:
            new = below.get(todo.pop(), set()) - seen
            seen |= new
            todo.extend(new)
        found |= {start} & seen
    return found


def _folder(name):
    """Folder of a module."""
    names = tuple(name.split("."))
    return names if ROOT.joinpath(*names).is_dir() else names[:-1]


def test_the_root_holds_the_doors_alone():
    assert {path.name for path in ROOT.iterdir() if path.is_file()} == {
        "__init__.py",
        "__main__.py",
        "py.typed",
        "warnings.py",
    }
    folders = {path.relative_to(ROOT).parts[0] for path in FILES if path.parent != ROOT}
    assert folders == set(ROOMS) - {"warnings"}


def test_the_layer_test_sees_imports():
    """The parser finds what is there, or the tests above would pass on anything."""
    assert "_functions.step" in set(imports(ROOT / "_recurrence" / "cost.py"))
    assert "_engine.system" in set(imports(ROOT / "_recurrence" / "systems" / "segments.py"))
    assert climbs(("_linalg", "dense"), ["_kernels", "tree"])
    assert climbs(("_recurrence", "solve"), ["_ivp", "solve"])
    assert climbs(("_ivp", "core", "trial"), ["_ivp", "mesh", "march"])
    assert climbs(("_ivp", "mesh", "march"), ["_ivp", "solve"])
    assert not climbs(("_ivp", "mesh", "march"), ["_ivp", "core", "trial"])


def test_the_pages_list_the_rooms_and_folders():
    page = (DOCS / "how-it-works.md").read_text(encoding="utf-8")
    rooms = {name: int(number) for name, number in re.findall(r"^    (_\w+)/ +(\d)  ", page, re.MULTILINE)}
    assert {**rooms, "warnings": 0} == ROOMS
    page = (DOCS / "how-ode-solving-works.md").read_text(encoding="utf-8")
    listed = re.findall(r"^    _ivp/(?:(\w+)/)? +(.*(?:\n     .*)*)", page, re.MULTILINE)
    assert tuple(folder for folder, _ in listed) == (*FLOORS["_ivp"], "")
    for folder, files in listed:
        named = set(re.findall(r"\w+", files))
        assert {path.stem for path in (ROOT / "_ivp" / folder).glob("*.py")} - {"__init__"} <= named, folder


def test_libraries_stay_where_they_belong():
    """CUDA in _kernels/cuda only, Numba in _kernels only, NumPy where arrays of NumPy are meant."""
    numpy_files = {
        "__main__.py",
        "_arrays/namespace.py",
        "_arrays/numpy.py",
        "_functions/coloured.py",
        "_functions/right_hand_side.py",
        "_functions/sparsity_found.py",
        "_ivp/brief.py",
        "_ivp/compiled/recorded.py",
        "_ivp/coarse/step_over_jump.py",
        "_ivp/coarse/lsoda.py",
        "_ivp/coarse/rows.py",
        "_ivp/implicit/index.py",
        "_ivp/implicit/mass.py",
        "_ivp/implicit/pencil.py",
        "_ivp/implicit/prepared.py",
        "_ivp/implicit/problem.py",
        "_ivp/implicit/radau.py",
        "_ivp/implicit/solve.py",
        "_ivp/implicit/start.py",
        "_ivp/methods/explicit.py",
        "_ivp/methods/exponential.py",
        "_ivp/core/tableaux.py",
        "_ivp/sequential/checked.py",
        "_ivp/sequential/course.py",
        "_ivp/sequential/delegate.py",
        "_ivp/sequential/growth.py",
        "_ivp/sequential/large.py",
        "_ivp/sequential/large_bdf.py",
        "_ivp/sequential/large_rodas5p.py",
        "_ivp/sequential/pieces.py",
        "_ivp/sequential/pulses.py",
        "_ivp/sequential/scipy_solvers.py",
        "_ivp/sequential/solved.py",
        "_ivp/sequential/sparse_jacobian.py",
        "_ivp/sequential/stiff_pattern.py",
        "_recurrence/checks/check_jacobian.py",
        "_recurrence/linear.py",
        "_linalg/elimination.py",
        "_linalg/pattern.py",
        "_linalg/solve.py",
        "_reporting/plot.py",
    }
    for path in FILES:
        name = path.relative_to(ROOT)
        for node in import_statements(path):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            roots = {module.split(".")[0] for module in modules}
            assert "cupy" not in roots, name
            assert "numba.cuda" not in modules or name.parts[:2] == ("_kernels", "cuda"), name
            if "llvmlite" in roots:
                assert name.parts[0] == "_kernels" or name.parts[:2] == ("_recorded", "native"), name
            if "numba" in roots:
                assert name.parts[0] in ("_kernels", "__main__.py"), name
            if "numpy" in roots:
                assert name.as_posix() in numpy_files or name.parts[0] in ("_kernels", "_recorded"), name


def test_public_names():
    assert parscan.__all__ == sorted(parscan.__all__)
    public = {name for name in vars(parscan) if not name.startswith("_")}
    assert public == set(parscan.__all__)


def test_the_reference_lists_the_public_names():
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^   (\w+)", page, re.MULTILINE)) == set(parscan.__all__)


@pytest.mark.parametrize("name", parscan.__all__)
def test_public_things_are_documented(name):
    thing = getattr(parscan, name)
    text = inspect.getdoc(thing)
    assert text
    if inspect.isfunction(thing):
        for section in ("Parameters", "Returns", "Raises", "References", "Examples"):
            assert f"{section}\n---" in text, section
        for parameter in inspect.signature(thing).parameters:
            assert parameter in text, parameter


SIGNATURES = {
    "solve_recurrence": "step y0 x length lags jac structure method args guess rtol atol max_iterations "
    "segment_length window damping compile progress",
    "linear_recurrence": "A b h0 reverse",
    "trace": "fun examples",
    "solve_ivp": "fun t_span y0 method t_eval dense_output events vectorized args jac rtol atol max_step first_step "
    "jumps mesh guess stages window compile progress jac_sparsity min_step lband uband "
    "mass consistent",
    "solve_dae": "fun t_span y0 yp0 method t_eval dense_output events args jac rtol atol max_step first_step "
    "consistent compile progress",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    assert " ".join(inspect.signature(getattr(parscan, name)).parameters) == SIGNATURES[name]


def test_import_is_light():
    """Neither Numba, SciPy nor anything for pictures and progress is loaded before it is needed."""
    code = (
        "import sys, parscan; heavy = {'numba', 'llvmlite', 'scipy', 'cupy', 'matplotlib', 'tqdm', 'pandas'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
