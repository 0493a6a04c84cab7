"""The time, how much of it an invocation has left, and doing things side by side.

All three are handed to the logic as arguments, so that a test or a simulation can put its own in their
place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol, TypeVar

T = TypeVar("T")


class Together(Protocol):
    """Runs calls side by side; see `together`."""

    def __call__(self, calls: Iterable[Callable[[], T]]) -> list[T]: ...


class Clock(Protocol):
    """What the logic knows of time."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        ...

    def elapsed(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait that long."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def elapsed(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When an invocation has to be done, on `clock.elapsed()`'s scale."""

    clock: Clock
    at: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        return cls(clock, clock.elapsed() + seconds)

    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock.elapsed())


_threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="livepair")


def together(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Run `calls` side by side and return their results in order.

    All of them have ended when it returns, so no work outlives an invocation.
    Raises the first failure in their order.
    """
    calls = list(calls)
    if not calls:
        return []
    first, *rest = calls
    futures = [_threads.submit(call) for call in rest]
    try:
        results = [first()]
    finally:
        for future in futures:
            future.exception()
    return results + [future.result() for future in futures]
