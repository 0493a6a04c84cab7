"""`forget`: erase everything about a person's pair, and prove that nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import IntEnum
from functools import partial
from typing import NamedTuple

from handler.cli.bucket import Version
from handler.cli.deployment import Deployment
from handler.cli.find import Scheduled, agenda, side_by_side, stored_json, stored_time
from handler.cli.inventory import Inventory, Subject, take_inventory
from handler.cli.output import Output
from handler.edges.webhook import POST_SECONDS
from handler.rules.agenda import Deliver, TakeOver

ROUNDS = 3  # an instance at work may write something after it was erased


class Erasure(NamedTuple):
    """What `forget` did: the keys it erased, what is left, and until when an instance may write more."""

    erased: list[str]
    left: Inventory
    busy_until: datetime | None

    @property
    def complete(self) -> bool:
        return not self.left and not self.busy_until


def forget(deployment: Deployment, output: Output, subject: Subject) -> Erasure:
    """Erase everything about a subject, and take its inventory again until nothing is left."""
    busy_until = _busy_until(deployment, subject)  # asked first: what tells it is erased with the rest
    left = _hide_uploads(deployment, subject, take_inventory(deployment, subject))
    erased: set[str] = set()
    for _ in range(ROUNDS):
        if not left:
            break
        _erase(deployment, output, left)
        erased |= set(left.keys)
        left = take_inventory(deployment, subject)
    return Erasure(sorted(erased), left, busy_until)


def _hide_uploads(deployment: Deployment, subject: Subject, inventory: Inventory) -> Inventory:
    """Lay delete markers over uploads of which there are versions. Returns the inventory then.

    Without a marker over them the version before the last would be an upload for a moment.
    """
    prefix = deployment.settings.state_prefix
    uploads = {version.key for _, version in inventory.versions if not version.key.startswith(prefix)}
    if not uploads or not deployment.uploads.keeps_versions():
        return inventory
    deployment.uploads.objects.delete(sorted(uploads))
    return take_inventory(deployment, subject)


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


def _busy_until(deployment: Deployment, subject: Subject) -> datetime | None:
    """Until when an instance may write what it has in hand about a subject; None where none is at work."""
    entries = agenda(deployment, ("take_over-", "deliver-"))
    ends = [_in_hand_until(deployment, entry) for entry in entries if entry.path in subject.paths]
    return max((end for end in ends if end), default=None)


def _in_hand_until(deployment: Deployment, entry: Scheduled) -> datetime | None:
    """Until when an instance may be at work on an agenda entry."""
    task, now = entry.task, deployment.clock.now()
    if isinstance(task, Deliver):
        is_due = entry.due is not None and entry.due <= now
        return now + timedelta(seconds=2 * POST_SECONDS) if is_due else None
    if not isinstance(task, TakeOver):
        return None
    claim = stored_json(deployment, deployment.ledger.claim_key(task.verification, task.n))
    lease = stored_time(claim, "lease_until")
    runs = lease is not None and lease > now and claim.get("retry_at") is None
    return lease if runs else None
