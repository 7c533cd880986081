"""The budget: how much of the asked-for time is left, and whether the next step fits into it."""

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Kind = TypeVar("Kind", bound=Hashable)


class Budget(Generic[Kind]):
    """Minutes on a clock, less what earlier attempts at the same search have used; estimates from what was measured."""

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock, self._began = minutes * 60, clock, clock()
        self._earlier = 0.0
        self.costs: dict[Kind, float] = {}
        """Seconds that a step of a kind is expected to take, for the kinds that were measured."""

    @property
    def used_seconds(self) -> float:
        """So far, with earlier attempts."""
        return self._clock() - self._began + self._earlier

    @property
    def left_seconds(self) -> float:
        """What remains; below 0 when it is overdrawn."""
        return self._seconds - self.used_seconds

    @property
    def seconds(self) -> float:
        """What was asked for."""
        return self._seconds

    def add_earlier(self, seconds: float) -> None:
        """Count what an earlier attempt spent on a result that is now reused."""
        self._earlier += seconds

    def measured(self, kind: Kind, seconds: float) -> None:
        """Note what a step of a kind took; the slower half of what was seen is expected of the next."""
        known = self.costs.get(kind)
        self.costs[kind] = seconds if known is None else max(seconds, 0.5 * (known + seconds))
