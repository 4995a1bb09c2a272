"""What only differential equations need: collocation, dense output, events."""

from ._result import IvpResult, IvpStatus

__all__ = ["IvpResult", "IvpStatus"]
