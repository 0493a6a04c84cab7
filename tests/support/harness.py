"""The function in the test's own process, on the local cloud: events wait until the test hands them over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from handler import index
from handler.rules.codes import Outcome
from tests.cloud import Cloud
from tests.cloud.proxy import Logged


class Livepair:
    """One warm instance of the function.

    Uploads made through `cloud` leave their events in `events`; `run()` hands them over in order. Every
    invocation has temporary credentials of its own, as on the platform.
    """

    def __init__(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
        self.cloud = cloud
        self.events: list[dict[str, Any]] = []
        self.invocations = 0
        self._monkeypatch = monkeypatch
        self.allowed: Callable[[Any], bool] | None = None
        """What the function's role may do; None: everything."""
        self._url = cloud.proxy.listen("livepair")
        cloud.cos.on_event.append(self._on_event)
        self.configure(**settings)

    def configure(self, **settings: str) -> None:
        """Deploy it anew with these settings, so that its next invocation starts cold."""
        environment = self.cloud.environment(LOCAL_CLOUD=self._url, **settings)
        for name in ("TENCENTCLOUD_REGION", *environment):
            self._monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)
        self._monkeypatch.setenv("TENCENTCLOUD_REGION", self.cloud.region)
        self.restart()

    def restart(self) -> None:
        """A new instance: it remembers nothing."""
        self._monkeypatch.setattr(index, "_instance", None)

    def _on_event(self, event: dict[str, Any]) -> None:
        key = event["Records"][0]["cos"]["cosObject"]["key"].split("/", 3)[3]
        if not key.startswith("livepair/"):
            self.events.append(event)

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
        return index.main_handler(event, context)

    def run(self) -> list[Outcome]:
        """Hand over all waiting events, one after the other. Returns the outcomes reached."""
        outcomes: list[Outcome] = []
        while self.events:
            outcomes += self.handle(self.events.pop(0))["outcomes"]
        return outcomes

    def sweep(self, minutes: float = 1) -> list[Outcome]:
        """Let time pass, then fire the timer."""
        self.cloud.clock.advance(minutes * 60)
        event = {"Type": "Timer", "TriggerName": "sweep", "Time": "2026-11-22T12:00:00Z", "Message": ""}
        outcomes: list[Outcome] = self.handle(event)["outcomes"]
        return outcomes

    def reconcile(self) -> list[Outcome]:
        event = {
            "Type": "Timer",
            "TriggerName": "reconcile",
            "Time": "2026-11-22T12:00:00Z",
            "Message": "reconcile",
        }
        outcomes: list[Outcome] = self.handle(event)["outcomes"]
        return outcomes

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

    def requests(self, operation: str = "") -> list[Logged]:
        """The function's own requests to COS since the last `forget`; the best frame's download is none."""
        return [
            logged
            for logged in self.cloud.log
            if logged.source == "livepair"
            and logged.service == "cos"
            and (not operation or logged.operation == operation)
        ]

    def forget(self) -> None:
        """Start counting requests anew."""
        self.cloud.proxy.clear_log()

    def state(self, prefix: str = "") -> list[str]:
        """Keys of the state, without the state prefix."""
        bucket, own = self._state
        return [key.removeprefix(own) for key in self.cloud.cos.bucket(bucket).keys(f"{own}{prefix}")]

    def stored(self, key: str) -> dict[str, Any]:
        """A state object."""
        bucket, own = self._state
        found: dict[str, Any] = json.loads(self.cloud.cos.bucket(bucket).get(f"{own}{key}").data)
        return found

    @property
    def _state(self) -> tuple[str, str]:
        """Where the state lies in a cloud that has a bucket for it, or has not."""
        if self.cloud.state_bucket is None:
            return self.cloud.bucket, "livepair/"
        return self.cloud.state_bucket, f"livepair/{self.cloud.bucket}/"

    def put(self, key: str, data: bytes) -> None:
        """An upload, its event waiting."""
        self.cloud.cos.bucket(self.cloud.bucket).put(key, data)

    def drop(self, number: int = 1) -> None:
        """Lose that many of the waiting events."""
        del self.events[:number]
