"""
Whether a function would be recorded as before: all that it read then is compared with what it would read now.

A function reads globals, closure cells, defaults, attributes of objects and of modules, arrays, lists and dictionaries.
A witness is a graph of all that: a node per object, with the facts about it that can be compared exactly (the bytes of
an array, the code of a function, the names of attributes) and the nodes of its parts. It holds if the same walk over
the present objects finds equal facts everywhere, and if names that stood for one and the same object still do: a
function may write to an array under one name and read it under another.

What cannot be compared exactly has no witness: objects of other libraries, files, the clock.
"""

from __future__ import annotations

import builtins
import functools
import time
import weakref
from collections.abc import Callable, Sequence
from types import FunctionType, MethodType
from typing import Any

from . import glance
from .comparable import NOTHING, Unknown, is_atom, token
from .copies import Copies
from .glance import Glance, NoGlanceError
from .openers import opener_of
from .parts_of_objects import (
    MEMBERS,
    OPEN,
    Facts,
    Open,
    of_array,
    of_cell,
    of_class,
    of_empty,
    of_function,
    of_method,
    of_module,
    of_named_tuple,
    of_object,
    of_one,
    of_opened,
    of_sequence,
    of_space,
)

MOST_NODES, MOST_BYTES = 5000, 16 << 20
"""Objects that a witness compares, and bytes of arrays that it keeps for that."""

LOOKS: dict[Open, Callable[[Any, Any, Sequence[glance.Part]], glance.Look | None]] = {
    of_function: glance.of_function,
    of_cell: glance.of_cell,
    of_space: glance.of_space,
    of_module: glance.of_module,
    of_array: glance.of_array,
    of_sequence: glance.of_sequence,
    of_one: lambda given, names, parts: None,
    of_method: functools.partial(glance.of_members, ("__self__", "__func__")),
    of_object: glance.of_object,
    of_class: lambda given, names, parts: glance.of_class(given, of_class(given, names)[0][1], parts),
    of_empty: glance.of_nothing,
    **{OPEN[one]: functools.partial(glance.of_members, names) for one, names in MEMBERS.items()},
}
"""How to see at a glance that an object is as it was."""


class Node:
    """An object that was read: its type, how it is opened, names read from it or not, facts about it, and its parts."""

    __slots__ = ("facts", "kind", "names", "open", "parts")

    def __init__(self, given: Any, opener: Open, names: Any) -> None:
        self.kind = None if opener in (of_object, of_named_tuple) else type(given)  # None: the type is one of the parts
        self.open, self.names = opener, names
        self.facts: Facts = ()
        self.parts: list[Any] = []
        """Numbers of nodes, and tokens of values without parts."""


