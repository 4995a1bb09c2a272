"""What can be linearised about a guess: so far, recurrences in segments."""

from ._damping import Attenuation, Clipping, Damped, Damping, LevenbergMarquardt
from ._probing import Probing
from ._propagation import Propagation, Shooting, States, Tangents
from ._recurrence import Segments
from ._response import explains, response, roundings
from ._step import Inputs, Step
from ._system import Linearisation, NoGain, Propagator, Rejected, System

__all__ = [
    "Attenuation",
    "Clipping",
    "Damped",
    "Damping",
    "Inputs",
    "LevenbergMarquardt",
    "Linearisation",
    "NoGain",
    "Probing",
    "Propagation",
    "Propagator",
    "Rejected",
    "Segments",
    "Shooting",
    "States",
    "Step",
    "System",
    "Tangents",
    "explains",
    "response",
    "roundings",
]
