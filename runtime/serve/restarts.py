"""The budget of restarts: each failure costs one, and time in service gives it back."""

import math
from dataclasses import dataclass, replace

REFILL = 10.0
"""Seconds of service that give back one restart."""
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


@dataclass(frozen=True)
class RestartBudget:
    """``size`` restarts, of which ``spent`` are used up; a part of one is the time in service since the last failure."""

    size: int
    spent: float = 0.0

    def after_failure(self, served: float) -> "RestartBudget":
        """The budget after a failure that followed ``served`` seconds in which the server was ready."""
        return replace(self, spent=max(0.0, self.spent - served / REFILL) + 1.0)

    @property
    def exhausted(self) -> bool:
        """Whether there was one failure more than there are restarts."""
        return self.failures > self.size

    @property
    def failures(self) -> int:
        """The failures that time in service has not made up for."""
        return math.ceil(self.spent)

    @property
    def pause(self) -> float:
        """Seconds to wait before the next start."""
        return _PAUSES[min(max(self.failures, 1), len(_PAUSES)) - 1]
