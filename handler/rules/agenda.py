"""The agenda: what there is to come back to, and when. Pure.

Every kind of task has a type of its own. An entry's name tells its minute, its kind and what it is for, so
that writing it twice is one entry, and whoever settles a pair knows which entries to clear.
"""

import hashlib
import json
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import NamedTuple
from urllib.parse import quote

from handler.rules.outcome import Verification
from handler.rules.pairing import ROLES, Role
from handler.rules.records import Record
from handler.rules.schedule import Step, after_failure, at_next_sweep, lease_end, look_times, looks
from handler.rules.uploads import Seen

MINUTE, MOMENT = "%Y%m%dT%H%MZ", "%Y%m%dT%H%M%SZ"

MOST_OF_A_KEY = 400
"""Bytes of an upload's key, percent-encoded, in an entry's name: COS allows 850 for all of it."""

AT_NEXT_SWEEP = -1
"""The step of a look that is not counted from an upload."""


# --- tasks ------------------------------------------------------------------------------------------
# `failures` counts how often the work of an entry has failed; it is no part of what the entry is for.


class Look(NamedTuple):
    """Look at a pair again, `step` looks after the upload of `key` at `uploaded_at`.

    `run` is one that the operator asked for.
    """

    bucket: str
    key: str
    role: Role | None = None
    uploaded_at: datetime | None = None
    step: int = 0
    run: int | None = None
    failures: int = 0


class TakeOver(NamedTuple):
    """Come back to claim number `n` of a verification, at its lease's end or when its next try is allowed.

    `key`, the live package's, says which pair is meant; `since` is when the newest of its uploads was made.
    """

    bucket: str
    key: str
    verification: Verification
    n: int
    failures: int = 0
    since: datetime | None = None


LastAnswer = tuple[int, datetime, str]
"""What came of an attempt that failed: its number, when it ended, and what was answered or went wrong."""


class Deliver(NamedTuple):
    """Post a verification's message for the `attempt`-th time, counting from 1. It was decided at `since`.

    `last` is what came of the attempt before, for operators: no part of what the entry is for.
    """

    bucket: str
    key: str
    verification: Verification
    attempt: int
    failures: int = 0
    since: datetime | None = None
    last: LastAnswer | None = None


class Walk(NamedTuple):
    """Go on walking the uploads after `key`: those made since `since`, and ten minutes before `began_at`."""

    bucket: str
    key: str = ""
    began_at: datetime | None = None
    since: datetime | None = None
    failures: int = 0


Task = Look | TakeOver | Deliver | Walk

KINDS: dict[str, type[Task]] = {"look": Look, "take_over": TakeOver, "deliver": Deliver, "reconcile": Walk}
"""The kinds of task by their names in keys and JSON."""

_NAMES = {kind: name for name, kind in KINDS.items()}


def kind_of(task: Task) -> str:
    """The name of a task's kind."""
    return _NAMES[type(task)]


def purpose(task: Task) -> str:
    """What an entry is for, so that writing it twice is one entry; and what whoever lists it wants to know.

        take_over-<verification>-<n>-<since>-<pair>
        deliver-<verification>-<attempt>-<since>-<pair>
        look-<digest>-<step>-<role>-<run>-<uploaded at>-<key>
        reconcile-<digest>

    `<pair>` has `:` for `/`. Keys are percent-encoded; a long one is left out. What is not known is `_`, and
    a step that is not counted from the upload begins with `_`. A task of the version before has no `since`,
    and keeps the name that it had.
    """
    kind = kind_of(task)
    if isinstance(task, (TakeOver, Deliver)):
        number = task.n if isinstance(task, TakeOver) else task.attempt
        name = f"{kind}-{task.verification.id}-{number}"
        return (
            f"{name}-{_moment(task.since)}-{task.verification.path.replace('/', ':')}" if task.since else name
        )
    what: list[object] = [task.bucket]
    if isinstance(task, Look):
        what += [task.key, task.role, time_text(task.uploaded_at), task.step, task.run]
    elif task.since:
        what.append(time_text(task.since))  # one that goes further back is another walk
    name = f"{kind}-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]}"
    if not isinstance(task, Look):
        return name
    step, key = str(task.step).replace("-", "_"), quote(task.key, safe="")
    shown = key if len(key) <= MOST_OF_A_KEY else "_"
    return f"{name}-{step}-{task.role or '_'}-{task.run or '_'}-{_moment(task.uploaded_at)}-{shown}"


