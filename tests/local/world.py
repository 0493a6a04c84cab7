"""The local cloud with the function on it: what can be uploaded, what can go wrong, and time to move."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from handler.rules.agenda import MINUTE
from handler.rules.pairing import Role
from handler.rules.settings import load_settings
from tests.cloud import Cloud, faults, samples
from tests.cloud.consumer import Attempt, Behaviour
from tests.cloud.faceid import COMPARE, Answer
from tests.cloud.function import DAILY, Invocation
from tests.cloud.scf import bundle
from tests.local.program import Program
from tests.support.backend import backend_keys
from tests.support.project import PROJECT

BUCKET, STATE_BUCKET = "faces-1250000000", "faces-state-1250000000"
PREFIX = "uploads/"
"""What the COS trigger asks for."""
STATE = f"livepair/{BUCKET}/"
CLIENT = "client"
"""The name of the port that uploads from outside come in by."""

SECRET_BYTES = 32
LARGEST_UPLOAD = 60_000_000
MINUTE_SPAN = timedelta(minutes=1)
SLOW = 5.0  # seconds
LATENCY = 0.3  # seconds that the engine takes to look at a pair
WARM = 2  # instances that are started at once, one for each half of a pair
PATIENCE = 30.0  # real seconds that time waits for the work of a minute

_NOBODYS = "whsec_" + base64.b64encode(bytes(SECRET_BYTES)).decode()
_defaults = load_settings(
    {"BUCKET": BUCKET, "WEBHOOK_URL": "https://example.com/webhook", "WEBHOOK_SECRET": _NOBODYS}
)
TEMPLATES, MIN_SIMILARITY = _defaults.templates, _defaults.min_similarity
"""The function's defaults."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A pair to upload. `live` is what the API will say of the live package, `size` its length if it matters.

    Without `live` or without `image` (a kind of `samples.image`) that half is not uploaded.
    """

    says: str
    outcome: str
    live: Mapping[str, Any] | None
    image: str | None = "ok"
    size: int | None = None


SAMPLES = {
    "matched": Sample("The same person", "matched", {}),
    "mismatched": Sample("Another person", "mismatched", {"sim": 12.5}),
    "dark": Sample("Too dark", "rejected", {"error": "FailedOperation.ActionLightDark"}),
    "not-live": Sample("Not shown to be live", "rejected", {"error": "FailedOperation.SilentThreshold"}),
    "fake": Sample("Suspected fake", "rejected", {"result": "FailedOperation.LivessDetectFake"}),
    "blurred": Sample("Blurred image", "rejected", {}, "blur"),
    "oversized": Sample("Oversized live package", "rejected", {}, size=51_000_000),
    "empty": Sample("Empty live package", "rejected", {}, size=0),
    "live-only": Sample("Live package only", "incomplete", {}, None),
    "image-only": Sample("Image only", "incomplete", None),
    "unknown": Sample("A code nobody knows", "failed", {"error": "FailedOperation.SomethingNew"}),
    "trouble": Sample(
        "The engine fails for an hour", "failed", {"error": "FailedOperation.LivessSystemError"}
    ),
}

FAULTS = {
    "throttled": ("API throttled", "every call is answered RequestLimitExceeded"),
    "down": ("Webhook down", "the webhook answers 500"),
    "slow": ("Webhook slow", f"the webhook answers after {SLOW:g} s"),
    "duplicated": ("Events repeated", "each upload event comes three times, at once"),
    "killed": ("Kill once", "at the next API call: judged and billed, but the answer is lost"),
    "cos": ("COS answers 503", "to the function; uploads still go through"),
}


class World:
    """The cloud and the function, until `close`. All methods may be called from any thread; some block."""

    def __init__(
        self, folder: Path, port: int = 0, slow: float = SLOW, consumer: str = "", secret: str = ""
    ) -> None:
        """`folder` takes the function's code. `consumer`: the URL of a program that answers the messages.

        Clients come in at `port` and messages at the next one, or at any where that is taken. `slow`: real
        seconds that a slow webhook takes to answer. `secret` signs the messages; without it a new one does.
        """
        self._slowness, self._delay = slow, 0.0
        self.folder = folder
        self.cloud = Cloud(
            bucket=BUCKET,
            state_bucket=STATE_BUCKET,
            secret=secret or fresh_secret(),
            webhook_port=port and port + 1,
        )
        clock = self.cloud.clock
        clock.outside.add(CLIENT)
        self.cloud.consumer.other_clock = lambda: clock.timestamp() - clock.offset
        self.backend = backend_keys(self.cloud)
        """What the application's backend signs with: `policy.backend.json` says what it may do."""
        self.program: Program | None = None
        self.connect(consumer)
        try:
            self.url = self.cloud.proxy.listen(CLIENT, port)
        except OSError:
            self.url = self.cloud.proxy.listen(CLIENT)
        self._on: dict[str, Callable[[], object]] = {}
        self._kill: faults.Fault | None = None
        self._numbers = itertools.count(1)
        self._jumps: list[tuple[float, float]] = []
        self._time = threading.Lock()
        self._minute = _whole(self.cloud.clock.now())
        self._closing = False
        self.cloud.deploy(bundle(PROJECT, folder / "code"), prefix=PREFIX, timeout=90, reconcile=DAILY)
        self.cloud.faceid.latency = LATENCY
        for _ in range(WARM):
            self.cloud.scf.tick()
        self.cloud.scf.wait_idle()

    def variables(self) -> list[str]:
        """What the operator's commands need to work on this cloud, as lines of an .env file."""
        own = self.cloud.credentials
        return [
            *(f"{name}={value}" for name, value in self.cloud.environment(LOCAL_CLOUD=self.url).items()),
            f"REGION={self.cloud.region}",
            f"BACKEND_SECRET_ID={self.backend.secret_id}",
            f"BACKEND_SECRET_KEY={self.backend.secret_key}",
            f"TENCENT_SECRET_ID={own.secret_id}",
            f"TENCENT_SECRET_KEY={own.secret_key}",
        ]

    def connect(self, consumer: str) -> None:
        """Have the program at this URL answer the messages; empty: none does."""
        self.program = Program(consumer, self.cloud.secret, self.cloud.clock) if consumer else None
        self.cloud.consumer.program = self._ask if consumer else None

    def close(self) -> None:
        """End every process and thread."""
        self._closing = True
        self.cloud.scf.stop()
        with self._time:  # nobody moves the clock any more
            self.cloud.close()

    # Uploads

    def upload_sample(self, name: str, pair_id: str = "") -> str:
        """Upload a sample as an application would. Returns the pair's id. Raises ValueError, KeyError."""
        sample, number = SAMPLES[name], next(self._numbers)
        pair_id = pair_id or f"{name}-{number}"
        if sample.image is not None:
            self.upload(pair_id, "image", samples.image(sample.image, seed=number))
        if sample.live is not None:
            data = samples.live(**sample.live, seed=number) if sample.size is None else bytes(sample.size)
            self.upload(pair_id, "live", data)
        return pair_id

    def image(self, kind: str) -> bytes:
        """An image of one of the kinds in `samples.IMAGE_FATES` that nobody else has."""
        return samples.image(kind, seed=next(self._numbers))

    def upload(self, pair_id: str, role: Role, data: bytes, verdict: str = "") -> str:
        """Upload one half; `verdict` names the sample whose answer the API gives. Returns the key.

        Raises ValueError for an id that makes no key, KeyError for a verdict that is none.
        """
        templates = TEMPLATES.live if role == "live" else TEMPLATES.image
        key = templates[0].key({"id": pair_id})
        found = TEMPLATES.match(key) if pair_id.strip(".") and pair_id.isprintable() else None
        if found is None or len(pair_id) > 100:
            raise ValueError("a pair's id has 1 to 100 characters, no slash, and is not made of dots")
        if verdict and role == "live":
            said = SAMPLES[verdict].live
            if said is None:
                raise ValueError(f"{verdict!r} is no verdict: that sample has no live package")
            self.cloud.faceid.verdicts[hashlib.md5(data).hexdigest()] = Answer(**said)
        if role == "live" and key not in self.cloud.cos.bucket(self.cloud.bucket):
            self.cloud.upload_by_link(key, data)
        else:  # only who has the backend's keys replaces an upload
            self.cloud.upload(key, data)
        return key

    # What goes wrong

    @property
    def faults(self) -> dict[str, bool]:
        """Which faults are switched on. The one that kills goes off when it has."""
        if self._kill is not None and self._kill.hits:
            self._kill = None
            self._on.pop("killed", None)
        return {name: name in self._on for name in FAULTS}

    def switch(self, name: str, on: bool) -> None:
        """Switch a fault on or off. Raises KeyError."""
        if self.faults[name] == on:
            return
        if on:
            self._on[name] = getattr(self, f"_{name}")()
        else:
            self._on.pop(name)()

    def _throttled(self) -> Callable[[], object]:
        limits = self.cloud.faceid.limits
        limits[COMPARE], before = 0, limits[COMPARE]
        return lambda: limits.update({COMPARE: before})

    def _down(self) -> Callable[[], object]:
        return self._answer(500)

    def _slow(self) -> Callable[[], object]:
        if self.program is None:
            return self._answer(204, delay=self._slowness)
        self._delay = self._slowness
        return lambda: setattr(self, "_delay", 0.0)

    async def _ask(self, attempt: Attempt) -> Behaviour:
        assert self.program is not None
        await asyncio.sleep(self._delay)
        return await self.program.ask(attempt)

    def _answer(self, status: int, delay: float = 0.0) -> Callable[[], object]:
        behaviour = self.cloud.consumer.answer(status, delay=delay, times=None)
        return lambda: setattr(behaviour, "times", 0)

    def _duplicated(self) -> Callable[[], object]:
        def again(event: dict[str, Any]) -> None:
            record = event["Records"][0]
            key = record["cos"]["cosObject"]["key"].split("/", 3)[3]
            if TEMPLATES.match(key) and "ObjectCreated" in record["event"]["eventName"]:
                for _ in range(2):
                    self.cloud.scf.invoke_async(event)

        self.cloud.cos.on_event.append(again)
        return lambda: self.cloud.cos.on_event.remove(again)

    def _killed(self) -> Callable[[], object]:
        fault = self._kill = self.cloud.faults.add(COMPARE, source="livepair-*", then=faults.kill_after())
        return lambda: self.cloud.faults.remove(fault)

    def _cos(self) -> Callable[[], object]:
        refuse = faults.refuse(503, "ServiceUnavailable")
        fault = self.cloud.faults.add(service="cos", source="livepair-*", then=refuse, times=None)
        return lambda: self.cloud.faults.remove(fault)

    # Time

    def tick(self) -> None:
        """Fire the timer if a minute has begun since it was fired last."""
        if self._time.acquire(blocking=False):
            try:
                if _whole(self.cloud.clock.now()) > self._minute and not self._closing:
                    self._fire()
            finally:
                self._time.release()

    def pass_time(self, minutes: int) -> None:
        """Let at least so many minutes pass, to the end of the last: what falls due is done in its minute.

        What is under way comes to its end first. Minutes in which there is nothing to do are skipped. Work
        that takes longer than `PATIENCE` is not waited for.
        """
        with self._time:
            self._settle()
            end = _whole(self.cloud.clock.now() + minutes * MINUTE_SPAN) + MINUTE_SPAN
            while (now := self.cloud.clock.now()) < end and not self._closing:
                following = _whole(now) + MINUTE_SPAN
                due = following if self.cloud.scf.retries else max(following, self._next_due(end))
                # A second over, because the clock of an instance can be some milliseconds behind.
                self._jump((min(due, end) - now).total_seconds() + 1)
                self._fire()
                self._settle()

    def reconcile(self) -> Invocation:
        """Fire the daily timer that looks for uploads no event told of. Returns the invocation when it ends.

        Raises TimeoutError where that takes longer than `PATIENCE`.
        """
        now = f"{self.cloud.clock.now():%Y-%m-%dT%H:%M:%SZ}"
        asked = self.cloud.scf.invoke_async(
            {"Type": "Timer", "TriggerName": "reconcile", "Time": now, "Message": "reconcile"}
        )
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for each in self.cloud.scf.invocations:
                if each.request_id == asked and each.status != "running":
                    return each
            time.sleep(0.05)
        raise TimeoutError("reconcile is still at work")

    def real(self, at: datetime) -> float:
        """A time of the cloud's clock in seconds since 1970, without the time that was skipped."""
        seconds = at.timestamp()
        return seconds - sum(skipped for after, skipped in self._jumps if after <= seconds + 0.001)

    def shown(self, real: float) -> datetime:
        """What the cloud's clock showed at a time as `real` gives it."""
        seconds = real
        for after, skipped in self._jumps:
            if after - skipped <= seconds:
                seconds += skipped
        return datetime.fromtimestamp(seconds, timezone.utc)

    def _next_due(self, otherwise: datetime) -> datetime:
        keys = self.cloud.cos.bucket(STATE_BUCKET).keys(f"{STATE}agenda/")
        return next(filter(None, map(minute_of, keys)), otherwise)

    def _jump(self, seconds: float) -> None:
        self._jumps.append((self.cloud.clock.timestamp() + seconds, seconds))
        self.cloud.clock.advance(seconds)

    def _settle(self) -> None:
        with contextlib.suppress(TimeoutError):
            self.cloud.scf.wait_idle(PATIENCE)

    def _fire(self) -> None:
        self._minute = _whole(self.cloud.clock.now())
        with contextlib.suppress(RuntimeError):  # the platform was stopped meanwhile
            self.cloud.scf.tick()


def fresh_secret() -> str:
    """A secret for the webhook.

    Everybody can read the tests' own, and a consumer that is built here may be deployed with what it knows.
    """
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def minute_of(key: str) -> datetime | None:
    """When an agenda entry is due; None for a key that is none, which anybody may write."""
    try:
        return datetime.strptime(key.removeprefix(STATE).split("/")[1], MINUTE).replace(tzinfo=timezone.utc)
    except (ValueError, IndexError):
        return None


def _whole(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)