class Witness:
    """
    What a function read while it was recorded.

    Parameters
    ----------
    function : callable
    constants : sequence
        Its further arguments.
    copies : Copies
        The copies that were made for the recording.

    Raises
    ------
    Unknown
        If something cannot be compared.

    Attributes
    ----------
    size : int
        Bytes of arrays that are kept.
    seconds : float
        Processor time of the briefest comparison, because other work of the machine only adds; 0 before the first one.
    glance : Glance or None
        A quick way to see that nothing has changed since the last comparison.
    """

    def __init__(self, function: Callable[..., Any], constants: Sequence[Any], copies: Copies) -> None:
        self._nodes: list[Node] = []
        self._numbers: dict[int, int] = {}
        self._imports = [arguments for arguments, _ in copies.reads.imports]
        self.size, self.seconds = 0, 0.0
        self.glance: Glance | None = None
        self._last: Callable[[], Any] | None = None
        """The function that was recorded, or compared last."""
        self._is_new(function)
        kept: list[Any] = []  # so that no other object takes the place of one in memory
        self._roots = [self._part(one, copies, kept) for one in self._given(function, constants)]
        if not self._numbers.keys() >= copies.reads.names.keys():
            raise Unknown  # something was read that no walk finds
        del self._numbers

    def holds(self, function: Callable[..., Any], constants: Sequence[Any]) -> bool:
        """Whether a function with these arguments would be recorded as that of the witness."""
        if self.glance is not None and self.glance.holds(function, constants):
            return True
        begin, holds = time.thread_time(), False
        try:
            given = self._given(function, constants)
            holds = len(given) == len(self._roots) and self._holds(list(zip(self._roots, given, strict=True)))
        except Exception:  # what cannot be read is not as before
            holds = False
        finally:
            seconds = time.thread_time() - begin
            self.seconds = min(seconds, self.seconds or seconds) if holds else self.seconds or seconds
        self.glance = self._glimpse(function, constants) if holds and not self._is_new(function) else None
        return holds

    def _is_new(self, function: Any) -> bool:
        """Whether a function is another than the last one: perhaps, each is compared only once."""
        if type(function) is not FunctionType:
            return False
        before, self._last = self._last, weakref.ref(function)
        return before is None or before() is not function

    def _glimpse(self, function: Any, constants: Sequence[Any]) -> Glance | None:
        """A glance, if there can be one, for objects that were found to be as before."""
        look = self.look(function, len(constants)) if all(map(is_atom, constants)) else None
        if look is None:
            return None
        found, begin = Glance(function, constants, look), time.thread_time()
        if not found.holds(function, constants):
            return None
        self.seconds = min(self.seconds, time.thread_time() - begin)
        return found

    def look(self, function: Any, constants: int, inner: Any = None) -> glance.Look | None:
        """
        How to see at a glance that a function, after so many `constants`, reads what it reads now; None if not.

        With `inner`: that this, which is found in the function or in what it reads, reads what it reads now.
        """
        if type(function) not in (FunctionType, MethodType) or self._imports:
            return None
        number, given, seen = self._roots[constants], function, set[int]()
        pending = [] if inner is None else [(number, given)]
        try:
            while pending and given is not inner:
                number, given = pending.pop()
                if type(number) is int and number not in seen:
                    seen.add(number)
                    node = self._nodes[number]
                    pending += zip(node.parts, node.open(given, node.names)[1], strict=True)
            return self._look(number, given, {}) if inner is None or given is inner else None
        except (NoGlanceError, Unknown):
            return None

    def _look(self, number: Any, given: Any, looks: dict[int, glance.Look | None]) -> glance.Look | None:
        if type(number) is not int:
            return None  # a value that cannot change
        node = self._nodes[number]
        if number in looks:  # one look at globals and modules, which many functions read, is enough
            return None if node.open in (of_space, of_module) else looks[number]
        make = LOOKS.get(node.open)
        if make is None:
            raise NoGlanceError
        looks[number] = None  # whoever reads itself is looked at already
        parts = node.open(given, node.names)[1]
        found = looks[number] = make(
            given,
            node.names,
            [glance.part(one, self._look(k, one, looks)) for k, one in zip(node.parts, parts, strict=True)],
        )
        return found

    def _given(self, function: Callable[..., Any], constants: Sequence[Any]) -> list[Any]:
        if any(level for _, _, level in self._imports):
            raise Unknown
        modules = [builtins.__import__(name, {}, {}, names or (), 0) for name, names, _ in self._imports]
        return [*constants, function, *modules]

    def _part(self, given: Any, copies: Copies, kept: list[Any], opener: Open | None = None) -> Any:
        """Number of the node of an object, which is entered with all its parts; of a value without parts, the token."""
        if is_atom(given):
            return token(given)
        if (found := self._numbers.get(id(given))) is not None:
            if (self._nodes[found].open is of_space) != (opener is of_space):
                raise Unknown  # a dictionary of globals that is used as a dictionary, too
            return found
        opener = opener or opener_of(given, copies)
        names: Any = copies.names_unread(given) if opener is of_object else None
        if opener in (of_space, of_module):
            names = copies.reads.names.get(id(given), (None, {}))[1]
        node, number = Node(given, opener, names), len(self._nodes)
        self._nodes.append(node)
        self._numbers[id(given)] = number
        kept.append(given)
        node.facts, parts = opener(given, names)
        if opener is of_array:
            self.size += given.nbytes
            node.facts = (*node.facts[:-1], node.facts[-1].copy())
        if len(self._nodes) > MOST_NODES or self.size > MOST_BYTES:
            raise Unknown
        spaces = [of_space] if opener in (of_function, of_opened) else []
        node.parts = [self._part(part, copies, kept, role) for part, role in _with_roles(parts, spaces)]
        return number

    def _holds(self, pending: list[tuple[Any, Any]]) -> bool:
        nodes, objects, numbers = self._nodes, dict[int, Any](), dict[int, int]()
        while pending:
            number, given = pending.pop()
            if type(number) is not int:
                if (NOTHING if given is None else token(given)) != number:
                    return False
                continue
            if number in objects:
                if objects[number] is not given:
                    return False
                continue
            node = nodes[number]
            if node.open is of_one:  # most of them are
                if not node.facts[0].holds(given):
                    return False
                continue
            if id(given) in numbers or type(given) is not (node.kind or type(given)):
                return False
            objects[number], numbers[id(given)] = given, number
            facts, parts = node.open(given, node.names)
            if facts != node.facts or len(parts) != len(node.parts):
                return False
            pending += zip(node.parts, parts, strict=True)
        return True


def _with_roles(parts: Sequence[Any], roles: list[Any]) -> Any:
    return zip(parts, [*roles, *[None] * (len(parts) - len(roles))], strict=True)
