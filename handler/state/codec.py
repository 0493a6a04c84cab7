"""Values of the state as JSON and back: one table of fields for each kind.

Every object has a `version`. A field that a table does not name is passed over, so that what a later version
adds breaks no read.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from handler.rules.agenda import KINDS, Deliver, Look, TakeOver, Task, Walk, kind_of, time_text
from handler.rules.claiming import Claim
from handler.rules.codes import NO_SIMILARITY
from handler.rules.outcome import Verification
from handler.rules.records import Record
from handler.state.fields import (
    COUNT,
    NUMBER,
    OPTIONAL_OBJECT,
    OPTIONAL_TEXT,
    OPTIONAL_TIME,
    TEXT,
    TIME,
    Field,
    count,
    last_answer,
    last_answer_json,
    mapping,
    optional,
    role,
    roles,
    text,
    time,
    tries,
)

T = TypeVar("T")

VERSION = 1


class Unreadable(ValueError):
    """The bytes are no such value; the message says why, and repeats nothing of them."""


class Unsealed(Unreadable):
    """A record that nobody who knows the secret has sealed under its key."""


# --- fields ----------------------------------------------------------------------------------------

_CLAIM: Mapping[str, Field] = {
    "n": COUNT,
    "nonce": TEXT,
    "request_id": TEXT,
    "lease_until": TIME,
    "first_try_at": TIME,
    "calls": COUNT,
    "tries": Field(tries, dict),
    "no_similarity": COUNT,
    "retry_at": OPTIONAL_TIME,
    "code": OPTIONAL_TEXT,
    "exempt": Field(bool),
}

_DECIDED: Mapping[str, Field] = {
    "bucket": TEXT,
    "live_key": TEXT,
    "image_key": TEXT,
    "outcome": TEXT,
    "code": OPTIONAL_TEXT,
    "uploaded_at": TIME,
    "decided_at": TIME,
    "live": OPTIONAL_OBJECT,
    "image": OPTIONAL_OBJECT,
    "answer": OPTIONAL_OBJECT,
    "best_frame": OPTIONAL_OBJECT,
    "body": TEXT,
    "nonce": TEXT,
    "delete": Field(roles, list),
}
"""What stays as it was decided, and is sealed."""

_MARKS: Mapping[str, Field] = {
    "told_from": OPTIONAL_TIME,
    "delivered_at": OPTIONAL_TIME,
    "dead_at": OPTIONAL_TIME,
    "attempts": NUMBER,
    "deleted": Field(bool),
}

_TASKS: Mapping[type[Task], Mapping[str, Field]] = {
    Look: {
        "bucket": TEXT,
        "key": TEXT,
        "role": Field(optional(role)),
        "uploaded_at": OPTIONAL_TIME,
        "step": NUMBER,
        "run": Field(optional(count)),
        "failures": COUNT,
    },
    TakeOver: {"bucket": TEXT, "key": TEXT, "n": COUNT, "failures": COUNT, "since": OPTIONAL_TIME},
    Deliver: {
        "bucket": TEXT,
        "key": TEXT,
        "attempt": COUNT,
        "failures": COUNT,
        "since": OPTIONAL_TIME,
        "last": Field(optional(last_answer), last_answer_json),
    },
    Walk: {
        "bucket": TEXT,
        "key": TEXT,
        "began_at": OPTIONAL_TIME._replace(json="uploaded_at"),
        "since": OPTIONAL_TIME,
        "failures": COUNT,
    },
}

_BLANK_TASK: Mapping[str, Any] = {
    "role": None,
    "uploaded_at": None,
    "step": 0,
    "run": None,
    "verification": None,
    "n": 0,
    "attempt": 0,
    "since": None,
}
"""Every entry has every field, whatever its kind: so the version before reads it, too."""


def _read(fields: Mapping[str, Field], found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: field.read(found[field.json or name]) for name, field in fields.items()}


def _written(fields: Mapping[str, Field], value: Any) -> dict[str, Any]:
    return {field.json or name: field.write(getattr(value, name)) for name, field in fields.items()}


def _verification(found: Mapping[str, Any]) -> Verification:
    return Verification(text(found["verification"]), int(found["run"]), text(found["pair"]))


def _named(verification: Verification) -> dict[str, Any]:
    return {"verification": verification.id, "run": verification.run, "pair": verification.path}


# --- objects ----------------------------------------------------------------------------------------


def _dump(value: Mapping[str, Any]) -> bytes:
    return json.dumps({"version": VERSION, **value}, ensure_ascii=False).encode()


def _load(data: bytes, read: Callable[[Mapping[str, Any]], T]) -> T:
    try:
        found = json.loads(data)
        json.dumps(found, ensure_ascii=False).encode()  # half a character cannot be stored
    except (ValueError, RecursionError):
        raise Unreadable("no JSON") from None
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise Unreadable(f"no object of version {VERSION}")
    try:
        return read(found)
    except Unreadable:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Unreadable(type(error).__name__) from None


def dump_claim(claim: Claim) -> bytes:
    """A claim as it is stored."""
    return _dump({**_named(claim.verification), **_written(_CLAIM, claim)})


def load_claim(data: bytes) -> Claim:
    """A stored claim. Raises Unreadable."""

    def read(found: Mapping[str, Any]) -> Claim:
        # The version before counted answers without a similarity among the tries, by their code.
        before = {"no_similarity": found["tries"].get(NO_SIMILARITY, 0), "exempt": False}
        return Claim(_verification(found), **_read(_CLAIM, {**before, **found}))

    return _load(data, read)


def seal_record(record: Record, seal: Callable[[str], str]) -> Record:
    """The record with its seal, which it keeps: what was decided does not change."""
    if record.sealed:
        return record
    decided = {**_named(record.verification), **_written(_DECIDED, record)}
    return record._replace(sealed={"decided": decided, "seal": seal(_sealed_text(decided))})


def dump_record(record: Record) -> bytes:
    """A sealed record as it is stored: the sealed part as it was found, whatever a later version put in."""
    return _dump({**(record.sealed or {}), **_written(_MARKS, record)})


def load_record(data: bytes, holds: Callable[[str, object], bool]) -> Record:
    """A stored record. Raises Unreadable, and Unsealed where its text and its seal are none that `holds`."""

    def read(found: Mapping[str, Any]) -> Record:
        if "seal" not in found or "decided" not in found:
            raise Unsealed("it has no seal")
        decided = mapping(found["decided"])
        if not holds(_sealed_text(decided), found["seal"]):
            raise Unsealed("its seal is not one of ours")
        sealed = {"decided": decided, "seal": found["seal"]}
        # The version before counted the schedule from the decision.
        marks = _read(_MARKS, {"told_from": None, **found})
        return Record(_verification(decided), **_read(_DECIDED, decided), **marks, sealed=sealed)

    return _load(data, read)


def _sealed_text(decided: Mapping[str, Any]) -> str:
    """What is sealed: all that stands there, whoever knows what for, in one spelling."""
    return json.dumps(decided, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def dump_task(task: Task) -> bytes:
    """An agenda entry's task as it is stored."""
    own = _written(_TASKS[type(task)], task)
    if isinstance(task, (TakeOver, Deliver)):
        own.update(role="live", verification=_named(task.verification))
    return _dump({"kind": kind_of(task), **_BLANK_TASK, **own})


