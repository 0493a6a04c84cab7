"""The wall clock of the machine, moved by tests."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import time_machine


class Clock:
    """The wall clock that everything in this process reads.

    It ticks as real time does and only ever jumps forward, for the whole process at once: the
    servers, the SDKs and the signature libraries agree on what time it is. `time.monotonic` is
    not moved, so time limits and `asyncio.sleep` keep measuring real seconds.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._offset = 0.0
        self._traveller: time_machine.travel | None = None
        self._travelled: time_machine.Traveller | None = None
        self._subscribers: list[Callable[[], None]] = []
        self.outside: set[str] = set()
        """Ports whose clients read the real clock, however far ahead this one is."""

    @property
    def offset(self) -> float:
        """Seconds this clock is ahead of real time; 0.0 until it is moved."""
        return self._offset

    def now(self) -> datetime:
        """The time of this clock, in UTC."""
        return datetime.now(timezone.utc)

    def seen_from(self, port: str) -> datetime:
        """What the clock shows that a client at this port of the proxy signs by."""
        return self.now() - timedelta(seconds=self._offset if port in self.outside else 0)

    def timestamp(self) -> float:
        """The time of this clock in seconds since 1970."""
        return self.now().timestamp()

    def advance(self, seconds: float) -> None:
        """Jump `seconds` ahead, then tell the subscribers, in the order they subscribed."""
        if seconds < 0:
            raise ValueError(f"a clock only goes forward, not by {seconds} s")
        with self._lock:
            if self._travelled is None:
                self._traveller = time_machine.travel(self.now() + timedelta(seconds=seconds), tick=True)
                self._travelled = self._traveller.start()
            else:
                self._travelled.shift(seconds)
            self._offset += seconds
            subscribers = list(self._subscribers)
        for callback in subscribers:
            callback()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Have `callback` called after every jump, in the thread that moved the clock."""
        with self._lock:
            self._subscribers.append(callback)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """Stop telling `callback`; no harm if it was never told."""
        with self._lock:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

    def close(self) -> None:
        """Give the process its real time back. May be called twice."""
        with self._lock:
            if self._traveller is not None:
                self._traveller.stop()
            self._traveller = None
            self._travelled = None
            self._offset = 0.0
            self._subscribers.clear()
