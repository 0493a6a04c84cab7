"""`redeliver`, `retry` and `reconcile`: they put on the agenda what the function's next sweep then does.

So there is one path for everything that is told and judged, whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from handler.cli.deployment import Deployment, Problem
from handler.cli.find import agenda, find_record, side_by_side, verification_of_key
from handler.cli.output import Output, when
from handler.flow.reconcile import OVERLAP
from handler.rules.agenda import Entry, Look, Walk, delivery
from handler.rules.outcome import Verification
from handler.rules.records import Record
from handler.state.objects import CorruptState

NEXT_SWEEP = "The function's next sweep, within a minute or so, does it."

GUARD = timedelta(minutes=2)
"""How long `redeliver` has to mark one record, before a sweep delivers it should the command have ended."""

RETRIED = ("failed", "incomplete")
"""The outcomes that another run may change."""


# --- redeliver ------------------------------------------------------------------------------------------


def redeliver(deployment: Deployment, output: Output, records: Iterable[Record]) -> list[str]:
    """Have messages posted once more, same id and same bytes. Returns the verifications' IDs.

    What was delivered or given up counts as untold again, and its schedule begins anew. What was erased since
    it was listed stays erased.
    """
    chosen = [record.verification for record in records]
    with output.progress() as progress:
        bar = progress.add_task("putting on the agenda", total=len(chosen))
        results = side_by_side(
            (partial(_redeliver, deployment, each) for each in chosen), lambda: progress.advance(bar)
        )
    return [verification.id for verification, done in zip(chosen, results, strict=True) if done]


def _redeliver(deployment: Deployment, verification: Verification) -> bool:
    """Returns whether there is still a record to deliver."""
    ledger, now = deployment.ledger, deployment.clock.now()
    record = ledger.record(verification)
    if record is None:
        return False
    task = delivery(record, 1)
    # Due only after it has been marked, or a sweep would take it off; there before, should this end between.
    guard = ledger.put_on(Entry(now + GUARD, task))
    if record.delivered_at or record.dead_at:
        ledger.mark(record._replace(delivered_at=None, dead_at=None, attempts=0, told_from=now))
    ledger.put_on(Entry(deployment.clock.now(), task))
    ledger.take_off([guard, ledger.dead_key(verification)])
    return True


def dead(deployment: Deployment) -> list[Record]:
    """The records whose delivery was given up."""
    prefix = deployment.state_prefix("dead")
    names = [stored.key.removeprefix(prefix).rpartition("/") for stored in deployment.state.every(prefix)]
    records = side_by_side(
        partial(deployment.ledger.record, Verification(id_, 1, path)) for path, _, id_ in names
    )
    return [record for record in records if record]


def decided_since(deployment: Deployment, output: Output, since: datetime) -> list[Record]:
    """The records decided at `since` or later, in order of time. Lists all records."""
    with output.progress() as progress:
        bar = progress.add_task("looking for records", total=None)
        # A record is never older than its object's last change.
        keys = [
            stored.key
            for stored in deployment.state.every(deployment.state_prefix("records"))
            if stored.uploaded_at.timestamp() >= int(since.timestamp())
        ]
        reads = (partial(deployment.ledger.record, verification_of_key(deployment, key)) for key in keys)
        records = side_by_side(reads, lambda: progress.advance(bar))
    chosen = [record for record in records if record and record.decided_at >= since]
    return sorted(chosen, key=lambda record: record.decided_at)


# --- retry ----------------------------------------------------------------------------------------------


def retry(deployment: Deployment, reference: str) -> tuple[Record, int]:
    """Ask for another run of what ended `failed` or `incomplete`. Returns its record and the run.

    The run's number stands on the agenda, so asking twice starts one. Raises Problem.
    """
    record = find_record(deployment, reference)
    verification = record.verification
    if record.outcome not in RETRIED:
        raise Problem(
            f"{verification.id} ended as {record.outcome}: only {' and '.join(RETRIED)} ones are tried "
            "again; upload other bytes for another verification"
        )
    newest = _newest_run(deployment, record)
    if newest.verification.id != verification.id:
        raise Problem(
            f"{verification.id} was tried again already, as {newest.verification.id} ({newest.outcome})"
        )
    for half in (record.live, record.image):
        if half:
            _check_still_there(deployment, half)
    key = record.live_key if record.live or not record.image else record.image_key
    run = verification.run + 1
    deployment.ledger.put_on(Entry(deployment.clock.now(), Look(record.bucket, key, run=run)))
    return record, run


def _check_still_there(deployment: Deployment, half: Mapping[str, Any]) -> None:
    """Raises Problem where an upload is no longer the one that a run was about."""
    stored = deployment.uploads.objects.head(half["key"])
    if stored is None:
        raise Problem(f"{half['key']} is gone; upload it again, which starts another run")
    if stored.etag != half["etag"]:
        raise Problem(f"{half['key']} was replaced since, and what replaced it has an outcome of its own")


def _newest_run(deployment: Deployment, record: Record) -> Record:
    """The last run about the same bytes of the same keys."""
    records = deployment.ledger.records(record.verification.path)
    runs = [each for each in records if _bytes_of(each) == _bytes_of(record)]
    return max([*runs, record], key=lambda each: each.verification.run)


def _bytes_of(record: Record) -> tuple[object, ...]:
    """What a record is about: both keys, and the MD5 of each half that was there."""
    md5s = tuple((half or {}).get("md5") for half in (record.live, record.image))
    return record.live_key, record.image_key, *md5s


# --- reconcile ------------------------------------------------------------------------------------------


def reconcile(deployment: Deployment, since: datetime | None, *, everything: bool = False) -> datetime | None:
    """Have all uploads since a moment walked; None: as the daily timer does.

    Returns since when, None for `everything`. Raises Problem where a walk is under way.
    """
    pending = agenda(deployment, ("reconcile-",))
    if pending:
        raise Problem(f"a reconcile is under way and goes on at {when(pending[0].due)}; wait for its end")
    if since is None and not everything:
        since = _last_walk(deployment)
    now = deployment.clock.now()
    task = Walk(deployment.settings.bucket, began_at=now, since=since)
    deployment.ledger.put_on(Entry(now, task))
    return since


def _last_walk(deployment: Deployment) -> datetime | None:
    try:
        last = deployment.ledger.last_walk()
    except CorruptState:
        return None
    return last - OVERLAP if last else None
