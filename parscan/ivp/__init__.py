"""What only differential equations need: collocation, dense output, events."""

from ._result import IvpResult
from ._status import IvpStatus

__all__ = ["IvpResult", "IvpStatus"]
