"""The webhook's messages as the code makes them, and what the schema has against one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from handler.rules.codes import CODES, FAMILIES, TOO_MANY_VERDICTS, Outcome
from handler.rules.outcome import (
    Answer,
    Called,
    Decision,
    Frame,
    body,
    decide,
    incomplete,
    too_many_verdicts,
    unfit,
    unreadable,
    verification,
)
from handler.rules.pairing import Pair, Role
from handler.rules.settings import Settings, load_settings
from handler.rules.uploads import Seen, Stored
from tests.support.project import EVENTS, TESTS

Message = dict[str, Any]

OUTCOMES: tuple[Outcome, ...] = ("matched", "mismatched", "rejected", "incomplete", "failed")
VERIFICATIONS = [f"verification.{outcome}.json" for outcome in OUTCOMES]
MESSAGES = [*VERIFICATIONS, "webhook.test.json"]
ROLES: tuple[Role, ...] = ("live", "image")
BUCKET = "faces-1250000000"
AT = datetime(2026, 11, 22, 11, 59, 57, tzinfo=timezone.utc)

SETTINGS = load_settings(
    {
        "BUCKET": BUCKET,
        "WEBHOOK_URL": "https://example.com/webhook",
        "WEBHOOK_SECRET": "whsec_ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk=",
    }
)
CJK = load_settings(
    {
        "BUCKET": BUCKET,
        "WEBHOOK_URL": "https://example.com/webhook",
        "WEBHOOK_SECRET": "whsec_ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk=",
        "LIVE_KEY": "uploads/{tenant}/{application}/live.gz",
        "IMAGE_KEY": "uploads/{tenant}/{application}/image.jpg",
        "MIN_SIMILARITY": "82.5",
    }
)
SHARED = load_settings(
    {
        "BUCKET": BUCKET,
        "WEBHOOK_URL": "https://example.com/webhook",
        "WEBHOOK_SECRET": "whsec_ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk=",
        "LIVE_KEY": "uploads/{user}/{attempt}/live.gz",
        "IMAGE_KEY": "faces/{user}.jpg",
    }
)
"""One image serves many live packages."""

FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def is_time(value: object) -> bool:
    """jsonschema checks date-time only with a further package; for our times the standard library does."""
    return not isinstance(value, str) or bool(datetime.fromisoformat(value.replace("Z", "+00:00")))


def load(name: str) -> Any:
    return json.loads((EVENTS / name).read_text(encoding="utf-8"))


SCHEMA = load("message.schema.json")
RELEASED = json.loads((TESTS / "released" / "message.v1.schema.json").read_text(encoding="utf-8"))
"""The schema as consumers have it. Never edited: a release that adds something puts the current one here."""


def faults(message: Any, schema: dict[str, Any] = SCHEMA) -> list[str]:
    """What a schema has against a message."""
    validator = Draft202012Validator(schema, format_checker=FORMATS)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(message)]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def half(key: str, size: int = 40_213, *, read: bool = True) -> Stored:
    md5 = hashlib.md5(key.encode()).hexdigest()
    return Stored(key, f'"{md5}"' if read else f'"{md5}-9"', md5 if read else None, size, AT)


def seen_of(settings: Settings, *values: str) -> Seen:
    names = settings.templates.live[0].names
    key = settings.templates.live[0].key(dict(zip(names, values, strict=True)))
    match = settings.templates.match(key)
    assert match is not None
    assert isinstance(match[1], Pair)
    return Seen(match[1], BUCKET, half(match[1].live_keys[0]), half(match[1].image_keys[0]))


PLAIN = seen_of(SETTINGS, "a1f4c0de")
CHINESE = seen_of(CJK, "租户 一", "申请+100%.é")
ATTEMPT = seen_of(SHARED, "ann", "3")


def told(
    decision: Decision,
    *,
    seen: Seen = PLAIN,
    run: int = 1,
    frame: bool = False,
    called: Called | None = None,
    settings: Settings = SETTINGS,
) -> Message:
    """The message that the code tells."""
    which = verification(seen, run)
    key = f"{settings.state_prefix}best-frames/{which.path}/{which.id}.jpg"
    if frame and called is not None:
        called = called._replace(frame=Frame(settings.state_bucket, key, "0" * 32))
    message = json.loads(body(seen, which, decision, settings, called))
    assert isinstance(message, dict)
    return message


def answered(code: str, similarity: float | None = None, text: str = "said by the API") -> Message:
    """What is told of an answer with `code`."""
    request_id = None if code.startswith(("Livepair.", "ClientNetwork")) else "fake-request-id"
    answer = Answer(code, text, similarity=similarity, request_id=request_id)
    return told(decide(answer, 70.0, AT), called=Called(answer, "ap-singapore", 1, 1))


def without_call(code: str) -> Message:
    """What is told where livepair itself found `code`, without a call."""
    live, image, pair = PLAIN.live, PLAIN.image, PLAIN.pair
    assert live is not None
    assert image is not None
    seen = PLAIN
    decision: Decision | None = None
    if code == "Livepair.LiveMissing":
        seen = Seen(pair, BUCKET, None, image)
        decision = incomplete(seen, 3600)
    elif code == "Livepair.ImageMissing":
        seen = Seen(pair, BUCKET, live, None)
        decision = incomplete(seen, 3600)
    elif code == "Livepair.UploadUnreadable":
        seen = Seen(pair, BUCKET, None, None)
        decision = unreadable(AT, "COS refused it")
    elif code == TOO_MANY_VERDICTS:
        decision = too_many_verdicts(AT, 10)
    else:
        large, archived = code.endswith("TooLarge"), code.endswith("Archived")
        size = 60_000_000 if large else 500 if archived else 0
        role: Role = "live" if "Live" in code.removeprefix("Livepair.") else "image"
        key = live.key if role == "live" else image.key
        found = half(key, size, read=not large)._replace(archived=archived)
        seen = seen._replace(live=found) if role == "live" else seen._replace(image=found)
        decision = unfit(seen, SETTINGS, AT)
    assert decision is not None
    assert decision.code == code
    return told(decision, seen=seen)


FAULTS = ("Missing", "Empty", "TooLarge", "Archived")
NO_CALL = [
    *(f"Livepair.{name}{fault}" for name in ("Live", "Image") for fault in FAULTS),
    "Livepair.UploadUnreadable",
    TOO_MANY_VERDICTS,
]
ANSWERS = [code for code in CODES if code not in NO_CALL or code == "Livepair.UploadUnreadable"]


SUCCESS = Called(Answer("Success", "", request_id="fake-request-id"), "ap-hongkong", 1, 1)
LOW, HIGH = (decide(Answer("Success", "", similarity=value), 70, AT) for value in (41.7, 96.3))
PERSON, TROUBLE = (
    (decide(Answer(code, ""), 70, AT), Called(Answer(code, ""), "ap-bangkok", 8, 8))
    for code in ("FailedOperation.LivessDetectFake", "ClientNetworkError")
)
JUDGED = {
    "matched+frame": (HIGH, SUCCESS, True),
    "matched": (HIGH, SUCCESS, False),
    "mismatched+frame": (LOW, SUCCESS, True),
    "mismatched": (LOW, SUCCESS, False),
    "rejected": (*PERSON, False),
    "failed": (*TROUBLE, False),
}
"""Each outcome of a judged pair, with and without a best frame where there can be one."""


def half_a_pair(missing: Role, run: int = 1) -> Message:
    """What is told where one upload of a pair never came."""
    live, image = (None if missing == role else CHINESE.upload(role) for role in ROLES)
    seen = Seen(CHINESE.pair, BUCKET, live, image)
    decision = incomplete(seen, 3600)
    return told(decision, seen=seen, run=run, settings=CJK)


def every_message() -> Iterator[Message]:
    """One message of each kind that the code can make: every code, outcome, run, pair and null."""
    yield from (load(name) for name in MESSAGES)
    families = (name for family, _ in FAMILIES for name in (family, f"{family}.Something"))
    for code in (*ANSWERS, *families, "FailedOperation.NeverHeardOf", ""):
        for text in ("said by the API", ""):
            yield answered(code, 96.3 if code == "Success" else 12, text)
    yield from (without_call(code) for code in NO_CALL)
    yield from (answered("Success", similarity) for similarity in (0, 69.99, 70, 100.0))
    yield answered("InternalError.CompareLowSimilarity", None)
    unread = Seen(PLAIN.pair, BUCKET, None, None)
    yield from (
        told(Decision(AT, "failed", "Livepair.UploadUnreadable", says), seen=unread) for says in (None, "")
    )
    for run in (1, 2):
        for decision, called, frame in JUDGED.values():
            for seen, settings in ((PLAIN, SETTINGS), (CHINESE, CJK), (ATTEMPT, SHARED)):
                yield told(decision, seen=seen, run=run, frame=frame, called=called, settings=settings)
        yield from (half_a_pair(role, run) for role in ROLES)
