"""What recorded functions must not use, and the parts of modules and distributions that they may use."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy

from .calls import known
from .libraries import LibraryFunction
from .refusal import Refused

np: Any = numpy  # whose types do not know recording arrays


def refuse(reason: str) -> Callable[..., Any]:
    def refuse(*args: Any, **options: Any) -> Any:
        raise Refused(reason)

    return refuse


class Refusing:
    """An object that the copy must not use."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        return refuse(self._reason)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Refuse."""
        raise Refused(self._reason)


RANDOM = Refusing("draws random numbers")

NO_FUNCTIONS = {
    "random": RANDOM,
    "secrets": RANDOM,
    "time": Refusing("asks for the time"),
    "warnings": Refusing("warns"),
    "logging": Refusing("writes a log"),
}
"""Modules whose functions do not just compute a value."""

PARTLY = {
    "builtins": (),
    "importlib": ("import_module", "reload"),
    "sys": (
        "modules",
        "_getframe",
        "getrefcount",
        "stdin",
        "stdout",
        "stderr",
        "__stdout__",
        "__stderr__",
        "exc_info",
        "settrace",
    ),
}
"""Modules that are used as they are, and their members that give access to what a copy must not change."""


class Partly:
    """A module without some of its members."""

    def __init__(self, module: ModuleType, members: dict[str, Any], refused: tuple[str, ...]) -> None:
        self.__name__ = module.__name__
        self._members, self._refused = members, refused

    def __getattr__(self, name: str) -> Any:
        if name in self._refused:
            raise Refused(f"uses `{self.__name__}.{name}`, by which recording might change something")
        try:
            return self._members[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None


OF_DISTRIBUTIONS = (
    "pdf",
    "logpdf",
    "pmf",
    "cdf",
    "logcdf",
    "sf",
    "logsf",
    "ppf",
    "isf",
    "mean",
    "var",
    "std",
    "args",
    "kwds",
)
"""Members of probability distributions that draw no random numbers."""


class Distribution:
    """A probability distribution of SciPy, which must not draw random numbers."""

    def __init__(self, given: Any, copies: Any) -> None:
        self._given, self._copies = given, copies

    def __call__(self, *args: Any, **options: Any) -> Any:
        """With fixed parameters."""
        return Distribution(self._given(*known(args), **known(options)), self._copies)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._given, name)
        if name not in OF_DISTRIBUTIONS:
            raise Refused("draws random numbers")
        return LibraryFunction(found, self._copies.graph) if callable(found) else found


class Generators:
    """`numpy.random`: a generator with a seed of its own draws the same numbers at every call, others must not draw."""

    def __init__(self, copies: Any) -> None:
        self._graph = copies.graph

    def __getattr__(self, name: str) -> Any:
        if name not in ("default_rng", "RandomState"):
            return getattr(RANDOM, name)

        def make(seed: Any = None) -> Any:
            if type(seed) is not int:
                raise Refused("draws random numbers")
            return LibraryFunction(getattr(np.random, name)(seed), self._graph)

        return make
