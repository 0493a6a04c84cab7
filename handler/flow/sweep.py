"""The timer: what is due on the agenda, and the walk over all uploads that finds what no event told.

A sweep lists what is due and nothing else, so it costs with the work due and not with history. Calls and
deliveries have lanes of their own: a webhook that hangs does not keep the API waiting, nor the other way
round. What a sweep does not get to stays on the agenda for the next.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from handler.clock import Clock
from handler.edges.cos import Bucket, CosError, Stored
from handler.edges.faceid import Answer, Api, Resource
from handler.edges.webhook import POST_SECONDS, Consumer, Delivery
from handler.flow.advance import resume, told, walked_past
from handler.flow.judge import AFTER_CALL, CALL_LEFT
from handler.services import Services
from handler.state.ledger import CLOCK_MARGIN, CorruptState, Entry, Record, Task

T = TypeVar("T")

SWEEP_SECONDS = 50.0
"""How long a sweep takes up new work: the next one starts a minute after it."""

CALL_LATENCY = 3.0
"""Seconds that one pair is thought to take: with API_RATE it says how many are in hand at once."""

MOST_CALLS, MOST_DELIVERIES = 16, 6  # pairs and deliveries in hand at once
MOST_DUE = 5000  # entries that one sweep looks at
PACE = 1.05
"""How much longer than 1 / API_RATE the gap between two calls is, or jitter on their way has some refused."""

TIMEOUTS = 3  # deliveries in a row without an answer in time, after which the rest wait for the next sweep

MIN_AGE = timedelta(minutes=10)
"""Reconcile leaves younger uploads to their events."""

OVERLAP = timedelta(days=1)
"""How far before the start of the last finished walk the next one begins."""


class PacedApi:
    """The API, called a little less often than `rate` times a second by all who share this."""

    def __init__(self, api: Api, rate: float, clock: Clock) -> None:
        self.region = api.region
        self._api, self._clock = api, clock
        self._gap = PACE / rate
        self._next = 0.0
        self.over = False
        """A pair found no turn in the time it had: what is still due waits for the next sweep."""
        self._lock = threading.Lock()

    def open(self) -> None:
        self._api.open()

    def compare(self, live: Resource, image: Resource, seconds: float) -> Answer:
        with self._lock:
            now = self._clock.elapsed()
            turn = max(self._next, now)
            if turn - now > seconds - CALL_LEFT + AFTER_CALL:
                self.over = True
                return Answer("RequestLimitExceeded", "API_RATE leaves no turn in time", executed=False)
            self._next = turn + self._gap
        self._clock.sleep(turn - now)
        return self._api.compare(live, image, seconds - (turn - now))

    def relay(self, bucket: Bucket, stored: Stored, md5: str, seconds: float) -> Resource:
        return self._api.relay(bucket, stored, md5, seconds)

    def frame(self, answer: Answer, seconds: float) -> bytes:
        return self._api.frame(answer, seconds)


class _Patience:
    """The consumer, until it has let `TIMEOUTS` deliveries in a row run out of time."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._timeouts = 0

    @property
    def over(self) -> bool:
        return self._timeouts >= TIMEOUTS

    def post(self, message_id: str, body: str, now: datetime, seconds: float) -> Delivery:
        said = self._consumer.post(message_id, body, now, seconds)
        self._timeouts = self._timeouts + 1 if said.timed_out else 0
        return said


class _Sweep:
    """One sweep's queues, and what has come of them."""

    def __init__(self, s: Services, keys: list[str]) -> None:
        self.patience = _Patience(s.consumer)
        self.calls = deque(key for key in keys if not s.ledger.is_delivery(key))
        self.deliveries = deque(key for key in keys if s.ledger.is_delivery(key))
        self.handed: deque[tuple[Record, tuple[str, ...]]] = deque()
        self._known: set[str] = set()
        self.calling = 0
        self.outcomes: list[str] = []
        self.failed: Exception | None = None
        self.done = 0
        self._until = s.clock.elapsed() + SWEEP_SECONDS
        self.api = PacedApi(s.api, s.settings.api_rate, s.clock)
        self.s = s._replace(
            api=self.api,
            consumer=self.patience,
            hand_over=self._hand_over,
        )

    def _hand_over(self, record: Record, clear: tuple[str, ...]) -> None:
        """Take a record that is to be told, once: another entry of its pair may lead to it too."""
        if record.which.id not in self._known:
            self._known.add(record.which.id)
            self.handed.append((record, clear))

    def _goes_on(self, needed: float) -> bool:
        """Whether work that needs so many seconds may still begin."""
        return self.s.clock.elapsed() < self._until and self.s.deadline.left() >= needed

    def call_lane(self) -> None:
        """Advance what is due."""
        try:
            while not self.api.over and self._goes_on(CALL_LEFT + AFTER_CALL):
                key = _next(self.calls)
                if key is None:
                    return
                self._do(partial(_entry, self.s, key))
        finally:
            self.calling -= 1

    def delivery_lane(self) -> None:
        """Deliver what the call lanes hand over, and what is due."""
        while not self.patience.over and self.s.deadline.left() >= POST_SECONDS + 1:
            handed = _next(self.handed)
            if handed is not None:
                self._do(partial(told, self.s, *handed))
                continue
            key = _next(self.deliveries) if self._goes_on(POST_SECONDS + 1) else None
            if key is not None:
                self._do(partial(_entry, self.s, key))
            elif self.calling:
                self.s.clock.sleep(0.05)
            else:
                return

    def run(self) -> None:
        """Run all lanes side by side until they have ended."""
        lanes = min(MOST_CALLS, len(self.calls), math.ceil(self.s.settings.api_rate * CALL_LATENCY))
        self.calling = lanes
        delivering = min(MOST_DELIVERIES, len(self.calls) + len(self.deliveries))
        self.s.together([*[self.call_lane] * lanes, *[self.delivery_lane] * delivering])

    def _do(self, work: Callable[[], list[str]]) -> None:
        try:
            self.outcomes += work()
        except Exception as error:  # noqa: BLE001 # raised again when the others have had their turn
            # What it was for stays on the agenda.
            ours = isinstance(error, CosError)
            self.s.log("entry_failed", "ERROR", error=str(error) if ours else type(error).__name__)
            self.failed = self.failed or error
        self.done += 1


