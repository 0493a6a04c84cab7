"""The function in the test's own process, on the local cloud: events wait until the test hands them over."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import Any

import pytest

from handler import index
from handler.clock import SystemClock
from handler.rules.codes import Outcome
from tests.cloud import Cloud, samples
from tests.cloud.clock import Clock
from tests.cloud.cos_store import Bucket
from tests.cloud.faceid import COMPARE, Call
from tests.cloud.proxy import Logged

LIVE, IMAGE = "uploads/42/live.gz", "uploads/42/image.jpg"
BUCKET, STATE = "faces-1250000000", "state-1250000000"

SWEEP = {"Type": "Timer", "TriggerName": "sweep", "Time": "2026-11-22T12:00:00Z", "Message": ""}
RECONCILE = {**SWEEP, "TriggerName": "reconcile", "Message": "reconcile"}

SHORT = 0.1
"""Seconds: waits no longer than that are for other threads or instances."""

MOMENT = 0.001
"""What they are cut to where no other instance is under way."""


class SkippingClock(SystemClock):
    """The cloud's clock, which jumps ahead instead of waiting.

    Short waits are cut short instead, but where two invocations are under way at once: one may wait for what
    the other does.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._skipped = 0.0
        self.under_way = 0
        """Invocations."""

    def elapsed(self) -> float:
        return super().elapsed() + self._skipped

    def sleep(self, seconds: float) -> None:
        if seconds <= SHORT:
            super().sleep(seconds if self.under_way > 1 else min(seconds, MOMENT))
        else:
            self.lose(seconds)
            self._clock.advance(seconds)

    def lose(self, seconds: float) -> None:
        """Take so much of the running invocation's time, as something slow would."""
        with self._lock:
            self._skipped += seconds


