"""Claims, records and the agenda: all that livepair knows, as JSON objects in the state bucket.

    claims/<pair>/<verification>/<n>        the right to call the API; created once, then its owner's
    records/<pair>/<verification>.json      the decided verification; created once, later marked only
    agenda/<UTC minute>/<purpose>           what to come back to, and when
    waiting/<image key digest>/<pair>       a live package waiting for an image that serves many
    best-frames/<pair>/<verification>.jpg   the best frame
    dead/<pair>/<verification>              a delivery that was given up

Create-only PUTs are used and not trusted: two simultaneous writers have been reported to both succeed, and
buckets that keep versions ignore the header. So a claim counts only once it has been read back.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

from handler.clock import Clock, Together
from handler.edges.cos import Bucket, Exists, Unavailable
from handler.rules.outcome import Verification
from handler.rules.pairing import Role

T = TypeVar("T")

VERSION = 1

SETTLE = 0.05
"""Seconds between creating a claim and reading it back, longer than two writers can both succeed."""

READ_BACK = (0.2, 0.8, 2.0)
"""Seconds between looks for a claim that was written and is not shown yet."""

SETTLE_VERSIONED = 3.0
"""The same where the bucket keeps versions, so that every writer succeeds."""

CLOCK_MARGIN = timedelta(seconds=5)
"""How far the clocks of two instances may be apart before a running lease is taken for an expired one."""


class CorruptState(Exception):
    """A state object that does not read as what its key says."""

    def __init__(self, key: str, why: str) -> None:
        self.key = key
        super().__init__(f"the state object {key} cannot be read ({why}); look at it, then delete it")


# --- what is stored ---------------------------------------------------------------------------------


class Claim(NamedTuple):
    """The right to call the API for a verification, number `n`.

    `calls`, `tries` (by class) and `first_try_at` tell of its predecessors until it is given back, then of
    itself too. `retry_at` is set when it is given back: when the next try is allowed.
    """

    n: int
    nonce: str
    request_id: str
    lease_until: datetime
    first_try_at: datetime
    calls: int = 0
    tries: Mapping[str, int] = MappingProxyType({})
    retry_at: datetime | None = None
    code: str | None = None


class Record(NamedTuple):
    """A decided verification. `body` is the exact message; the rest is for us and for operators.

    `uploaded_at` is that of its newest upload. `delete` names the uploads to remove once it is delivered.
    """

    which: Verification
    bucket: str
    live_key: str
    image_key: str
    outcome: str
    code: str | None
    uploaded_at: datetime
    decided_at: datetime
    body: str
    nonce: str
    live: Mapping[str, Any] | None = None
    image: Mapping[str, Any] | None = None
    answer: Mapping[str, Any] | None = None
    best_frame: Mapping[str, Any] | None = None
    delete: tuple[Role, ...] = ()
    delivered_at: datetime | None = None
    dead_at: datetime | None = None
    attempts: int = 0
    deleted: bool = False

    @property
    def settled(self) -> bool:
        """Nothing is left to do."""
        told = self.delivered_at is not None or self.dead_at is not None
        return told and (self.deleted or not self.delete or self.delivered_at is None)


class Task(NamedTuple):
    """What an agenda entry asks for.

    look: a pair again, `step` looks after an upload made at `uploaded_at`; `run` forces that run to start.
    take_over: a verification's claim `n`, when its lease ends or its next try is allowed.
    deliver: a verification's message, `attempt` counting from 1.
    reconcile: go on walking the uploads after `key`.
    """

    kind: Literal["look", "take_over", "deliver", "reconcile"]
    bucket: str
    key: str = ""
    """An upload's key, which says which pair is meant."""
    role: Role | None = None
    uploaded_at: datetime | None = None
    step: int = 0
    run: int | None = None
    verification: Verification | None = None
    n: int = 0
    attempt: int = 0
    since: datetime | None = None

    @property
    def purpose(self) -> str:
        """The kind and a digest of what the entry is for, so that writing it twice is one entry."""
        what: list[object]
        if self.kind == "look":
            what = [self.bucket, self.key, self.role, _text(self.uploaded_at), self.step, self.run]
        elif self.kind == "reconcile":
            what = [self.bucket]
        else:
            what = [self.verification and self.verification.id, self.n, self.attempt]
        return f"{self.kind}-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]}"


