"""Properties that are computed once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functools import cached_property as cached_property  # noqa: PLC0414 - to be imported from here
else:

    class cached_property(functools.cached_property):  # noqa: N801 - the name of Python's
        """
        The `functools.cached_property` of Python 3.12 and later, for 3.11 as well.

        That of Python 3.11 holds a lock for all objects of a class while it computes: threads wait for each other, and
        a child process that was forked meanwhile waits for ever.
        """

        def __get__(self, given: Any, owner: type | None = None) -> Any:
            """The value, kept in the object."""
            if given is None:
                return self
            value = given.__dict__[self.attrname] = self.func(given)
            return value
