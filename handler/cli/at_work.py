"""Until when an instance may be at work on a pair, and so may write something about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from handler.cli.by_key import there
from handler.cli.deployment import Deployment
from handler.cli.find import (
    Scheduled,
    side_by_side,
    stored_json,
    stored_time,
    under,
    verification_of_key,
)
from handler.cli.inventory import Subject
from handler.rules.agenda import Entry, Look, Task
from handler.rules.pairing import Pair
from handler.rules.records import Record
from handler.rules.schedule import lease_end
from handler.rules.uploads import Stored
from handler.state.objects import CorruptState

CLOCKS = timedelta(seconds=60)
"""How far the operator's clock may be ahead: COS refuses what one that is further ahead has signed."""

ERASED = -2
"""The step of a look that `forget` leaves where an instance may still write: no upload is counted from."""


class AtWork(NamedTuple):
    """An instance may be at work until `until`, on what an upload's `key` stands for."""

    key: str
    until: datetime


def is_guard(task: Task | None) -> bool:
    """Whether `forget` left an entry to show until when something may come back."""
    return isinstance(task, Look) and task.step == ERASED


def guard(deployment: Deployment, work: AtWork) -> Entry:
    """The entry that tells whoever runs `forget` again. A sweep then looks at a pair that is gone."""
    return Entry(work.until, Look(deployment.settings.bucket, work.key, step=ERASED))


def at_work(
    deployment: Deployment, about: Subject, entries: Iterable[Scheduled], known: Iterable[str] = ()
) -> list[AtWork]:
    """Until when instances may be at work on a subject; empty where none is.

    One may as long as an agenda entry about it is due or was written within the function's time limit, or a
    claim's lease runs that led to nothing yet. `entries` are the agenda's about the subject, `known` the
    state keys that its uploads lead to, which LIST may not show yet.
    """
    now, limit = deployment.clock.now(), timedelta(seconds=deployment.time_limit)
    found = [
        *_on_entries(about, entries, now, limit),
        *_on_claims(deployment, about, limit, there(deployment, known)),
    ]
    latest: dict[str, datetime] = {}
    for work in found:
        if work.until > now:
            latest[work.key] = max(work.until, latest.get(work.key, work.until))
    return [AtWork(key, until) for key, until in latest.items()]


def _on_entries(
    about: Subject, entries: Iterable[Scheduled], now: datetime, limit: timedelta
) -> Iterator[AtWork]:
    keys = {pair.path: pair.live_keys[0] for pair in about.pairs}
    for entry in entries:
        key = keys.get(entry.path, entry.upload_key)
        if not is_guard(entry.task):
            # Whoever wrote it may be at work. So may whoever took it up since it was due.
            is_due = entry.due is None or entry.due <= now + CLOCKS
            began = max(now, entry.written) if is_due else entry.written
            yield AtWork(key, _whole_minute(began + limit + CLOCKS))
        elif entry.due is not None:
            yield AtWork(key, entry.due)


def _on_claims(
    deployment: Deployment, about: Subject, limit: timedelta, known: list[Stored]
) -> Iterator[AtWork]:
    """A claim keeps its lease when its verification is settled, which nobody is at work on then."""
    for pair in about.pairs:
        settled = _settled(deployment, _of(deployment, "records", pair, known))
        every = _of(deployment, "claims", pair, known)
        claims = [stored for stored in every if _verification(stored) not in settled]
        texts = side_by_side(partial(stored_json, deployment, stored.key) for stored in claims)
        for stored, claim in zip(claims, texts, strict=True):
            lease = stored_time(claim, "lease_until")
            if lease is not None and claim.get("retry_at") is None:
                # No lease is longer than its owner's invocation, whatever a claim may say.
                until = min(lease_end(lease), stored.uploaded_at + limit)
                yield AtWork(pair.live_keys[0], _whole_minute(until + CLOCKS))


def _of(deployment: Deployment, kind: str, pair: Pair, known: Iterable[Stored]) -> list[Stored]:
    """A pair's state objects of a kind: what LIST shows, and what is known of beside it."""
    prefix = f"{deployment.state_prefix(kind)}{pair.path}/"
    named = [stored for stored in known if stored.key.startswith(prefix)]
    return list({stored.key: stored for stored in (*under(deployment, kind, pair.path), *named)}.values())


def _settled(deployment: Deployment, records: Iterable[Stored]) -> set[str]:
    """The IDs of verifications that nothing is left to do for."""
    read = side_by_side(partial(_record, deployment, stored.key) for stored in records)
    return {record.verification.id for record in read if record and record.settled}


def _record(deployment: Deployment, key: str) -> Record | None:
    try:
        return deployment.ledger.record(verification_of_key(deployment, key))
    except CorruptState:
        return None


def _verification(claim: Stored) -> str:
    """The ID of the verification that a claim's key names."""
    return claim.key.split("/")[-2]


def _whole_minute(at: datetime) -> datetime:
    """Rounded up, as the agenda's minutes are."""
    whole = at.replace(second=0, microsecond=0)
    return whole if whole == at else whole + timedelta(minutes=1)
