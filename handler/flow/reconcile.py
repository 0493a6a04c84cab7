"""The walk over all uploads, which finds what no event told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from handler.flow.call import seconds_needed
from handler.flow.pacing import SWEEP_SECONDS, PacedApi
from handler.flow.steps import HandOver
from handler.flow.visit import walk_past
from handler.rules.agenda import Entry, Walk
from handler.rules.pairing import Templates
from handler.rules.uploads import Stored
from handler.services import Services
from handler.state.objects import CorruptState

MIN_AGE = timedelta(minutes=10)
"""A walk leaves younger uploads to their events."""

MARK_DAYS = timedelta(days=7)
"""How long a live package is marked as waiting for an image that serves many; then it waits no more."""

OVERLAP = timedelta(days=1)
"""How far before the start of the last finished walk the next one begins."""


def reconcile(services: Services) -> list[str]:
    """Start a walk over the uploads. Returns the outcomes told; sweeps go on with what is left."""
    last, now = _last_walk(services), services.clock.now()
    task = Walk(services.settings.bucket, began_at=now, since=last - OVERLAP if last else None)
    services = services._replace(api=PacedApi(services.api, services.settings.api_rate, services.clock))
    return walk(services, task, services.ledger.put_on(Entry(now, task)), None)


def walk(services: Services, task: Walk, entry_key: str, hand_over: HandOver | None) -> list[str]:
    """Visit the pairs of the uploads after `task.key`, as far as the time goes; a sweep takes up the rest."""
    ledger, clock = services.ledger, services.clock
    until, needed = clock.elapsed() + SWEEP_SECONDS, seconds_needed(services.settings) + 1
    task = task._replace(began_at=task.began_at or clock.now())
    outcomes: list[str] = []
    looked_at, pending = 0, ledger.pending()
    for stored in _uploads(services, task.key):
        if clock.elapsed() > until or services.deadline.left() < needed:
            put = ledger.put_on(Entry(clock.now(), task))
            if put != entry_key:
                ledger.take_off([entry_key])
            services.log("reconcile", looked_at=looked_at, finished=False)
            return outcomes
        task = task._replace(key=stored.key)
        if _is_covered(stored, task):
            looked_at += 1
            outcomes += walk_past(services, stored, pending, hand_over)
    _note(services, task)
    ledger.take_off([entry_key])
    services.log("reconcile", looked_at=looked_at, finished=True)
    return outcomes


def _last_walk(services: Services) -> datetime | None:
    """When the last finished walk that left nothing out began; None where everything is to be walked."""
    try:
        return services.ledger.last_walk()
    except CorruptState as error:
        services.log("corrupt_state", "ERROR", key=error.key, error=str(error))
        return None


def _note(services: Services, task: Walk) -> None:
    """Note that a walk has finished, if it began where the last one ended, or before."""
    last = _last_walk(services)
    began_at = task.began_at or services.clock.now()
    if task.since is None or (last is not None and task.since <= last < began_at):
        services.ledger.walked(began_at)
    if services.settings.templates.shared:
        services.ledger.forget_marks(began_at - MARK_DAYS)


def _uploads(services: Services, after: str) -> Iterator[Stored]:
    """The objects under the templates' prefixes after a key, in order."""
    for prefix in _prefixes(services.settings.templates):
        if after > prefix and not after.startswith(prefix):
            continue  # walked before
        last, more = after if after.startswith(prefix) else "", True
        while more:
            page, more = services.uploads.list(prefix, last)
            yield from page
            last = page[-1].key if page else last


def _prefixes(templates: Templates) -> list[str]:
    """What uploads begin with, in order; one that begins with another is walked with it."""
    every = sorted({template.prefix for template in (*templates.live, *templates.image)})
    return [p for p in every if not any(p != other and p.startswith(other) for other in every)]


def _is_covered(stored: Stored, task: Walk) -> bool:
    """Whether an upload is old enough, and young enough, for this walk."""
    is_old = task.began_at is None or stored.uploaded_at <= task.began_at - MIN_AGE
    return is_old and (task.since is None or stored.uploaded_at >= task.since)