class Entry(NamedTuple):
    """A task with its time. It is never due before `at`, and the first sweep after finds it."""

    at: datetime
    task: Task

    @property
    def minute(self) -> str:
        """The UTC minute in which it is due, rounded up."""
        whole = self.at.replace(second=0, microsecond=0)
        return minute_text(whole if whole == self.at else whole + timedelta(minutes=1))


MINUTE = "%Y%m%dT%H%MZ"


def minute_text(at: datetime) -> str:
    """A UTC minute as it stands in agenda keys; these sort as the minutes do."""
    return at.astimezone(timezone.utc).strftime(MINUTE)


# --- as JSON ----------------------------------------------------------------------------------------


def _text(at: datetime | None) -> str | None:
    return at.astimezone(timezone.utc).isoformat(timespec="milliseconds") if at else None


def _time(text: object) -> datetime | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError("no time")
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without zone")
    if not 2000 <= at.year < 3000:
        raise ValueError("a time out of reach")
    return at.astimezone(timezone.utc)


def _sure(at: datetime | None) -> datetime:
    if at is None:
        raise ValueError("a time is missing")
    return at


def _optional(value: Any, kind: type[T]) -> T | None:
    if value is not None and not isinstance(value, kind):
        raise TypeError("a value of another kind")
    return value


