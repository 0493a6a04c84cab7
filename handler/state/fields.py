"""How one field of the state is read from JSON and written. Readers raise TypeError, ValueError, KeyError."""

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple, TypeVar

from handler.rules.agenda import LastAnswer, time_text
from handler.rules.codes import Class
from handler.rules.pairing import Role

T = TypeVar("T")


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    value.encode()  # a lone surrogate is no text either
    return value


def count(value: Any) -> int:
    number = int(value)
    if number < 0:
        raise ValueError("a count below zero")
    return number


def time(value: Any) -> datetime:
    at = datetime.fromisoformat(text(value))
    if at.tzinfo is None:
        raise ValueError("a time without zone")
    if not 2000 <= at.year < 3000:
        raise ValueError("a time out of reach")
    return at.astimezone(timezone.utc)


def mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def role(value: Any) -> Role:
    if value not in ("live", "image"):
        raise ValueError("a role that is not known")
    known: Role = value
    return known


def roles(value: Any) -> tuple[Role, ...]:
    if not isinstance(value, list):
        raise TypeError("no list of roles")
    return tuple(map(role, value))


CLASSES: Mapping[str, Class] = {"busy": "throttled", "trouble": "transient", "ours": "configuration"}
"""What classes were called before."""


def tries(value: Any) -> dict[Class, int]:
    classes: dict[str, Class] = {**CLASSES, **{each: each for each in CLASSES.values()}}
    return {classes[name]: count(tried) for name, tried in mapping(value).items() if name in classes}


def last_answer(value: Any) -> LastAnswer:
    found = mapping(value)
    return count(found["attempt"]), time(found["at"]), text(found["error"])


def last_answer_json(value: LastAnswer | None) -> dict[str, Any] | None:
    return value and {"attempt": value[0], "at": time_text(value[1]), "error": value[2]}


def optional(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else read(value)


# --- fields -----------------------------------------------------------------------------------------


class Field(NamedTuple):
    """How one field is read from JSON and written; `json` is its name there, where that is another one."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value
    json: str | None = None


TEXT, COUNT, NUMBER = Field(text), Field(count), Field(int)
TIME = Field(time, time_text)
OPTIONAL_TEXT, OPTIONAL_OBJECT = Field(optional(text)), Field(optional(mapping))
OPTIONAL_TIME = Field(optional(time), time_text)
