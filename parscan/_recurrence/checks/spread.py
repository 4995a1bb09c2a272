"""Numbers of steps for a sample of a trajectory: spread evenly, but in no rhythm that a periodic fault could have."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from random import Random

PLACES = 2
"""Least number of steps of the sample for every place in a segment."""


@lru_cache(maxsize=64)
def spread(steps: int, count: int, length: int = 1) -> Sequence[int]:
    """
    About `count` of the steps from 1 to `steps - 1`, the same ones each time.

    Of each of as many equal parts it is one at random; of segments of some `length`, every place is there `PLACES`
    times, in segments that are drawn in this way.
    """
    count = max(count, PLACES * length)
    if steps <= count:
        return range(1, steps)
    parts, places = -(-steps // length) / count, _places(count, length)
    times = {int((k + share) * parts) * length + places[k] for k, share in enumerate(_shares(count))}
    return array("q", sorted(t for t in times if 0 < t < steps))  # from which libraries make arrays fast


@lru_cache(maxsize=16)
def _shares(count: int) -> tuple[float, ...]:
    """Random numbers from 0 to 1: they do not depend on the number of steps, because drawing takes some time."""
    rng = Random(0)
    return tuple(rng.random() for _ in range(count))


def _places(count: int, length: int) -> Sequence[int]:
    """At least `count` places in segments: all of them in random order, again and again."""
    if length == 1:
        return bytes(count)
    rng = Random(1)
    return [place for _ in range(-(-count // length)) for place in rng.sample(range(length), length)]
