"""`redeliver`, `retry` and `reconcile`: they put on the agenda what the function's next sweep then does.

So there is one path for everything that is told and judged, whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from handler.cli.deployment import Deployment, Problem
from handler.cli.find import agenda, find_record, side_by_side, which_of
from handler.cli.output import Output, when
from handler.flow.sweep import OVERLAP
from handler.rules.outcome import Verification
from handler.state.ledger import CorruptState, Entry, Record, Task

NEXT_SWEEP = "The function's next sweep, within a minute or so, does it."


def redeliver(d: Deployment, output: Output, records: Iterable[Record]) -> list[str]:
    """Have messages posted once more, same id and same bytes. Returns the verifications' IDs.

    What was delivered or given up counts as untold again, and its schedule begins anew. What was erased since
    it was listed stays erased.
    """
    chosen = [record.which for record in records]
    with output.progress() as progress:
        bar = progress.add_task("putting on the agenda", total=len(chosen))
        found = side_by_side((partial(_redeliver, d, each) for each in chosen), lambda: progress.advance(bar))
    return [which.id for which, redelivered in zip(chosen, found, strict=True) if redelivered]


def _redeliver(d: Deployment, which: Verification) -> bool:
    record = d.ledger.record(which)
    if record is None:
        return False
    task = Task("deliver", record.bucket, record.live_key, "live", verification=which, attempt=1)
    # Due only after it has been marked, or a sweep would take it off; there before, should this end between.
    guard = d.ledger.put_on(Entry(d.clock.now() + timedelta(minutes=2), task))
    if record.delivered_at or record.dead_at:
        d.ledger.mark(record._replace(delivered_at=None, dead_at=None, attempts=0))
    d.ledger.put_on(Entry(d.clock.now(), task))
    d.ledger.take_off([guard, d.ledger.dead_key(which)])
    return True


def dead(d: Deployment) -> list[Record]:
    """The records whose delivery was given up."""
    prefix = f"{d.settings.state_prefix}dead/"
    names = [stored.key.removeprefix(prefix).rpartition("/") for stored in d.state.every(prefix)]
    found = side_by_side(partial(d.ledger.record, Verification(which, 1, path)) for path, _, which in names)
    return [record for record in found if record]


def decided_since(d: Deployment, output: Output, since: datetime) -> list[Record]:
    """The records decided at `since` or later, in order of time. Lists all records."""
    with output.progress() as progress:
        bar = progress.add_task("looking for records", total=None)
        # A record is never older than its object's last change.
        keys = [
            stored.key
            for stored in d.state.every(f"{d.settings.state_prefix}records/")
            if stored.last_modified.timestamp() >= int(since.timestamp())
        ]
        calls = (partial(d.ledger.record, which_of(d, key)) for key in keys)
        records = side_by_side(calls, lambda: progress.advance(bar))
    found = [record for record in records if record and record.decided_at >= since]
    return sorted(found, key=lambda record: record.decided_at)


def retry(d: Deployment, which: str) -> tuple[Record, int]:
    """Ask for another run of what ended `failed` or `incomplete`. Returns its record and the run.

    The run's number stands on the agenda, so asking twice starts one. Raises Problem.
    """
    record = find_record(d, which)
    if record.outcome not in ("failed", "incomplete"):
        raise Problem(
            f"{record.which.id} ended as {record.outcome}: only failed and incomplete ones are tried again; "
            "upload other bytes for another verification"
        )
    newest = _newest_run(d, record)
    if newest.which.id != record.which.id:
        raise Problem(f"{record.which.id} was tried again already, as {newest.which.id} ({newest.outcome})")
    for half in (record.live, record.image):
        _check_there(d, half)
    key = record.live_key if record.live or not record.image else record.image_key
    run = record.which.run + 1
    d.ledger.put_on(Entry(d.clock.now(), Task("look", record.bucket, key, run=run)))
    return record, run


def _check_there(d: Deployment, half: Mapping[str, Any] | None) -> None:
    """Raises Problem where an upload is no longer the one that a run was about."""
    stored = d.uploads.head(half["key"]) if half else None
    if half and stored is None:
        raise Problem(f"{half['key']} is gone; upload it again, which starts another run")
    if half and stored and stored.etag != half["etag"]:
        raise Problem(f"{half['key']} was replaced since, and what replaced it has an outcome of its own")


def _newest_run(d: Deployment, record: Record) -> Record:
    """The last run about the same bytes of the same keys."""

    def about(each: Record) -> tuple[object, ...]:
        halves = tuple((half or {}).get("md5") for half in (each.live, each.image))
        return each.live_key, each.image_key, *halves

    runs = [each for each in d.ledger.records(record.which.path) if about(each) == about(record)]
    return max([*runs, record], key=lambda each: each.which.run)


def reconcile(d: Deployment, since: datetime | None, *, everything: bool = False) -> datetime | None:
    """Have all uploads since a moment walked; None: as the daily timer does.

    Returns since when, None for `everything`. Raises Problem where a walk is under way.
    """
    pending = agenda(d, ("reconcile-",))
    if pending:
        raise Problem(f"a reconcile is under way and goes on at {when(pending[0].due)}; wait for its end")
    if since is None and not everything:
        since = _last_walk(d)
    task = Task("reconcile", d.settings.bucket, uploaded_at=d.clock.now(), since=since)
    d.ledger.put_on(Entry(d.clock.now(), task))
    return since


def _last_walk(d: Deployment) -> datetime | None:
    try:
        last = d.ledger.last_walk()
    except CorruptState:
        return None
    return last - OVERLAP if last else None