def _next(queue: deque[T]) -> T | None:
    """The next of a queue that lanes share, None where it is empty."""
    try:
        return queue.popleft()
    except IndexError:
        return None


def sweep(s: Services) -> list[str]:
    """Do what is due, oldest first, as far as the time goes. Returns the outcomes reached.

    Raises the first failure, once everything else has had its turn.
    """
    began = s.clock.now()
    # The timer fires at second 0; a clock that is a moment behind would leave the whole minute to the next.
    keys = s.ledger.due(began + CLOCK_MARGIN, MOST_DUE)
    run = _Sweep(s, keys)
    run.run()
    oldest = s.ledger.minute_of(keys[0]) if keys else None
    s.log(
        "sweep",
        due=len(keys),
        done=run.done,
        left=len(run.calls) + len(run.deliveries) + len(run.handed),
        oldest_s=max(0.0, (began - oldest).total_seconds()) if oldest else None,
        webhook_gave_up=run.patience.over or None,
    )
    if run.failed is not None:
        raise run.failed
    return run.outcomes


def _entry(s: Services, key: str) -> list[str]:
    """Do what one agenda entry asks for. An entry that cannot be read is reported and removed."""
    try:
        task = s.ledger.task(key)
        if task is None:
            return []  # another sweep was faster
        return walk(s, task, key) if task.kind == "reconcile" else resume(s, key, task)
    except CorruptState as error:
        s.log("corrupt_state", "ERROR", key=error.key, error=str(error))
        s.ledger.take_off([key])
        return []


def reconcile(s: Services) -> list[str]:
    """Start a walk over the uploads. Returns the outcomes reached; sweeps go on with what is left."""
    try:
        last = s.ledger.last_walk()
    except CorruptState as error:
        s.log("corrupt_state", "ERROR", key=error.key, error=str(error))
        last = None  # so everything is walked
    task = Task(
        "reconcile",
        s.settings.bucket,
        uploaded_at=s.clock.now(),
        since=last - OVERLAP if last else None,
    )
    s = s._replace(api=PacedApi(s.api, s.settings.api_rate, s.clock))
    return walk(s, task, s.ledger.put_on(Entry(s.clock.now(), task)))


def walk(s: Services, task: Task, entry_key: str) -> list[str]:
    """Advance the pairs of uploads after `task.key`, as far as the time goes; a sweep takes up the rest."""
    until = s.clock.elapsed() + SWEEP_SECONDS
    began = task.uploaded_at or s.clock.now()
    outcomes: list[str] = []
    after, looked_at, pending = task.key, 0, s.ledger.pending()
    for prefix in _prefixes(s):
        if after and after > prefix and not after.startswith(prefix):
            continue  # walked before
        more = True
        while more:
            found, more = s.uploads.list(prefix, after if after.startswith(prefix) else "")
            for stored in found:
                if s.clock.elapsed() > until or s.deadline.left() < CALL_LEFT + AFTER_CALL:
                    put = s.ledger.put_on(Entry(s.clock.now(), task._replace(key=after)))
                    if put != entry_key:
                        s.ledger.take_off([entry_key])
                    s.log("reconcile", looked_at=looked_at, finished=False)
                    return outcomes
                after = stored.key
                if _is_covered(stored.last_modified, began, task.since):
                    looked_at += 1
                    outcomes += walked_past(s, stored, pending)
    s.ledger.walked(began)
    s.ledger.take_off([entry_key])
    s.log("reconcile", looked_at=looked_at, finished=True)
    return outcomes


def _prefixes(s: Services) -> list[str]:
    """What uploads begin with, in order; one that begins with another is walked with it."""
    templates = (*s.settings.templates.live, *s.settings.templates.image)
    every = sorted({template.prefix for template in templates})
    return [p for p in every if not any(p != other and p.startswith(other) for other in every)]


def _is_covered(uploaded_at: datetime, began: datetime, since: datetime | None) -> bool:
    return uploaded_at <= began - MIN_AGE and (since is None or uploaded_at >= since)
