"""What is stored about pairs, as commands look for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, NamedTuple, TypeVar

from handler.cli.deployment import Deployment, Problem
from handler.cli.named import Named, named
from handler.cli.output import when
from handler.clock import together
from handler.rules.agenda import Deliver, TakeOver, Task, Walk
from handler.rules.outcome import Verification
from handler.rules.pairing import AmbiguousKey, Pair, SharedImage
from handler.rules.uploads import Stored
from handler.state.objects import CorruptState

T = TypeVar("T")

AT_ONCE = 16  # requests side by side

ID = re.compile(r"(?:msg_)?([0-9a-f]{32})")


def nothing() -> None:
    """What is called after each request where nobody watches the progress."""


def side_by_side(calls: Iterable[Callable[[], T]], done: Callable[[], object] = nothing) -> list[T]:
    """Results in order of `calls`, several at a time; `done` is called after each few."""
    todo = list(calls)
    results: list[T] = []
    for start in range(0, len(todo), AT_ONCE):
        results += together(todo[start : start + AT_ONCE])
        for _ in todo[start : start + AT_ONCE]:
            done()
    return results


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


# --- pairs and verifications ----------------------------------------------------------------------------


def pair_of_key(deployment: Deployment, key: str) -> Pair | SharedImage | None:
    """The pair that an upload's key names, or the image that serves many; None where it names neither.

    Raises AmbiguousKey.
    """
    match = deployment.settings.templates.match(key)
    return match[1] if match else None


def certain_pair(deployment: Deployment, key: str) -> Pair | SharedImage | None:
    """The same; None for an ambiguous key too, since the function makes no pair of it."""
    try:
        return pair_of_key(deployment, key)
    except AmbiguousKey:
        return None


def id_in(reference: str) -> str | None:
    """The verification's ID that an operator gave, with or without `msg_`; None where it is none."""
    match = ID.fullmatch(reference.strip())
    return match[1] if match else None


def verification_of_key(deployment: Deployment, record_key: str) -> Verification:
    """The verification that a record's key names; its run stands in the record."""
    path, _, name = record_key.removeprefix(deployment.state_prefix("records")).rpartition("/")
    return Verification(name.removesuffix(".json"), 1, path)


# --- the agenda -----------------------------------------------------------------------------------------


class Scheduled(NamedTuple):
    """An agenda entry. `path` is its pair's, empty for a walk; `task` is None where it cannot be read.

    `written` is its Last-Modified.
    """

    key: str
    due: datetime | None
    task: Task | None
    path: str
    written: datetime

    @property
    def is_walk(self) -> bool:
        """Whether it asks to go on walking all uploads: it is about no pair."""
        return isinstance(self.task, Walk)

    @property
    def upload_key(self) -> str:
        """The key of the upload that it is about, empty where there is none."""
        return self.task.key if self.task and not self.is_walk else ""

    @property
    def verification(self) -> Verification | None:
        """The verification that it is about, None where it is about a pair's uploads or about none."""
        return self.task.verification if isinstance(self.task, (TakeOver, Deliver)) else None


def nobody(entry: Named) -> bool:
    """No entry whose name tells what it is about."""
    return False


def agenda_keys(deployment: Deployment) -> list[Stored]:
    """The agenda as LIST shows it, in order of time: a request for every thousand."""
    return list(deployment.state.every(deployment.state_prefix("agenda")))


def agenda(
    deployment: Deployment, wanted: Callable[[Named], bool], listed: Iterable[Stored] | None = None
) -> list[Scheduled]:
    """What is wanted of the agenda, due or not, in order of time, and what only reading tells of.

    So it costs a request for every thousand entries, unless they were `listed` already, and one for each that
    is wanted.
    """
    chosen: list[Stored] = []
    for stored in agenda_keys(deployment) if listed is None else listed:
        entry = named(stored.key)
        if entry is None or wanted(entry):
            chosen.append(stored)
    return scheduled(deployment, chosen)


def path_of(deployment: Deployment, entry: Named) -> str:
    """The path of the pair that an entry is about, empty where these settings derive none."""
    if entry.path is not None:
        return entry.path
    pair = certain_pair(deployment, entry.key or "")
    return pair.path if pair else ""


def scheduled(
    deployment: Deployment, chosen: list[Stored], done: Callable[[], object] = nothing
) -> list[Scheduled]:
    """The agenda's entries that these objects are, read side by side."""
    tasks = side_by_side((partial(_task, deployment, stored.key) for stored in chosen), done)
    return [
        Scheduled(
            stored.key,
            deployment.ledger.minute_of(stored.key),
            task,
            _path(deployment, task),
            stored.uploaded_at,
        )
        for stored, task in zip(chosen, tasks, strict=True)
    ]


def _task(deployment: Deployment, key: str) -> Task | None:
    try:
        return deployment.ledger.task(key)
    except CorruptState:
        return None


def _path(deployment: Deployment, task: Task | None) -> str:
    if task is None or isinstance(task, Walk):
        return ""  # a walk's key says how far it came, and is no pair's
    if isinstance(task, (TakeOver, Deliver)):
        return task.verification.path
    pair = certain_pair(deployment, task.key)
    return pair.path if pair else ""


def last_answer(task: Task | None) -> str:
    """What came of the attempt before a delivery, in words; empty where none is known."""
    if not isinstance(task, Deliver) or task.last is None:
        return ""
    number, at, error = task.last
    return f"{error} (attempt {number}, {when(at)})"


# --- state objects as they stand ------------------------------------------------------------------------


def stored_json(deployment: Deployment, key: str) -> dict[str, Any]:
    """A state object as it stands, empty where it is gone or cannot be read."""
    return json_object(deployment.state.objects.read(key))


def json_object(data: bytes | None) -> dict[str, Any]:
    """What a state object holds, empty where there is none or it cannot be read."""
    try:
        value = json.loads(data or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def stored_time(fields: Mapping[str, Any], name: str) -> datetime | None:
    """A moment of a state object, None where it is none."""
    try:
        at = datetime.fromisoformat(fields[name])
    except (KeyError, TypeError, ValueError):
        return None
    return at if at.tzinfo else None


def under(deployment: Deployment, kind: str, path: str) -> Iterator[Stored]:
    """The state objects of one kind (`claims`, `records`, …) of one pair."""
    return deployment.state.every(f"{deployment.state_prefix(kind)}{path}/")
