"""What was built holds what it should: `python check_distribution.py DIRECTORY`, with one sdist and one wheel in it."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
OF_SDIST = ("CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "setup.cfg", "tests/conftest.py", "docs/conf.py")


def package() -> set[str]:
    """The package's own files."""
    found = (path for path in (ROOT / "parscan").rglob("*") if path.suffix == ".py" or path.name == "py.typed")
    return {str(path.relative_to(ROOT)) for path in found}


def main(directory: Path) -> None:
    """Exit with what is missing, or what should not be there."""
    (sdist,), (wheel,) = directory.glob("*.tar.gz"), directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    with tarfile.open(sdist) as source:
        sources = {name.partition("/")[2] for name in source.getnames()}
    version = (ROOT / "parscan" / "__init__.py").read_text(encoding="utf-8").rpartition('__version__ = "')[2]
    problems = [
        *(f"{name} is missing in the wheel" for name in sorted(package() - inside)),
        *(f"{name} should not be in the wheel" for name in sorted(inside - package())),
        *(f"{name} is missing in the sdist" for name in sorted((package() | set(OF_SDIST)) - sources)),
        *(f"{name} should not be in the sdist" for name in sorted(sources) if "__pycache__" in name),
    ]
    if f"\nVersion: {version.partition(chr(34))[0]}\n" not in text:
        problems.append("the wheel is of another version than `parscan.__version__`")
    sys.exit("\n".join(problems) or None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
