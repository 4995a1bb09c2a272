"""The shape of the package: who may import whom, what is public, how large files and functions may grow."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import parscan

ROOT = Path(parscan.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

MAY_IMPORT = {
    "_cupy": set(),
    "_arrays": {"_cupy"},
    "_counts": set(),
    "_tolerance": {"_arrays"},
    "jacobians": {"_arrays", "_counts"},
    "scan": {"_arrays", "_cupy", "warnings"},
    "systems": {"_arrays", "_tolerance", "jacobians"},
    "_growth": {"_arrays", "jacobians", "systems._system"},
    "_facts": {"_arrays"},
    "_convergence": {"_arrays", "_tolerance", "systems._system"},
    "_newton": {"_arrays", "_convergence", "_facts", "_growth", "_tolerance", "scan", "systems._system"},
    "_window": {"_newton"},
    "_march": {"_arrays", "_convergence", "_tolerance", "_newton", "_progress", "_window", "systems._system"},
    "_memory": {"_arrays", "_cupy"},
    "_extremes": {"_arrays"},
    "_jumps": {"_arrays"},
    "_step_jumps": {"_arrays", "_extremes", "_jumps", "systems"},
    "_contradiction": {"_arrays", "_check_step", "_tolerance", "systems"},
    "_whole_numbers": {"_arrays", "_check_step", "systems"},
    "_solution": {
        *("_arrays", "_check_step", "_contradiction", "_extremes", "_tolerance", "_whole_numbers"),
        *("jacobians", "systems"),
    },
    "derivatives": {
        *("_arrays", "_counts", "_growth", "_memory", "_solution", "warnings"),
        *("jacobians", "scan", "systems"),
    },
    "_result": {"_arrays", "_plot", "_solution", "derivatives"},
    "_plot": {"_arrays"},
    "_progress": set(),
    "warnings": set(),
    "_advice": {"_march", "_newton", "warnings"},
    "_loop": {"_arrays", "systems"},
    "_cost": {"_arrays", "systems"},
    "_check_step": {"_arrays", "systems"},
    "_check_jacobian": {"_arrays", "_check_step", "jacobians", "systems"},
    "_problem": {"_arrays", "_tolerance", "_march", "_loop", "systems"},
    "_auto": {"_cost"},
    "_options": {"systems"},
    "_methods": {
        *("_arrays", "_auto", "_convergence", "_march", "_memory", "_options", "_problem", "_window"),
        *("jacobians", "systems"),
    },
    "_report": {
        *("_advice", "_arrays", "_contradiction", "_march", "_plot", "_result", "_solution", "_whole_numbers"),
        "systems",
    },
    "_arguments": {
        *("_arrays", "_counts", "_memory", "_methods", "_options", "_result", "_tolerance"),
        *("jacobians", "systems"),
    },
    "_linear": {"_arrays", "_memory", "scan"},
    "ivp": {
        *("_arrays", "_counts", "_extremes", "_growth", "_jumps", "_memory", "_plot", "_progress", "warnings"),
        *("derivatives", "jacobians", "scan"),
    },
    "_recurrence": None,  # a front door: everything below it
    "_ivp": {"_arrays", "_counts", "_progress", "ivp", "warnings"},
    "__init__": None,
    "__main__": None,
}
"""What each part of the package may import of the others. DESIGN: arrays → jacobians → scan → newton → march, and
arrays → jacobians → systems; they meet only in the front doors."""


def part_of(module):
    """First part of a module name below the package, with the file's own name kept where a rule names it."""
    return module.split(".")[0] if module else ""


def imports(path):
    """Modules of parscan that a file imports, as names below the package."""
    package = ("parscan", *path.relative_to(ROOT).with_suffix("").parts)[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            full = ".".join((*base, *((node.module or "").split("."))))
            names = [full] if node.module else [f"{full}{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "parscan" and name != "parscan":
                yield name.removeprefix("parscan.")


def own_part(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_layers(path):
    part = own_part(path)
    assert part in MAY_IMPORT, f"{part} has no place in the table of layers"
    allowed = MAY_IMPORT[part]
    if allowed is None:
        return
    for name in imports(path):
        fits = name.split(".")[0] in allowed | {part} or name in allowed
        assert fits, f"{path.relative_to(ROOT)} imports {name}"


def test_the_layer_test_sees_imports():
    """The parser finds what is there, or the test above would pass on anything."""
    assert set(imports(ROOT / "_cost.py")) == {"_arrays", "systems"}
    assert "jacobians" in set(imports(ROOT / "systems" / "_propagation.py"))


def test_libraries_stay_where_they_belong():
    """CUDA in scan/cuda only, Numba in scan only, NumPy where arrays of NumPy are meant."""
    numpy_files = {
        "_arrays.py",
        "_brief.py",
        "_check_jacobian.py",
        "_linear.py",
        "_plot.py",
        "_following.py",
        "_start.py",
        "_tableaux.py",
        "_lsoda.py",
        "_explicit.py",
        "_exponential.py",
        "_delegate.py",
        "_course.py",
        "_solvers.py",
        "_function.py",
        "__main__.py",
    }
    for path in FILES:
        name = path.relative_to(ROOT)
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            roots = {module.split(".")[0] for module in modules}
            assert "cupy" not in roots, name
            assert "numba.cuda" not in modules or name.parts[:2] == ("scan", "cuda"), name
            if "numba" in roots:
                assert name.parts[0] in ("scan", "__main__.py"), name
            if "numpy" in roots:
                assert name.name in numpy_files or name.parts[0] == "scan", name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node) is not None
            body = node.body[1:] if documented else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 40, f"{node.name} has {lines} lines"


def test_public_names():
    assert parscan.__all__ == sorted(parscan.__all__)
    public = {name for name in vars(parscan) if not name.startswith("_")}
    packages = {"derivatives", "ivp", "jacobians", "scan", "systems"}
    assert public - packages == set(parscan.__all__)


def test_the_reference_lists_the_public_names():
    page = (Path(__file__).parent.parent / "docs" / "reference.md").read_text(encoding="utf-8")
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
    "solve_recurrence": "step y0 x length jac structure method args guess rtol atol max_iterations segment_length "
    "window damping probes progress",
    "linear_recurrence": "A b h0 reverse",
    "solve_ivp": "fun t_span y0 method t_eval dense_output events vectorized args jac rtol atol max_step first_step "
    "jumps mesh guess stages window progress jac_sparsity min_step lband uband",
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
