"""Functions of the module `cmath` in recorded functions: those of NumPy, and the exceptions that Python raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from .array import ABOVE, RecordingArray
from .python_functions import PythonFunction
from .python_numbers import checked, complex_number, number
from .refusal import Refused

np: Any = numpy  # whose types do not know recording arrays


class ComplexFunction(PythonFunction):
    """A function of the module `cmath`."""

    def _recorded(self, args: Any) -> Any:
        """The call on recorded values; where its result is not finite, the user's function is called."""
        own = CMATH.get(self.__name__)
        if own is None:
            raise Refused(f"calls `cmath.{self.__name__}`, which is not recorded")
        given = [complex_number(value) if isinstance(value, RecordingArray) else value for value in args]
        found = own(*given)
        if isinstance(found, tuple):
            return tuple(checked(one, *given) for one in found)
        return found if found.dtype == bool else checked(number(found), *given)


def _log(z: Any, base: Any = None) -> Any:
    return np.log(z) if base is None else np.log(z) / np.log(base)


def _rect(r: Any, phi: Any) -> Any:
    size, angle = np.real(r), np.real(phi)
    return ABOVE["paired"](size * np.cos(angle), size * np.sin(angle))


CMATH: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(np, name)
        for name in ["exp", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "isnan", "isinf", "isfinite"]
    },
    "log": _log,
    "phase": np.angle,
    "polar": lambda z: (np.abs(z), np.angle(z)),
    "rect": _rect,
}
"""How functions of the module `cmath` are recorded."""