def load_task(data: bytes) -> Task:
    """The task of a stored agenda entry. Raises Unreadable."""

    def read(found: Mapping[str, Any]) -> Task:
        kind = KINDS[text(found["kind"])]
        # The version before counted no failures, noted no time but a walk's, and no answer.
        before = {"failures": 0, "last": None, **({} if kind is Walk else {"since": None})}
        values = _read(_TASKS[kind], {**before, **found})
        if kind in (TakeOver, Deliver):
            values["verification"] = _verification(mapping(found["verification"]))
        return kind(**values)

    return _load(data, read)


def dump_walked(began_at: datetime) -> bytes:
    """What is kept of the last finished walk: when it began."""
    return _dump({"began_at": time_text(began_at)})


def load_walked(data: bytes) -> datetime:
    """When the last finished walk began. Raises Unreadable."""
    return _load(data, lambda found: time(found["began_at"]))


def dump_settled(until: datetime) -> bytes:
    """What is kept of an upload that stays where its other half is deleted: when it was made."""
    return _dump({"until": time_text(until)})


def load_settled(data: bytes) -> datetime:
    """Until when uploads of those bytes are settled. Raises Unreadable."""
    return _load(data, lambda found: time(found["until"]))


def dump_dead(record: Record, error: str) -> bytes:
    """The note that a delivery was given up, and what went wrong last."""
    return _dump({**_named(record.verification), "error": error, "at": time_text(record.dead_at)})
