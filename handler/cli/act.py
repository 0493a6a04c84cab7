"""`redeliver`, `retry` and `reconcile`: they put on the agenda what the function's next sweep then does.

So there is one path for everything that is told and judged, whoever asks for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

from handler.cli.deployment import Deployment, Problem
from handler.cli.find import AT_ONCE, agenda, nobody, nothing, side_by_side, verification_of_key
from handler.cli.output import Output, when
from handler.cli.reference import Reference, find_record
from handler.flow.reconcile import OVERLAP
from handler.rules.agenda import Entry, Look, Walk, delivery, is_delivery, verification_in
from handler.rules.codes import TOO_MANY_VERDICTS
from handler.rules.outcome import Verification
from handler.rules.records import Record
from handler.rules.uploads import Stored
from handler.state.objects import CorruptState

T = TypeVar("T")

NEXT_SWEEP = "The function's next sweep, within a minute or so, does it."

GUARD = timedelta(minutes=2)
"""How long `redeliver` has to mark one record, before a sweep delivers it should the command have ended."""

RETRIED = ("failed", "incomplete")
"""The outcomes that another run may change."""


# --- redeliver ------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """Records, and why others cannot be read, by their keys."""

    records: list[Record]
    unreadable: dict[str, str]


class Redelivered(NamedTuple):
    """The IDs of the verifications whose messages are to be posted, and records that cannot be read."""

    ids: list[str]
    unreadable: dict[str, str]


def redeliver(deployment: Deployment, output: Output, records: Iterable[Record]) -> Redelivered:
    """Have messages posted once more, same id and same bytes.

    Each counts as untold again, and its schedule begins anew. What was erased since it was listed stays
    erased; what cannot be read any more is left out.
    """
    chosen = [record.verification for record in records]
    pending = _pending_deliveries(deployment)
    with output.progress() as progress:
        bar = progress.add_task("putting on the agenda", total=len(chosen))
        calls = (partial(_redeliver, deployment, each, pending.get(each.id, ())) for each in chosen)
        results = side_by_side(map(_or_why, calls), lambda: progress.advance(bar))
    done = [each.id for each, result in zip(chosen, results, strict=True) if result is True]
    return Redelivered(done, _unreadable(results))


def _redeliver(deployment: Deployment, verification: Verification, pending: Iterable[str]) -> bool:
    """Returns whether there is still a record to deliver. `pending` are its entries on the agenda.

    Wherever it ends, the record is as it was, or an entry of the agenda brings it to be told.
    """
    ledger, now = deployment.ledger, deployment.clock.now()
    record = ledger.record(verification)
    if record is None:
        return False
    task = delivery(record, 1)
    # Due only after it has been marked, or a sweep would take it off; there before, should this end between.
    guard = ledger.put_on(Entry(now + GUARD, task))
    # Attempts of the schedule that ends here would be made beside those of the one that begins.
    ledger.take_off(set(pending) - {guard})
    ledger.mark(record._replace(delivered_at=None, dead_at=None, attempts=0, told_from=now))
    ledger.put_on(Entry(deployment.clock.now(), task))
    ledger.take_off([guard, ledger.dead_key(verification)])
    return True


def _pending_deliveries(deployment: Deployment) -> dict[str, list[str]]:
    """The keys of the agenda's deliveries by their verification's ID."""
    pending: dict[str, list[str]] = {}
    for stored in deployment.state.every(deployment.state_prefix("agenda")):
        id_ = verification_in(stored.key)
        if id_ and is_delivery(stored.key):
            pending.setdefault(id_, []).append(stored.key)
    return pending


def dead(deployment: Deployment, output: Output, limit: int | None) -> Found:
    """The records whose delivery was given up.

    A letter can outlive its cause, where `redeliver` ended before it took it out: that one is not meant.
    """
    prefix = deployment.state_prefix("dead")
    listed = list(deployment.state.every(prefix))
    names = {each: each.key.removeprefix(prefix).rpartition("/") for each in listed}
    letters = {each: Verification(id_, 1, path) for each, (path, _, id_) in names.items()}
    return _read(deployment, output, letters, lambda record: record.dead_at is not None, limit)


def decided_since(deployment: Deployment, output: Output, since: datetime, limit: int | None) -> Found:
    """The records decided at `since` or later, in order of time. Lists all records, and reads these."""
    chosen: dict[Stored, Verification] = {}
    with output.counting("looking for records") as advance:
        for stored in deployment.state.every(deployment.state_prefix("records")):
            advance()
            # A record is never older than its object's last change.
            if stored.uploaded_at.timestamp() >= int(since.timestamp()):
                chosen[stored] = verification_of_key(deployment, stored.key)
    found = _read(deployment, output, chosen, lambda record: record.decided_at >= since, limit)
    return found._replace(records=sorted(found.records, key=lambda record: record.decided_at))


def _read(
    deployment: Deployment,
    output: Output,
    chosen: Mapping[Stored, Verification],
    is_meant: Callable[[Record], bool],
    limit: int | None,
) -> Found:
    """The records that are meant and there, the longest unchanged first, and no more than `limit`."""
    todo = deque(chosen[stored] for stored in sorted(chosen, key=lambda each: (each.uploaded_at, each.key)))
    records: list[Record] = []
    unreadable: dict[str, str] = {}
    with output.counting("reading records") as advance:
        while todo and (limit is None or len(records) < limit):
            some = [todo.popleft() for _ in range(min(AT_ONCE, len(todo)))]
            results = side_by_side(
                (_or_why(partial(deployment.ledger.record, each)) for each in some), advance
            )
            records += [each for each in results if isinstance(each, Record) and is_meant(each)]
            unreadable |= _unreadable(results)
    return Found(records[:limit], unreadable)


def _or_why(call: Callable[[], T]) -> Callable[[], T | CorruptState]:
    """The same call, which returns why an object cannot be read, so that it keeps nobody from the others."""

    def attempt() -> T | CorruptState:
        try:
            return call()
        except CorruptState as error:
            return error

    return attempt


def _unreadable(results: Iterable[object]) -> dict[str, str]:
    return {each.key: str(each) for each in results if isinstance(each, CorruptState)}


# --- retry ----------------------------------------------------------------------------------------------


def retry(
    deployment: Deployment, reference: Reference, done: Callable[[], object] = nothing
) -> tuple[Record, int]:
    """Ask for another run of what ended `failed` or `incomplete`, or what MAX_VERDICTS held up.

    Returns its record and the run. The limit does not hold up a run that was asked for.

    The run's number stands on the agenda, so asking twice starts one. Raises Problem.
    """
    record = find_record(deployment, reference, done)
    verification = record.verification
    if record.outcome not in RETRIED and record.code != TOO_MANY_VERDICTS:
        raise Problem(
            f"{verification.id} ended as {record.outcome}: only {' and '.join(RETRIED)} ones, and those that "
            "MAX_VERDICTS held up, are tried again; upload other bytes for another verification"
        )
    newest = _newest_run(deployment, record)
    if newest.verification.id != verification.id:
        raise Problem(
            f"{verification.id} was tried again already, as {newest.verification.id} ({newest.outcome})"
        )
    for half in (record.live, record.image):
        if half:
            _check_still_there(deployment, half, verification.path)
    key = record.live_key if record.live or not record.image else record.image_key
    run = verification.run + 1
    deployment.ledger.put_on(Entry(deployment.clock.now(), Look(record.bucket, key, run=run)))
    return record, run


def _check_still_there(deployment: Deployment, half: Mapping[str, Any], path: str) -> None:
    """Raises Problem where an upload is no longer the one that a run was about, or was judged since."""
    stored = deployment.uploads.objects.head(half["key"])
    if stored is None:
        raise Problem(f"{half['key']} is gone; upload it again, which starts another run")
    if stored.etag != half["etag"]:
        raise Problem(f"{half['key']} was replaced since, and what replaced it has an outcome of its own")
    if deployment.ledger.is_settled(path, stored):
        raise Problem(f"{half['key']} was judged since, and its other half deleted then; upload both again")


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

    Returns since when, None for `everything`. Raises Problem where a walk is under way, or for the future.
    """
    now = deployment.clock.now()
    if since and since > now:
        raise Problem(f"{when(since)} lies in the future: no upload is as new as that")
    pending = [entry for entry in agenda(deployment, nobody) if entry.is_walk]
    if pending:
        raise Problem(f"a reconcile is under way and goes on at {when(pending[0].due)}; wait for its end")
    if since is None and not everything:
        since = _last_walk(deployment)
    task = Walk(deployment.settings.bucket, began_at=now, since=since)
    deployment.ledger.put_on(Entry(now, task))
    return since


def _last_walk(deployment: Deployment) -> datetime | None:
    try:
        last = deployment.ledger.last_walk()
    except CorruptState:
        return None
    return last - OVERLAP if last else None
