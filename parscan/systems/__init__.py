"""What can be linearised about a guess: so far, recurrences in segments."""

from ._propagation import Propagation, Shooting, States, Tangents
from ._recurrence import Segments
from ._step import Inputs, Step
from ._system import Propagator, System

__all__ = ["Inputs", "Propagation", "Propagator", "Segments", "Shooting", "States", "Step", "System", "Tangents"]