class Livepair:
    """One warm instance of the function.

    Uploads made through `cloud` leave their events in `events`; `run()` hands them over in order. Every
    invocation has temporary credentials of its own, as on the platform. Waits cost no time: `clock` jumps.
    """

    def __init__(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
        self.cloud = cloud
        self.events: list[dict[str, Any]] = []
        self.invocations = 0
        self._monkeypatch = monkeypatch
        self.allowed: Callable[[Any], bool] | None = None
        """What the function's role may do; None: everything."""
        self.url = cloud.proxy.listen("livepair")
        """The port that the function reaches the cloud by."""
        self.clock = SkippingClock(cloud.clock)
        cloud.cos.on_event.append(self._on_event)
        self.configure(**settings)

    # --- deploying it ---------------------------------------------------------------------------------

    def configure(self, **settings: str) -> None:
        """Deploy it anew with these settings, so that its next invocation starts cold."""
        self._settings = self.cloud.environment(LOCAL_CLOUD=self.url, **settings)
        state_bucket = self._settings.get("STATE_BUCKET", self.cloud.bucket)
        if state_bucket not in self.cloud.cos.buckets:
            self.cloud.cos.create_bucket(state_bucket, self.cloud.region)
        for name in ("TENCENTCLOUD_REGION", *self._settings):
            self._monkeypatch.delenv(name, raising=False)
        for name, value in self._settings.items():
            self._monkeypatch.setenv(name, value)
        self._monkeypatch.setenv("TENCENTCLOUD_REGION", self.cloud.region)
        self.restart()

    def restart(self) -> None:
        """A new instance: it remembers nothing."""
        self._monkeypatch.setattr(index, "_instance", None)
        self._monkeypatch.setattr(index, "_clock", self.clock)

    def deny(self, name: str, key: str) -> None:
        """Take one COS permission, or those of a pattern, on all keys that begin with `key` from the role."""
        self.allowed = lambda asked: (
            not (asked.service == "cos" and fnmatchcase(asked.name, name) and asked.key.startswith(key))
        )

    # --- uploads and events ---------------------------------------------------------------------------

    def _on_event(self, event: dict[str, Any]) -> None:
        key = event["Records"][0]["cos"]["cosObject"]["key"].split("/", 3)[3]
        if not key.startswith(self._settings.get("STATE_PREFIX", "livepair/")):
            self.events.append(event)

    def put(self, key: str, data: bytes) -> None:
        """An upload, its event waiting."""
        self.bucket.put(key, data)

    def put_pair(
        self, live: bytes | None = None, image: bytes | None = None, *, name: str | int = 42
    ) -> list[dict[str, Any]]:
        """Upload a whole pair, the image first. Returns its two events, which wait."""
        self.put(f"uploads/{name}/image.jpg", samples.image() if image is None else image)
        self.put(f"uploads/{name}/live.gz", samples.live() if live is None else live)
        return self.events[-2:]

    def drop(self, number: int = 1) -> None:
        """Lose that many of the waiting events."""
        del self.events[:number]

    def handle(self, event: object, seconds: float = 90) -> dict[str, Any]:
        """One invocation with one event, as the platform makes it."""
        self.invocations += 1
        found = self.cloud.temporary_credentials(allowed=self.allowed)
        self._monkeypatch.setenv("TENCENTCLOUD_SECRETID", found.secret_id)
        self._monkeypatch.setenv("TENCENTCLOUD_SECRETKEY", found.secret_key)
        self._monkeypatch.setenv("TENCENTCLOUD_SESSIONTOKEN", found.token or "")
        context = {
            "request_id": f"request-{self.invocations}",
            "time_limit_in_ms": int(seconds * 1000),
            "memory_limit_in_mb": 256,
            "function_name": "livepair",
        }
        self.clock.under_way += 1
        try:
            return index.main_handler(event, context)
        finally:
            self.clock.under_way -= 1

    def run(self) -> list[Outcome]:
        """Hand over all waiting events, one after the other. Returns the outcomes reached."""
        outcomes: list[Outcome] = []
        while self.events:
            outcomes += self.handle(self.events.pop(0))["outcomes"]
        return outcomes

    def pair(self, live: bytes | None = None, image: bytes | None = None) -> list[Outcome]:
        """Upload a whole pair, the image first, and hand over its events."""
        self.put_pair(live, image)
        return self.run()

    # --- time -----------------------------------------------------------------------------------------

    def sweep(self, minutes: float = 1) -> list[Outcome]:
        """Let time pass, then fire the timer."""
        self.cloud.clock.advance(minutes * 60)
        outcomes: list[Outcome] = self.handle(SWEEP)["outcomes"]
        return outcomes

    def sweep_on(self, minutes: int = 120, step: int = 20) -> list[Outcome]:
        """Let that much time pass, sweeping after each `step`. Returns the outcomes reached."""
        return [outcome for _ in range(0, minutes, step) for outcome in self.sweep(step)]

    def reconcile(self) -> list[Outcome]:
        """Fire the timer that walks over the bucket."""
        outcomes: list[Outcome] = self.handle(RECONCILE)["outcomes"]
        return outcomes

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

    def throttled_pairs(self, count: int) -> None:
        """Complete pairs that wait on the agenda for their call, as in a burst: many were before them."""
        self.cloud.faceid.limits[COMPARE] = 0
        bucket, prefix = self._state
        before = [f"{prefix}agenda/20990101T0000Z/take_over-{number:032x}-1" for number in range(31)]
        for key in before:
            bucket.put(key, b"{}", silent=True)
        for number in range(count):
            self.put_pair(samples.live(seed=number), name=str(number))
        assert self.run() == []
        for key in before:
            bucket.delete(key, silent=True)
        self.cloud.faceid.limits[COMPARE] = 5
        self.forget()

    # --- what came of it ------------------------------------------------------------------------------

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the consumer accepted as genuine, repeats dropped, in order."""
        return list(self.cloud.consumer.messages.values())

    @property
    def data(self) -> dict[str, Any]:
        """The data of the one message there is."""
        (message,) = self.messages
        data: dict[str, Any] = message["data"]
        return data

    @property
    def calls(self) -> list[Call]:
        """The calls for a verdict that reached the API."""
        return [call for call in self.cloud.faceid.calls if call.action == COMPARE]

    @property
    def asked(self) -> list[Logged]:
        """Every request to the API for a verdict, also those that never got there."""
        return [logged for logged in self.cloud.log if logged.operation == COMPARE]

    def requests(self, operation: str = "") -> list[Logged]:
        """The function's own requests to COS since the last `forget`.

        The best frame's download is none, and what an instance asks once about the bucket counts apart.
        """
        return [
            logged
            for logged in self.cloud.log
            if logged.source == "livepair"
            and logged.service == "cos"
            and (not operation or logged.operation == operation)
            and not logged.key.endswith("/create-only")
        ]

    def read(self) -> list[str]:
        """The uploads whose bytes the function has read since the last `forget`."""
        return [each.key for each in self.requests("GetObject") if each.key.startswith("uploads/")]

    def forget(self) -> None:
        """Start counting requests anew."""
        self.cloud.proxy.clear_log()

    @property
    def bucket(self) -> Bucket:
        """The bucket of the uploads."""
        return self.cloud.cos.bucket(self.cloud.bucket)

    def state(self, prefix: str = "") -> list[str]:
        """Keys of the state, without the state prefix."""
        bucket, own = self._state
        return [key.removeprefix(own) for key in bucket.keys(f"{own}{prefix}")]

    def stored(self, key: str) -> dict[str, Any]:
        """A state object."""
        bucket, own = self._state
        found: dict[str, Any] = json.loads(bucket.get(f"{own}{key}").data)
        return found

    def record(self, key: str = "") -> dict[str, Any]:
        """A record, or the one that there is: what was decided, and its marks."""
        if not key:
            (key,) = self.state("records/")
        found = self.stored(key)
        return {**found["decided"], **found}

    @property
    def _state(self) -> tuple[Bucket, str]:
        """Where the state lies, and what its keys begin with."""
        own = self._settings.get("STATE_PREFIX", "livepair/")
        name = self._settings.get("STATE_BUCKET", self.cloud.bucket)
        if name != self.cloud.bucket:
            own += f"{self.cloud.bucket}/"
        return self.cloud.cos.bucket(name), own


def beside(livepair: Livepair, event: object) -> Future[dict[str, Any]]:
    """Hand an event over in a thread of its own; `restart` before it or after makes that another instance."""
    thread = ThreadPoolExecutor(1)
    future = thread.submit(livepair.handle, event)
    thread.shutdown(wait=False)
    return future


def lines(capsys: pytest.CaptureFixture[str], event: str = "") -> list[dict[str, Any]]:
    """The function's log lines since the last look, those of one event."""
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in found if not event or line["event"] == event]