def _words(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    value.encode()  # a lone surrogate is no text either
    return value


def _roles(value: Any) -> tuple[Role, ...]:
    if not isinstance(value, list) or not set(value) <= {"live", "image"}:
        raise ValueError("roles that are not known")
    return tuple(value)


def _dump(value: Mapping[str, Any]) -> bytes:
    return json.dumps({"version": VERSION, **value}, ensure_ascii=False).encode()


def _load(key: str, data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
        json.dumps(found, ensure_ascii=False).encode()  # half a character cannot be stored
    except (ValueError, RecursionError):
        raise CorruptState(key, "no JSON") from None
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise CorruptState(key, f"no object of version {VERSION}")
    return found


def _of(which: Verification) -> dict[str, Any]:
    return {"verification": which.id, "run": which.run, "pair": which.path}


def _which(found: Mapping[str, Any]) -> Verification:
    return Verification(_words(found["verification"]), int(found["run"]), _words(found["pair"]))


def _claim_json(which: Verification, claim: Claim) -> bytes:
    return _dump(
        {
            **_of(which),
            "n": claim.n,
            "nonce": claim.nonce,
            "request_id": claim.request_id,
            "lease_until": _text(claim.lease_until),
            "first_try_at": _text(claim.first_try_at),
            "calls": claim.calls,
            "tries": dict(claim.tries),
            "retry_at": _text(claim.retry_at),
            "code": claim.code,
        }
    )


def _count(number: Any) -> int:
    count = int(number)
    if count < 0:
        raise ValueError("a count below zero")
    return count


def _read_claim(found: Mapping[str, Any]) -> Claim:
    return Claim(
        n=_count(found["n"]),
        nonce=_words(found["nonce"]),
        request_id=_words(found["request_id"]),
        lease_until=_sure(_time(found["lease_until"])),
        first_try_at=_sure(_time(found["first_try_at"])),
        calls=_count(found["calls"]),
        tries={str(name): _count(count) for name, count in found["tries"].items()},
        retry_at=_time(found["retry_at"]),
        code=_optional(found["code"], str),
    )


def _record_json(record: Record) -> bytes:
    return _dump(
        {
            **_of(record.which),
            "bucket": record.bucket,
            "live_key": record.live_key,
            "image_key": record.image_key,
            "outcome": record.outcome,
            "code": record.code,
            "uploaded_at": _text(record.uploaded_at),
            "decided_at": _text(record.decided_at),
            "live": record.live,
            "image": record.image,
            "answer": record.answer,
            "best_frame": record.best_frame,
            "body": record.body,
            "nonce": record.nonce,
            "delete": list(record.delete),
            "delivered_at": _text(record.delivered_at),
            "dead_at": _text(record.dead_at),
            "attempts": record.attempts,
            "deleted": record.deleted,
        }
    )


def _read_record(found: Mapping[str, Any]) -> Record:
    return Record(
        which=_which(found),
        bucket=_words(found["bucket"]),
        live_key=_words(found["live_key"]),
        image_key=_words(found["image_key"]),
        outcome=_words(found["outcome"]),
        code=_optional(found["code"], str),
        uploaded_at=_sure(_time(found["uploaded_at"])),
        decided_at=_sure(_time(found["decided_at"])),
        body=_words(found["body"]),
        nonce=_words(found["nonce"]),
        live=_optional(found["live"], dict),
        image=_optional(found["image"], dict),
        answer=_optional(found["answer"], dict),
        best_frame=_optional(found["best_frame"], dict),
        delete=_roles(found["delete"]),
        delivered_at=_time(found["delivered_at"]),
        dead_at=_time(found["dead_at"]),
        attempts=int(found["attempts"]),
        deleted=bool(found["deleted"]),
    )


def _task_json(task: Task) -> bytes:
    return _dump(
        {
            "kind": task.kind,
            "bucket": task.bucket,
            "key": task.key,
            "role": task.role,
            "uploaded_at": _text(task.uploaded_at),
            "step": task.step,
            "run": task.run,
            "verification": task.verification and _of(task.verification),
            "n": task.n,
            "attempt": task.attempt,
            "since": _text(task.since),
        }
    )


def _read_task(found: Mapping[str, Any]) -> Task:
    kind = found["kind"]
    if kind not in ("look", "take_over", "deliver", "reconcile"):
        raise ValueError("a kind that is not known")
    role = found["role"]
    if role not in (None, "live", "image"):
        raise ValueError("a role that is not known")
    which = _which(found["verification"]) if found["verification"] else None
    if kind in ("take_over", "deliver") and which is None:
        raise ValueError("no verification")
    return Task(
        kind=kind,
        bucket=_words(found["bucket"]),
        key=_words(found["key"]),
        role=role,
        uploaded_at=_time(found["uploaded_at"]),
        step=int(found["step"]),
        run=None if found["run"] is None else int(found["run"]),
        verification=which,
        n=_count(found["n"]),
        attempt=_count(found["attempt"]),
        since=_time(found["since"]),
    )


# --- the ledger -------------------------------------------------------------------------------------


class Memory:
    """What an instance remembers of its state bucket between invocations."""

    def __init__(self) -> None:
        self.versioned: bool | None = None
        """Whether the bucket keeps versions or ever did; None until a PUT has told."""


class Ledger:
    """The state bucket of one invocation.

    Every method can raise CosError and, where it reads, CorruptState.
    """

    def __init__(self, bucket: Bucket, prefix: str, clock: Clock, together: Together, memory: Memory) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._clock = clock
        self._together = together
        self._memory = memory

    @property
    def trusts_create(self) -> bool:
        """The bucket is known to honour create-only PUTs, within `SETTLE`."""
        return self._memory.versioned is False

    # --- agenda

    def agenda_key(self, entry: Entry) -> str:
        return f"{self.prefix}agenda/{entry.minute}/{entry.task.purpose}"

    def put_on(self, entry: Entry) -> str:
        """Put a task on the agenda; doing so twice is doing it once. Returns its key."""
        key = self.agenda_key(entry)
        self._write(key, _task_json(entry.task))
        return key

    def take_off(self, keys: Iterable[str]) -> None:
        """Remove objects that are hints only. Their absence is no fault."""
        found = sorted(set(keys))
        for start in range(0, len(found), 1000):
            self.bucket.delete(found[start : start + 1000])

    def due(self, now: datetime, most: int) -> list[str]:
        """Keys of the entries due at `now`, oldest first; about `most` of them, should there be more.

        A LIST for every thousand that are due, and one where none is.
        """
        prefix = f"{self.prefix}agenda/"
        end = f"{prefix}{minute_text(now)}0"  # "0" is the character after "/"
        keys: list[str] = []
        more = True
        while more and len(keys) < most:
            found, more = self.bucket.list(prefix, keys[-1] if keys else "")
            due = [stored.key for stored in found if stored.key < end]
            keys += due
            more = more and len(due) == len(found)
        return keys

    def pending(self) -> frozenset[str]:
        """The purposes of all entries, due or not. May miss what is very new."""
        return frozenset(key.rpartition("/")[2] for key in self._keys(f"{self.prefix}agenda/"))

    def minute_of(self, key: str) -> datetime | None:
        """When an agenda key was due; None where it is no agenda key."""
        try:
            minute = key.removeprefix(f"{self.prefix}agenda/").partition("/")[0]
            return datetime.strptime(minute, MINUTE).replace(tzinfo=timezone.utc)
        except ValueError:
            return None

    @staticmethod
    def is_delivery(key: str) -> bool:
        """Whether an agenda key asks for a delivery."""
        return key.rpartition("/")[2].startswith("deliver-")

    def task(self, key: str) -> Task | None:
        """An agenda entry, None where it is gone."""
        return self._read(key, _read_task)

    def last_walk(self) -> datetime | None:
        """When the last finished walk over the uploads began."""
        return self._read(self._walk_key, lambda found: _time(found["began_at"]))

    def walked(self, began: datetime) -> None:
        self._write(self._walk_key, _dump({"began_at": _text(began)}))

    @property
    def _walk_key(self) -> str:
        return f"{self.prefix}reconciled.json"

    # --- waiting for an image that serves many

    def waiting_prefix(self, image_key: str) -> str:
        return f"{self.prefix}waiting/{hashlib.sha256(image_key.encode()).hexdigest()[:32]}/"

    def wait_for(self, image_key: str, pair_path: str, live_key: str, bucket: str) -> None:
        """Mark that a live package waits for an image."""
        task = Task("look", bucket, live_key, "live")
        self._write(self.waiting_prefix(image_key) + pair_path, _task_json(task))

    def waiting(self, image_key: str, after: str = "") -> tuple[list[str], bool]:
        """Keys of the marks for live packages that wait for an image, and whether there are more."""
        found, more = self.bucket.list(self.waiting_prefix(image_key), after)
        return [stored.key for stored in found], more

    # --- records

    def record_key(self, which: Verification) -> str:
        return f"{self.prefix}records/{which.path}/{which.id}.json"

    def record(self, which: Verification) -> Record | None:
        return self._read(self.record_key(which), _read_record)

    def records(self, pair_path: str) -> list[Record]:
        """All that was decided about a pair, in no order. May miss what is very new."""
        found = [self._read(key, _read_record) for key in self._keys(f"{self.prefix}records/{pair_path}/")]
        return [record for record in found if record]

    def record_once(self, record: Record) -> Record:
        """Create the record, or find the one that was created first: that one counts, and is returned.

        An outcome without a call has no claim that keeps others from deciding it at the same moment, so its
        record is read back like a claim. Raises Unavailable where it is not certain that any is stored.
        """
        key = self.record_key(record.which)
        if not self.trusts_create:
            first = self.record(record.which)
            if first:
                return first
        try:
            self._remember(self.bucket.create(key, _record_json(record)))
            if record.answer is not None:
                return record
        except (Exists, Unavailable):
            pass  # the answer to an earlier writer, or to this very request, may have been lost
        self._clock.sleep(SETTLE if self.trusts_create else SETTLE_VERSIONED)
        first = self.record(record.which)
        if first is None:
            raise Unavailable("write", self.bucket.name, key, None, "the record is not there")
        return record if first == record else first

    def mark(self, record: Record) -> None:
        """Store what became of a record's delivery."""
        self._write(self.record_key(record.which), _record_json(record))

    def dead_key(self, which: Verification) -> str:
        return f"{self.prefix}dead/{which.path}/{which.id}"

    def bury(self, record: Record, error: str) -> None:
        """Note that a delivery was given up."""
        self._write(
            self.dead_key(record.which),
            _dump({**_of(record.which), "error": error, "at": _text(record.dead_at)}),
        )

    def frame_key(self, which: Verification) -> str:
        return f"{self.prefix}best-frames/{which.path}/{which.id}.jpg"

    def keep_frame(self, which: Verification, frame: bytes, seconds: float) -> str:
        """Store the best frame in `seconds` at the most. Returns its key."""
        key = self.frame_key(which)
        self._remember(self.bucket.write(key, frame, "image/jpeg", seconds))
        return key

    # --- claims

    def claim_key(self, which: Verification, n: int) -> str:
        return f"{self.prefix}claims/{which.path}/{which.id}/{n}"

    def claim(self, which: Verification, n: int) -> Claim | None:
        return self._read(self.claim_key(which, n), _read_claim)

    def take_claim(
        self, which: Verification, claim: Claim, meanwhile: Iterable[Callable[[], Any]]
    ) -> Claim | Record:
        """Create claim `claim.n` and return what then stands: that claim only once it has been read back.

        `meanwhile` is done while the claim settles, and only if it may be ours; all of it has succeeded when
        the claim itself is returned. Raises Unavailable where nothing certain is stored, and what `meanwhile`
        raises.
        """
        key = self.claim_key(which, claim.n)
        try:
            self._remember(self.bucket.create(key, _claim_json(which, claim)))
        except Exists:
            # Mostly a repeated event of a decided pair. It may also be our own write, its answer lost.
            stored = self.record(which) or self.claim(which, claim.n)
            if stored is None:
                raise Unavailable("write", self.bucket.name, key, None, "the claim comes and goes") from None
            if isinstance(stored, Record) or stored.nonce != claim.nonce:
                return stored
        except Unavailable:
            pass  # it may have been created all the same: reading it back tells
        settle = SETTLE if self.trusts_create else SETTLE_VERSIONED
        settled_at = self._clock.elapsed() + settle
        self._together(meanwhile)
        self._clock.sleep(max(0.0, settled_at - self._clock.elapsed()))
        stored = self._read_back(which, claim.n)
        if stored is None:
            raise Unavailable("write", self.bucket.name, key, None, "the claim is not there")
        if stored.nonce == claim.nonce and self.trusts_create:
            return claim
        # Another's claim: it may have decided since. Or, where versions are kept, ours was written over its.
        return self.record(which) or (claim if stored.nonce == claim.nonce else stored)

    def _read_back(self, which: Verification, n: int) -> Claim | None:
        """A claim that was just written; GET may show it late."""
        for pause in READ_BACK:
            stored = self.claim(which, n)
            if stored is not None:
                return stored
            self._clock.sleep(pause)
        return self.claim(which, n)

    def give_back(self, which: Verification, claim: Claim) -> None:
        """Store `claim` with its `retry_at`. Only its owner may."""
        self._write(self.claim_key(which, claim.n), _claim_json(which, claim))

    # --- all

    def _keys(self, prefix: str) -> Iterator[str]:
        after, more = "", True
        while more:
            found, more = self.bucket.list(prefix, after)
            for stored in found:
                after = stored.key
                yield after
            more = more and bool(found)

    def _remember(self, versioned: bool) -> None:
        self._memory.versioned = versioned or bool(self._memory.versioned)

    def _write(self, key: str, data: bytes) -> None:
        self._remember(self.bucket.write(key, data))

    def _read(self, key: str, parse: Callable[[Mapping[str, Any]], T | None]) -> T | None:
        data = self.bucket.read(key)
        if data is None:
            return None
        try:
            return parse(_load(key, data))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CorruptState(key, type(error).__name__) from None


def new_nonce() -> str:
    return os.urandom(8).hex()