def _moment(at: datetime | None) -> str:
    """A moment as it stands in names, `20261122T120000Z`, `_` where there is none."""
    return at.astimezone(timezone.utc).strftime(MOMENT) if at else "_"


# --- entries ----------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """A task with its time. It is never due before `at`, and the first sweep after finds it."""

    at: datetime
    task: Task

    @property
    def name(self) -> str:
        """`<UTC minute>/<purpose>`, the minute rounded up.

        How often its work has failed is no part of it, or each chain of failures had entries of its own.
        """
        whole = self.at.replace(second=0, microsecond=0)
        minute = whole if whole == self.at else whole + timedelta(minutes=1)
        return f"{minute_text(minute)}/{purpose(self.task)}"


def minute_text(at: datetime) -> str:
    """A UTC minute as it stands in names; these sort as the minutes do."""
    return at.astimezone(timezone.utc).strftime(MINUTE)


def minute_of(name: str) -> datetime | None:
    """When the entry of this name was due; None where it is no such name."""
    try:
        return datetime.strptime(name.partition("/")[0], MINUTE).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def is_delivery(name: str) -> bool:
    """Whether the entry of this name asks for a delivery."""
    return name.rpartition("/")[2].startswith("deliver-")


def is_take_over(name: str) -> bool:
    """Whether the entry of this name comes back to a claim."""
    return name.rpartition("/")[2].startswith("take_over-")


def part_of(name: str, parts: int) -> int:
    """Which of so many parts of the agenda, counting from 1, the entry of this name falls to.

    The digest in it decides, so all that comes back to a verification falls to the same.
    """
    digest = name.rpartition("/")[2].partition("-")[2].partition("-")[0]
    return zlib.crc32(digest.encode()) % parts + 1


def verification_in(name: str) -> str | None:
    """The id of the verification that the entry of this name comes back to; None where it is about a pair."""
    kind, _, rest = name.rpartition("/")[2].partition("-")
    return rest.partition("-")[0] if kind in ("take_over", "deliver") else None


def time_text(at: datetime | None) -> str | None:
    """A time as it stands in state: UTC, to the millisecond."""
    return at.astimezone(timezone.utc).isoformat(timespec="milliseconds") if at else None


# --- which entries there are ------------------------------------------------------------------------


def look_after(look: Look, uploaded_at: datetime, step: Step) -> Entry:
    """A later look at the same pair, counted from an upload, so that everybody derives the same entry."""
    return Entry(step.at, look._replace(uploaded_at=uploaded_at, step=step.number, failures=0))


def look_at_next_sweep(look: Look, now: datetime) -> Entry:
    """Another look as soon as a sweep can, beside those that are counted from the upload."""
    return Entry(at_next_sweep(now), look._replace(step=AT_NEXT_SWEEP))


def after_one_more_failure(task: Task, now: datetime) -> Entry:
    """Where a task goes whose work has failed: later each time, so that it stands in nobody's way."""
    failures = task.failures + 1
    return Entry(after_failure(failures, now), task._replace(failures=failures))


def all_looks(seen: Seen, pair_timeout: int) -> Iterator[Entry]:
    """All looks at a pair that its uploads' events can have put on the agenda."""
    for role in ROLES:
        stored = seen.upload(role)
        if stored is not None:
            look = Look(seen.bucket, stored.key, role)
            for step in looks(stored.uploaded_at, look_times(pair_timeout)):
                yield look_after(look, stored.uploaded_at, step)


def take_over(seen: Seen, verification: Verification, n: int) -> TakeOver:
    """The task of coming back to a claim on a complete pair."""
    assert seen.live is not None  # noqa: S101 # a claim is for a complete pair
    return TakeOver(seen.bucket, seen.live.key, verification, n, since=seen.newest)


def at_lease_end(task: TakeOver, lease_until: datetime) -> Entry:
    """Come back when the claim's lease is over, whatever the clocks say."""
    return Entry(lease_end(lease_until), task)


def delivery(record: Record, attempt: int, last: LastAnswer | None = None) -> Deliver:
    """The task of posting a record's message; `last` is what came of the attempt before."""
    since = record.decided_at
    return Deliver(record.bucket, record.live_key, record.verification, attempt, since=since, last=last)
