"""`list` and `show`: what is under way, and the story of one pair."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from handler.cli.deployment import Deployment
from handler.cli.find import (
    ID,
    Scheduled,
    agenda,
    find_pair,
    side_by_side,
    stored_json,
    stored_time,
    under,
    which_of,
)
from handler.cli.output import Output, count, span, when
from handler.rules.pairing import Pair, SharedImage
from handler.state.ledger import Claim, CorruptState, Record

STATES = {
    "waiting": "for its other half, or to be seen",
    "running": "being judged, or to be tried again",
    "undelivered": "decided, and not yet taken by the webhook",
    "dead": "decided, and given up by the webhook's schedule: `redeliver` it",
    "unreadable": "an agenda entry that cannot be read: look at it, then delete it",
}


class Item(NamedTuple):
    """Something under way. `since` is its upload, its first try or its decision; `due` when it goes on."""

    state: str
    pair: str
    key: str
    verification: str | None
    since: datetime | None
    due: datetime | None
    detail: str


def items(d: Deployment, output: Output) -> tuple[list[Item], list[Scheduled]]:
    """What is under way, oldest first, and the walks over all uploads that are."""
    with output.progress() as progress:
        bar = progress.add_task("reading the agenda", total=None)
        entries = agenda(d, done=lambda: progress.advance(bar))
        found = side_by_side((partial(_item, d, entry) for entry in entries), lambda: progress.advance(bar))
        dead = list(d.state.every(f"{d.settings.state_prefix}dead/"))
        found += side_by_side(
            (partial(_dead, d, stored.key) for stored in dead), lambda: progress.advance(bar)
        )
    known: dict[tuple[str, str | None], Item] = {}
    busy = {item.pair for item in found if item and item.state == "running"}
    for item in sorted(filter(None, found), key=lambda item: (item.due is None, item.due)):
        if item.state != "waiting" or item.pair not in busy:
            known.setdefault((item.pair or item.key, item.verification), item)
    oldest = sorted(known.values(), key=lambda item: (item.since is None, item.since))
    return oldest, [entry for entry in entries if entry.task and entry.task.kind == "reconcile"]


def _item(d: Deployment, entry: Scheduled) -> Item | None:
    task = entry.task
    if task is None:
        return Item("unreadable", "", entry.key, None, None, entry.due, "")
    if task.kind == "reconcile":
        return None
    which = task.verification
    if which is None:
        asked = f"run {task.run} was asked for" if task.run else f"{task.role or 'it'} was uploaded"
        return Item("waiting", entry.path, task.key, None, task.uploaded_at, entry.due, asked)
    try:
        record = d.ledger.record(which)
        claim = None if record else d.ledger.claim(which, task.n) if task.n else None
    except CorruptState as error:
        return Item("unreadable", entry.path, task.key, which.id, None, entry.due, str(error))
    if record is not None:
        if record.settled:
            return None  # a sweep takes the entry off
        made = task.attempt - 1 if task.kind == "deliver" else record.attempts
        detail = f"{record.outcome}, {count(made, 'attempt')} so far"
        return Item("undelivered", entry.path, task.key, which.id, record.decided_at, entry.due, detail)
    since = claim.first_try_at if claim else None
    return Item("running", entry.path, task.key, which.id, since, entry.due, _claimed(d, claim))


def _claimed(d: Deployment, claim: Claim | None) -> str:
    if claim is None:
        return "to be judged"
    if claim.retry_at is not None:
        tries = sum(number for klass, number in claim.tries.items() if "." not in klass)
        said = f"{claim.code or 'given back'}, tried {count(tries, 'time')}"
        return f"{said}; next try from {when(claim.retry_at)}"
    if claim.lease_until > d.clock.now():
        return f"a call is under way, until {when(claim.lease_until)} at the most"
    return "its instance is gone; a sweep takes it over"


def _dead(d: Deployment, key: str) -> Item | None:
    found = stored_json(d, key)
    path, _, which = key.removeprefix(f"{d.settings.state_prefix}dead/").rpartition("/")
    return Item("dead", path, key, which, stored_time(found, "at"), None, str(found.get("error", "")))


def show_list(d: Deployment, output: Output, limit: int) -> None:
    """Counts and ages of what is under way, then the oldest `limit` of each state."""
    found, walks = items(d, output)
    now = d.clock.now()
    counts = {state: [item for item in found if item.state == state] for state in STATES}
    output.value(
        {
            "counts": {state: len(each) for state, each in counts.items()},
            "items": [item._asdict() for item in found],
            "reconcile_after_key": walks[0].task.key if walks and walks[0].task else None,
        }
    )
    rows: list[tuple[object, ...]] = []
    for state, each in counts.items():
        if each or state != "unreadable":
            oldest = next((item.since for item in each if item.since), None)
            age = span((now - oldest).total_seconds()) if oldest else ""
            rows.append((state, len(each), age, STATES[state]))
    output.table(("state", "number", "oldest", "which are"), rows)
    output.table(
        ("state", "pair", "verification", "for", "due", "more"),
        [
            (
                item.state,
                item.pair or item.key,
                item.verification or "",
                span((now - item.since).total_seconds()) if item.since else "",
                when(item.due),
                item.detail,
            )
            for each in counts.values()
            for item in each[:limit]
        ],
        empty="Nothing is under way.",
    )
    hidden = sum(max(0, len(each) - limit) for each in counts.values())
    if hidden:
        output.say(f"{hidden} more; --limit shows them.")
    for walk in walks:
        output.say(f"A reconcile is under way; it goes on at {when(walk.due)}.")


# --- the story of one pair ----------------------------------------------------------------------------


class Event(NamedTuple):
    """Something that happened, or will, to a pair. `verification` is its ID, where it is of one."""

    at: datetime
    what: str
    detail: str
    verification: str = ""


def show_story(d: Deployment, output: Output, which: str) -> None:
    """Everything that is known of a verification (by its ID) or of a pair (by a key), in order of time."""
    found = find_pair(d, which)
    only = ID.fullmatch(which.strip())
    events = _shared(d, found) if isinstance(found, SharedImage) else _story(d, found)
    shown = sorted(
        (event for event in events if not only or event.verification in ("", only[1])),
        key=lambda event: event.at,
    )
    now = d.clock.now()
    output.value({"pair": dict(found.values), "events": [event._asdict() for event in shown]})
    output.say("pair " + ", ".join(f"{name}={value}" for name, value in found.values))
    output.table(
        ("when (UTC)", "what", "more", "verification"),
        [
            (
                ("due " if event.at > now else "") + when(event.at),
                event.what,
                event.detail,
                event.verification,
            )
            for event in shown
        ],
        empty="Nothing is stored about it: never uploaded, or erased.",
    )


def _story(d: Deployment, pair: Pair) -> Iterator[Event]:
    yield from _uploads(d, (*pair.live_keys, *pair.image_keys))
    for stored in under(d, "claims", pair.path):
        which, _, n = stored.key.rpartition("/")
        claim = stored_json(d, stored.key)
        given = claim.get("retry_at")
        said = f"given back: {claim.get('code') or 'no time, or replaced'}, next try from {given}"
        detail = said if given else f"lease until {claim.get('lease_until')}"
        detail += f"; calls so far {claim.get('calls')}; request {claim.get('request_id')}"
        yield Event(stored.last_modified, f"claim {n}", detail, which.rpartition("/")[2])
    for stored in under(d, "records", pair.path):
        yield from _record(d, stored.key)
    for stored in under(d, "best-frames", pair.path):
        name = stored.key.rpartition("/")[2].removesuffix(".jpg")
        yield Event(stored.last_modified, "best frame kept", f"{stored.size} bytes", name)
    for stored in under(d, "dead", pair.path):
        said = str(stored_json(d, stored.key).get("error", ""))
        yield Event(stored.last_modified, "dead letter", said, stored.key.rpartition("/")[2])
    for entry in agenda(d):
        if entry.path == pair.path and entry.task and entry.due:
            task = entry.task
            what = {"look": "look again", "take_over": "take over", "deliver": "deliver"}.get(task.kind, "")
            detail = (
                f"attempt {task.attempt}" if task.kind == "deliver" else f"run {task.run}" if task.run else ""
            )
            yield Event(entry.due, what, detail, task.verification.id if task.verification else "")


def _uploads(d: Deployment, keys: tuple[str, ...]) -> Iterator[Event]:
    for key, stored in zip(keys, side_by_side(partial(d.uploads.head, key) for key in keys), strict=True):
        if stored is not None:
            archived = ", archived" if stored.archived else ""
            detail = f"{key}, {stored.size} bytes, ETag {stored.etag}{archived}"
            yield Event(stored.last_modified, "uploaded", detail)


def _record(d: Deployment, key: str) -> Iterator[Event]:
    found = stored_json(d, key)
    which = key.rpartition("/")[2].removesuffix(".json")
    try:
        record: Record | None = d.ledger.record(which_of(d, key))
    except CorruptState as error:
        yield Event(d.clock.now(), "record", str(error), which)
        return
    if record is None:
        return
    answer: dict[str, Any] = found.get("answer") or {}
    facts = [
        f"run {record.which.run}",
        str(record.code or answer.get("code") or ""),
        f"similarity {answer['similarity']}" if answer.get("similarity") is not None else "",
        f"{count(answer['calls'], 'call')}, API request {answer.get('request_id')}" if answer else "no call",
        f"no best frame: {answer['frame_error']}" if answer.get("frame_error") else "",
    ]
    yield Event(record.decided_at, f"decided: {record.outcome}", ", ".join(filter(None, facts)), which)
    if record.delivered_at:
        deleted = f"; then deleted: {', '.join(record.delete)}" if record.deleted else ""
        yield Event(record.delivered_at, "delivered", f"attempt {record.attempts}{deleted}", which)
    if record.dead_at:
        yield Event(record.dead_at, "delivery given up", f"after {count(record.attempts, 'attempt')}", which)


def _shared(d: Deployment, image: SharedImage) -> Iterator[Event]:
    """An image that serves many: itself, and the live packages that wait for it."""
    yield from _uploads(d, image.image_keys)
    for key in image.image_keys:
        for stored in d.state.every(d.ledger.waiting_prefix(key)):
            waiting = stored.key.removeprefix(d.ledger.waiting_prefix(key))
            yield Event(stored.last_modified, "waits for it", f"the pair {waiting}")
