"""What the tests of recovery share: the function with waits that cost no time, and a timetable."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import pytest

from handler import index
from handler.clock import SystemClock
from handler.rules.codes import Outcome
from tests.cloud import Cloud, samples
from tests.cloud.clock import Clock
from tests.cloud.faceid import COMPARE
from tests.cloud.proxy import Logged
from tests.support.harness import Livepair

LIVE, IMAGE = "uploads/42/live.gz", "uploads/42/image.jpg"
BUCKET, STATE = "faces-1250000000", "state-1250000000"

NO_WAIT = {"Retry-After": "60"}
"""With it a failed delivery goes to the agenda at once, where 5 s would be waited in the invocation."""


SHORT = 0.1
"""Seconds: waits no longer than that are for other threads, and are waited."""


class SkippingClock(SystemClock):
    """The cloud's clock, which jumps ahead instead of waiting."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._skipped = 0.0
        self.waits: list[float] = []

    def elapsed(self) -> float:
        return super().elapsed() + self._skipped

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        if seconds <= SHORT:
            super().sleep(seconds)
            return
        self._skipped += seconds
        self._clock.advance(seconds)

    def lose(self, seconds: float) -> None:
        """Take so much of the running invocation's time, as something slow would."""
        self._skipped += seconds


class Recovering(Livepair):
    """The function of a test that lets things go wrong. `clock` is the one it waits with."""

    def __init__(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
        super().__init__(cloud, monkeypatch, **settings)
        self.clock = SkippingClock(cloud.clock)
        monkeypatch.setattr(index, "_clock", self.clock)

    def pair(self, live: bytes | None = None, image: bytes | None = None) -> list[Outcome]:
        """Upload a whole pair, the image first, and hand over its events."""
        self.put(IMAGE, samples.image() if image is None else image)
        self.put(LIVE, samples.live() if live is None else live)
        return self.run()

    def throttled_pairs(self, count: int) -> None:
        """Complete pairs that wait on the agenda for their call."""
        self.cloud.faceid.limits[COMPARE] = 0
        for number in range(count):
            self.put(f"uploads/{number}/image.jpg", samples.image())
            self.put(f"uploads/{number}/live.gz", samples.live(seed=number))
        assert self.run() == []
        self.cloud.faceid.limits[COMPARE] = 5
        self.forget()

    @property
    def asked(self) -> list[Logged]:
        """Every request to the API for a verdict, also those that never got there."""
        return [logged for logged in self.cloud.log if logged.operation == COMPARE]

    def due(self) -> list[Outcome]:
        """Let time pass until something on the agenda is due, then fire the timer."""
        minutes = [key.split("/")[1] for key in self.state("agenda/")]
        assert minutes, "nothing is on the agenda"
        at = datetime.strptime(min(minutes), "%Y%m%dT%H%MZ").replace(tzinfo=timezone.utc)
        ahead = (at - self.cloud.clock.now()).total_seconds() + 0.001
        return self.sweep(max(0.0, ahead) / 60)

    def finish(self, sweeps: int = 100) -> list[Outcome]:
        """Sweep until the agenda is empty. Returns the outcomes reached."""
        outcomes: list[Outcome] = []
        while self.state("agenda/") and sweeps:
            outcomes += self.due()
            sweeps -= 1
        assert self.state("agenda/") == []
        return outcomes

    def record(self) -> dict[str, Any]:
        """The one record there is."""
        (key,) = self.state("records/")
        return self.stored(key)


def beside(livepair: Livepair, event: object) -> Future[dict[str, Any]]:
    """Hand an event over in a thread of its own; `restart` before it or after makes that another instance."""
    thread = ThreadPoolExecutor(1)
    future = thread.submit(livepair.handle, event)
    thread.shutdown(wait=False)
    return future


def lines(capsys: pytest.CaptureFixture[str], event: str) -> list[dict[str, Any]]:
    """The log lines of one kind since the last look."""
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in found if line["event"] == event]
