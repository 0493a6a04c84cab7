"""`forget`: erase everything about a person's pair, and prove that nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import IntEnum
from functools import partial
from typing import NamedTuple

from handler.cli.at_work import AtWork, at_work, guard
from handler.cli.bucket import Version
from handler.cli.by_key import state_keys
from handler.cli.deployment import Deployment
from handler.cli.find import Scheduled, agenda_keys, certain_pair, side_by_side
from handler.cli.inventory import Inventory, Subject, entries_about, take_inventory, walks_at
from handler.cli.output import Output, when
from handler.rules.agenda import Entry

ROUNDS = 3  # an instance at work may write something after it was erased
WAITS = 3  # and another may begin while one is waited for

SETTLE_SECONDS = 2.0
"""How long an instance that saw the uploads before they were erased may take to write that it is at work."""


class Erasure(NamedTuple):
    """What `forget` did: the keys it erased, what is left, and until when an instance may write more."""

    erased: list[str]
    left: Inventory
    busy_until: datetime | None

    @property
    def complete(self) -> bool:
        return not self.left and not self.busy_until


def forget(deployment: Deployment, output: Output, subject: Subject, *, wait: bool = False) -> Erasure:
    """Erase everything about a subject, and take its inventory again until nothing is left.

    An instance that is at work may write something anew: with `wait` it is waited for, and that is erased
    too.
    """
    erasure = _erase_all(deployment, output, subject)
    for _ in range(WAITS):
        if not wait or erasure.busy_until is None:
            break
        output.say(f"An instance was at work on it, and may write until {when(erasure.busy_until)}: waiting.")
        left = erasure.busy_until - deployment.clock.now()
        deployment.clock.sleep(max(0.0, left.total_seconds()) + 1)
        again = _erase_all(deployment, output, subject)
        erasure = again._replace(erased=sorted({*erasure.erased, *again.erased}))
    return erasure


def _erase_all(deployment: Deployment, output: Output, subject: Subject) -> Erasure:
    """Erase what there is, and what is written meanwhile; leave guards where more may be written later."""
    erased: set[str] = set()
    busy: dict[str, datetime] = {}
    known = state_keys(deployment, subject.pairs)  # asked while the uploads are there
    rounds = 0
    while True:
        listed = agenda_keys(deployment)
        entries = entries_about(deployment, subject, known, listed)
        # Asked before anything is erased, since what tells it is erased with the rest.
        for work in at_work(deployment, subject, entries, known):
            busy[work.key] = max(work.until, busy.get(work.key, work.until))
        guards = {deployment.ledger.put_on(guard(deployment, AtWork(*each))) for each in busy.items()}
        left = _without(guards, take_inventory(deployment, subject, entries, known))
        walks = walks_at(deployment, subject, listed)
        if rounds:
            left = _still_there(left)
        if not (left or walks) or rounds == ROUNDS:
            return Erasure(sorted(erased), left, max(busy.values(), default=None))
        if not rounds and _hide_uploads(deployment, left):
            left = _without(guards, take_inventory(deployment, subject, entries, known))
        _erase(deployment, output, left)
        for walk in walks:
            _move(deployment, subject, walk)
        erased |= set(left.keys)
        deployment.clock.sleep(SETTLE_SECONDS)
        rounds += 1


def _move(deployment: Deployment, subject: Subject, walk: Scheduled) -> None:
    """Move a walk back to the upload before the subject's, so that it names the subject no more.

    Between the two lies only what is erased, or came since: nothing is left out.
    """
    assert walk.task is not None  # noqa: S101 # a walk has been read
    task = walk.task._replace(key=_place_before(deployment, subject, walk.task.key))
    put = deployment.ledger.put_on(Entry(walk.due or deployment.clock.now(), task))
    if put != walk.key:
        deployment.ledger.take_off([walk.key])


def _place_before(deployment: Deployment, subject: Subject, key: str) -> str:
    """The last upload before `key` that is another's; where there is none, what uploads begin with there."""
    place = max((each.prefix for each in deployment.templates if key.startswith(each.prefix)), key=len)
    for stored in deployment.uploads.every(place):
        if stored.key >= key:
            break
        if stored.key not in subject.uploads and certain_pair(deployment, stored.key) is not None:
            place = stored.key
    return place


def _without(guards: set[str], inventory: Inventory) -> Inventory:
    return inventory.only(lambda key: key not in guards)


def _still_there(inventory: Inventory) -> Inventory:
    """Without what LIST shows though it is erased. Of versions it tells itself, by their ids."""
    heads = side_by_side(
        partial(bucket.objects.head, version.key) for bucket, version in inventory.versions if not version.id
    )
    there = {stored.key for stored in heads if stored}
    kept = [each for each in inventory.versions if each[1].id or each[1].key in there]
    return Inventory(kept, inventory.unfinished)


def _hide_uploads(deployment: Deployment, inventory: Inventory) -> bool:
    """Lay delete markers over uploads of which there are versions. Returns whether there are any.

    Without a marker over them the version before the last would be an upload for a moment.
    """
    prefix = deployment.settings.state_prefix
    uploads = {version.key for _, version in inventory.versions if not version.key.startswith(prefix)}
    if not uploads or not deployment.uploads.keeps_versions():
        return False
    deployment.uploads.objects.delete(sorted(uploads))
    return True


class Step(IntEnum):
    """In which order objects are erased.

    Uploads go first, so that no sweep judges what is being erased, and their delete markers only after them,
    or an old version would be an upload for a moment. Records go last: should this end between, an ID still
    finds the rest by its record.
    """

    UPLOADS = 0
    MARKERS = 1
    STATE = 2
    RECORDS = 3


def _erase(deployment: Deployment, output: Output, inventory: Inventory) -> None:
    calls: dict[Step, list[Callable[[], None]]] = {step: [] for step in Step}
    for bucket, upload in inventory.unfinished:
        calls[Step.UPLOADS].append(partial(bucket.abort, upload))
    for bucket, version in inventory.versions:
        calls[_step(deployment, version)].append(partial(bucket.erase, version))
    with output.progress() as progress:
        bar = progress.add_task("erasing", total=len(inventory))
        for step in Step:
            side_by_side(calls[step], partial(progress.advance, bar))


def _step(deployment: Deployment, version: Version) -> Step:
    if version.key.startswith(deployment.state_prefix("records")):
        return Step.RECORDS
    if version.key.startswith(deployment.settings.state_prefix):
        return Step.STATE
    return Step.MARKERS if version.marker else Step.UPLOADS
