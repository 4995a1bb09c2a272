"""Plugin of pytest that changes the source of a module as it is imported: a fault that tests should find.

The variable `CHANGED_SOURCE` holds, as JSON, the name of the module, a text in it, which of its occurrences is
replaced, and by what.
"""

import json
import os
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec

VARIABLE = "CHANGED_SOURCE"


def changed(source, text, place, replacement):
    """The source with one occurrence of a text, counted from 1, replaced."""
    parts = source.split(text)
    if not 0 < place < len(parts):
        raise ValueError(f"there is no occurrence {place} of {text!r}")
    return text.join(parts[:place]) + replacement + text.join(parts[place:])


def pytest_load_initial_conftests():
    name, *change = json.loads(os.environ[VARIABLE])
    package, _, leaf = name.rpartition(".")
    assert name not in sys.modules
    spec = find_spec(name)
    with open(spec.origin, encoding="utf-8") as file:
        source = file.read()
    module = sys.modules[name] = module_from_spec(spec)
    exec(compile(changed(source, *change), spec.origin, "exec"), module.__dict__)
    setattr(import_module(package), leaf, module)
