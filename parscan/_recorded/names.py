"""Names of globals and modules that recorded functions read."""

from __future__ import annotations

from types import ModuleType
from typing import Any


class Globals(dict[str, Any]):
    """Globals of copied functions: names are copied when they are read for the first time."""

    def __init__(self, copies: Any, original: dict[str, Any], own: dict[str, Any]) -> None:
        super().__init__(__builtins__=own, __name__=original.get("__name__", ""))
        self._copies, self._original = copies, original

    def __missing__(self, name: str) -> Any:
        found = self[name] = self._copies.value(self._copies.reads.item(self._original, name))
        return found

    def get_now(self, name: str) -> None:
        """Copy a name at once: the body of a class reads globals without calling `__missing__`."""
        if self._copies.reads.has(self._original, name):
            self[name]


class Reads:
    """
    Names that a function reads while it is recorded.

    Attributes
    ----------
    names : dict
        For the `id` of each dictionary of globals and of each module: the dictionary or module itself, and, for each
        name that was read from it, whether it has this name.
    imports : list
        Arguments of the imports, `(name, fromlist, level)`, and their modules.
    """

    def __init__(self) -> None:
        self.names: dict[int, tuple[Any, dict[str, bool]]] = {}
        self.imports: list[tuple[tuple[str, Any, int], ModuleType]] = []

    def has(self, space: dict[str, Any], name: str) -> bool:
        """Whether globals have a name."""
        return self._note(space, name, name in space)

    def item(self, space: dict[str, Any], name: str) -> Any:
        """A name of globals."""
        self._note(space, name, name in space)
        return space[name]

    def attribute(self, module: ModuleType, name: str) -> Any:
        """A name of a module."""
        self._note(module, name, hasattr(module, name))
        return getattr(module, name)

    def _note(self, space: Any, name: str, is_there: bool) -> bool:
        self.names.setdefault(id(space), (space, {}))[1][name] = is_there
        return is_there
