"""From an ID or a key to a pair, and what is stored about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, NamedTuple, TypeVar

from handler.cli.deployment import Deployment, Problem
from handler.clock import together
from handler.edges.cos import Stored
from handler.rules.outcome import Verification
from handler.rules.pairing import AmbiguousKey, Pair, SharedImage
from handler.state.ledger import CorruptState, Record, Task

T = TypeVar("T")

AT_ONCE = 16  # requests side by side

ID = re.compile(r"(?:msg_)?([0-9a-f]{32})")


class Scheduled(NamedTuple):
    """An agenda entry. `path` is its pair's, empty for a walk; `task` is None where it cannot be read."""

    key: str
    due: datetime | None
    task: Task | None
    path: str


def side_by_side(calls: Iterable[Callable[[], T]], done: Callable[[], object] = lambda: None) -> list[T]:
    """Results in order of `calls`, several at a time; `done` is called after each few."""
    todo = list(calls)
    found: list[T] = []
    for start in range(0, len(todo), AT_ONCE):
        found += together(todo[start : start + AT_ONCE])
        for _ in todo[start : start + AT_ONCE]:
            done()
    return found


def moment(text: str, now: datetime) -> datetime:
    """A moment given as `2026-11-22`, `2026-11-22T12:00Z`, or as a time ago: `90m`, `6h`, `3d`.

    Raises Problem.
    """
    ago = re.fullmatch(r"(\d{1,5})\s*([smhd])", text.strip())
    if ago:
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[ago[2]]
        at = now - timedelta(**{unit: int(ago[1])})
    else:
        try:
            at = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        except ValueError:
            raise Problem(
                f"{text!r} is no moment; write 2026-11-22T12:00Z (UTC), or how long ago: 90m, 6h, 3d"
            ) from None
    if not 2000 < at.year < 2999:  # a state object holds no other
        raise Problem(f"{text!r} is out of reach; give a moment of this century")
    return at if at.tzinfo else at.replace(tzinfo=timezone.utc)


def match(d: Deployment, key: str) -> Pair | SharedImage | None:
    """The pair, or the image that serves many, that an upload's key names."""
    try:
        found = d.settings.templates.match(key)
    except AmbiguousKey as error:
        raise Problem(str(error)) from None
    return found and found[1]


def find_record(d: Deployment, which: str) -> Record:
    """The record of a verification by its ID, with or without `msg_`. Lists all records. Raises Problem."""
    found = ID.fullmatch(which.strip())
    if found is None:
        raise Problem(f"{which!r} is no verification's ID: these are 32 hex digits, as in the message's id")
    suffix = f"/{found[1]}.json"
    for stored in d.state.every(f"{d.settings.state_prefix}records/"):
        if stored.key.endswith(suffix):
            record = d.ledger.record(which_of(d, stored.key))
            if record is not None:
                return record
    raise Problem(
        f"no record of the verification {found[1]} in {d.settings.state_bucket}; is it of this BUCKET, "
        "decided, and not erased? `list` shows what is under way. If it is a pair's id, give an upload's key"
    )


def which_of(d: Deployment, record_key: str) -> Verification:
    """The verification that a record's key names; its run stands in the record."""
    path, _, name = record_key.removeprefix(f"{d.settings.state_prefix}records/").rpartition("/")
    return Verification(name.removesuffix(".json"), 1, path)


def find_pair(d: Deployment, which: str) -> Pair | SharedImage:
    """The pair that an ID or an upload's key names. Raises Problem."""
    if ID.fullmatch(which.strip()):
        record = find_record(d, which)
        found = match(d, record.live_key)
    else:
        found = match(d, which)
    if found is None:
        templates = (*d.settings.templates.live, *d.settings.templates.image)
        wanted = ", ".join(template.text for template in templates)
        raise Problem(f"{which!r} is neither a verification's ID nor a key like {wanted}")
    return found


def agenda(
    d: Deployment, kinds: tuple[str, ...] = ("",), done: Callable[[], object] = lambda: None
) -> list[Scheduled]:
    """Everything on the agenda, or what is of some kinds, due or not, in order of time."""
    every = (stored.key for stored in d.state.every(f"{d.settings.state_prefix}agenda/"))
    keys = [key for key in every if key.rpartition("/")[2].startswith(kinds)]
    tasks = side_by_side((partial(_task, d, key) for key in keys), done)
    return [
        Scheduled(key, d.ledger.minute_of(key), task, _path(d, task))
        for key, task in zip(keys, tasks, strict=True)
    ]


def _task(d: Deployment, key: str) -> Task | None:
    try:
        return d.ledger.task(key)
    except CorruptState:
        return None


def _path(d: Deployment, task: Task | None) -> str:
    if task is None or task.kind == "reconcile":
        return ""  # a walk's key says how far it came, and is no pair's
    if task.verification is not None:
        return task.verification.path
    try:
        found = d.settings.templates.match(task.key)
    except AmbiguousKey:
        return ""
    return found[1].path if found else ""


def stored_json(d: Deployment, key: str) -> dict[str, Any]:
    """A state object as it stands, empty where it is gone or cannot be read."""
    return json_object(d.state.read(key))


def json_object(data: bytes | None) -> dict[str, Any]:
    """What a state object holds, empty where there is none or it cannot be read."""
    try:
        found = json.loads(data or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def stored_time(found: Mapping[str, Any], name: str) -> datetime | None:
    """A moment of a state object, None where it is none."""
    try:
        at = datetime.fromisoformat(found[name])
    except (KeyError, TypeError, ValueError):
        return None
    return at if at.tzinfo else None


def under(d: Deployment, kind: str, path: str) -> Iterator[Stored]:
    """The state objects of one kind (`claims`, `records`, …) of one pair."""
    return d.state.every(f"{d.settings.state_prefix}{kind}/{path}/")
