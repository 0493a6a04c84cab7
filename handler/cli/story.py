"""`show`: everything that is known of one pair, in order of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from handler.cli.at_work import is_guard
from handler.cli.deployment import Deployment
from handler.cli.find import (
    agenda,
    last_answer,
    path_of,
    side_by_side,
    stored_json,
    under,
    verification_of_key,
)
from handler.cli.first_bytes import LOOKED_AT, what_is_wrong
from handler.cli.output import Output, count, when
from handler.cli.reference import Reference, meant, pair_of, values_text
from handler.edges.bucket import CosError
from handler.rules.agenda import Deliver, Look, Task, kind_of
from handler.rules.codes import code_row
from handler.rules.pairing import Pair, Role, SharedImage
from handler.rules.records import Record
from handler.rules.uploads import Stored
from handler.state.objects import CorruptState

HALVES: tuple[tuple[Role, str], ...] = (("live", "the live package"), ("image", "the image"))

TASKS = {"look": "look again", "take_over": "take over", "deliver": "deliver"}
"""What each kind of task is called where it is shown."""


class Event(NamedTuple):
    """Something that happened, or will, to a pair. `verification` is its ID, where it is of one.

    A command with `--json` prints these fields.
    """

    at: datetime
    what: str
    detail: str
    verification: str = ""


def show_story(deployment: Deployment, output: Output, reference: Reference) -> None:
    """Everything that is known of a verification, or of a pair, in order of time."""
    with output.counting("looking for the record") as advance:
        found = meant(deployment, reference, advance)
    pair = pair_of(deployment, found)
    only = found.verification.id if isinstance(found, Record) else None
    events = _of_image(deployment, pair) if isinstance(pair, SharedImage) else _of_pair(deployment, pair)
    if only:
        events = (event for event in events if event.verification in ("", only))
    in_order = sorted(events, key=lambda event: event.at)
    now = deployment.clock.now()
    output.value({"pair": dict(pair.values), "events": [event._asdict() for event in in_order]})
    output.say(f"pair {values_text(pair.values)}")
    names: tuple[str, ...] = ("when (UTC)", "what", "more", "verification")
    rows = [_row(event, now) for event in in_order]
    ids = {event.verification for event in in_order} - {""}
    if len(ids) < 2:  # said once, it leaves room for the rest
        for each in ids:
            output.say(f"verification {each}")
        names, rows = names[:-1], [row[:-1] for row in rows]
    output.table(names, rows, empty="Nothing is stored about it: never uploaded, or erased.")


def _row(event: Event, now: datetime) -> tuple[str, ...]:
    due = "due: " if event.at > now else ""
    return when(event.at), due + event.what, event.detail, event.verification


def _of_pair(deployment: Deployment, pair: Pair) -> Iterator[Event]:
    yield from _uploads(deployment, (*pair.live_keys, *pair.image_keys))
    for stored in under(deployment, "claims", pair.path):
        yield _claim(deployment, stored)
    for stored in under(deployment, "records", pair.path):
        yield from _record(deployment, stored.key)
    for stored in under(deployment, "best-frames", pair.path):
        verification = stored.key.rpartition("/")[2].removesuffix(".jpg")
        yield _written(stored, "best frame kept", f"{stored.size} bytes", verification)
    for stored in under(deployment, "dead", pair.path):
        error = str(stored_json(deployment, stored.key).get("error", ""))
        yield _written(stored, "dead letter", error, stored.key.rpartition("/")[2])
    for stored in under(deployment, "settled", pair.path):
        until = stored_json(deployment, stored.key).get("until")
        yield _written(stored, "stays", f"an upload until {until}: its other half was deleted, it is settled")
    yield from _scheduled(deployment, pair)


def _of_image(deployment: Deployment, image: SharedImage) -> Iterator[Event]:
    """An image that serves many: itself, and the live packages that wait for it."""
    yield from _uploads(deployment, image.image_keys)
    for key in image.image_keys:
        prefix = deployment.ledger.mark_key(key)
        for stored in deployment.state.every(prefix):
            yield _written(stored, "waits for it", f"the pair {stored.key.removeprefix(prefix)}")


def _written(stored: Stored, what: str, detail: str, verification: str = "") -> Event:
    """What happened when an object was written."""
    return Event(stored.uploaded_at, what, detail, verification)


def _uploads(deployment: Deployment, keys: Iterable[str]) -> Iterator[Event]:
    for stored in side_by_side(partial(deployment.uploads.objects.head, key) for key in keys):
        if stored is not None:
            archived = ", archived" if stored.archived else ""
            detail = f"{stored.key}, {stored.size} bytes, ETag {stored.etag}{archived}"
            yield _written(stored, "uploaded", detail)


def _claim(deployment: Deployment, stored: Stored) -> Event:
    """A claim as it stands: what it may hold in another version is shown all the same."""
    claim = stored_json(deployment, stored.key)
    rest, _, n = stored.key.rpartition("/")
    retry_at = claim.get("retry_at")
    if retry_at:
        detail = f"given back: {claim.get('code') or 'no time, or replaced'}, next try from {retry_at}"
    else:
        detail = f"lease until {claim.get('lease_until')}"
    detail += f"; calls so far {claim.get('calls')}; request {claim.get('request_id')}"
    return _written(stored, f"claim {n}", detail, rest.rpartition("/")[2])


def _record(deployment: Deployment, key: str) -> Iterator[Event]:
    verification = verification_of_key(deployment, key)
    try:
        record = deployment.ledger.record(verification)
    except CorruptState as error:
        yield Event(deployment.clock.now(), "record", str(error), verification.id)
        return
    if record is None:
        return
    yield Event(record.decided_at, f"decided: {record.outcome}", ", ".join(_decided(record)), verification.id)
    for found in _wrong_uploads(deployment, record):
        yield Event(record.decided_at, "looks wrong", found, verification.id)
    if record.delivered_at:
        deleted = f"; then deleted: {', '.join(record.delete)}" if record.deleted else ""
        yield Event(record.delivered_at, "delivered", f"attempt {record.attempts}{deleted}", verification.id)
    if record.dead_at:
        attempts = f"after {count(record.attempts, 'attempt')}"
        yield Event(record.dead_at, "delivery given up", attempts, verification.id)


def _wrong_uploads(deployment: Deployment, record: Record) -> Iterator[str]:
    """What the first bytes of the uploads tell, where the API could make nothing of them.

    Which code it has for a package that is not gzipped no page says, so every one that may be is looked into.
    """
    category = code_row(record.code).category if record.code else None
    if not record.answer or category not in ("capture", "image", "service"):
        return
    for role, name in HALVES:
        judged = record.judged(role)
        if judged is None or not judged["size"]:
            continue
        stored = Stored(judged["key"], judged["etag"], None, judged["size"], record.uploaded_at)
        try:
            first = deployment.uploads.first_bytes(stored, LOOKED_AT)
        except CosError as error:
            yield f"{name} could not be looked at: {error}"
            continue
        wrong = what_is_wrong(role, first) if first else None
        if wrong is not None:
            yield f"{name} {wrong.found}; {wrong.do}"


def _decided(record: Record) -> Iterator[str]:
    """What a record says of its decision, part by part."""
    answer: dict[str, Any] = dict(record.answer or {})
    yield f"run {record.verification.run}"
    code = record.code or answer.get("code")
    if code:
        yield str(code)
    if answer.get("similarity") is not None:
        yield f"similarity {answer['similarity']}"
    if answer:
        yield f"{count(answer['calls'], 'call')}, API request {answer.get('request_id')}"
    else:
        yield "no call"
    if answer.get("frame_error"):
        yield f"no best frame: {answer['frame_error']}"


def _scheduled(deployment: Deployment, pair: Pair) -> Iterator[Event]:
    for entry in agenda(deployment, lambda entry: path_of(deployment, entry) == pair.path):
        if entry.path == pair.path and entry.task and entry.due:
            verification = entry.verification.id if entry.verification else ""
            what = "erase again" if is_guard(entry.task) else TASKS[kind_of(entry.task)]
            yield Event(entry.due, what, ", ".join(_asked(entry.task)), verification)


def _asked(task: Task) -> Iterator[str]:
    """What an entry asks for, part by part, and how often its work failed."""
    if isinstance(task, Deliver):
        yield f"attempt {task.attempt}"
        if task.last:
            yield f"after {last_answer(task)}"
    elif isinstance(task, Look) and task.run:
        yield f"run {task.run}"
    if task.failures:
        yield f"failed {count(task.failures, 'time')}"
