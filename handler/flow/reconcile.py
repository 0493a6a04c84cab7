"""The walk over all uploads, which finds what no event told."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from handler.flow.call import seconds_needed
from handler.flow.listing import Listing
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
    """Visit the unsettled pairs of the uploads after `task.key`, as far as the time goes.

    A sweep takes up the rest.
    """
    ledger, clock = services.ledger, services.clock
    until, needed = clock.elapsed() + SWEEP_SECONDS, seconds_needed(services.settings) + 1
    task = task._replace(began_at=task.began_at or clock.now())
    outcomes: list[str] = []
    looked_at = visited = 0

    def goes_on() -> bool:
        return clock.elapsed() <= until and services.deadline.left() >= needed

    pending = ledger.pending()
    listing = Listing(services, _prefixes(services.settings.templates), pending)
    for page in listing.pages(task.key):
        looked_at += sum(_is_covered(stored, task) for stored in page)
        for each in listing.unsettled(page, task.key, partial(_is_covered, task=task), goes_on):
            task = task._replace(key=each.place)
            if not goes_on():
                break
            visited += 1
            outcomes += walk_past(services, each.upload, pending, hand_over)
        else:
            task = task._replace(key=page[-1].key)
        if not goes_on():
            put = ledger.put_on(Entry(clock.now(), task))
            if put != entry_key:
                ledger.take_off([entry_key])
            services.log("reconcile", looked_at=looked_at, visited=visited, finished=False)
            return outcomes
    _note(services, task)
    ledger.take_off([entry_key])
    services.log("reconcile", looked_at=looked_at, visited=visited, finished=True)
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


def _prefixes(templates: Templates) -> list[str]:
    """What uploads begin with, in order; one that begins with another is walked with it."""
    every = sorted({template.prefix for template in (*templates.live, *templates.image)})
    return [p for p in every if not any(p != other and p.startswith(other) for other in every)]


def _is_covered(stored: Stored, task: Walk) -> bool:
    """Whether an upload is old enough, and young enough, for this walk."""
    is_old = task.began_at is None or stored.uploaded_at <= task.began_at - MIN_AGE
    return is_old and (task.since is None or stored.uploaded_at >= task.since)
