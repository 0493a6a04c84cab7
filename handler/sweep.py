"""The timer: what is due on the agenda, and the walk over all uploads that finds what no event told.

A sweep lists what is due and nothing else, so it costs with the work due and not with history.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from handler.advance import resume, walked_past
from handler.clock import Clock
from handler.cos import Bucket, CosError, Stored
from handler.faceid import Answer, Api, Resource
from handler.judge import AFTER_CALL, CALL_LEFT
from handler.ledger import CorruptState, Entry, Task
from handler.services import Services

SWEEP_SECONDS = 50.0
"""How long a sweep works: the next one starts a minute after it."""

MIN_AGE = timedelta(minutes=10)
"""Reconcile leaves younger uploads to their events."""

OVERLAP = timedelta(days=1)
"""How far before the start of the last finished walk the next one begins."""


class PacedApi:
    """The API, called no more often than `rate` times a second."""

    def __init__(self, api: Api, rate: float, clock: Clock) -> None:
        self.region = api.region
        self._api, self._clock = api, clock
        self._gap = 1 / rate
        self._next = 0.0

    def compare(self, live: Resource, image: Resource, seconds: float) -> Answer:
        now = self._clock.elapsed()
        self._next = max(self._next, now) + self._gap
        wait = self._next - self._gap - now
        self._clock.sleep(max(0.0, wait))
        return self._api.compare(live, image, seconds - max(0.0, wait))

    def relay(self, bucket: Bucket, stored: Stored, md5: str, seconds: float) -> Resource:
        return self._api.relay(bucket, stored, md5, seconds)

    def frame(self, answer: Answer, seconds: float) -> bytes:
        return self._api.frame(answer, seconds)


def sweep(s: Services) -> list[str]:
    """Do what is due, oldest first, as far as the time goes. Returns the outcomes reached."""
    s = replace(s, api=PacedApi(s.api, s.settings.api_rate, s.clock))
    until = s.clock.elapsed() + SWEEP_SECONDS
    began = s.clock.now()
    outcomes: list[str] = []
    failed: Exception | None = None
    done, after, oldest = 0, "", None
    more = True
    while more:
        keys, more = s.ledger.due(began, after)
        oldest = oldest or (keys[0] if keys else None)
        for key in keys:
            after = key
            if min(until - s.clock.elapsed(), s.deadline.left()) < CALL_LEFT + AFTER_CALL:
                more = False
                break
            done += 1
            try:
                outcomes += _do(s, key)
            except CosError as error:
                # The entry stays on the agenda; the others have their turn all the same.
                s.log("entry_failed", "ERROR", agenda_key=key, error=str(error))
                failed = failed or error
    s.log("sweep", due=done, oldest=oldest and oldest.split("/agenda/", 1)[-1].split("/")[0])
    if failed is not None:
        raise failed
    return outcomes


def _do(s: Services, key: str) -> list[str]:
    try:
        task = s.ledger.task(key)
        if task is None:
            return []
        return walk(s, task, key) if task.kind == "reconcile" else resume(s, key, task)
    except CorruptState as error:
        s.log("corrupt_state", "ERROR", key=error.key, error=str(error))
        s.ledger.take_off([key])
        return []


def reconcile(s: Services) -> list[str]:
    """Start a walk over the uploads, unless one is under way. Returns the outcomes reached."""
    last = s.ledger.last_walk()
    since = last - OVERLAP if last else None
    task = Task("reconcile", s.settings.bucket, uploaded_at=s.clock.now(), since=since)
    entry = Entry(s.clock.now(), task)
    return walk(s, task, s.ledger.put_on(entry))


def walk(s: Services, task: Task, entry: str) -> list[str]:
    """Advance the pairs of uploads after `task.key`, as far as the time goes; a sweep takes up the rest."""
    s = replace(s, api=PacedApi(s.api, s.settings.api_rate, s.clock))
    until = s.clock.elapsed() + SWEEP_SECONDS
    outcomes: list[str] = []
    began = task.uploaded_at or s.clock.now()
    templates = (*s.settings.templates.live, *s.settings.templates.image)
    prefixes = sorted({template.prefix for template in templates})
    # A prefix that begins with another one is walked with it.
    prefixes = [p for p in prefixes if not any(p != other and p.startswith(other) for other in prefixes)]
    after, seen = task.key, 0
    for prefix in prefixes:
        if after > prefix and not after.startswith(prefix):
            continue
        more = True
        while more:
            found, more = s.uploads.list(prefix, after if after.startswith(prefix) else "")
            for stored in found:
                if min(until - s.clock.elapsed(), s.deadline.left()) < CALL_LEFT + AFTER_CALL:
                    put = s.ledger.put_on(Entry(s.clock.now(), replace(task, key=after)))
                    if put != entry:
                        s.ledger.take_off([entry])
                    s.log("reconcile", looked_at=seen, finished=False)
                    return outcomes
                after = stored.key
                if _is_covered(stored.last_modified, began, task.since):
                    seen += 1
                    outcomes += walked_past(s, stored)
    s.ledger.walked(began)
    s.ledger.take_off([entry])
    s.log("reconcile", looked_at=seen, finished=True)
    return outcomes


def _is_covered(uploaded_at: datetime, began: datetime, since: datetime | None) -> bool:
    return uploaded_at <= began - MIN_AGE and (since is None or uploaded_at >= since)
