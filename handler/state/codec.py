"""Values of the state as JSON and back: one table of fields for each kind.

Every object has a `version`. A field that a table does not name is passed over, so that what a later version
adds breaks no read.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple, TypeVar

from handler.rules.agenda import KINDS, Deliver, LastAnswer, Look, TakeOver, Task, Walk, kind_of, time_text
from handler.rules.claiming import Claim
from handler.rules.codes import NO_SIMILARITY, Class
from handler.rules.outcome import Verification
from handler.rules.pairing import Role
from handler.rules.records import Record

T = TypeVar("T")

VERSION = 1


class Unreadable(ValueError):
    """The bytes are no such value; the message says why, and repeats nothing of them."""


class Unsealed(Unreadable):
    """A record that nobody who knows the secret has sealed under its key."""


# --- kinds of value ---------------------------------------------------------------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    value.encode()  # a lone surrogate is no text either
    return value


def _count(value: Any) -> int:
    count = int(value)
    if count < 0:
        raise ValueError("a count below zero")
    return count


def _time(value: Any) -> datetime:
    at = datetime.fromisoformat(_text(value))
    if at.tzinfo is None:
        raise ValueError("a time without zone")
    if not 2000 <= at.year < 3000:
        raise ValueError("a time out of reach")
    return at.astimezone(timezone.utc)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def _role(value: Any) -> Role:
    if value not in ("live", "image"):
        raise ValueError("a role that is not known")
    role: Role = value
    return role


def _roles(value: Any) -> tuple[Role, ...]:
    if not isinstance(value, list):
        raise TypeError("no list of roles")
    return tuple(map(_role, value))


_CLASSES: Mapping[str, Class] = {"busy": "throttled", "trouble": "transient", "ours": "configuration"}
"""What classes were called before."""


def _tries(value: Any) -> dict[Class, int]:
    classes: dict[str, Class] = {**_CLASSES, **{each: each for each in _CLASSES.values()}}
    return {classes[name]: _count(count) for name, count in _object(value).items() if name in classes}


def _last_answer(value: Any) -> LastAnswer:
    found = _object(value)
    return _count(found["attempt"]), _time(found["at"]), _text(found["error"])


def _last_answer_json(value: LastAnswer | None) -> dict[str, Any] | None:
    return value and {"attempt": value[0], "at": time_text(value[1]), "error": value[2]}


def _optional(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else read(value)


# --- fields -----------------------------------------------------------------------------------------


class Field(NamedTuple):
    """How one field is read from JSON and written; `json` is its name there, where that is another one."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value
    json: str | None = None


_TEXT, _COUNT, _NUMBER = Field(_text), Field(_count), Field(int)
_TIME = Field(_time, time_text)
_OPTIONAL_TEXT, _OPTIONAL_OBJECT = Field(_optional(_text)), Field(_optional(_object))
_OPTIONAL_TIME = Field(_optional(_time), time_text)

_CLAIM: Mapping[str, Field] = {
    "n": _COUNT,
    "nonce": _TEXT,
    "request_id": _TEXT,
    "lease_until": _TIME,
    "first_try_at": _TIME,
    "calls": _COUNT,
    "tries": Field(_tries, dict),
    "no_similarity": _COUNT,
    "retry_at": _OPTIONAL_TIME,
    "code": _OPTIONAL_TEXT,
    "exempt": Field(bool),
}

_DECIDED: Mapping[str, Field] = {
    "bucket": _TEXT,
    "live_key": _TEXT,
    "image_key": _TEXT,
    "outcome": _TEXT,
    "code": _OPTIONAL_TEXT,
    "uploaded_at": _TIME,
    "decided_at": _TIME,
    "live": _OPTIONAL_OBJECT,
    "image": _OPTIONAL_OBJECT,
    "answer": _OPTIONAL_OBJECT,
    "best_frame": _OPTIONAL_OBJECT,
    "body": _TEXT,
    "nonce": _TEXT,
    "delete": Field(_roles, list),
}
"""What stays as it was decided, and is sealed."""

_MARKS: Mapping[str, Field] = {
    "told_from": _OPTIONAL_TIME,
    "delivered_at": _OPTIONAL_TIME,
    "dead_at": _OPTIONAL_TIME,
    "attempts": _NUMBER,
    "deleted": Field(bool),
}

_TASKS: Mapping[type[Task], Mapping[str, Field]] = {
    Look: {
        "bucket": _TEXT,
        "key": _TEXT,
        "role": Field(_optional(_role)),
        "uploaded_at": _OPTIONAL_TIME,
        "step": _NUMBER,
        "run": Field(_optional(_count)),
        "failures": _COUNT,
    },
    TakeOver: {"bucket": _TEXT, "key": _TEXT, "n": _COUNT, "failures": _COUNT, "since": _OPTIONAL_TIME},
    Deliver: {
        "bucket": _TEXT,
        "key": _TEXT,
        "attempt": _COUNT,
        "failures": _COUNT,
        "since": _OPTIONAL_TIME,
        "last": Field(_optional(_last_answer), _last_answer_json),
    },
    Walk: {
        "bucket": _TEXT,
        "key": _TEXT,
        "began_at": _OPTIONAL_TIME._replace(json="uploaded_at"),
        "since": _OPTIONAL_TIME,
        "failures": _COUNT,
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
    return Verification(_text(found["verification"]), int(found["run"]), _text(found["pair"]))


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
        decided = _object(found["decided"])
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
        kind = KINDS[_text(found["kind"])]
        # The version before counted no failures, noted no time but a walk's, and no answer.
        before = {"failures": 0, "last": None, **({} if kind is Walk else {"since": None})}
        values = _read(_TASKS[kind], {**before, **found})
        if kind in (TakeOver, Deliver):
            values["verification"] = _verification(_object(found["verification"]))
        return kind(**values)

    return _load(data, read)


def dump_walked(began_at: datetime) -> bytes:
    """What is kept of the last finished walk: when it began."""
    return _dump({"began_at": time_text(began_at)})


def load_walked(data: bytes) -> datetime:
    """When the last finished walk began. Raises Unreadable."""
    return _load(data, lambda found: _time(found["began_at"]))


def dump_settled(until: datetime) -> bytes:
    """What is kept of an upload that stays where its other half is deleted: when it was made."""
    return _dump({"until": time_text(until)})


def load_settled(data: bytes) -> datetime:
    """Until when uploads of those bytes are settled. Raises Unreadable."""
    return _load(data, lambda found: _time(found["until"]))


def dump_dead(record: Record, error: str) -> bytes:
    """The note that a delivery was given up, and what went wrong last."""
    return _dump({**_named(record.verification), "error": error, "at": time_text(record.dead_at)})
