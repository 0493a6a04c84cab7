"""The time, how much of it an invocation has left, and doing things side by side.

All three are handed to the logic as arguments, so that a test or a simulation can put its own in their
place.
"""

import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import NamedTuple, Protocol, TypeVar

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


class Deadline(NamedTuple):
    """When an invocation has to be done, on `clock.elapsed()`'s scale."""

    clock: Clock
    at: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> "Deadline":
        return cls(clock, clock.elapsed() + seconds)

    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock.elapsed())


def together(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Run `calls` side by side and return their results in order.

    All of them have ended when it returns, so no work outlives an invocation.
    Raises the first failure in their order.
    """
    results: dict[int, T] = {}
    failures: dict[int, BaseException] = {}

    def run(number: int, call: Callable[[], T]) -> None:
        try:
            results[number] = call()
        except BaseException as error:  # noqa: BLE001 # raised again below
            failures[number] = error

    todo = list(enumerate(calls))
    threads = [threading.Thread(target=run, args=each, daemon=True) for each in todo[1:]]
    for thread in threads:
        thread.start()
    for each in todo[:1]:
        run(*each)  # the caller has nothing else to do
    for thread in threads:
        thread.join()
    if failures:
        raise failures[min(failures)]
    return [results[number] for number, _ in todo]
